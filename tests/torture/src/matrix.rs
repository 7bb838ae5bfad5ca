//! The matrix of cases: every fault at every write, after which the same command runs again.
//!
//! # Flow
//!
//! A clean deploy, update and destroy determine the calls at which faults are injected. A *round* is one account with
//! at most one case for each phase: the update starts from the final result of the deploy case, so that it needs no
//! deploy of its own.

mod case;
mod round;

pub use case::{Case, Fault, Phase};
pub use round::{BenchEndpoint, Outcome, TestBench, Verdict};

use crate::{Problem, Random};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// A case and its verdict.
pub type CaseResult = (Case, Verdict);

/// Cases of a round, at most one for each phase, in the order of the phases.
type Round = Vec<Case>;

/// Returns all cases: each fault at each call of each phase.
#[must_use]
pub fn all_cases(points: &[(Phase, String, usize)]) -> Vec<Case> {
    let cases = points.iter().flat_map(|(phase, call, nth)| {
        Fault::ALL.into_iter().map(move |fault| Case { phase: *phase, call: call.clone(), nth: *nth, fault })
    });
    cases.collect()
}

/// Returns `count` of the cases, chosen by a seed and distributed as evenly as possible over the phases and faults.
#[must_use]
pub fn sample(cases: &[Case], count: usize, seed: u64) -> Vec<Case> {
    let mut random = Random::new(seed);
    let mut groups: Vec<Vec<Case>> = Vec::new();
    for phase in Phase::ALL {
        for fault in Fault::ALL {
            let mut group: Vec<Case> =
                cases.iter().filter(|case| case.phase == phase && case.fault == fault).cloned().collect();
            random.shuffle(&mut group);
            groups.push(group);
        }
    }
    random.shuffle(&mut groups);
    let longest = groups.iter().map(Vec::len).max().unwrap_or_default();
    let turns = (0..longest).flat_map(|turn| groups.iter().filter_map(move |group| group.get(turn)));
    turns.take(count).cloned().collect()
}

/// Packs cases into rounds.
fn rounds(cases: &[Case]) -> VecDeque<Round> {
    let mut of_phase = Phase::ALL.map(|phase| cases.iter().filter(move |case| case.phase == phase).cloned());
    let mut rounds = VecDeque::new();
    loop {
        let round: Round = of_phase.iter_mut().filter_map(Iterator::next).collect();
        if round.is_empty() {
            return rounds;
        }
        rounds.push_back(round);
    }
}

/// Runs the cases, one round at a time on each endpoint of the bench, and reports each case when it ends.
///
/// # Errors
/// Fails if the cases cannot be run. A case that fails is reported and is not an error.
pub fn run(
    bench: &TestBench,
    cases: &[Case],
    report_case: &(dyn Fn(&CaseResult) + Sync),
) -> Result<Vec<CaseResult>, Problem> {
    let queue = Mutex::new(rounds(cases));
    let results = Mutex::new(Vec::new());
    let work = |endpoint: &BenchEndpoint| -> Result<(), Problem> {
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(round) = next else { return Ok(()) };
            let (done, left) = bench.round(endpoint, &round)?;
            done.iter().for_each(report_case);
            results.lock().unwrap_or_else(PoisonError::into_inner).extend(done);
            if !left.is_empty() {
                queue.lock().unwrap_or_else(PoisonError::into_inner).push_back(left);
            }
        }
    };
    let work = &work;
    std::thread::scope(|scope| {
        let workers: Vec<_> = bench.endpoints().iter().map(|endpoint| scope.spawn(move || work(endpoint))).collect();
        let ended =
            workers.into_iter().map(|worker| worker.join().unwrap_or_else(|_| Err("a worker panicked".to_owned())));
        ended.collect::<Vec<_>>().into_iter().collect::<Result<(), Problem>>()
    })?;
    Ok(results.into_inner().unwrap_or_else(PoisonError::into_inner))
}

#[cfg(test)]
mod tests {
    use super::{Case, Fault, Phase, all_cases, rounds, sample};

    fn cases() -> Vec<Case> {
        let point = |phase, nth| (phase, "ec2:CreateSubnet".to_owned(), nth);
        all_cases(&[
            point(Phase::Deploy, 1),
            point(Phase::Deploy, 2),
            point(Phase::Update, 1),
            point(Phase::Destroy, 1),
        ])
    }

    #[test]
    fn cases_are_packed_once_with_phases_in_order() {
        let cases = cases();
        assert_eq!(cases.len(), 4 * Fault::ALL.len());
        let rounds = rounds(&cases);
        assert_eq!(rounds.len(), 2 * Fault::ALL.len());
        let mut packed: Vec<Case> = rounds.iter().flatten().cloned().collect();
        assert!(rounds.iter().all(|round| round.is_sorted_by_key(|case| case.phase)));
        packed.sort();
        let mut sorted = cases;
        sorted.sort();
        assert_eq!(packed, sorted);
    }

    #[test]
    fn sample_is_reproducible_and_covers_faults_and_phases() {
        let cases = cases();
        let chosen = sample(&cases, 3 * Fault::ALL.len(), 7);
        assert_eq!(chosen, sample(&cases, 3 * Fault::ALL.len(), 7));
        assert_ne!(chosen, sample(&cases, 3 * Fault::ALL.len(), 8));
        for fault in Fault::ALL {
            assert!(chosen.iter().any(|case| case.fault == fault), "{fault:?}");
        }
        for phase in Phase::ALL {
            assert!(chosen.iter().any(|case| case.phase == phase), "{phase:?}");
        }
    }

    #[test]
    fn case_round_trips_as_text() {
        for case in cases() {
            assert_eq!(case.to_string().parse::<Case>(), Ok(case));
        }
        assert!("deploy ec2:CreateVpc 1".parse::<Case>().is_err());
        assert!("deploy ec2:CreateVpc one killed-after".parse::<Case>().is_err());
        assert!("deploy ec2:CreateVpc 1 nothing".parse::<Case>().is_err());
    }
}
