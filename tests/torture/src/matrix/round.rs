//! One account, a fault in each phase at most, and the same command again.

use super::CaseResult;
use super::case::{Case, Phase};
use crate::{Baseline, InventoryClient, Problem, Proxy, RunResult, TestWorkspace, check_converged, check_destroyed};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long a held call is looked for at a time.
const HELD_POLL: Duration = Duration::from_millis(20);
/// Longest wait for a run to come to its fault.
const FAULT_TIMEOUT: Duration = Duration::from_secs(240);

/// How a case ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What became of it.
    pub outcome: Outcome,
    /// Why it failed; empty when it did not.
    pub problem: Problem,
}

/// What became of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// The run that had the fault went on and finished.
    Survived,
    /// The run that had the fault did not finish; the same command did.
    Repaired,
    /// The run did not make this call, or lost its short lease before it since the machine was too slow.
    NotReached,
    /// Something is not as it should be.
    Failed,
}

/// An endpoint, and what asks for its world.
#[derive(Debug)]
pub struct BenchEndpoint {
    url: String,
    inventory: InventoryClient,
}

/// Endpoints, and what clean runs leave in them.
#[derive(Debug)]
pub struct TestBench {
    endpoints: Vec<BenchEndpoint>,
    lease_seconds: u32,
    baselines: BTreeMap<Phase, Baseline>,
    points: Vec<(Phase, String, usize)>,
}

impl TestBench {
    /// Runs each phase without a fault, on the first of the endpoints.
    ///
    /// # Errors
    /// When that does not work.
    pub fn new(endpoints: &[String], lease_seconds: u32) -> Result<Self, Problem> {
        let endpoint = |url: &String| Ok(BenchEndpoint { url: url.clone(), inventory: InventoryClient::start()? });
        let endpoints = endpoints.iter().map(endpoint).collect::<Result<Vec<BenchEndpoint>, Problem>>()?;
        let mut bench = Self { endpoints, lease_seconds, baselines: BTreeMap::new(), points: Vec::new() };
        let endpoint = bench.endpoints.first().ok_or("a bench needs an endpoint")?;
        let workspace = TestWorkspace::new(&endpoint.url, lease_seconds)?;
        for phase in Phase::ALL {
            let proxy = Proxy::pass_through(&endpoint.url)?;
            let config = phase.config();
            workspace.start(&proxy.url, &config, &[phase.command(), "staging", "--yes"])?.ended()?.expect_code(0)?;
            let mut counts: BTreeMap<String, usize> = BTreeMap::new();
            for seen in proxy.writes() {
                let nth = counts.entry(seen.call.clone()).or_default();
                *nth += 1;
                bench.points.push((phase, seen.call, *nth));
            }
            if phase == Phase::Destroy {
                check_destroyed(&workspace, &endpoint.inventory, &config)?;
            } else {
                let baseline = Baseline::take(&workspace, &endpoint.inventory, &config)?;
                check_converged(&workspace, &endpoint.inventory, &config, &baseline)?;
                bench.baselines.insert(phase, baseline);
            }
        }
        Ok(bench)
    }

    /// The endpoints.
    #[must_use]
    pub fn endpoints(&self) -> &[BenchEndpoint] {
        &self.endpoints
    }

    /// What a clean run of a phase leaves; a destroy leaves nothing.
    #[must_use]
    pub fn baseline(&self, phase: Phase) -> Option<&Baseline> {
        self.baselines.get(&phase)
    }

    /// The calls of clean runs that change something: phase, `service:Action`, and the how many-th of it.
    #[must_use]
    pub fn points(&self) -> &[(Phase, String, usize)] {
        &self.points
    }

