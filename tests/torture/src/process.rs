//! One run of the tool.

use crate::Problem;
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Longest time that one run may take; what hangs is a failure.
pub(crate) const RUN_TIMEOUT: Duration = Duration::from_secs(240);
/// Time between two looks.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// What a process is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// As Ctrl-C.
    Interrupt,
    /// As a supervisor that asks for the end.
    Terminate,
    /// The end, at once.
    Kill,
    /// Stands still.
    Stop,
    /// Goes on.
    Continue,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "INT",
            Self::Terminate => "TERM",
            Self::Kill => "KILL",
            Self::Stop => "STOP",
            Self::Continue => "CONT",
        }
    }
}

/// A run that may not have ended. It is killed when this is dropped.
#[derive(Debug)]
pub struct RunningProcess {
    child: Child,
    command: String,
    stdout: PathBuf,
    stderr: PathBuf,
}

/// A run that has ended.
#[derive(Debug, Clone)]
pub struct RunResult {
    /// The command, for people.
    pub command: String,
    /// The exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// What it wrote.
    pub stdout: String,
    /// What it said.
    pub stderr: String,
}

impl RunningProcess {
    /// Starts a command; what it says goes to files beside `place`.
    pub(crate) fn start(mut command: Command, description: String, path: &Path) -> Result<Self, Problem> {
        let (stdout, stderr) = (path.with_extension("out"), path.with_extension("err"));
        let create = |path: &Path| File::create(path).map_err(|e| format!("failed to write {}: {e}", path.display()));
        command.stdin(Stdio::null()).stdout(create(&stdout)?).stderr(create(&stderr)?);
        let child = command.spawn().map_err(|error| format!("failed to run {description}: {error}"))?;
        Ok(Self { child, command: description, stdout, stderr })
    }

    /// Sends a signal. The shell has `kill` built in.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub fn send(&self, signal: Signal) -> Result<(), Problem> {
        let script = format!("kill -s {} {}", signal.name(), self.child.id());
        let status = Command::new("sh").args(["-c", &script]).status();
        match status {
            Ok(status) if status.success() => Ok(()),
            other => Err(format!("failed to send {} to {}: {other:?}", signal.name(), self.command)),
        }
    }

    /// What it has said so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)) | Err(_))
    }

    /// Waits until `is` holds; gives whether it came to hold before the run has ended.
    ///
    /// # Errors
    /// When neither happens within the longest time that a run may take.
    pub fn wait_until(&mut self, mut condition: impl FnMut(&Self) -> bool) -> Result<bool, Problem> {
        let end = Instant::now() + RUN_TIMEOUT;
        while Instant::now() < end {
            if condition(self) {
                return Ok(true);
            }
            if self.has_ended() {
                return Ok(condition(self));
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        Err(format!(
            "{}: what was waited for did not happen within {} s\n{}",
            self.command,
            RUN_TIMEOUT.as_secs(),
            self.stderr()
        ))
    }

    /// Kills it, and waits until it is gone.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn kill(mut self) -> Result<RunResult, Problem> {
        self.child.kill().map_err(|error| format!("failed to kill {}: {error}", self.command))?;
        self.ended()
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it does not end; it is killed then.
    pub fn ended(mut self) -> Result<RunResult, Problem> {
        let end = Instant::now() + RUN_TIMEOUT;
        while Instant::now() < end {
            match self.child.try_wait() {
                Ok(Some(status)) => return Ok(self.result(status)),
                Ok(None) => std::thread::sleep(POLL_INTERVAL),
                Err(error) => return Err(format!("failed to wait for {}: {error}", self.command)),
            }
        }
        Err(format!("{} did not end within {} s:\n{}", self.command, RUN_TIMEOUT.as_secs(), self.stderr()))
    }

    fn result(&self, status: ExitStatus) -> RunResult {
        let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
        let (code, signal) = (status.code(), status.signal());
        RunResult {
            command: self.command.clone(),
            code,
            signal,
            stdout: read(&self.stdout),
            stderr: read(&self.stderr),
        }
    }
}

impl Drop for RunningProcess {
    fn drop(&mut self) {
        // One that has ended is no problem.
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}

impl RunResult {
    /// Itself, if it ended with this exit code.
    ///
    /// # Errors
    /// When it did not, with all that it said.
    pub fn expect_code(self, code: i32) -> Result<Self, Problem> {
        if self.code == Some(code) { Ok(self) } else { Err(format!("exit code {code} was expected: {self}")) }
    }

    /// Whether it gave up because the machine was too slow for the short leases of the tests.
    #[must_use]
    pub fn lost_its_short_lease(&self) -> bool {
        self.code != Some(0)
            && ["stood still for too long", "no heartbeat got through", "dynamodb:GetItem: no answer in time"]
                .iter()
                .any(|sign| self.stderr.contains(sign))
    }
}

impl std::fmt::Display for RunResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let end = match (self.code, self.signal) {
            (Some(code), _) => format!("exit code {code}"),
            (None, signal) => format!("signal {}", signal.unwrap_or_default()),
        };
        write!(f, "{} ended with {end}", self.command)?;
        for line in self.stderr.lines() {
            write!(f, "\n    | {line}")?;
        }
        Ok(())
    }
}
