//! Measurement of one command.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::bench::memory::Peak;
use crate::emulator::log_tail;
use crate::failure::{self, Failure};

/// Interval between two samples of the memory usage.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(10);

/// Resources that a command used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage {
    /// Seconds from start to end.
    pub wall: f64,
    /// Seconds of processor time, user and system, of the command and all its descendants.
    pub cpu: f64,
    /// Peak memory of the command and all its descendants, in KiB.
    pub peak_kib: u64,
    /// Peak memory of the largest single process, in KiB.
    pub largest_kib: u64,
}

/// A program with its arguments and its whole environment.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// Path or name of the program.
    pub program: PathBuf,
    /// Arguments of the program.
    pub arguments: Vec<String>,
    /// Working directory of the program.
    pub folder: PathBuf,
    /// Whole environment of the program; no variable of the user is added.
    pub environment: Vec<(String, String)>,
}

/// The measuring program: a Python interpreter and a script.
#[derive(Debug)]
pub struct Meter {
    /// Interpreter: the Python of the emulator's installation.
    pub python: PathBuf,
    /// Path of `measure.py`.
    pub script: PathBuf,
}

impl Meter {
    /// Runs a program that must exit with `code`, and writes its output to `log`.
    ///
    /// # Errors
    ///
    /// Fails if the program cannot be run, exits with another code, exceeds the time limit, or leaves a process
    /// running.
    pub fn run(&self, call: &Invocation, code: i32, log: &Path) -> Result<Usage, Failure> {
        let answer = log.with_extension("json");
        let mut child = self.start(call, &answer, log)?;
        let (status, peak) =
            sample_until_exit(&mut child).map_err(|error| Failure::io("wait for the measured command", &error))?;
        if !status.success() {
            return Err(Failure::new(format!("the measuring program failed: {status}\n{}", log_tail(log))));
        }
        let measured = failure::read(&answer)?;
        parse_usage(&measured, code, peak).map_err(|why| Failure::new(format!("{why}\n{}", log_tail(log))))
    }

    fn start(&self, call: &Invocation, answer: &Path, log: &Path) -> Result<Child, Failure> {
        let open = |error: std::io::Error| Failure::io(format_args!("open {}", log.display()), &error);
        let out = File::create(log).map_err(open)?;
        let err = out.try_clone().map_err(open)?;
        let mut command = Command::new(&self.python);
        command.args(["-s", "-E"]).arg(&self.script).arg(answer).arg(&call.program).args(&call.arguments);
        command.env_clear().envs(call.environment.iter().cloned()).current_dir(&call.folder);
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        command.spawn().map_err(|error| Failure::io(format_args!("run {}", self.python.display()), &error))
    }
}

/// Samples the memory usage until the process ends.
fn sample_until_exit(child: &mut Child) -> std::io::Result<(ExitStatus, Peak)> {
    let mut peak = Peak::default();
    loop {
        peak.sample(child.id());
        if let Some(status) = child.try_wait()? {
            return Ok((status, peak));
        }
        thread::sleep(SAMPLE_INTERVAL);
    }
}

fn parse_usage(measured: &str, code: i32, peak: Peak) -> Result<Usage, String> {
    let answer: Value = serde_json::from_str(measured).map_err(|error| format!("no measurement: {error}"))?;
    let number = |name: &str| answer[name].as_f64().ok_or_else(|| format!("the measurement has no `{name}`"));
    let ended = answer["code"].as_i64();
    if answer["code"].is_null() {
        return Err("it exceeded the time limit and was stopped".to_owned());
    }
    if ended != Some(code.into()) {
        return Err(format!("it exited with {}, expected {code}", answer["code"]));
    }
    if answer["all_ended"] != Value::Bool(true) {
        return Err("it left a process running".to_owned());
    }
    Ok(Usage { wall: number("wall")?, cpu: number("cpu")?, peak_kib: peak.kib(), largest_kib: peak.largest_kib() })
}

/// Runs a preparatory command, which is not measured.
///
/// # Errors
///
/// Fails if the command cannot be run, or exits with an error.
pub fn prepare(call: &Invocation, log: &Path) -> Result<(), Failure> {
    let mut command = Command::new(&call.program);
    command.args(&call.arguments).env_clear().envs(call.environment.iter().cloned()).current_dir(&call.folder);
    let name = format!("{} {}", call.program.display(), call.arguments.join(" "));
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| Failure::io(format_args!("run {name}"), &error))?;
    let output_text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    failure::write(log, &output_text)?;
    match output.status.success() {
        true => Ok(()),
        false => Err(Failure::new(format!("{name} failed: {}\n{}", output.status, log_tail(log)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::tests::interpreter;

    fn meter() -> Meter {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bench/measure.py");
        Meter { python: interpreter(), script }
    }

    fn shell(script: &str, folder: &Path) -> Invocation {
        let arguments = vec!["-c".to_owned(), script.to_owned()];
        let path = std::env::var("PATH").unwrap();
        let environment = vec![("PATH".to_owned(), path)];
        Invocation { program: "/bin/sh".into(), arguments, folder: folder.into(), environment }
    }

    const BUSY: &str = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done";

    #[test]
    fn unreaped_children_count_towards_cpu_time() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let of = |script: &str| meter().run(&shell(script, folder.path()), 3, &log).unwrap();
        let (alone, with_child) = (of("exit 3"), of(&format!("sh -c '{BUSY}' & exit 3")));
        assert!(with_child.cpu > 5.0 * alone.cpu, "{with_child:?}, and without the child {alone:?}");
        assert!(with_child.peak_kib > 0);
    }

    #[test]
    fn unexpected_exit_code_is_an_error_with_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let failed = meter().run(&shell("echo no such zone; exit 1", folder.path()), 0, &log).unwrap_err().to_string();
        assert!(failed.contains("exited with 1, expected 0") && failed.contains("no such zone"), "{failed}");
    }

    #[test]
    fn invalid_measurement_is_refused() {
        let refused = |text: &str| parse_usage(text, 0, Peak::default()).unwrap_err();
        assert!(refused("").contains("no measurement"));
        assert!(refused(r#"{"code": null, "all_ended": true}"#).contains("exceeded the time limit"));
        assert!(refused(r#"{"code": 0, "all_ended": false, "wall": 1, "cpu": 1}"#).contains("left a process running"));
        assert!(refused(r#"{"code": 0, "all_ended": true, "wall": 1}"#).contains("`cpu`"));
        assert!(refused(r#"{"code": -9, "all_ended": true, "wall": 1, "cpu": 1}"#).contains("-9"));
    }

    #[test]
    fn failed_preparation_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        prepare(&shell("true", folder.path()), &log).unwrap();
        let failed = prepare(&shell("echo no provider; false", folder.path()), &log).unwrap_err().to_string();
        assert!(failed.contains("no provider"), "{failed}");
    }
}
