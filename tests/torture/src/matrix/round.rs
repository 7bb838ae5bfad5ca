//! One account with at most one fault in each phase. After each fault, the same command runs again.

use super::CaseResult;
use super::case::{Case, Phase};
use crate::{Baseline, InventoryClient, Problem, Proxy, RunResult, TestWorkspace, check_converged, check_destroyed};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Duration of one wait for a held call.
const HELD_POLL: Duration = Duration::from_millis(20);
/// Longest wait for a run to reach its fault.
const FAULT_TIMEOUT: Duration = Duration::from_secs(240);

/// Verdict on a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Outcome of the case.
    pub outcome: Outcome,
    /// Reason for a failure; empty if the case passed.
    pub problem: Problem,
}

/// Outcome of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// The run with the fault continued and completed.
    Survived,
    /// The run with the fault did not complete, but the repeated command did.
    Repaired,
    /// The run did not make this call, or lost its short lease before the call because the machine was too slow.
    NotReached,
    /// A check failed.
    Failed,
}

/// An endpoint and a client for the inventory of its accounts.
#[derive(Debug)]
pub struct BenchEndpoint {
    url: String,
    inventory: InventoryClient,
}

/// Endpoints and the results of clean runs.
#[derive(Debug)]
pub struct TestBench {
    endpoints: Vec<BenchEndpoint>,
    lease_seconds: u32,
    baselines: BTreeMap<Phase, Baseline>,
    points: Vec<(Phase, String, usize)>,
}

impl TestBench {
    /// Runs each phase without a fault on the first endpoint.
    ///
    /// # Errors
    /// Fails if a run without a fault fails.
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

    /// Returns the endpoints of the bench.
    #[must_use]
    pub fn endpoints(&self) -> &[BenchEndpoint] {
        &self.endpoints
    }

    /// Returns the result of a clean run of a phase; `None` for a destroy, which leaves nothing.
    #[must_use]
    pub fn baseline(&self, phase: Phase) -> Option<&Baseline> {
        self.baselines.get(&phase)
    }

    /// Returns the writes of clean runs: phase, `service:Action`, and the number of the call among the calls of this
    /// action.
    #[must_use]
    pub fn points(&self) -> &[(Phase, String, usize)] {
        &self.points
    }

    /// Runs the cases of a round. Returns the results, and the cases that could not run because an earlier case failed.
    ///
    /// # Errors
    /// Fails if the cases cannot be run.
    pub fn round(&self, endpoint: &BenchEndpoint, cases: &[Case]) -> Result<(Vec<CaseResult>, Vec<Case>), Problem> {
        let workspace = TestWorkspace::new(&endpoint.url, self.lease_seconds)?;
        let context = RoundContext { bench: self, endpoint, workspace: &workspace };
        let mut results = Vec::new();
        for phase in Phase::ALL {
            let case = cases.iter().find(|case| case.phase == phase);
            let later = cases.iter().any(|case| case.phase > phase);
            let verdict = match case {
                Some(case) => context.judge(case),
                // An update without a fault is needed only if a later phase has a case.
                None if phase == Phase::Update && !later => continue,
                None => match context.finish(phase) {
                    Ok(()) => continue,
                    // The failure of a phase without a case, such as the final destroy, counts as a failure of the case
                    // before it.
                    Err(problem) => Verdict {
                        outcome: Outcome::Failed,
                        problem: format!("the {phase} afterwards failed: {problem}"),
                    },
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

/// Account and bench of one round.
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

    /// Runs the phase of a case with its fault.
    fn run_with_fault(&self, case: &Case) -> Result<Outcome, Problem> {
        let proxy = Proxy::start(&self.endpoint.url, vec![case.rule()])?;
        let (ended, killed) = self.run_until_fault(case, &proxy)?;
        if !proxy.all_rules_applied() {
            return match ended.code {
                Some(0) => Ok(Outcome::NotReached),
                _ if ended.lost_its_short_lease() => Ok(Outcome::NotReached),
                _ => Err(format!("the run failed without reaching the fault: {ended}")),
            };
        }
        match ended.code {
            _ if killed => Ok(Outcome::Repaired),
            Some(0) => Ok(Outcome::Survived),
            Some(1 | 3) if !ended.stderr.is_empty() => Ok(Outcome::Repaired),
            _ => Err(format!("the run with the fault ended in an unexpected way: {ended}")),
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
        Err(format!("the run did not reach its fault:\n{}", running.stderr()))
    }

    /// Runs a phase to completion and checks that the result is the same as after a clean run.
    fn finish(&self, phase: Phase) -> Result<(), Problem> {
        let config = phase.config();
        self.workspace
            .finish(&config, phase.command())
            .map_err(|problem| format!("the repeated command does not complete: {problem}"))?;
        match self.bench.baselines.get(&phase) {
            Some(baseline) => check_converged(self.workspace, &self.endpoint.inventory, &config, baseline),
            None => check_destroyed(self.workspace, &self.endpoint.inventory, &config),
        }
    }
}
