use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;

use super::process::{Watched, spawn, wait_until_ready};
use super::*;

/// A stand-in for the emulator: writes the URL into the ready file, which is its last argument, and stays.
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

/// Answers one request with a status.
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
fn nothing_recorded_is_nothing_running() {
    let home = tempfile::tempdir().unwrap();
    let kept = Kept::hold(home.path().into()).unwrap();
    assert_eq!(kept.find().unwrap(), None);
    assert_eq!(kept.stop().unwrap(), None);
}

#[test]
fn a_stranger_with_the_recorded_id_is_neither_taken_for_the_endpoint_nor_stopped() {
    let home = tempfile::tempdir().unwrap();
    let mut stranger = Command::new("sleep").arg("60").spawn().unwrap();
    record(home.path(), stranger.id(), "http://127.0.0.1:9\n");
    let kept = Kept::hold(home.path().into()).unwrap();
    assert_eq!(kept.find().unwrap(), None);
    assert_eq!(kept.stop().unwrap(), None);
    assert!(stranger.try_wait().unwrap().is_none(), "the stranger lives");
    assert!(!home.path().join("pid").exists(), "the stale record is gone");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[test]
fn an_endpoint_is_found_and_stopped_by_its_record() {
    let home = tempfile::tempdir().unwrap();
    let kept = Kept::hold(home.path().into()).unwrap();
    let script = "echo \"$URL\" >\"$2\"; while :; do sleep 0.05; done";
    let mut command = stand_in(script);
    command.env("URL", server("200 OK"));
    let mut child = spawn(command, &kept.ready_file(), &kept.log()).unwrap();
    let url = wait_until_ready(&mut child, &kept.ready_file(), &kept.log()).unwrap();
    std::fs::write(home.path().join("pid"), child.id().to_string()).unwrap();
    let found = kept.find().unwrap().unwrap();
    assert_eq!((found.pid, &found.url), (child.id(), &url));
    // The stand-in's one answer is used up.
    assert!(kept.find().unwrap_err().to_string().contains("does not answer"));
    assert_eq!(kept.stop().unwrap().map(|process| process.pid), Some(child.id()));
    child.wait().unwrap();
    assert_eq!(kept.stop().unwrap(), None);
}

#[test]
fn one_that_ends_at_once_shows_its_log() {
    let folder = tempfile::tempdir().unwrap();
    let (ready, log) = (folder.path().join("url"), folder.path().join("log"));
    let mut child = spawn(stand_in("echo port is taken; exit 1"), &ready, &log).unwrap();
    let text = wait_until_ready(&mut child, &ready, &log).unwrap_err().to_string();
    assert!(text.contains("did not start") && text.contains("port is taken"), "{text}");
}

#[test]
fn an_old_ready_file_is_not_taken_for_the_new_ones() {
    let folder = tempfile::tempdir().unwrap();
    let (ready, log) = (folder.path().join("url"), folder.path().join("log"));
    std::fs::write(&ready, "http://127.0.0.1:1\n").unwrap();
    let mut child = spawn(stand_in("exit 1"), &ready, &log).unwrap();
    wait_until_ready(&mut child, &ready, &log).unwrap_err();
}

#[test]
fn a_watched_one_ends_with_its_value() {
    let folder = tempfile::tempdir().unwrap();
    let (ready, log) = (folder.path().join("url"), folder.path().join("log"));
    let script = format!("{READY} cat; echo ended >\"$2.end\"");
    let watched = Watched::start(stand_in(&script), &ready, &log).unwrap();
    assert_eq!(watched.url, "http://127.0.0.1:9");
    assert!(!folder.path().join("url.end").exists());
    drop(watched);
    assert!(folder.path().join("url.end").exists());
}

#[test]
fn only_other_wishes_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let kept = Kept::hold(home.path().into()).unwrap();
    let options = |port, extra: &[&str]| EmulatorOptions { port, extra: extra.iter().map(|&e| e.to_owned()).collect() };
    let running = Process { pid: 1, url: "http://127.0.0.1:9".into(), mark: PathBuf::new() };
    let started = options(Some(4566), &["--pace", "aws"]);
    std::fs::write(home.path().join("arguments"), arguments(&started).join("\n")).unwrap();
    let check = |options: &EmulatorOptions| kept.check_arguments(&running, options, &arguments(options));
    check(&started).unwrap();
    check(&EmulatorOptions::default()).unwrap();
    assert!(check(&options(Some(4567), &[])).unwrap_err().to_string().contains("other arguments"));
    check(&options(Some(4566), &["--pace", "1"])).unwrap_err();
}

#[test]
fn the_lock_keeps_others_waiting() {
    let home = tempfile::tempdir().unwrap();
    let first = Kept::hold(home.path().into()).unwrap();
    let other = File::open(home.path().join("lock")).unwrap();
    assert!(other.try_lock().is_err());
    drop(first);
    other.try_lock().unwrap();
}

#[test]
fn refused_preconditions_are_an_error_with_the_reason() {
    let url = server("400 Bad Request");
    let text = ensure_preconditions(&url, &serde_json::json!({})).unwrap_err().to_string();
    assert!(text.contains("status 400") && text.contains("no such zone"), "{text}");
}
