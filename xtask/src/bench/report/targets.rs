//! What is to be reached, and what was.

use super::numbers::{number, row, table};
use crate::bench::phase::Phase;
use crate::bench::results::{Measured, Results};
use crate::bench::setting::Setting;
use crate::bench::tool::Tool;

/// Most memory that pb-deploy may take, in MiB.
const PEAK_MAX: f64 = 50.0;

/// A target.
#[derive(Debug)]
struct Target {
    what: String,
    wanted: String,
    found: Found,
}

/// What was found.
#[derive(Debug, PartialEq)]
enum Found {
    /// A figure, and whether it is good enough.
    Figure(String, bool),
    /// Nothing, and why.
    Nothing(&'static str),
}

/// The targets beside what was reached.
pub fn section(results: &Results, settings: &[Setting], compares: bool) -> String {
    let mut rows = vec![row(["target", "wanted", "measured", ""])];
    for Target { what, wanted, found } in targets(results, settings, compares) {
        let (figure, word) = match found {
            Found::Figure(figure, true) => (figure, "reached"),
            Found::Figure(figure, false) => (figure, "**not reached**"),
            Found::Nothing(why) => ("–".to_owned(), why),
        };
        rows.push(row([&what, &wanted, &figure, word]));
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
        all.iter_mut().for_each(|target| target.found = Found::Nothing("not compared"));
    }
    let paced = [Setting::Scaled, Setting::Aws]
        .into_iter()
        .filter(|one| Setting::USUAL.contains(one) || settings.contains(one));
    for setting in paced {
        all.extend([Phase::Deploy, Phase::Destroy].map(|phase| of_floor(results, setting, phase)));
    }
    all.push(peak(results));
    all
}

/// Terraform's figure over ours, where no delay is in either.
fn ratio(results: &Results, phase: Phase, of: &str, least: f64, words: &str, value: fn(&Measured) -> f64) -> Target {
    let setting = Setting::WithoutDelays;
    let figures = [Tool::Ours, Tool::Terraform].map(|tool| results.of(setting, tool, phase).as_ref().map(value));
    let found = match figures {
        [Some(ours), Some(theirs)] if ours > 0.0 => {
            let ratio = theirs / ours;
            Found::Figure(format!("{} ({} to {})", number(ratio), number(theirs), number(ours)), ratio >= least)
        }
        _ => Found::Nothing("not measured"),
    };
    let what = format!("{}: {of} ({})", phase.name(), setting.name());
    Target { what, wanted: format!("at least {least:.0} {words}"), found }
}

fn of_floor(results: &Results, setting: Setting, phase: Phase) -> Target {
    let most = setting.of_floor_at_most().unwrap_or(f64::INFINITY);
    let floor = results.floor(setting, Tool::Ours, phase);
    let found = match (results.of(setting, Tool::Ours, phase), floor) {
        (Some(measured), Some(floor)) => {
            let (wall, floor) = (measured.wall.median, floor.seconds());
            let ratio = wall / floor;
            Found::Figure(format!("{ratio:.3} ({wall:.2} s to {floor:.2} s)"), ratio <= most)
        }
        _ => Found::Nothing("not measured"),
    };
    let what = format!("{}: wall ({})", phase.name(), setting.name());
    Target { what, wanted: format!("at most {most:.2} of the floor"), found }
}

fn peak(results: &Results) -> Target {
    let found = match results.highest_peak(Tool::Ours) {
        Some(mib) => Found::Figure(format!("{mib:.2} MiB"), mib <= PEAK_MAX),
        None => Found::Nothing("not measured"),
    };
    Target { what: "peak memory of any phase".to_owned(), wanted: format!("at most {PEAK_MAX:.0} MiB"), found }
}

#[cfg(test)]
mod tests {
    use super::super::numbers::squeezed;
    use super::*;
    use crate::bench::results::{Floors, made_up};

    const PLAN: Phase = Phase::PlanWithoutChanges;

    fn lines(results: &Results, compares: bool) -> Vec<String> {
        squeezed(&section(results, &Setting::USUAL, compares)).lines().map(str::to_owned).collect()
    }

    #[test]
    fn what_is_reached_follows_from_the_figures() {
        let mut results = Results::default();
        made_up::add(&mut results, (Setting::WithoutDelays, Tool::Ours, PLAN), 0.2, 0.1, 40, 20);
        made_up::add(&mut results, (Setting::WithoutDelays, Tool::Terraform, PLAN), 7.0, 9.0, 800, 40);
        let text = lines(&results, true);
        assert!(
            text.iter().any(|line| line.contains("wall (a)") && line.ends_with("35.0 (7.00 to 0.200) | reached |"))
        );
        assert!(
            text.iter()
                .any(|line| line.contains("CPU (a)") && line.ends_with("90.0 (9.00 to 0.100) | **not reached** |"))
        );
        assert!(text.iter().any(|line| line.contains("memory (a)") && line.ends_with(" reached |")), "{text:#?}");
        assert!(
            text.iter().any(|line| line.contains("calls (a)") && line.ends_with("2.00 (40.0 to 20.0) | reached |"))
        );
        assert!(text.iter().any(|line| line.starts_with("| deploy: CPU") && line.ends_with("– | not measured |")));
        made_up::add(&mut results, (Setting::Scaled, Tool::Ours, PLAN), 0.2, 0.1, 51, 20);
        assert!(
            lines(&results, true).iter().any(|line| line.ends_with("51.00 MiB | **not reached** |")),
            "of any setting"
        );
    }

    #[test]
    fn a_deploy_is_held_against_its_floor() {
        let floors = || Floors::of(Setting::Scaled, &made_up::pace()).unwrap();
        for (factor, word) in [(1.049, " reached |"), (1.051, "**not reached** |")] {
            let mut results = Results::default();
            results.add_floors(floors());
            let floor = results.floor(Setting::Scaled, Tool::Ours, Phase::Deploy).unwrap().seconds();
            made_up::add(&mut results, (Setting::Scaled, Tool::Ours, Phase::Deploy), floor * factor, 0.5, 40, 50);
            let text = lines(&results, false);
            assert!(
                text.iter().any(|line| line.starts_with("| deploy: wall (b)") && line.ends_with(word)),
                "{text:#?}"
            );
        }
    }

    #[test]
    fn without_terraform_nothing_is_compared() {
        let mut results = Results::default();
        made_up::add(&mut results, (Setting::WithoutDelays, Tool::Ours, PLAN), 0.2, 0.1, 40, 20);
        let text = lines(&results, false);
        assert_eq!(text.iter().filter(|line| line.ends_with("– | not compared |")).count(), 6, "{text:#?}");
        assert!(text.iter().any(|line| line.ends_with("40.00 MiB | reached |")));
    }
}
