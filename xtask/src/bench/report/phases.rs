//! What each phase took on one endpoint.

use super::numbers::{count, number, row, spread, table as markdown, times};
use crate::bench::floor::Floor;
use crate::bench::journal::Stretches;
use crate::bench::phase::Phase;
use crate::bench::results::{Measured, Results};
use crate::bench::setting::Setting;
use crate::bench::tool::Tool;

const TOOLS: [Tool; 2] = [Tool::Ours, Tool::Terraform];

/// What the walls of Terraform consist of.
const FIXED_WAITS: &str = "\
Terraform's walls of deploy and destroy hold fixed waits of its AWS provider, which it keeps whatever the endpoint says, and
without delays they are most of the wall: 30 s twice on a load balancer, 30 s on a replication group, 10 s on a VPC and on a
subnet, 15 s on a DNS record. A ratio of these walls says how long a person waits, and little about how fast either tool
works: the processor time does that.";

/// Figures, ratios and floors of one setting.
pub fn section(results: &Results, setting: Setting) -> String {
    let parts = [table(results, setting), ratios(results, setting), floors(results, setting)];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    format!("## {}\n\n{}\n\n{}", setting.title(), setting.meaning(), parts.join("\n\n"))
}

/// The figures alone, for people who see nothing else.
pub fn summary(results: &Results, setting: Setting) -> String {
    format!("{}:\n\n{}", setting.title(), table(results, setting))
}

fn table(results: &Results, setting: Setting) -> String {
    let head =
        ["phase", "tool", "rounds", "wall, s", "without a call, s", "CPU, s", "peak memory, MiB", "calls", "deep"];
    let mut rows = vec![row(head)];
    for phase in Phase::ALL {
        for tool in TOOLS {
            if let Some(measured) = results.of(setting, tool, phase) {
                rows.push(figures(setting, phase, tool, results.rounds(setting, tool, phase), &measured));
            }
        }
    }
    if rows.len() == 1 { "Nothing was measured.".to_owned() } else { markdown(&rows) }
}

fn figures(setting: Setting, phase: Phase, tool: Tool, rounds: usize, measured: &Measured) -> Vec<String> {
    let Measured { wall, cpu, peak, calls, silent, depth, .. } = measured;
    let deep = if setting.latency() > 0.0 { count(depth) } else { "–".to_owned() };
    let cells = [spread(wall), number(silent.median), spread(cpu), spread(peak), count(calls), deep];
    let names = [phase.name().to_owned(), tool.name().to_owned(), rounds.to_string()];
    names.into_iter().chain(cells).collect()
}

/// How many times as much Terraform takes; each ratio of walls with what that wall consists of.
fn ratios(results: &Results, setting: Setting) -> String {
    let head = ["phase", "wall", "what Terraform's wall consists of", "CPU", "peak memory", "calls"];
    let mut rows = vec![row(head)];
    for phase in Phase::ALL {
        let both = TOOLS.map(|tool| results.of(setting, tool, phase));
        if let [Some(ours), Some(theirs)] = &both {
            let of = |what: fn(&Measured) -> f64| times(what(theirs), what(ours));
            let (wall, cpu) = (of(|one| one.wall.median), of(|one| one.cpu.median));
            let (peak, calls) = (of(|one| one.peak.median), of(|one| one.calls.median));
            rows.push(row([phase.name(), &wall, &waits(setting, phase, theirs), &cpu, &peak, &calls]));
        }
    }
    if rows.len() == 1 {
        return String::new();
    }
    format!("Terraform takes, of what pb-deploy takes:\n\n{}\n\n{FIXED_WAITS}", markdown(&rows))
}

fn waits(setting: Setting, phase: Phase, measured: &Measured) -> String {
    let (silent, wall) = (measured.silent.median, measured.wall.median);
    let what = match (phase, setting) {
        (Phase::Deploy | Phase::Destroy, Setting::WithoutDelays) if silent > wall / 2.0 => {
            "mostly fixed waits of its provider"
        }
        (Phase::Deploy | Phase::Destroy, Setting::WithoutDelays) => "fixed waits of its provider",
        (Phase::Deploy | Phase::Destroy, _) => "fixed waits of its provider, and the times of AWS",
        _ => "its own work",
    };
    format!("{what}: {} of {} s without a call", number(silent), number(wall))
}

fn floors(results: &Results, setting: Setting) -> String {
    if setting.of_floor_at_most().is_none() {
        return String::new();
    }
    let head = [
        "phase",
        "tool",
        "floor, s",
        "wall, s",
        "of the floor",
        "above it, s",
        "process itself, s",
        "before the first change, s",
        "changes, s",
        "after the last change, s",
    ];
    let mut rows = vec![row(head)];
    for phase in [Phase::Deploy, Phase::Destroy] {
        for tool in TOOLS {
            let measured = results.of(setting, tool, phase);
            if let (Some(measured), Some(floor)) = (measured, results.floor(setting, tool, phase)) {
                let (wall, floor) = (measured.wall.median, floor.seconds());
                let cells = [format!("{floor:.2}"), format!("{wall:.2}"), format!("{:.3}", wall / floor)];
                let names = [phase.name().to_owned(), tool.name().to_owned()];
                let above = [number(wall - floor)];
                rows.push(names.into_iter().chain(cells).chain(above).chain(stretches(&measured, wall)).collect());
            }
        }
    }
    let chains = [Phase::Deploy, Phase::Destroy]
        .map(|phase| results.floor(setting, Tool::Ours, phase).map_or_else(String::new, |floor| chain(phase, floor)));
    let words = "The floor is the longest chain of what AWS itself demands, with the endpoint's own durations. Terraform's \
                 deploy does not wait for the tasks, so its floor ends with CreateService or whatever then ends last.";
    format!("{words}\n\n{}\n\n{}", markdown(&rows), chains.join("\n\n"))
}

/// Where the time goes: start and end of the process, and what the endpoint saw of the rest.
fn stretches(measured: &Measured, wall: f64) -> [String; 4] {
    match measured.stretches {
        Some(Stretches { before, changes, after }) => {
            [wall - before - changes - after, before, changes, after].map(|seconds| format!("{seconds:.2}"))
        }
        None => [""; 4].map(str::to_owned),
    }
}

fn chain(phase: Phase, floor: &Floor) -> String {
    let mut rows = vec![row(["after each other", "s", "because of"])];
    for step in &floor.chain {
        let why = step.takes.map_or_else(|| "a call".to_owned(), |name| format!("`{name}`"));
        rows.push(row([step.name, &number(step.seconds), &why]));
    }
    rows.push(row([&format!("**the floor of a {}**", phase.name()), &format!("**{:.2}**", floor.seconds()), ""]));
    markdown(&rows)
}
