//! The section of the report with the figures of all phases on one endpoint.

use super::numbers::{count, number, row, spread, table as markdown, times};
use crate::bench::lower_bound::LowerBound;
use crate::bench::phase::Phase;
use crate::bench::request_log::TimeSplit;
use crate::bench::results::{PhaseSummary, Results};
use crate::bench::setting::Setting;
use crate::bench::tool::Tool;

const TOOLS: [Tool; 2] = [Tool::PbDeploy, Tool::Terraform];

/// Explanation of Terraform's wall times, for the report.
const FIXED_WAITS: &str = "\
Terraform's wall times of deploy and destroy include fixed waits of its AWS provider, which do not depend on the endpoint:
30 s twice on a load balancer, 30 s on a replication group, 10 s on a VPC and on a subnet, 15 s on a DNS record. Without
delays these waits make up most of the wall time. The ratio of wall times shows how long a user waits, but says little
about the speed of the tools; compare the processor time for that.";

/// Returns the section of one setting: figures, ratios and lower bounds.
pub fn section(results: &Results, setting: Setting) -> String {
    let parts = [table(results, setting), ratios(results, setting), lower_bounds(results, setting)];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    format!("## {}\n\n{}\n\n{}", setting.title(), setting.meaning(), parts.join("\n\n"))
}

/// Returns only the table of figures, for the terminal.
pub fn summary(results: &Results, setting: Setting) -> String {
    format!("{}:\n\n{}", setting.title(), table(results, setting))
}

fn table(results: &Results, setting: Setting) -> String {
    let head = [
        "phase",
        "tool",
        "rounds",
        "wall, s",
        "without a call, s",
        "CPU, s",
        "peak memory, MiB",
        "calls",
        "sequential calls",
    ];
    let mut rows = vec![row(head)];
    for phase in Phase::ALL {
        for tool in TOOLS {
            if let Some(measured) = results.summarize(setting, tool, phase) {
                rows.push(figures(setting, phase, tool, results.rounds(setting, tool, phase), &measured));
            }
        }
    }
    if rows.len() == 1 { "Nothing was measured.".to_owned() } else { markdown(&rows) }
}

fn figures(setting: Setting, phase: Phase, tool: Tool, rounds: usize, measured: &PhaseSummary) -> Vec<String> {
    let PhaseSummary { wall, cpu, peak, calls, idle, depth, .. } = measured;
    let deep = if setting.latency() > 0.0 { count(depth) } else { "–".to_owned() };
    let cells = [spread(wall), number(idle.median), spread(cpu), spread(peak), count(calls), deep];
    let names = [phase.name().to_owned(), tool.name().to_owned(), rounds.to_string()];
    names.into_iter().chain(cells).collect()
}

/// Returns a table of Terraform's figures divided by those of pb-deploy. Next to each ratio of wall times it says what
/// makes up Terraform's wall time.
fn ratios(results: &Results, setting: Setting) -> String {
    let head = ["phase", "wall", "Terraform's wall time", "CPU", "peak memory", "calls"];
    let mut rows = vec![row(head)];
    for phase in Phase::ALL {
        let both = TOOLS.map(|tool| results.summarize(setting, tool, phase));
        if let [Some(pb_deploy), Some(terraform)] = &both {
            let of = |what: fn(&PhaseSummary) -> f64| times(what(terraform), what(pb_deploy));
            let (wall, cpu) = (of(|one| one.wall.median), of(|one| one.cpu.median));
            let (peak, calls) = (of(|one| one.peak.median), of(|one| one.calls.median));
            rows.push(row([phase.name(), &wall, &wall_composition(setting, phase, terraform), &cpu, &peak, &calls]));
        }
    }
    if rows.len() == 1 {
        return String::new();
    }
    format!("Terraform's figures divided by those of pb-deploy:\n\n{}\n\n{FIXED_WAITS}", markdown(&rows))
}

fn wall_composition(setting: Setting, phase: Phase, measured: &PhaseSummary) -> String {
    let (idle, wall) = (measured.idle.median, measured.wall.median);
    let what = match (phase, setting) {
        (Phase::Deploy | Phase::Destroy, Setting::WithoutDelays) if idle > wall / 2.0 => {
            "mostly fixed waits of its provider"
        }
        (Phase::Deploy | Phase::Destroy, Setting::WithoutDelays) => "fixed waits of its provider",
        (Phase::Deploy | Phase::Destroy, _) => "fixed waits of its provider, and waits for AWS",
        _ => "its own work",
    };
    format!("{what}: {} of {} s without a call", number(idle), number(wall))
}

fn lower_bounds(results: &Results, setting: Setting) -> String {
    if setting.max_ratio_to_lower_bound().is_none() {
        return String::new();
    }
    let head = [
        "phase",
        "tool",
        "lower bound, s",
        "wall, s",
        "ratio",
        "excess, s",
        "process, s",
        "before the first change, s",
        "changes, s",
        "after the last change, s",
    ];
    let mut rows = vec![row(head)];
    for phase in [Phase::Deploy, Phase::Destroy] {
        for tool in TOOLS {
            let measured = results.summarize(setting, tool, phase);
            if let (Some(measured), Some(lower_bound)) = (measured, results.lower_bound(setting, tool, phase)) {
                let (wall, lower_bound) = (measured.wall.median, lower_bound.seconds());
                let cells = [format!("{lower_bound:.2}"), format!("{wall:.2}"), format!("{:.3}", wall / lower_bound)];
                let names = [phase.name().to_owned(), tool.name().to_owned()];
                let above = [number(wall - lower_bound)];
                rows.push(names.into_iter().chain(cells).chain(above).chain(time_split(&measured, wall)).collect());
            }
        }
    }
    let chains = [Phase::Deploy, Phase::Destroy].map(|phase| {
        results
            .lower_bound(setting, Tool::PbDeploy, phase)
            .map_or_else(String::new, |lower_bound| chain_table(phase, lower_bound))
    });
    let words = "The lower bound is the critical path of the calls and waits that AWS requires, with the endpoint's timings. \
                 Terraform's deploy does not wait for the tasks, so its path does not include the rollout.";
    format!("{words}\n\n{}\n\n{}", markdown(&rows), chains.join("\n\n"))
}

/// Splits the wall time into the time without calls at the start and end of the process, and the three parts between
/// its first and last call.
fn time_split(measured: &PhaseSummary, wall: f64) -> [String; 4] {
    match measured.time_split {
        Some(TimeSplit { before, changes, after }) => {
            [wall - before - changes - after, before, changes, after].map(|seconds| format!("{seconds:.2}"))
        }
        None => [""; 4].map(str::to_owned),
    }
}

fn chain_table(phase: Phase, lower_bound: &LowerBound) -> String {
    let mut rows = vec![row(["critical path", "s", "duration of"])];
    for step in &lower_bound.chain {
        let why = step.takes.map_or_else(|| "a call".to_owned(), |name| format!("`{name}`"));
        rows.push(row([step.name, &number(step.seconds), &why]));
    }
    rows.push(row([
        &format!("**lower bound of a {}**", phase.name()),
        &format!("**{:.2}**", lower_bound.seconds()),
        "",
    ]));
    markdown(&rows)
}
