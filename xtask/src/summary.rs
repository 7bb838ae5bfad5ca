//! Table with the results of the steps of a run.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::failure::Failure;

/// Number of tests by result.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Tests that passed.
    pub passed: u64,
    /// Tests that failed.
    pub failed: u64,
    /// Tests that were not run.
    pub skipped: u64,
}

/// Result of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The step passed and has no test counts; the detail may be empty.
    Passed(String),
    /// The step failed, for this reason.
    Failed(String),
    /// The step was skipped, for this reason.
    Skipped(String),
    /// Tests were run, with these counts; the error is the reason if the test runner failed.
    Tests(Tally, Result<(), String>),
}

/// The results of the steps so far.
#[derive(Debug, Default)]
pub struct Summary {
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    step: String,
    outcome: Outcome,
    took: Duration,
}

impl Summary {
    /// Runs a step and records its result. A failure does not prevent later steps.
    pub fn step(&mut self, step: &str, run: impl FnOnce() -> Result<Outcome, Failure>) {
        eprintln!("==> {step}");
        let start = Instant::now();
        let outcome = run();
        self.push(step, outcome, start.elapsed());
    }

    /// Adds a step that was run elsewhere, and prints its output.
    pub fn add(&mut self, step: &str, outcome: Result<Outcome, Failure>, took: Duration, output: &str) {
        eprintln!("==> {step}");
        print!("{output}");
        self.push(step, outcome, took);
    }

    fn push(&mut self, step: &str, outcome: Result<Outcome, Failure>, took: Duration) {
        let outcome = outcome.unwrap_or_else(|failure| Outcome::Failed(failure.to_string()));
        if let Outcome::Failed(why) | Outcome::Tests(_, Err(why)) = &outcome {
            eprintln!("error: {step}: {why}");
        }
        self.rows.push(Row { step: step.to_owned(), outcome, took });
    }

    /// Returns the table. Its last line has the totals: it counts tests, checks, and steps that failed for another
    /// reason.
    pub fn text(&self) -> String {
        let width = self.rows.iter().map(|row| row.step.len()).max().unwrap_or(0);
        let lines = self.rows.iter().map(|row| {
            let (word, detail) = row.outcome.words();
            let seconds = row.took.as_secs_f64();
            format!("{:width$}  {word:7}  {seconds:7.1} s  {detail}", row.step).trim_end().to_owned()
        });
        let (passed, failed) = self.totals();
        lines.chain([format!("{passed} passed, {failed} failed")]).collect::<Vec<_>>().join("\n")
    }

    fn totals(&self) -> (u64, u64) {
        let rows = self.rows.iter().map(|row| match &row.outcome {
            Outcome::Tests(tally, Err(_)) => (tally.passed, tally.failed.max(1)),
            Outcome::Tests(tally, Ok(())) => (tally.passed, tally.failed),
            Outcome::Passed(_) => (1, 0),
            Outcome::Failed(_) => (0, 1),
            Outcome::Skipped(_) => (0, 0),
        });
        rows.fold((0, 0), |sum, row| (sum.0 + row.0, sum.1 + row.1))
    }

    /// Returns the number of tests that were run; checks do not count.
    pub fn tests(&self) -> u64 {
        let tests = self.rows.iter().map(|row| match &row.outcome {
            Outcome::Tests(tally, _) => tally.passed + tally.failed,
            _ => 0,
        });
        tests.sum()
    }

    /// Returns whether a step failed.
    pub fn failed(&self) -> bool {
        self.totals().1 > 0
    }

    /// Prints the table, and returns the exit code, which is 1 if a step failed.
    pub fn finish(&self) -> ExitCode {
        println!("\n{}", self.text());
        ExitCode::from(u8::from(self.failed()))
    }
}

impl Outcome {
    fn words(&self) -> (&'static str, String) {
        match self {
            Self::Passed(detail) => ("passed", detail.clone()),
            Self::Failed(why) => ("FAILED", first_line(why)),
            Self::Skipped(why) => ("skipped", why.clone()),
            Self::Tests(tally, Ok(())) if tally.failed == 0 => ("passed", tally.words()),
            Self::Tests(tally, Ok(())) => ("FAILED", tally.words()),
            Self::Tests(tally, Err(why)) => ("FAILED", format!("{}: {}", tally.words(), first_line(why))),
        }
    }
}

impl Tally {
    /// Adds the counts of another test run.
    pub fn add(&mut self, more: Self) {
        self.passed += more.passed;
        self.failed += more.failed;
        self.skipped += more.skipped;
    }

    fn words(self) -> String {
        let skipped = if self.skipped > 0 { format!(", {} skipped", self.skipped) } else { String::new() };
        format!("{} passed, {} failed{skipped}", self.passed, self.failed)
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(outcomes: Vec<Outcome>) -> Summary {
        let mut summary = Summary::default();
        outcomes.into_iter().for_each(|outcome| summary.step("step", || Ok(outcome)));
        summary
    }

    fn last_line(summary: &Summary) -> String {
        summary.text().lines().last().unwrap().to_owned()
    }

    #[test]
    fn last_line_counts_tests_and_checks() {
        let tests = Outcome::Tests(Tally { passed: 5, failed: 0, skipped: 1 }, Ok(()));
        let all = summary(vec![Outcome::Passed(String::new()), tests, Outcome::Skipped("not installed".into())]);
        assert_eq!(last_line(&all), "6 passed, 0 failed");
        assert!(all.text().contains("5 passed, 0 failed, 1 skipped"));
        assert!(all.text().contains("skipped") && all.text().contains("not installed"));
        assert_eq!(format!("{:?}", all.finish()), format!("{:?}", ExitCode::SUCCESS));
    }

    #[test]
    fn failed_run_without_failed_test_counts_as_one() {
        let broken = summary(vec![Outcome::Tests(Tally::default(), Err("does not compile".into()))]);
        assert_eq!(last_line(&broken), "0 passed, 1 failed");
        assert!(broken.text().contains("does not compile"));
        assert_eq!(format!("{:?}", broken.finish()), format!("{:?}", ExitCode::from(1)));
        let counted = Outcome::Tests(Tally { passed: 1, failed: 2, skipped: 0 }, Err("exit status: 101".into()));
        assert_eq!(last_line(&summary(vec![counted])), "1 passed, 2 failed");
    }

    #[test]
    fn steps_after_a_failure_run() {
        let mut summary = Summary::default();
        summary.step("first", || Err(Failure::new("broken\nat length")));
        summary.step("second", || Ok(Outcome::Passed("fine".into())));
        let text = summary.text();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("first   FAILED") && lines[0].ends_with("broken"), "{text}");
        assert!(lines[1].starts_with("second  passed") && lines[1].ends_with("fine"), "{text}");
        assert_eq!(lines[2], "1 passed, 1 failed");
    }
}
