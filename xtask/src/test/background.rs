//! Steps that run in the background at the lowest priority.
//!
//! Most wire tests wait for the tool and for time to pass. CPU-bound tests, which run in the background, use the
//! processor in the meantime.

use std::process::Command;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::{require_tests, run};
use crate::failure::Failure;
use crate::summary::{Outcome, Summary};

/// Shell command that runs its arguments at the lowest priority, with all output on stdout.
const NICE_COMMAND: &str = "exec nice -n 19 \"$@\" 2>&1";

/// Steps that run in the background, one after another.
pub struct Background {
    names: Vec<&'static str>,
    thread: JoinHandle<Vec<StepResult>>,
}

/// Result of a finished step.
struct StepResult {
    outcome: Result<Outcome, Failure>,
    duration: Duration,
    output: Vec<u8>,
}

impl Background {
    /// Starts the steps; each is a `cargo test` command.
    pub fn start(steps: Vec<(&'static str, Command)>, filters: &[String]) -> Self {
        let filters = filters.to_vec();
        let names = steps.iter().map(|(name, _)| *name).collect();
        let finish = move |(_, command): (&str, Command)| {
            let (start, mut output) = (Instant::now(), Vec::new());
            let counted = run::run_and_count(with_lowest_priority(&command), run::count_cargo_test, &mut output);
            let outcome = counted.map(|outcome| require_tests(outcome, &filters));
            StepResult { outcome, duration: start.elapsed(), output }
        };
        Self { names, thread: thread::spawn(move || steps.into_iter().map(finish).collect()) }
    }

    /// Waits for all steps, then prints the output of each.
    pub fn finish(self, summary: &mut Summary) {
        if !self.thread.is_finished() {
            eprintln!("waiting for {}...", self.names.join(" and "));
        }
        match self.thread.join() {
            Ok(finished) => {
                for (name, StepResult { outcome, duration, output }) in self.names.into_iter().zip(finished) {
                    summary.add(name, outcome, duration, &String::from_utf8_lossy(&output));
                }
            }
            // The panic message is already on stderr.
            Err(_) => summary.step("background", || Err(Failure::new("the thread that runs the steps panicked"))),
        }
    }
}

/// Returns a command that runs the given command at the lowest priority.
fn with_lowest_priority(command: &Command) -> Command {
    let mut niced = Command::new("sh");
    niced.args(["-c", NICE_COMMAND, "sh"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => niced.env(name, value),
            None => niced.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        niced.current_dir(folder);
    }
    niced
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_run_niced_and_report_in_order() {
        let shell = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]).env("PB_TEST_OF_BACKGROUND", "kept").env_remove("HOME").current_dir("/");
            command
        };
        let first = "echo \"$(nice) $PB_TEST_OF_BACKGROUND $HOME $(pwd)\" >&2; \
                     echo 'test result: ok. 2 passed; 0 failed'";
        let steps = vec![("first", shell(first)), ("second", shell("exit 3"))];
        let mut summary = Summary::default();
        let background = Background::start(steps, &[]);
        let finished = background.thread.join().unwrap();
        let output = String::from_utf8_lossy(&finished[0].output).into_owned();
        assert!(output.starts_with("19 kept  /\n"), "{output}");
        for (name, one) in background.names.into_iter().zip(finished) {
            summary.add(name, one.outcome, one.duration, "");
        }
        let text = summary.text();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("first   passed") && lines[0].ends_with("2 passed, 0 failed"), "{text}");
        assert!(lines[1].starts_with("second  FAILED") && lines[1].contains("exit status: 3"), "{text}");
    }
}
