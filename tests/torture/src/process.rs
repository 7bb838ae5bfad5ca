//! One run of the tool.

use crate::Problem;
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Longest time that one run may take; what hangs is a failure.
pub(crate) const LIMIT: Duration = Duration::from_secs(240);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(5);

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
pub struct Running {
    child: Child,
    what: String,
    out: PathBuf,
    err: PathBuf,
}

/// A run that has ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// The command, for people.
    pub what: String,
    /// The exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// What it wrote.
    pub out: String,
    /// What it said.
    pub err: String,
}

impl Running {
    /// Starts a command; what it says goes to files beside `place`.
    pub(crate) fn start(mut command: Command, what: String, place: &Path) -> Result<Self, Problem> {
        let (out, err) = (place.with_extension("out"), place.with_extension("err"));
        let create = |path: &Path| File::create(path).map_err(|e| format!("failed to write {}: {e}", path.display()));
        command.stdin(Stdio::null()).stdout(create(&out)?).stderr(create(&err)?);
        let child = command.spawn().map_err(|error| format!("failed to run {what}: {error}"))?;
        Ok(Self { child, what, out, err })
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
            other => Err(format!("failed to send {} to {}: {other:?}", signal.name(), self.what)),
        }
    }

    /// What it has said so far.
    #[must_use]
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.err).unwrap_or_default()
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)) | Err(_))
    }

    /// Waits until `is` holds; gives whether it came to hold before the run has ended.
    ///
    /// # Errors
    /// When neither happens within the longest time that a run may take.
    pub fn wait_until(&mut self, mut is: impl FnMut(&Self) -> bool) -> Result<bool, Problem> {
        let end = Instant::now() + LIMIT;
        while Instant::now() < end {
            if is(self) {
                return Ok(true);
            }
            if self.has_ended() {
                return Ok(is(self));
            }
            std::thread::sleep(LOOK);
        }
        Err(format!("{}: what was waited for did not happen within {} s\n{}", self.what, LIMIT.as_secs(), self.said()))
    }

    /// Kills it, and waits until it is gone.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn kill(mut self) -> Result<Ended, Problem> {
        self.child.kill().map_err(|error| format!("failed to kill {}: {error}", self.what))?;
        self.ended()
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it does not end; it is killed then.
    pub fn ended(mut self) -> Result<Ended, Problem> {
        let end = Instant::now() + LIMIT;
        while Instant::now() < end {
            match self.child.try_wait() {
                Ok(Some(status)) => return Ok(self.result(status)),
                Ok(None) => std::thread::sleep(LOOK),
                Err(error) => return Err(format!("failed to wait for {}: {error}", self.what)),
            }
        }
        Err(format!("{} did not end within {} s:\n{}", self.what, LIMIT.as_secs(), self.said()))
    }

    fn result(&self, status: ExitStatus) -> Ended {
        let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
        let (code, signal) = (status.code(), status.signal());
        Ended { what: self.what.clone(), code, signal, out: read(&self.out), err: read(&self.err) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended is no problem.
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}

impl Ended {
    /// Itself, if it ended with this exit code.
    ///
    /// # Errors
    /// When it did not, with all that it said.
    pub fn with(self, code: i32) -> Result<Self, Problem> {
        if self.code == Some(code) { Ok(self) } else { Err(format!("exit code {code} was expected: {self}")) }
    }

    /// Whether it gave up because the machine was too slow for the short leases of the tests.
    #[must_use]
    pub fn was_too_slow(&self) -> bool {
        self.code != Some(0)
            && ["stood still for too long", "no heartbeat got through", "dynamodb:GetItem: no answer in time"]
                .iter()
                .any(|sign| self.err.contains(sign))
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let end = match (self.code, self.signal) {
            (Some(code), _) => format!("exit code {code}"),
            (None, signal) => format!("signal {}", signal.unwrap_or_default()),
        };
        write!(f, "{} ended with {end}", self.what)?;
        for line in self.err.lines() {
            write!(f, "\n    | {line}")?;
        }
        Ok(())
    }
}
