//! Emulator processes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::emulator::log_tail;
use crate::failure::Failure;
use crate::project::{self, Project};

/// Longest wait for the ready file: importing moto takes seconds, or longer on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(120);
/// Longest wait for a process to end after SIGTERM, and again after SIGKILL.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// Interval between two checks of a process or of its ready file.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// An emulator process, possibly started by another xtask process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Process id.
    pub pid: u32,
    /// URL of the emulator.
    pub url: String,
    /// Its ready file; this argument distinguishes the emulator from an unrelated process that reuses its id.
    pub ready_file: PathBuf,
}

impl Process {
    /// Returns whether the process exists and is the emulator.
    pub fn is_alive(&self) -> bool {
        command_line_of(self.pid).is_some_and(|arguments| arguments.contains(&*self.ready_file.to_string_lossy()))
    }

    /// Stops the process.
    ///
    /// # Errors
    ///
    /// Fails if the process does not end.
    pub fn stop(&self) -> Result<(), Failure> {
        for signal in ["TERM", "KILL"] {
            self.send_signal(signal)?;
            let end = Instant::now() + STOP_TIMEOUT;
            while Instant::now() < end {
                if !self.is_alive() {
                    return Ok(());
                }
                thread::sleep(POLL_INTERVAL);
            }
        }
        Err(Failure::new(format!("the local endpoint (process {}) did not stop", self.pid)))
    }

    /// Sends a signal with the shell's builtin `kill`, because there may be no `kill` program.
    fn send_signal(&self, signal: &str) -> Result<(), Failure> {
        let mut shell = Command::new("sh");
        shell.args(["-c", "kill -s \"$1\" \"$2\" 2>/dev/null || true", "sh", signal, &self.pid.to_string()]);
        shell.status().map(drop).map_err(|error| Failure::io("send a signal", &error))
    }
}

/// Returns the command line of a process; `None` if it does not exist, empty if it is a zombie.
fn command_line_of(pid: u32) -> Option<String> {
    if Path::new("/proc/self/cmdline").exists() {
        let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        return Some(String::from_utf8_lossy(&bytes).replace('\0', " "));
    }
    let answer = Command::new("ps").args(["-ww", "-o", "args=", "-p", &pid.to_string()]).output().ok()?;
    answer.status.success().then(|| String::from_utf8_lossy(&answer.stdout).into_owned())
}

/// Returns the command that starts an endpoint, without the endpoint's arguments. launch.py describes `mode` and
/// `module`.
pub fn command(project: &Project, python: &Path, mode: &str, module: &str) -> Command {
    let mut command = Command::new(python);
    project::remove_cargo_variables(&mut command);
    // `-s` excludes the user's packages. `-I` would also ignore the environment variables that are set here.
    command.arg("-s").arg(project.root.join("xtask/src/emulator/launch.py"));
    command.args([mode, module, "serve", "--host", "127.0.0.1"]);
    command.env("PB_EMULATOR_SOURCES", project.emulator());
    isolate_python(&mut command);
    command
}

/// Isolates Python: no bytecode next to the sources, no packages except the emulator's, and no variables of the user's
/// AWS account. Without this, botocore, which the emulator uses, would fail if `AWS_PROFILE` names a profile that does
/// not exist.
pub fn isolate_python(command: &mut Command) {
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONUNBUFFERED", "1");
    command.env_remove("PYTHONPATH").env_remove("PYTHONHOME");
    project::remove_variables(command, |name| name.starts_with("AWS_"));
    command.env("AWS_CONFIG_FILE", "/dev/null").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
}

/// An emulator that is stopped when this value is dropped, or when this process ends for any reason.
#[derive(Debug)]
pub struct ScopedProcess {
    child: Child,
    /// URL of the emulator.
    pub url: String,
}

impl ScopedProcess {
    /// Starts an emulator, and waits until it is ready.
    ///
    /// # Errors
    ///
    /// Fails if the emulator does not start, or is not ready in time.
    pub fn start(mut command: Command, ready_file: &Path, log: &Path) -> Result<Self, Failure> {
        // The emulator ends when this end of the pipe is closed.
        command.stdin(Stdio::piped());
        let mut child = spawn(command, ready_file, log)?;
        let url = wait_until_ready(&mut child, ready_file, log)?;
        Ok(Self { child, url })
    }
}

impl Drop for ScopedProcess {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let end = Instant::now() + STOP_TIMEOUT;
        while Instant::now() < end {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(POLL_INTERVAL);
        }
        // The process did not end in time; if SIGKILL fails too, nothing else can be done.
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}

/// Starts an emulator without waiting until it is ready.
///
/// # Errors
///
/// Fails if the log cannot be written, or the program does not exist.
pub fn spawn(mut command: Command, ready_file: &Path, log: &Path) -> Result<Child, Failure> {
    let open = |error: std::io::Error| Failure::io(format_args!("open {}", log.display()), &error);
    let out = File::create(log).map_err(open)?;
    let err = out.try_clone().map_err(open)?;
    // A ready file of an earlier process would be mistaken for the new one.
    let _ = std::fs::remove_file(ready_file);
    command.arg("--ready-file").arg(ready_file).stdout(out).stderr(err);
    command.spawn().map_err(|error| Failure::io("start the local endpoint", &error))
}

/// Waits until the emulator accepts requests, and returns its URL.
///
/// # Errors
///
/// Fails if the process ends, or if it is not ready in time, in which case it is killed.
pub fn wait_until_ready(child: &mut Child, ready_file: &Path, log: &Path) -> Result<String, Failure> {
    let end = Instant::now() + START_TIMEOUT;
    while Instant::now() < end {
        if let Some(url) = std::fs::read_to_string(ready_file).ok().filter(|url| url.ends_with('\n')) {
            return Ok(url.trim().to_owned());
        }
        if let Ok(Some(status)) = child.try_wait() {
            return Err(Failure::new(format!("the local endpoint did not start: {status}\n{}", log_tail(log))));
        }
        thread::sleep(POLL_INTERVAL);
    }
    let _ = child.kill().and_then(|()| child.wait());
    Err(Failure::new(format!(
        "the local endpoint was not ready within {} s\n{}",
        START_TIMEOUT.as_secs(),
        log_tail(log)
    )))
}
