use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;

use super::process::{ScopedProcess, spawn, wait_until_ready};
use super::*;

/// A stand-in for the emulator: the script writes the URL into the ready file, its last argument, and keeps running.
fn stand_in(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]);
    command
}

const READY: &str = "echo http://127.0.0.1:9 >\"$2\"; ";

fn record(home: &Path, pid: u32, url: &str) {
    std::fs::write(home.join("pid"), pid.to_string()).unwrap();
    std::fs::write(home.join("url"), url).unwrap();
}

/// Starts a server that answers one request with a status.
fn server(status: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]).unwrap();
        stream.write_all(format!("HTTP/1.1 {status}\r\n\r\nno such zone").as_bytes()).unwrap();
    });
    url
}

#[test]
fn no_record_means_not_running() {
    let home = tempfile::tempdir().unwrap();
    let emulator = PersistentEmulator::lock(home.path().into()).unwrap();
    assert_eq!(emulator.find().unwrap(), None);
    assert_eq!(emulator.stop().unwrap(), None);
}

#[test]
fn reused_pid_is_not_treated_as_the_emulator() {
    let home = tempfile::tempdir().unwrap();
    let mut unrelated = Command::new("sleep").arg("60").spawn().unwrap();
    record(home.path(), unrelated.id(), "http://127.0.0.1:9\n");
    let emulator = PersistentEmulator::lock(home.path().into()).unwrap();
    assert_eq!(emulator.find().unwrap(), None);
    assert_eq!(emulator.stop().unwrap(), None);
    assert!(unrelated.try_wait().unwrap().is_none(), "the unrelated process is still running");
    assert!(!home.path().join("pid").exists(), "the stale record was removed");
    unrelated.kill().unwrap();
    unrelated.wait().unwrap();
}

#[test]
fn recorded_emulator_is_found_and_stopped() {
    let home = tempfile::tempdir().unwrap();
    let emulator = PersistentEmulator::lock(home.path().into()).unwrap();
    let script = "echo \"$URL\" >\"$2\"; while :; do sleep 0.05; done";
    let mut command = stand_in(script);
    command.env("URL", server("200 OK"));
    let mut child = spawn(command, &emulator.ready_file(), &emulator.log()).unwrap();
    let url = wait_until_ready(&mut child, &emulator.ready_file(), &emulator.log()).unwrap();
    std::fs::write(home.path().join("pid"), child.id().to_string()).unwrap();
    let found = emulator.find().unwrap().unwrap();
    assert_eq!((found.pid, &found.url), (child.id(), &url));
    // The server answers only one request.
    assert!(emulator.find().unwrap_err().to_string().contains("does not answer"));
    assert_eq!(emulator.stop().unwrap().map(|process| process.pid), Some(child.id()));
    child.wait().unwrap();
    assert_eq!(emulator.stop().unwrap(), None);
}

#[test]
fn emulator_that_fails_to_start_shows_its_log() {
    let folder = tempfile::tempdir().unwrap();
    let (ready, log) = (folder.path().join("url"), folder.path().join("log"));
    let mut child = spawn(stand_in("echo port is taken; exit 1"), &ready, &log).unwrap();
    let text = wait_until_ready(&mut child, &ready, &log).unwrap_err().to_string();
    assert!(text.contains("did not start") && text.contains("port is taken"), "{text}");
}

#[test]
fn stale_ready_file_is_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let (ready, log) = (folder.path().join("url"), folder.path().join("log"));
    std::fs::write(&ready, "http://127.0.0.1:1\n").unwrap();
    let mut child = spawn(stand_in("exit 1"), &ready, &log).unwrap();
    wait_until_ready(&mut child, &ready, &log).unwrap_err();
}

#[test]
fn scoped_process_ends_when_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let (ready, log) = (folder.path().join("url"), folder.path().join("log"));
    let script = format!("{READY} cat; echo ended >\"$2.end\"");
    let process = ScopedProcess::start(stand_in(&script), &ready, &log).unwrap();
    assert_eq!(process.url, "http://127.0.0.1:9");
    assert!(!folder.path().join("url.end").exists());
    drop(process);
    assert!(folder.path().join("url.end").exists());
}

#[test]
fn start_with_different_arguments_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let emulator = PersistentEmulator::lock(home.path().into()).unwrap();
    let options = |port, extra: &[&str]| EmulatorOptions { port, extra: extra.iter().map(|&e| e.to_owned()).collect() };
    let running = Process { pid: 1, url: "http://127.0.0.1:9".into(), ready_file: PathBuf::new() };
    let started = options(Some(4566), &["--pace", "aws"]);
    std::fs::write(home.path().join("arguments"), arguments(&started).join("\n")).unwrap();
    let check = |options: &EmulatorOptions| emulator.check_arguments(&running, options, &arguments(options));
    check(&started).unwrap();
    check(&EmulatorOptions::default()).unwrap();
    assert!(check(&options(Some(4567), &[])).unwrap_err().to_string().contains("other arguments"));
    check(&options(Some(4566), &["--pace", "1"])).unwrap_err();
}

#[test]
fn lock_excludes_other_processes() {
    let home = tempfile::tempdir().unwrap();
    let first = PersistentEmulator::lock(home.path().into()).unwrap();
    let other = File::open(home.path().join("lock")).unwrap();
    assert!(other.try_lock().is_err());
    drop(first);
    other.try_lock().unwrap();
}

#[test]
fn refused_prerequisites_are_an_error_with_the_reason() {
    let url = server("400 Bad Request");
    let text = ensure_prerequisites(&url, &serde_json::json!({})).unwrap_err().to_string();
    assert!(text.contains("status 400") && text.contains("no such zone"), "{text}");
}
