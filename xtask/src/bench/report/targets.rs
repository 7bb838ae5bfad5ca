//! The section of the report with performance targets and results.

use super::numbers::{number, row, table};
use crate::bench::phase::Phase;
use crate::bench::results::{PhaseSummary, Results};
use crate::bench::setting::Setting;
use crate::bench::tool::Tool;

/// Target for the peak memory of pb-deploy, in MiB.
const PEAK_MAX: f64 = 50.0;

/// A performance target with its result.
#[derive(Debug)]
struct Target {
    name: String,
    goal: String,
    measured: Measurement,
}

/// Result of a target.
#[derive(Debug, PartialEq)]
enum Measurement {
    /// The figure, and `true` if it meets the target.
    Value(String, bool),
    /// There is no figure, for this reason.
    Missing(&'static str),
}

/// Returns the table of targets and results.
pub fn section(results: &Results, settings: &[Setting], compares: bool) -> String {
    let mut rows = vec![row(["target", "goal", "measured", ""])];
    for Target { name, goal, measured } in targets(results, settings, compares) {
        let (figure, word) = match measured {
            Measurement::Value(figure, true) => (figure, "met"),
            Measurement::Value(figure, false) => (figure, "**missed**"),
            Measurement::Missing(why) => ("–".to_owned(), why),
        };
        rows.push(row([&name, &goal, &figure, word]));
    }
    table(&rows)
}

fn targets(results: &Results, settings: &[Setting], compares: bool) -> Vec<Target> {
    let plan = Phase::PlanWithoutChanges;
    let mut all = vec![
        ratio(results, plan, "wall", 30.0, "times faster than Terraform", |one| one.wall.median),
        ratio(results, plan, "CPU", 100.0, "times less than Terraform", |one| one.cpu.median),
        ratio(results, plan, "peak memory", 15.0, "times less than Terraform", |one| one.peak.median),
        ratio(results, plan, "calls", 2.0, "times fewer than Terraform", |one| one.calls.median),
        ratio(results, Phase::Deploy, "CPU", 50.0, "times less than Terraform", |one| one.cpu.median),
        ratio(results, Phase::Destroy, "CPU", 50.0, "times less than Terraform", |one| one.cpu.median),
    ];
    if !compares {
        all.iter_mut().for_each(|target| target.measured = Measurement::Missing("not compared"));
    }
    let paced = [Setting::Scaled, Setting::Aws]
        .into_iter()
        .filter(|one| Setting::USUAL.contains(one) || settings.contains(one));
    for setting in paced {
        all.extend([Phase::Deploy, Phase::Destroy].map(|phase| ratio_to_lower_bound(results, setting, phase)));
    }
    all.push(peak(results));
    all
}

/// Returns a target for the ratio of Terraform's figure to that of pb-deploy, on the endpoint without delays.
fn ratio(
    results: &Results,
    phase: Phase,
    of: &str,
    least: f64,
    words: &str,
    value: fn(&PhaseSummary) -> f64,
) -> Target {
    let setting = Setting::WithoutDelays;
    let figures =
        [Tool::PbDeploy, Tool::Terraform].map(|tool| results.summarize(setting, tool, phase).as_ref().map(value));
    let measured = match figures {
        [Some(pb_deploy), Some(terraform)] if pb_deploy > 0.0 => {
            let ratio = terraform / pb_deploy;
            Measurement::Value(
                format!("{} ({} to {})", number(ratio), number(terraform), number(pb_deploy)),
                ratio >= least,
            )
        }
        _ => Measurement::Missing("not measured"),
    };
    let name = format!("{}: {of} ({})", phase.name(), setting.name());
    Target { name, goal: format!("at least {least:.0} {words}"), measured }
}

fn ratio_to_lower_bound(results: &Results, setting: Setting, phase: Phase) -> Target {
    let most = setting.max_ratio_to_lower_bound().unwrap_or(f64::INFINITY);
    let lower_bound = results.lower_bound(setting, Tool::PbDeploy, phase);
    let measured = match (results.summarize(setting, Tool::PbDeploy, phase), lower_bound) {
        (Some(measured), Some(lower_bound)) => {
            let (wall, lower_bound) = (measured.wall.median, lower_bound.seconds());
            let ratio = wall / lower_bound;
            Measurement::Value(format!("{ratio:.3} ({wall:.2} s to {lower_bound:.2} s)"), ratio <= most)
        }
        _ => Measurement::Missing("not measured"),
    };
    let name = format!("{}: wall ({})", phase.name(), setting.name());
    Target { name, goal: format!("at most {most:.2} times the lower bound"), measured }
}

fn peak(results: &Results) -> Target {
    let measured = match results.highest_peak(Tool::PbDeploy) {
        Some(mib) => Measurement::Value(format!("{mib:.2} MiB"), mib <= PEAK_MAX),
        None => Measurement::Missing("not measured"),
    };
    Target { name: "peak memory of any phase".to_owned(), goal: format!("at most {PEAK_MAX:.0} MiB"), measured }
}

#[cfg(test)]
mod tests {
    use super::super::numbers::without_padding;
    use super::*;
    use crate::bench::results::{LowerBounds, fixtures};