    /// Tries the cases of a round; gives those that were tried, and those that could not be since an earlier one failed.
    ///
    /// # Errors
    /// When the tests themselves do not work.
    pub fn round(&self, endpoint: &BenchEndpoint, cases: &[Case]) -> Result<(Vec<CaseResult>, Vec<Case>), Problem> {
        let workspace = TestWorkspace::new(&endpoint.url, self.lease_seconds)?;
        let context = RoundContext { bench: self, endpoint, workspace: &workspace };
        let mut results = Vec::new();
        for phase in Phase::ALL {
            let case = cases.iter().find(|case| case.phase == phase);
            let later = cases.iter().any(|case| case.phase > phase);
            let verdict = match case {
                Some(case) => context.judge(case),
                // The update is only made for what comes after it.
                None if phase == Phase::Update && !later => continue,
                None => match context.finish(phase) {
                    Ok(()) => continue,
                    // The deploy is followed by a destroy in any case: that nothing is left belongs to its case.
                    Err(problem) => {
                        Verdict { outcome: Outcome::Failed, problem: format!("the {phase} after it: {problem}") }
                    }
                },
            };
            let failed = verdict.outcome == Outcome::Failed;
            match (case, results.last_mut()) {
                (Some(case), _) => results.push((case.clone(), verdict)),
                (None, Some((_, last))) => *last = verdict,
                (None, None) => return Err(format!("a {phase} without a fault failed: {}", verdict.problem)),
            }
            if failed {
                break;
            }
        }
        let is_judged = |case: &Case| results.iter().any(|(other, _)| other == case);
        let left = cases.iter().filter(|case| !is_judged(case)).cloned().collect();
        Ok((results, left))
    }
}

/// One account of a round.
#[derive(Clone, Copy)]
struct RoundContext<'a> {
    bench: &'a TestBench,
    endpoint: &'a BenchEndpoint,
    workspace: &'a TestWorkspace,
}

impl RoundContext<'_> {
    fn judge(&self, case: &Case) -> Verdict {
        match self.run_with_fault(case).and_then(|outcome| self.finish(case.phase).map(|()| outcome)) {
            Ok(outcome) => Verdict { outcome, problem: Problem::new() },
            Err(problem) => Verdict { outcome: Outcome::Failed, problem },
        }
    }

    /// Runs a phase with the fault.
    fn run_with_fault(&self, case: &Case) -> Result<Outcome, Problem> {
        let proxy = Proxy::start(&self.endpoint.url, vec![case.rule()])?;
        let (ended, killed) = self.run_until_fault(case, &proxy)?;
        if !proxy.all_rules_applied() {
            return match ended.code {
                Some(0) => Ok(Outcome::NotReached),
                _ if ended.lost_its_short_lease() => Ok(Outcome::NotReached),
                _ => Err(format!("the fault was not reached, and yet: {ended}")),
            };
        }
        match ended.code {
            _ if killed => Ok(Outcome::Repaired),
            Some(0) => Ok(Outcome::Survived),
            Some(1 | 3) if !ended.stderr.is_empty() => Ok(Outcome::Repaired),
            _ => Err(format!("the run with the fault did not end as it should: {ended}")),
        }
    }

    fn run_until_fault(&self, case: &Case, proxy: &Proxy) -> Result<(RunResult, bool), Problem> {
        let mut running =
            self.workspace.start(&proxy.url, &case.phase.config(), &[case.phase.command(), "staging", "--yes"])?;
        if !case.fault.kills_the_process() {
            return Ok((running.ended()?, false));
        }
        let end = Instant::now() + FAULT_TIMEOUT;
        while Instant::now() < end {
            if let Some(held) = proxy.wait_for_held(HELD_POLL) {
                let ended = running.kill()?;
                drop(held);
                proxy.wait_until_idle();
                return Ok((ended, true));
            }
            if running.has_ended() {
                return Ok((running.ended()?, false));
            }
        }
        Err(format!("the run did not come to its fault:\n{}", running.stderr()))
    }

    /// Runs a phase to its end, and looks whether all is as a clean run would have left it.
    fn finish(&self, phase: Phase) -> Result<(), Problem> {
        let config = phase.config();
        self.workspace
            .finish(&config, phase.command())
            .map_err(|problem| format!("the same command again does not finish: {problem}"))?;
        match self.bench.baselines.get(&phase) {
            Some(baseline) => check_converged(self.workspace, &self.endpoint.inventory, &config, baseline),
            None => check_destroyed(self.workspace, &self.endpoint.inventory, &config),
        }
    }
}
