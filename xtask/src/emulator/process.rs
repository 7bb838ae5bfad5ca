//! An emulator's process.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::emulator::log_tail;
use crate::failure::Failure;
use crate::project::{self, Project};

/// Longest wait for the first answer: importing moto takes seconds, and more on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(120);
/// Longest wait for the end after SIGTERM, and again after SIGKILL.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// Time between two looks.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A process that was started by an xtask, maybe by another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Where it answers.
    pub url: String,
    /// Its ready file, by which its arguments are told from those of a stranger that has its id now.
    pub ready_file: PathBuf,
}

impl Process {
    /// Whether this very process is there.
    pub fn is_alive(&self) -> bool {
        command_line_of(self.pid).is_some_and(|arguments| arguments.contains(&*self.ready_file.to_string_lossy()))
    }

    /// Ends it.
    ///
    /// # Errors
    ///
    /// It does not end.
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
        Err(Failure::new(format!("the local endpoint (process {}) does not end", self.pid)))
    }

    /// Sends a signal. The shell has `kill` built in; there may be no program of that name.
    fn send_signal(&self, signal: &str) -> Result<(), Failure> {
        let mut shell = Command::new("sh");
        shell.args(["-c", "kill -s \"$1\" \"$2\" 2>/dev/null || true", "sh", signal, &self.pid.to_string()]);
        shell.status().map(drop).map_err(|error| Failure::io("send a signal", &error))
    }
}

/// The command line of a process; `None` if there is no such process, empty if it has ended and nobody has asked how.
fn command_line_of(pid: u32) -> Option<String> {
    if Path::new("/proc/self/cmdline").exists() {
        let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        return Some(String::from_utf8_lossy(&bytes).replace('\0', " "));
    }
    let answer = Command::new("ps").args(["-ww", "-o", "args=", "-p", &pid.to_string()]).output().ok()?;
    answer.status.success().then(|| String::from_utf8_lossy(&answer.stdout).into_owned())
}

/// The command of an endpoint, without its arguments. `mode` and `module` are explained in launch.py.
pub fn command(project: &Project, python: &Path, mode: &str, module: &str) -> Command {
    let mut command = Command::new(python);
    project::remove_cargo_variables(&mut command);
    // Not `-I`: that would take the environment's variables away. `-s` leaves out packages of the user.
    command.arg("-s").arg(project.root.join("xtask/src/emulator/launch.py"));
    command.args([mode, module, "serve", "--host", "127.0.0.1"]);
    command.env("PB_EMULATOR_SOURCES", project.emulator());
    isolate_python(&mut command);
    command
}

/// No bytecode beside the sources, no packages but the emulator's own, and nothing of the person's AWS account: a profile
/// that is named and not there would stop botocore, which the emulator is built on.
pub fn isolate_python(command: &mut Command) {
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONUNBUFFERED", "1");
    command.env_remove("PYTHONPATH").env_remove("PYTHONHOME");
    project::remove_variables(command, |name| name.starts_with("AWS_"));
    command.env("AWS_CONFIG_FILE", "/dev/null").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
}

/// An emulator that ends with this value, and with this process, however that ends.
#[derive(Debug)]
pub struct ScopedProcess {
    child: Child,
    /// Where it answers.
    pub url: String,
}

impl ScopedProcess {
    /// Starts it.
    ///
    /// # Errors
    ///
    /// It does not start, or does not answer in time.
    pub fn start(mut command: Command, ready_file: &Path, log: &Path) -> Result<Self, Failure> {
        // It ends when the other end of this pipe is closed.
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
        // Nothing more can be done about one that does not even heed this.
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}

/// Starts an emulator; it does not answer yet.
///
/// # Errors
///
/// The log cannot be written, or there is no such program.
pub fn spawn(mut command: Command, ready_file: &Path, log: &Path) -> Result<Child, Failure> {
    let open = |error: std::io::Error| Failure::io(format_args!("open {}", log.display()), &error);
    let out = File::create(log).map_err(open)?;
    let err = out.try_clone().map_err(open)?;
    // One that is left from before would be taken for the new one's.
    let _ = std::fs::remove_file(ready_file);
    command.arg("--ready-file").arg(ready_file).stdout(out).stderr(err);
    command.spawn().map_err(|error| Failure::io("start the local endpoint", &error))
}

/// Waits until requests are accepted; gives the URL.
///
/// # Errors
///
/// The process ends, or does not answer in time; it is ended then.
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
        "the local endpoint did not answer within {} s\n{}",
        START_TIMEOUT.as_secs(),
        log_tail(log)
    )))
}