    const PLAN: Phase = Phase::PlanWithoutChanges;

    fn lines(results: &Results, compares: bool) -> Vec<String> {
        without_padding(&section(results, &Setting::USUAL, compares)).lines().map(str::to_owned).collect()
    }

    #[test]
    fn targets_are_judged_by_the_figures() {
        let mut results = Results::default();
        fixtures::add(&mut results, (Setting::WithoutDelays, Tool::PbDeploy, PLAN), 0.2, 0.1, 40, 20);
        fixtures::add(&mut results, (Setting::WithoutDelays, Tool::Terraform, PLAN), 7.0, 9.0, 800, 40);
        let text = lines(&results, true);
        assert!(text.iter().any(|line| line.contains("wall (a)") && line.ends_with("35.0 (7.00 to 0.200) | met |")));
        assert!(
            text.iter().any(|line| line.contains("CPU (a)") && line.ends_with("90.0 (9.00 to 0.100) | **missed** |"))
        );
        assert!(text.iter().any(|line| line.contains("memory (a)") && line.ends_with(" met |")), "{text:#?}");
        assert!(text.iter().any(|line| line.contains("calls (a)") && line.ends_with("2.00 (40.0 to 20.0) | met |")));
        assert!(text.iter().any(|line| line.starts_with("| deploy: CPU") && line.ends_with("– | not measured |")));
        fixtures::add(&mut results, (Setting::Scaled, Tool::PbDeploy, PLAN), 0.2, 0.1, 51, 20);
        assert!(lines(&results, true).iter().any(|line| line.ends_with("51.00 MiB | **missed** |")), "of any setting");
    }

    #[test]
    fn deploy_is_compared_with_its_lower_bound() {
        let lower_bounds = || LowerBounds::of(Setting::Scaled, &fixtures::timings()).unwrap();
        for (factor, word) in [(1.049, " met |"), (1.051, "**missed** |")] {
            let mut results = Results::default();
            results.add_lower_bounds(lower_bounds());
            let lower_bound = results.lower_bound(Setting::Scaled, Tool::PbDeploy, Phase::Deploy).unwrap().seconds();
            fixtures::add(
                &mut results,
                (Setting::Scaled, Tool::PbDeploy, Phase::Deploy),
                lower_bound * factor,
                0.5,
                40,
                50,
            );
            let text = lines(&results, false);
            assert!(
                text.iter().any(|line| line.starts_with("| deploy: wall (b)") && line.ends_with(word)),
                "{text:#?}"
            );
        }
    }

    #[test]
    fn report_without_terraform_compares_nothing() {
        let mut results = Results::default();
        fixtures::add(&mut results, (Setting::WithoutDelays, Tool::PbDeploy, PLAN), 0.2, 0.1, 40, 20);
        let text = lines(&results, false);
        assert_eq!(text.iter().filter(|line| line.ends_with("– | not compared |")).count(), 6, "{text:#?}");
        assert!(text.iter().any(|line| line.ends_with("40.00 MiB | met |")));
    }
}
