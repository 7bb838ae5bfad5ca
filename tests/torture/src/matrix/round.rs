//! One account, a fault in each phase at most, and the same command again.

use super::Judged;
use super::case::{Case, Phase};
use crate::{Baseline, Ended, Problem, Proxy, Site, World, converged, gone};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long a held call is looked for at a time.
const MOMENT: Duration = Duration::from_millis(20);
/// Longest wait for a run to come to its fault.
const LONGEST: Duration = Duration::from_secs(240);

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
    RodeThrough,
    /// The run that had the fault did not finish; the same command did.
    Repaired,
    /// The run did not make this call, or lost its short lease before it since the machine was too slow.
    NotReached,
    /// Something is not as it should be.
    Failed,
}

/// An endpoint, and what asks for its world.
#[derive(Debug)]
pub struct Place {
    endpoint: String,
    world: World,
}

/// Endpoints, and what clean runs leave in them.
#[derive(Debug)]
pub struct Bench {
    places: Vec<Place>,
    lease_seconds: u32,
    baselines: BTreeMap<Phase, Baseline>,
    points: Vec<(Phase, String, usize)>,
}

impl Bench {
    /// Runs each phase without a fault, on the first of the endpoints.
    ///
    /// # Errors
    /// When that does not work.
    pub fn new(endpoints: &[String], lease_seconds: u32) -> Result<Self, Problem> {
        let place = |endpoint: &String| Ok(Place { endpoint: endpoint.clone(), world: World::start()? });
        let places = endpoints.iter().map(place).collect::<Result<Vec<Place>, Problem>>()?;
        let mut bench = Self { places, lease_seconds, baselines: BTreeMap::new(), points: Vec::new() };
        let place = bench.places.first().ok_or("a bench needs an endpoint")?;
        let site = Site::new(&place.endpoint, lease_seconds)?;
        for phase in Phase::ALL {
            let proxy = Proxy::plain(&place.endpoint)?;
            let shape = phase.shape();
            site.start(&proxy.url, &shape, &[phase.command(), "staging", "--yes"])?.ended()?.with(0)?;
            let mut counts: BTreeMap<String, usize> = BTreeMap::new();
            for seen in proxy.changes() {
                let nth = counts.entry(seen.call.clone()).or_default();
                *nth += 1;
                bench.points.push((phase, seen.call, *nth));
            }
            if phase == Phase::Destroy {
                gone(&site, &place.world, &shape)?;
            } else {
                let baseline = Baseline::take(&site, &place.world, &shape)?;
                converged(&site, &place.world, &shape, &baseline)?;
                bench.baselines.insert(phase, baseline);
            }
        }
        Ok(bench)
    }

    /// The endpoints.
    #[must_use]
    pub fn places(&self) -> &[Place] {
        &self.places
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
    pub fn round(&self, place: &Place, cases: &[Case]) -> Result<(Vec<Judged>, Vec<Case>), Problem> {
        let site = Site::new(&place.endpoint, self.lease_seconds)?;
        let at = At { bench: self, place, site: &site };
        let mut judged = Vec::new();
        for phase in Phase::ALL {
            let case = cases.iter().find(|case| case.phase == phase);
            let later = cases.iter().any(|case| case.phase > phase);
            let verdict = match case {
                Some(case) => at.tried(case),
                // The update is only made for what comes after it.
                None if phase == Phase::Update && !later => continue,
                None => match at.finished(phase) {
                    Ok(()) => continue,
                    // The deploy is followed by a destroy in any case: that nothing is left belongs to its case.
                    Err(problem) => {
                        Verdict { outcome: Outcome::Failed, problem: format!("the {phase} after it: {problem}") }
                    }
                },
            };
            let failed = verdict.outcome == Outcome::Failed;
            match (case, judged.last_mut()) {
                (Some(case), _) => judged.push((case.clone(), verdict)),
                (None, Some((_, last))) => *last = verdict,
                (None, None) => return Err(format!("a {phase} without a fault failed: {}", verdict.problem)),
            }
            if failed {
                break;
            }
        }
        let is_judged = |case: &Case| judged.iter().any(|(other, _)| other == case);
        let left = cases.iter().filter(|case| !is_judged(case)).cloned().collect();
        Ok((judged, left))
    }
}

/// One account of a round.
#[derive(Clone, Copy)]
struct At<'a> {
    bench: &'a Bench,
    place: &'a Place,
    site: &'a Site,
}

impl At<'_> {
    fn tried(&self, case: &Case) -> Verdict {
        match self.faulty(case).and_then(|outcome| self.finished(case.phase).map(|()| outcome)) {
            Ok(outcome) => Verdict { outcome, problem: Problem::new() },
            Err(problem) => Verdict { outcome: Outcome::Failed, problem },
        }
    }

    /// Runs a phase with the fault.
    fn faulty(&self, case: &Case) -> Result<Outcome, Problem> {
        let proxy = Proxy::start(&self.place.endpoint, vec![case.rule()])?;
        let (ended, killed) = self.run_with(case, &proxy)?;
        if !proxy.is_spent() {
            return match ended.code {
                Some(0) => Ok(Outcome::NotReached),
                _ if ended.was_too_slow() => Ok(Outcome::NotReached),
                _ => Err(format!("the fault was not reached, and yet: {ended}")),
            };
        }
        match ended.code {
            _ if killed => Ok(Outcome::Repaired),
            Some(0) => Ok(Outcome::RodeThrough),
            Some(1 | 3) if !ended.err.is_empty() => Ok(Outcome::Repaired),
            _ => Err(format!("the run with the fault did not end as it should: {ended}")),
        }
    }

    fn run_with(&self, case: &Case, proxy: &Proxy) -> Result<(Ended, bool), Problem> {
        let mut running =
            self.site.start(&proxy.url, &case.phase.shape(), &[case.phase.command(), "staging", "--yes"])?;
        if !case.fault.kills() {
            return Ok((running.ended()?, false));
        }
        let end = Instant::now() + LONGEST;
        while Instant::now() < end {
            if let Some(held) = proxy.held_within(MOMENT) {
                let ended = running.kill()?;
                drop(held);
                proxy.settle();
                return Ok((ended, true));
            }
            if running.has_ended() {
                return Ok((running.ended()?, false));
            }
        }
        Err(format!("the run did not come to its fault:\n{}", running.said()))
    }

    /// Runs a phase to its end, and looks whether all is as a clean run would have left it.
    fn finished(&self, phase: Phase) -> Result<(), Problem> {
        let shape = phase.shape();
        self.site
            .finish(&shape, phase.command())
            .map_err(|problem| format!("the same command again does not finish: {problem}"))?;
        match self.bench.baselines.get(&phase) {
            Some(baseline) => converged(self.site, &self.place.world, &shape, baseline),
            None => gone(self.site, &self.place.world, &shape),
        }
    }
}
