//! The complete matrix: `cargo xtask torture`.

use pb_torture::matrix::{self, Case, CaseResult, Outcome, TestBench};
use pb_torture::{Emulator, Problem, Random, write_report};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

const USAGE: &str = "\
Usage: pb-torture [--jobs N] [--report FILE] [--lease SECONDS] [--only WORD]... [--sample N [--seed S]] [--case CASE]...

  --jobs N         number of endpoints and of parallel runs (6)
  --report FILE    file of the report (target/torture/report.md)
  --lease SECONDS  duration of a lease; short, because a killed run does not release its lease (3)
  --only WORD      only cases whose text contains all these words
  --sample N       only N cases, chosen by the seed
  --case CASE      only this case, such as \"deploy ec2:CreateVpc 1 killed-after\"";

struct Options {
    jobs: usize,
    report: PathBuf,
    lease: u32,
    only: Vec<String>,
    sample: Option<usize>,
    seed: u64,
    cases: Vec<Case>,
}

fn main() -> ExitCode {
    let options = match options(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(problem) => {
            eprintln!("error: {problem}\n\n{USAGE}");
            return ExitCode::from(64);
        }
    };
    match run(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn options(mut words: impl Iterator<Item = String>) -> Result<Option<Options>, Problem> {
    let mut options = Options {
        jobs: 6,
        report: PathBuf::from("target/torture/report.md"),
        lease: 3,
        only: Vec::new(),
        sample: None,
        seed: Random::fresh_seed() % 1_000_000,
        cases: Vec::new(),
    };
    while let Some(word) = words.next() {
        if word == "-h" || word == "--help" {
            return Ok(None);
        }
        let value = words.next().ok_or_else(|| format!("unknown option or missing value: {word}"))?;
        let number = || value.parse::<usize>().map_err(|_| format!("`{value}` is not a number"));
        match word.as_str() {
            "--jobs" => options.jobs = number()?.clamp(1, 16),
            "--report" => options.report = PathBuf::from(&value),
            "--lease" => options.lease = u32::try_from(number()?.clamp(1, 60)).unwrap_or(3),
            "--only" => options.only.push(value),
            "--sample" => options.sample = Some(number()?),
            "--seed" => options.seed = value.parse().map_err(|_| format!("`{value}` is not a number"))?,
            "--case" => options.cases.push(value.parse()?),
            _ => return Err(format!("unknown option: {word}")),
        }
    }
    Ok(Some(options))
}

/// Runs the cases, and returns whether all of them passed.
fn run(options: &Options) -> Result<bool, Problem> {
    let since = Instant::now();
    let emulators = (0..options.jobs).map(|_| Emulator::get()).collect::<Result<Vec<_>, Problem>>()?;
    let endpoints: Vec<String> = emulators.iter().map(|emulator| emulator.url.clone()).collect();
    let bench = TestBench::new(&endpoints, options.lease)?;
    let cases = cases(options, &bench);
    if cases.is_empty() {
        return Err("no case matches the options".to_owned());
    }
    let rounds = cases.len();
    println!("{rounds} cases, {} at a time", options.jobs);
    let done = AtomicUsize::new(0);
    let report_case = |(case, verdict): &CaseResult| {
        let number = done.fetch_add(1, Ordering::Relaxed) + 1;
        let word = match verdict.outcome {
            Outcome::Survived => "survived",
            Outcome::Repaired => "repaired",
            Outcome::NotReached => "not reached",
            Outcome::Failed => "FAILED",
        };
        println!("{number}/{rounds} {case}: {word}");
        if verdict.outcome == Outcome::Failed {
            println!("    {}", verdict.problem.replace('\n', "\n    "));
        }
    };
    let results = matrix::run(&bench, &cases, &report_case)?;
    let note =
        options.sample.map_or_else(String::new, |count| format!("A sample: --sample {count} --seed {}.", options.seed));
    println!("\n{}", write_report(&options.report, &results, since.elapsed(), &note)?);
    println!("report: {}", options.report.display());
    let failed = results.iter().filter(|(_, verdict)| verdict.outcome == Outcome::Failed).count();
    println!("{} passed, {failed} failed", results.len() - failed);
    Ok(failed == 0)
}

fn cases(options: &Options, bench: &TestBench) -> Vec<Case> {
    if !options.cases.is_empty() {
        return options.cases.clone();
    }
    let mut cases = matrix::all_cases(bench.points());
    cases.retain(|case| options.only.iter().all(|word| case.to_string().contains(word.as_str())));
    match options.sample {
        Some(count) => matrix::sample(&cases, count, options.seed),
        None => cases,
    }
}
