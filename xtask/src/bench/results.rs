//! Results of the measurements.

use std::collections::BTreeMap;

use crate::bench::lower_bound::{self, DEPLOY, DESTROY, LowerBound, ROLLED_OUT, Timings};
use crate::bench::measure::Usage;
use crate::bench::phase::Phase;
use crate::bench::request_log::{self, Call, TimeSplit};
use crate::bench::setting::Setting;
use crate::bench::stats::{Spread, spread};
use crate::bench::tool::Tool;
use crate::failure::Failure;

/// A measurement of one phase of one tool in one round.
#[derive(Debug)]
pub struct Sample {
    /// Endpoint setting.
    pub setting: Setting,
    /// Measured tool.
    pub tool: Tool,
    /// Measured phase.
    pub phase: Phase,
    /// Resources that the tool used.
    pub usage: Usage,
    /// Calls that the endpoint received from the tool.
    pub calls: Vec<Call>,
}

/// Lower bounds for the durations on one endpoint.
#[derive(Debug)]
pub struct LowerBounds {
    setting: Setting,
    deploy: LowerBound,
    /// Bound for a deploy that does not wait for the tasks.
    deploy_without_rollout: LowerBound,
    destroy: LowerBound,
}

impl LowerBounds {
    /// Computes the lower bounds from the endpoint's table of durations.
    ///
    /// # Errors
    ///
    /// Fails if the table lacks a duration.
    pub fn of(setting: Setting, timings: &Timings) -> Result<Self, Failure> {
        let latency = setting.latency();
        Ok(Self {
            setting,
            deploy: lower_bound::lower_bound(DEPLOY, &[], timings, latency)?,
            deploy_without_rollout: lower_bound::lower_bound(DEPLOY, &[ROLLED_OUT], timings, latency)?,
            destroy: lower_bound::lower_bound(DESTROY, &[], timings, latency)?,
        })
    }
}

/// All samples and failures.
#[derive(Debug, Default)]
pub struct Results {
    samples: Vec<Sample>,
    lower_bounds: Vec<LowerBounds>,
    /// Failed phases, each with the reason.
    pub failures: Vec<String>,
}

/// Statistics over the samples of one phase.
#[derive(Debug)]
pub struct PhaseSummary {
    /// Wall time in seconds.
    pub wall: Spread,
    /// Processor time in seconds.
    pub cpu: Spread,
    /// Peak memory in MiB.
    pub peak: Spread,
    /// Number of calls.
    pub calls: Spread,
    /// Seconds without a call in flight.
    pub idle: Spread,
    /// Upper bound for the number of sequential round trips.
    pub depth: Spread,
    /// Median of each part of the wall time; `None` if nothing was changed.
    pub time_split: Option<TimeSplit>,
    /// Number of calls in the first round by operation.
    pub operations: BTreeMap<String, usize>,
}

