//! Some cases of the matrix; `cargo xtask torture` has all of them.

use crate::bench;
use pb_torture::Problem;
use pb_torture::matrix::{Case, Judged, Outcome, all_cases, run, sample};

/// How many cases; each phase and each fault has its share.
const CASES: usize = 12;

fn failures(judged: &[Judged]) -> Result<(), Problem> {
    let failed = judged.iter().filter(|(_, verdict)| verdict.outcome == Outcome::Failed);
    let told: Vec<String> = failed
        .map(|(case, verdict)| {
            format!("{case}: {}\nto see it again: cargo xtask torture --case \"{case}\"", verdict.problem)
        })
        .collect();
    if told.is_empty() { Ok(()) } else { Err(told.join("\n\n")) }
}

fn try_cases(cases: &[Case]) -> Result<(), Problem> {
    let judged = run(bench()?, cases, &|(case, verdict)| println!("{case}: {:?}", verdict.outcome))?;
    failures(&judged)
}

/// `PB_TORTURE_SEED` chooses others.
#[test]
fn a_sample_of_the_matrix() {
    let seed = std::env::var("PB_TORTURE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    println!("PB_TORTURE_SEED={seed}");
    let tried = bench().and_then(|bench| try_cases(&sample(&all_cases(bench.points()), CASES, seed)));
    if let Err(problem) = tried {
        panic!("with PB_TORTURE_SEED={seed}: {problem}");
    }
}

/// A destroy that was killed after it deleted something and before that was recorded: the next one found nothing to delete
/// there, and remembered it for ever.
#[test]
fn what_a_killed_destroy_could_not_record_is_forgotten_by_the_next() {
    let case = "destroy ec2:DisassociateRouteTable 1 killed-after".parse();
    if let Err(problem) = case.and_then(|case| try_cases(&[case])) {
        panic!("{problem}");
    }
}
