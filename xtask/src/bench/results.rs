//! What was measured.

use std::collections::BTreeMap;

use crate::bench::floor::{self, DEPLOY, DESTROY, Floor, Pace, ROLLED_OUT};
use crate::bench::journal::{self, Call, Stretches};
use crate::bench::measure::Taken;
use crate::bench::phase::Phase;
use crate::bench::setting::Setting;
use crate::bench::stats::{Spread, spread};
use crate::bench::tool::Tool;
use crate::failure::Failure;

/// One phase of one tool in one round.
#[derive(Debug)]
pub struct Sample {
    /// On which endpoint.
    pub setting: Setting,
    /// Of which tool.
    pub tool: Tool,
    /// Which phase.
    pub phase: Phase,
    /// What it took.
    pub taken: Taken,
    /// What it asked of the endpoint.
    pub calls: Vec<Call>,
}

/// The shortest times that an endpoint allows.
#[derive(Debug)]
pub struct Floors {
    setting: Setting,
    deploy: Floor,
    /// Of a deploy that does not wait for the tasks.
    deploy_unwatched: Floor,
    destroy: Floor,
}

impl Floors {
    /// By the endpoint's own table.
    ///
    /// # Errors
    ///
    /// The table lacks a duration.
    pub fn of(setting: Setting, pace: &Pace) -> Result<Self, Failure> {
        let latency = setting.latency();
        Ok(Self {
            setting,
            deploy: floor::floor(DEPLOY, &[], pace, latency)?,
            deploy_unwatched: floor::floor(DEPLOY, &[ROLLED_OUT], pace, latency)?,
            destroy: floor::floor(DESTROY, &[], pace, latency)?,
        })
    }
}

/// All samples, and what failed.
#[derive(Debug, Default)]
pub struct Results {
    samples: Vec<Sample>,
    floors: Vec<Floors>,
    /// Phases that failed, with the reason.
    pub failures: Vec<String>,
}

/// The samples of one phase, together.
#[derive(Debug)]
pub struct Measured {
    /// Seconds.
    pub wall: Spread,
    /// Seconds of processor time.
    pub cpu: Spread,
    /// MiB.
    pub peak: Spread,
    /// Calls.
    pub calls: Spread,
    /// Seconds without a call.
    pub silent: Spread,
    /// Round trips one after the other, at most.
    pub depth: Spread,
    /// Where the time goes, by the median of each stretch; `None` where nothing was changed.
    pub stretches: Option<Stretches>,
    /// Calls of the first round by operation.
    pub operations: BTreeMap<String, usize>,
}

fn stretches(all: &[Stretches]) -> Option<Stretches> {
    let median = |of: fn(&Stretches) -> f64| spread(all.iter().map(of)).map(|spread| spread.median);
    Some(Stretches {
        before: median(|one| one.before)?,
        changes: median(|one| one.changes)?,
        after: median(|one| one.after)?,
    })
}

impl Results {
    /// Adds a sample.
    pub fn add(&mut self, sample: Sample) {
        self.samples.push(sample);
    }

    /// Adds the floors of a setting.
    pub fn add_floors(&mut self, floors: Floors) {
        self.floors.push(floors);
    }

    /// The samples of one phase; `None` if there is none.
    pub fn of(&self, setting: Setting, tool: Tool, phase: Phase) -> Option<Measured> {
        let all = || {
            let fits = move |sample: &&Sample| (sample.setting, sample.tool, sample.phase) == (setting, tool, phase);
            self.samples.iter().filter(fits)
        };
        #[expect(clippy::cast_precision_loss, reason = "these numbers are small")]
        let number = |count: usize| count as f64;
        #[expect(clippy::cast_precision_loss, reason = "no process has so much memory")]
        let mib = |kib: u64| kib as f64 / 1024.0;
        Some(Measured {
            wall: spread(all().map(|sample| sample.taken.wall))?,
            cpu: spread(all().map(|sample| sample.taken.cpu))?,
            peak: spread(all().map(|sample| mib(sample.taken.peak_kib)))?,
            calls: spread(all().map(|sample| number(sample.calls.len())))?,
            silent: spread(all().map(|sample| journal::silent_seconds(&sample.calls)))?,
            depth: spread(all().map(|sample| number(journal::depth(&sample.calls))))?,
            stretches: stretches(&all().filter_map(|sample| journal::stretches(&sample.calls)).collect::<Vec<_>>()),
            operations: all().next().map(|sample| journal::by_operation(&sample.calls))?,
        })
    }