fn time_split(all: &[TimeSplit]) -> Option<TimeSplit> {
    let median = |of: fn(&TimeSplit) -> f64| spread(all.iter().map(of)).map(|spread| spread.median);
    Some(TimeSplit {
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

    /// Adds the lower bounds of a setting.
    pub fn add_lower_bounds(&mut self, lower_bounds: LowerBounds) {
        self.lower_bounds.push(lower_bounds);
    }

    /// Returns the statistics of one phase; `None` without samples.
    pub fn summarize(&self, setting: Setting, tool: Tool, phase: Phase) -> Option<PhaseSummary> {
        let all = || {
            let fits = move |sample: &&Sample| (sample.setting, sample.tool, sample.phase) == (setting, tool, phase);
            self.samples.iter().filter(fits)
        };
        #[expect(clippy::cast_precision_loss, reason = "these numbers are small")]
        let number = |count: usize| count as f64;
        #[expect(clippy::cast_precision_loss, reason = "no process uses that much memory")]
        let mib = |kib: u64| kib as f64 / 1024.0;
        Some(PhaseSummary {
            wall: spread(all().map(|sample| sample.usage.wall))?,
            cpu: spread(all().map(|sample| sample.usage.cpu))?,
            peak: spread(all().map(|sample| mib(sample.usage.peak_kib)))?,
            calls: spread(all().map(|sample| number(sample.calls.len())))?,
            idle: spread(all().map(|sample| request_log::idle_seconds(&sample.calls)))?,
            depth: spread(all().map(|sample| number(request_log::depth(&sample.calls))))?,
            time_split: time_split(
                &all().filter_map(|sample| request_log::time_split(&sample.calls)).collect::<Vec<_>>(),
            ),
            operations: all().next().map(|sample| request_log::by_operation(&sample.calls))?,
        })
    }

    /// Returns the lower bound of a phase for a tool; Terraform's is lower for a deploy, because its stack does not
    /// wait for the tasks.
    pub fn lower_bound(&self, setting: Setting, tool: Tool, phase: Phase) -> Option<&LowerBound> {
        let lower_bounds = self.lower_bounds.iter().find(|lower_bounds| lower_bounds.setting == setting)?;
        match (phase, tool) {
            (Phase::Deploy, Tool::PbDeploy) => Some(&lower_bounds.deploy),
            (Phase::Deploy, Tool::Terraform) => Some(&lower_bounds.deploy_without_rollout),
            (Phase::Destroy, _) => Some(&lower_bounds.destroy),
            _ => None,
        }
    }

    /// Returns the number of samples of a phase.
    pub fn rounds(&self, setting: Setting, tool: Tool, phase: Phase) -> usize {
        self.samples.iter().filter(|one| (one.setting, one.tool, one.phase) == (setting, tool, phase)).count()
    }

    /// Returns whether a tool has any sample.
    pub fn has_samples(&self, tool: Tool) -> bool {
        self.samples.iter().any(|sample| sample.tool == tool)
    }

    /// Returns the highest peak memory of a tool over all phases and settings, in MiB.
    pub fn highest_peak(&self, tool: Tool) -> Option<f64> {
        let samples = self.samples.iter().filter(|sample| sample.tool == tool);
        #[expect(clippy::cast_precision_loss, reason = "no process uses that much memory")]
        let mib = |kib: u64| kib as f64 / 1024.0;
        samples.map(|sample| mib(sample.usage.peak_kib)).max_by(f64::total_cmp)
    }

    /// Returns the number of samples.
    pub fn count(&self) -> usize {
        self.samples.len()
    }
}

/// Functions that create results for tests.
#[cfg(test)]
pub mod fixtures {
    use super::*;

    /// Adds a sample with `calls` calls.
    pub fn add(results: &mut Results, of: (Setting, Tool, Phase), wall: f64, cpu: f64, mib: u64, calls: usize) {
        let call = |number: usize| {
            let began_ms = f64::from(u32::try_from(number).unwrap());
            Call { operation: "ec2:DescribeVpcs".to_owned(), began_ms, at_ms: began_ms + 40.0, changes: true }
        };
        let (setting, tool, phase) = of;
        let usage = Usage { wall, cpu, peak_kib: mib * 1024, largest_kib: mib * 1024 };
        results.add(Sample { setting, tool, phase, usage, calls: (0..calls).map(call).collect() });
    }

    /// Returns a table in which every duration is 10 seconds.
    pub fn timings() -> Timings {
        let names = DEPLOY.iter().chain(DESTROY).filter_map(lower_bound::Link::takes);
        names.map(|name| (name.to_owned(), 10.0)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF: (Setting, Tool, Phase) = (Setting::Scaled, Tool::PbDeploy, Phase::Deploy);

    #[test]
    fn summary_covers_the_samples_of_one_phase() {
        let mut results = Results::default();
        for (wall, calls) in [(3.0, 10), (1.0, 12), (2.0, 11)] {
            fixtures::add(&mut results, OF, wall, 0.5, 30, calls);
        }
        fixtures::add(&mut results, (Setting::Scaled, Tool::PbDeploy, Phase::Destroy), 99.0, 9.0, 40, 1);
        let measured = results.summarize(OF.0, OF.1, OF.2).unwrap();
        assert_eq!(measured.wall, Spread { median: 2.0, min: 1.0, max: 3.0 });
        assert_eq!(measured.calls, Spread { median: 11.0, min: 10.0, max: 12.0 });
        assert_eq!(measured.operations, BTreeMap::from([("ec2:DescribeVpcs".to_owned(), 10)]));
        assert_eq!(measured.depth, Spread { median: 1.0, min: 1.0, max: 1.0 });
        assert!(results.summarize(Setting::WithoutDelays, OF.1, OF.2).is_none());
        assert_eq!((results.rounds(OF.0, OF.1, OF.2), results.count()), (3, 4));
        assert_eq!(results.highest_peak(Tool::PbDeploy), Some(40.0));
        assert_eq!(results.highest_peak(Tool::Terraform), None);
    }

    #[test]
    fn bound_is_lower_without_waiting_for_tasks() {
        let mut results = Results::default();
        assert!(results.lower_bound(OF.0, OF.1, OF.2).is_none());
        results.add_lower_bounds(LowerBounds::of(Setting::Scaled, &fixtures::timings()).unwrap());
        let seconds = |tool, phase| results.lower_bound(Setting::Scaled, tool, phase).map(LowerBound::seconds);
        assert!(seconds(Tool::Terraform, Phase::Deploy) < seconds(Tool::PbDeploy, Phase::Deploy));
        assert_eq!(seconds(Tool::Terraform, Phase::Destroy), seconds(Tool::PbDeploy, Phase::Destroy));
        assert_eq!(seconds(Tool::PbDeploy, Phase::Update), None);
    }
}
