//! The local AWS endpoint: installation and control.

pub mod command;
mod install;
pub mod process;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use crate::cli::EmulatorOptions;
use crate::failure::{self, Failure};
use crate::project::Project;
pub use install::Package;
use process::Process;

/// Name of the emulator's Python module.
pub const MODULE: &str = "pb_emulator";

/// Longest wait for a response from a server on this machine.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

/// The emulator that keeps running between commands, with the files that record it.
#[derive(Debug)]
pub struct PersistentEmulator {
    home: PathBuf,
    /// Lock on the emulator's folder, held until this value is dropped.
    _lock: File,
}

/// Result of starting the emulator.
#[derive(Debug, PartialEq, Eq)]
pub enum StartOutcome {
    /// The emulator was already running.
    AlreadyRunning,
    /// The emulator was started.
    Started,
}

impl PersistentEmulator {
    /// Locks the emulator's folder. Waits if another xtask process holds the lock.
    ///
    /// # Errors
    ///
    /// Fails if the target folder cannot be written.
    pub fn lock(home: PathBuf) -> Result<Self, Failure> {
        failure::create_folder(&home)?;
        let path = home.join("lock");
        let file = File::create(&path).map_err(|error| Failure::io(format_args!("open {}", path.display()), &error))?;
        if file.try_lock().is_err() {
            eprintln!("waiting for another xtask, which is starting or stopping the local endpoint...");
            file.lock().map_err(|error| Failure::io(format_args!("lock {}", path.display()), &error))?;
        }
        Ok(Self { home, _lock: file })
    }

    /// Returns the emulator if it is running.
    ///
    /// # Errors
    ///
    /// Fails if the emulator is running but does not answer.
    pub fn find(&self) -> Result<Option<Process>, Failure> {
        let answers = |process: &Process| process.is_alive() && !process.url.is_empty();
        let Some(process) = self.read_record().filter(answers) else {
            return Ok(None);
        };
        match check_health(&process.url) {
            Ok(()) => Ok(Some(process)),
            Err(why) => Err(Failure::new(format!(
                "the local endpoint (process {}) is running but does not answer: {why}\n  \
                 hint: run `cargo xtask emulator restart`; the log is {}",
                process.pid,
                self.log().display()
            ))),
        }
    }

    /// Returns the running emulator, or installs and starts it.
    ///
    /// # Errors
    ///
    /// Fails if the emulator cannot be installed or started, or is running with other arguments.
    pub fn start(&self, project: &Project, options: &EmulatorOptions) -> Result<(Process, StartOutcome), Failure> {
        let arguments = arguments(options);
        if let Some(process) = self.find()? {
            self.check_arguments(&process, options, &arguments)?;
            return Ok((process, StartOutcome::AlreadyRunning));
        }
        // An interrupted xtask may have left a process that never became ready, or its files.
        self.stop()?;
        let python = install::ensure_installed(project, Package::Emulator)?;
        let mut command = process::command(project, &python, "detached", MODULE);
        command.args(&arguments).stdin(Stdio::null());
        let ready_file = self.ready_file();
        let mut child = process::spawn(command, &ready_file, &self.log())?;
        let pid = child.id();
        failure::write(&self.home.join("pid"), &format!("{pid}\n"))?;
        failure::write(&self.home.join("arguments"), &arguments.join("\n"))?;
        let url = process::wait_until_ready(&mut child, &ready_file, &self.log())?;
        Ok((Process { pid, url, ready_file }, StartOutcome::Started))
    }

    /// Stops the emulator, and returns it if it was running.
    ///
    /// # Errors
    ///
    /// Fails if the process does not end.
    pub fn stop(&self) -> Result<Option<Process>, Failure> {
        let process = self.read_record().filter(Process::is_alive);
        if let Some(process) = &process {
            process.stop()?;
        }
        self.remove_record();
        Ok(process)
    }

    /// Returns the path of the log.
    pub fn log(&self) -> PathBuf {
        self.home.join("log")
    }

    /// Returns the path of the ready file, which contains the URL once requests are accepted. A process that has this
    /// path among its arguments is the emulator.
    fn ready_file(&self) -> PathBuf {
        self.home.join("url")
    }

    /// Returns the recorded process, without a URL if it was never ready.
    fn read_record(&self) -> Option<Process> {
        let text = |name: &str| std::fs::read_to_string(self.home.join(name)).ok();
        let pid = text("pid")?.trim().parse().ok()?;
        let url = text("url").unwrap_or_default().trim().to_owned();
        Some(Process { pid, url, ready_file: self.ready_file() })
    }

    fn remove_record(&self) {
        for name in ["pid", "url", "arguments"] {
            // A missing file is fine, and a file that cannot be removed will be overwritten.
            let _ = std::fs::remove_file(self.home.join(name));
        }
    }

    /// Refuses to reuse an emulator that runs with other arguments; default options accept any arguments.
    fn check_arguments(&self, running: &Process, options: &EmulatorOptions, wanted: &[String]) -> Result<(), Failure> {
        let known = std::fs::read_to_string(self.home.join("arguments")).unwrap_or_default();
        if *options == EmulatorOptions::default() || known == wanted.join("\n") {
            return Ok(());
        }
        let url = &running.url;
        let hint =
            "run `cargo xtask emulator restart` with the same arguments; this discards all resources of the endpoint";
        Err(Failure::new(format!("the local endpoint is running at {url} with other arguments\n  hint: {hint}")))
    }
}

fn arguments(options: &EmulatorOptions) -> Vec<String> {
    let port = ["--port".to_owned(), options.port.unwrap_or(0).to_string()];
    port.into_iter().chain(options.extra.iter().cloned()).collect()
}

/// Returns the Python interpreter of the emulator's installation, after installing the emulator if necessary.
///
/// # Errors
///
/// Fails if the installation fails.
pub fn python(project: &Project) -> Result<PathBuf, Failure> {
    python_of(project, Package::Emulator)
}

/// Returns the Python interpreter of a package's installation, after installing the package if necessary.
///
/// # Errors
///
/// Fails if the installation fails.
pub fn python_of(project: &Project, package: Package) -> Result<PathBuf, Failure> {
    let _lock = PersistentEmulator::lock(project.emulator_home())?;
    install::ensure_installed(project, package)
}

/// Checks that an emulator answers at this URL.
fn check_health(url: &str) -> Result<(), String> {
    let answer = crate::http::get(url, "/_pb/health", RESPONSE_TIMEOUT)?;
    match answer.status {
        200 => Ok(()),
        status => Err(format!("{url} answers {status}")),
    }
}

/// Creates the prerequisites of a deploy in the emulator.
///
/// # Errors
///
/// Fails if the emulator does not answer, or refuses to create the prerequisites.
pub fn ensure_prerequisites(url: &str, json: &serde_json::Value) -> Result<(), Failure> {
    let failed = |why: String| Failure::new(format!("failed to create the prerequisites at {url}: {why}"));
    let answer = crate::http::post(url, "/_pb/preconditions", &json.to_string(), RESPONSE_TIMEOUT).map_err(failed)?;
    match answer.status {
        200 => Ok(()),
        status => Err(failed(format!("status {status}: {}", answer.body))),
    }
}

/// Returns the last lines of a log and its path, for messages.
pub fn log_tail(log: &Path) -> String {
    const LINES: usize = 12;
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let tail = lines.iter().skip(lines.len().saturating_sub(LINES));
    tail.map(|line| format!("  | {line}\n")).collect::<String>() + &format!("  log: {}", log.display())
}

#[cfg(test)]
mod tests;
