//! Test of a sample of the matrix; `cargo xtask torture` runs the complete matrix.

use crate::bench;
use pb_torture::Problem;
use pb_torture::matrix::{Case, CaseResult, Outcome, all_cases, run, sample};

/// Number of cases, distributed as evenly as possible over the phases and faults.
const CASES: usize = 12;

fn failures(results: &[CaseResult]) -> Result<(), Problem> {
    let failed = results.iter().filter(|(_, verdict)| verdict.outcome == Outcome::Failed);
    let messages: Vec<String> = failed
        .map(|(case, verdict)| {
            format!("{case}: {}\nto reproduce: cargo xtask torture --case \"{case}\"", verdict.problem)
        })
        .collect();
    if messages.is_empty() { Ok(()) } else { Err(messages.join("\n\n")) }
}

fn try_cases(cases: &[Case]) -> Result<(), Problem> {
    let results = run(bench()?, cases, &|(case, verdict)| println!("{case}: {:?}", verdict.outcome))?;
    failures(&results)
}

/// `PB_TORTURE_SEED` selects other cases.
#[test]
fn sample_of_the_matrix_passes() {
    let seed = std::env::var("PB_TORTURE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    println!("PB_TORTURE_SEED={seed}");
    let outcome = bench().and_then(|bench| try_cases(&sample(&all_cases(bench.points()), CASES, seed)));
    if let Err(problem) = outcome {
        panic!("with PB_TORTURE_SEED={seed}: {problem}");
    }
}

/// A destroy was killed after it had deleted a resource and before the deletion was recorded. The next destroy found
/// nothing to delete, and kept the record forever.
#[test]
fn deletion_unrecorded_by_a_killed_destroy_is_forgotten() {
    let case = "destroy ec2:DisassociateRouteTable 1 killed-after".parse();
    if let Err(problem) = case.and_then(|case| try_cases(&[case])) {
        panic!("{problem}");
    }
}
