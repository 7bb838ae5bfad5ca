//! Test of the command that a failed case prints.

use crate::case::{Case, Pace};
use crate::exhaustive::SEED;
use crate::fault::Fault;
use crate::scenarios;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// Variables that the command needs from the environment of these tests; cargo and xtask set the other variables.
const KEPT: [&str; 9] = [
    "PATH",
    "HOME",
    "CARGO_HOME",
    "CARGO_TARGET_DIR",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "RUSTC_WRAPPER",
    "PB_NEXT_RUSTC_WRAPPER",
    "TMPDIR",
];

#[test]
fn printed_command_reproduces_its_case() {
    let at = scenarios::deploy().calls(SEED).iter().position(|call| call.writes).unwrap();
    let case = Case { pace: Pace::Steady, seed: SEED, faults: BTreeMap::from([(at, Fault::Throttled)]) };
    let line = case.reproduce_command("deploy");
    let command = line.strip_prefix("reproduce: ").unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."));
    shell.env_clear().envs(KEPT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    let output = shell.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{command}: {}\n{text}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("test result: ok. 1 passed;"), "{command}:\n{text}");
    // The transcript shows the fault at its call.
    let mut faulty = text.lines().filter(|line| line.contains(" Throttled "));
    let call = faulty.next().unwrap_or_else(|| panic!("{command}: no fault in\n{text}"));
    assert_eq!(call.split_whitespace().next(), Some(&*at.to_string()), "{call}");
    assert_eq!(faulty.next(), None);
}