    /// The floor of a phase for a tool: Terraform's stack does not wait for the tasks.
    pub fn floor(&self, setting: Setting, tool: Tool, phase: Phase) -> Option<&Floor> {
        let floors = self.floors.iter().find(|floors| floors.setting == setting)?;
        match (phase, tool) {
            (Phase::Deploy, Tool::Ours) => Some(&floors.deploy),
            (Phase::Deploy, Tool::Terraform) => Some(&floors.deploy_unwatched),
            (Phase::Destroy, _) => Some(&floors.destroy),
            _ => None,
        }
    }

    /// How often a tool went through a phase.
    pub fn rounds(&self, setting: Setting, tool: Tool, phase: Phase) -> usize {
        self.samples.iter().filter(|one| (one.setting, one.tool, one.phase) == (setting, tool, phase)).count()
    }

    /// Whether anything was measured of a tool.
    pub fn has(&self, tool: Tool) -> bool {
        self.samples.iter().any(|sample| sample.tool == tool)
    }

    /// The most memory of a tool in any phase anywhere, in MiB.
    pub fn highest_peak(&self, tool: Tool) -> Option<f64> {
        let mine = self.samples.iter().filter(|sample| sample.tool == tool);
        #[expect(clippy::cast_precision_loss, reason = "no process has so much memory")]
        let mib = |kib: u64| kib as f64 / 1024.0;
        mine.map(|sample| mib(sample.taken.peak_kib)).max_by(f64::total_cmp)
    }

    /// How many phases were measured.
    pub fn count(&self) -> usize {
        self.samples.len()
    }
}

/// Results as a test wants them.
#[cfg(test)]
pub mod made_up {
    use super::*;

    /// Adds a sample with so many calls.
    pub fn add(results: &mut Results, of: (Setting, Tool, Phase), wall: f64, cpu: f64, mib: u64, calls: usize) {
        let call = |number: usize| {
            let began_ms = f64::from(u32::try_from(number).unwrap());
            Call { operation: "ec2:DescribeVpcs".to_owned(), began_ms, at_ms: began_ms + 40.0, changes: true }
        };
        let (setting, tool, phase) = of;
        let taken = Taken { wall, cpu, peak_kib: mib * 1024, largest_kib: mib * 1024 };
        results.add(Sample { setting, tool, phase, taken, calls: (0..calls).map(call).collect() });
    }

    /// A table of durations.
    pub fn pace() -> Pace {
        let names = DEPLOY.iter().chain(DESTROY).filter_map(floor::Link::takes);
        names.map(|name| (name.to_owned(), 10.0)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF: (Setting, Tool, Phase) = (Setting::Scaled, Tool::Ours, Phase::Deploy);

    #[test]
    fn samples_of_one_phase_are_taken_together_and_others_left_out() {
        let mut results = Results::default();
        for (wall, calls) in [(3.0, 10), (1.0, 12), (2.0, 11)] {
            made_up::add(&mut results, OF, wall, 0.5, 30, calls);
        }
        made_up::add(&mut results, (Setting::Scaled, Tool::Ours, Phase::Destroy), 99.0, 9.0, 40, 1);
        let measured = results.of(OF.0, OF.1, OF.2).unwrap();
        assert_eq!(measured.wall, Spread { median: 2.0, min: 1.0, max: 3.0 });
        assert_eq!(measured.calls, Spread { median: 11.0, min: 10.0, max: 12.0 });
        assert_eq!(measured.operations, BTreeMap::from([("ec2:DescribeVpcs".to_owned(), 10)]));
        assert_eq!(measured.depth, Spread { median: 1.0, min: 1.0, max: 1.0 });
        assert!(results.of(Setting::WithoutDelays, OF.1, OF.2).is_none());
        assert_eq!((results.rounds(OF.0, OF.1, OF.2), results.count()), (3, 4));
        assert_eq!(results.highest_peak(Tool::Ours), Some(40.0));
        assert_eq!(results.highest_peak(Tool::Terraform), None);
    }

    #[test]
    fn who_does_not_wait_for_the_tasks_has_a_lower_floor() {
        let mut results = Results::default();
        assert!(results.floor(OF.0, OF.1, OF.2).is_none());
        results.add_floors(Floors::of(Setting::Scaled, &made_up::pace()).unwrap());
        let seconds = |tool, phase| results.floor(Setting::Scaled, tool, phase).map(Floor::seconds);
        assert!(seconds(Tool::Terraform, Phase::Deploy) < seconds(Tool::Ours, Phase::Deploy));
        assert_eq!(seconds(Tool::Terraform, Phase::Destroy), seconds(Tool::Ours, Phase::Destroy));
        assert_eq!(seconds(Tool::Ours, Phase::Update), None);
    }
}
