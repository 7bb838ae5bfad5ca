//! Processes of the tool.

use crate::Problem;
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Longest duration of a run; a run that hangs is a failure.
pub(crate) const RUN_TIMEOUT: Duration = Duration::from_secs(240);
/// Interval between two polls of a process.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Signal sent to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT, as sent by Ctrl-C.
    Interrupt,
    /// SIGTERM, as sent by a supervisor.
    Terminate,
    /// SIGKILL.
    Kill,
    /// SIGSTOP, which suspends the process.
    Stop,
    /// SIGCONT, which resumes the process.
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

/// A process that may still be running. It is killed when this value is dropped.
#[derive(Debug)]
pub struct RunningProcess {
    child: Child,
    command: String,
    stdout: PathBuf,
    stderr: PathBuf,
}

/// Result of a process that has ended.
#[derive(Debug, Clone)]
pub struct RunResult {
    /// Command line, for messages.
    pub command: String,
    /// Exit code; `None` if a signal ended the process.
    pub code: Option<i32>,
    /// Signal that ended the process.
    pub signal: Option<i32>,
    /// Standard output of the process.
    pub stdout: String,
    /// Standard error of the process.
    pub stderr: String,
}

impl RunningProcess {
    /// Starts a command whose output goes to `path` with the extensions `out` and `err`.
    pub(crate) fn start(mut command: Command, description: String, path: &Path) -> Result<Self, Problem> {
        let (stdout, stderr) = (path.with_extension("out"), path.with_extension("err"));
        let create = |path: &Path| File::create(path).map_err(|e| format!("failed to write {}: {e}", path.display()));
        command.stdin(Stdio::null()).stdout(create(&stdout)?).stderr(create(&stderr)?);
        let child = command.spawn().map_err(|error| format!("failed to run {description}: {error}"))?;
        Ok(Self { child, command: description, stdout, stderr })
    }

    /// Sends a signal, with the `kill` that is built into the shell.
    ///
    /// # Errors
    /// Fails if the signal cannot be sent.
    pub fn send(&self, signal: Signal) -> Result<(), Problem> {
        let script = format!("kill -s {} {}", signal.name(), self.child.id());
        let status = Command::new("sh").args(["-c", &script]).status();
        match status {
            Ok(status) if status.success() => Ok(()),
            other => Err(format!("failed to send {} to {}: {other:?}", signal.name(), self.command)),
        }
    }

    /// Returns the standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    /// Returns whether the process has ended.
    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)) | Err(_))
    }

    /// Waits until `condition` is true or the process has ended, and returns whether the condition is true.
    ///
    /// # Errors
    /// Fails if neither happens within the longest duration of a run.
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
            "{}: the expected condition was not met within {} s\n{}",
            self.command,
            RUN_TIMEOUT.as_secs(),
            self.stderr()
        ))
    }

    /// Kills the process and waits until it has ended.
    ///
    /// # Errors
    /// Fails if the process cannot be killed.
    pub fn kill(mut self) -> Result<RunResult, Problem> {
        self.child.kill().map_err(|error| format!("failed to kill {}: {error}", self.command))?;
        self.ended()
    }

    /// Waits until the process has ended, and returns its result.
    ///
    /// # Errors
    /// Fails if the process does not end within the longest duration of a run; the process is then killed.
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
        // Killing a process that has ended fails, which does not matter.
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}

impl RunResult {
    /// Returns this result if the exit code is `code`.
    ///
    /// # Errors
    /// Fails with the standard error of the process if the exit code is not `code`.
    pub fn expect_code(self, code: i32) -> Result<Self, Problem> {
        if self.code == Some(code) { Ok(self) } else { Err(format!("expected exit code {code}: {self}")) }
    }

    /// Returns whether the run gave up because the machine was too slow for the short leases of the tests.
    #[must_use]
    pub fn lost_its_short_lease(&self) -> bool {
        self.code != Some(0)
            && ["was suspended for too long", "no heartbeat succeeded", "dynamodb:GetItem: no response in time"]
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
