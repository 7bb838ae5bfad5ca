//! Execution of test runners: shows their output and counts the results.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use crate::failure::Failure;
use crate::summary::{Outcome, Tally};

/// Runs a test command and returns the outcome. Copies its stdout to `out` line by line, and passes each line to
/// `count`.
///
/// # Errors
///
/// Fails if the program cannot be run.
pub fn run_and_count(
    mut command: Command,
    count: fn(&str) -> Option<Tally>,
    out: &mut dyn Write,
) -> Result<Outcome, Failure> {
    let failed = |error: std::io::Error| Failure::io("run the tests", &error);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(failed)?;
    let mut tally = Tally::default();
    let mut reader = BufReader::new(child.stdout.take().ok_or_else(|| Failure::new("the tests have no output"))?);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).map_err(failed)? > 0 {
        // The tests continue even if the output is closed.
        let _ = out.write_all(&line).and_then(|()| out.flush());
        if let Some(more) = count(&String::from_utf8_lossy(&line)) {
            tally.add(more);
        }
        line.clear();
    }
    let status = child.wait().map_err(failed)?;
    let end = if status.success() { Ok(()) } else { Err(status.to_string()) };
    Ok(Outcome::Tests(tally, end))
}

/// Returns the counts in a line of `cargo test`: `test result: ok. 5 passed; 0 failed; 1 ignored; ...`.
pub fn count_cargo_test(line: &str) -> Option<Tally> {
    line.strip_prefix("test result: ").map(parse_counts)
}

/// Returns the counts in a line of pytest: `1 failed, 5 passed, 2 skipped in 3.21s`, possibly between equals signs.
pub fn count_pytest(line: &str) -> Option<Tally> {
    let line = line.trim().trim_matches('=').trim();
    let ends = line.contains(" in ") && line.contains('s');
    let starts = line.split(' ').next().is_some_and(|word| word.parse::<u64>().is_ok());
    let tally = parse_counts(line);
    (ends && starts && tally != Tally::default()).then_some(tally)
}

/// Returns the counts in a closing line: `798 passed, 0 failed`.
pub fn count_closing_line(line: &str) -> Option<Tally> {
    let words: Vec<&str> = line.split_whitespace().collect();
    matches!(words[..], [_, "passed,", _, "failed"]).then(|| parse_counts(line))
}

/// Adds up the numbers that precede the names of results, such as `5 passed`.
fn parse_counts(line: &str) -> Tally {
    let words: Vec<&str> = line.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let mut tally = Tally::default();
    for pair in words.windows(2) {
        let Ok(number) = pair[0].parse::<u64>() else {
            continue;
        };
        match pair[1] {
            "passed" | "xfailed" => tally.passed += number,
            "failed" | "error" | "errors" | "xpassed" => tally.failed += number,
            "ignored" | "skipped" => tally.skipped += number,
            _ => {}
        }
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(passed: u64, failed: u64, skipped: u64) -> Option<Tally> {
        Some(Tally { passed, failed, skipped })
    }

    #[test]
    fn cargo_test_lines_are_counted() {
        let line = "test result: FAILED. 5 passed; 2 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.00s";
        assert_eq!(count_cargo_test(line), tally(5, 2, 1));
        assert_eq!(count_cargo_test("test 5 passed ... ok"), None);
        assert_eq!(count_cargo_test("running 5 tests"), None);
    }

    #[test]
    fn pytest_lines_are_counted() {
        assert_eq!(count_pytest("1 failed, 5 passed, 2 skipped in 3.21s\n"), tally(5, 1, 2));
        assert_eq!(count_pytest("==== 5 passed in 63.21s (0:01:03) ===="), tally(5, 0, 0));
        assert_eq!(count_pytest("2 passed, 1 error in 0.10s"), tally(2, 1, 0));
        assert_eq!(count_pytest("no tests ran in 0.01s"), None);
        assert_eq!(count_pytest("....... [100%]"), None);
        assert_eq!(count_pytest("FAILED tests/test_x.py::test_y - 1 failed in these"), None);
    }

    #[test]
    fn closing_lines_are_counted() {
        assert_eq!(count_closing_line("798 passed, 1 failed\n"), tally(798, 1, 0));
        assert_eq!(count_closing_line("3/798 deploy ec2:CreateVpc 1 killed-after: repaired"), None);
        assert_eq!(count_closing_line("798 passed, 1 failed in all"), None);
    }

    fn shell(script: &str, count: fn(&str) -> Option<Tally>) -> Outcome {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        // The lines are not written to stdout, because a program that counts the results of this test run would count
        // them too.
        run_and_count(command, count, &mut Vec::new()).unwrap()
    }

    #[test]
    fn counts_are_summed_and_exit_status_is_checked() {
        let script = "echo 'test result: ok. 1 passed; 0 failed'; echo 'test result: ok. 2 passed; 0 failed'";
        let expected = Tally { passed: 3, ..Tally::default() };
        assert_eq!(shell(script, count_cargo_test), Outcome::Tests(expected, Ok(())));
        let Outcome::Tests(_, Err(why)) = shell("echo 1 passed in 0s; exit 101", count_pytest) else {
            panic!("a run that exits 101 has failed");
        };
        assert!(why.contains("101"), "{why}");
    }
}
