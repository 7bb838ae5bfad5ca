//! The `rustc` wrapper under cargo, with compilers that accept its flag and compilers that reject it.

#![expect(clippy::unwrap_used, reason = "a panic makes the test fail")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

const FLAG: &str = "-Zhint-mostly-unused";
/// Shell code for a compiler that rejects the flag.
const REJECTS: &str =
    r#"case " $* " in *" -Zhint-mostly-unused "*) echo "error: unknown unstable option" >&2; exit 1;; esac"#;

/// A package with a program and one SDK crate, a compiler that records its calls, and the link to the wrapper.
struct Package {
    folder: TempDir,
}

impl Package {
    /// Creates the package; the compiler runs the shell code `first` before it compiles anything.
    fn new(first: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            path
        };
        let manifest = |name: &str, more: &str| {
            format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n{more}")
        };
        write("Cargo.toml", &manifest("app", "[dependencies]\naws-sdk-tiny = { path = \"tiny\" }\n[workspace]\n"));
        write("src/main.rs", "fn main() { println!(\"{}\", aws_sdk_tiny::answer()); }\n");
        write("tiny/Cargo.toml", &manifest("aws-sdk-tiny", ""));
        write("tiny/src/lib.rs", "pub fn answer() -> u32 { 42 }\npub fn unused() -> u32 { 43 }\n");
        let calls = folder.path().join("calls");
        let record = format!("echo \"[$RUSTC_BOOTSTRAP] $*\" >>{}", calls.display());
        let stub = write("rustc", &format!("#!/bin/sh\n{record}\n{first}\nexec rustc \"$@\"\n"));
        std::fs::set_permissions(stub, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_xtask"), folder.path().join("rustc-wrapper")).unwrap();
        Self { folder }
    }

    /// Builds the program with or without the wrapper, and returns the compiler calls that compiled a crate.
    fn build(&self, is_wrapped: bool) -> Vec<String> {
        let calls = self.path().join("calls");
        let _ = std::fs::remove_file(&calls);
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--offline", "--quiet"]).current_dir(self.path()).env("RUSTC", self.path().join("rustc"));
        for name in ["CARGO_TARGET_DIR", "RUSTC_WRAPPER", "PB_NEXT_RUSTC_WRAPPER", "RUSTC_BOOTSTRAP"] {
            cargo.env_remove(name);
        }
        if is_wrapped {
            cargo.env("RUSTC_WRAPPER", self.path().join("rustc-wrapper"));
        }
        let output = cargo.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = std::fs::read_to_string(&calls).unwrap_or_default();
        let output = Command::new(self.path().join("target/debug/app")).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "42\n");
        text.lines().filter(|call| call.contains("--crate-name") && call.contains(".rs ")).map(str::to_owned).collect()
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Returns the compiler calls that compiled the given crate.
fn calls_of<'a>(calls: &'a [String], name: &str) -> Vec<&'a str> {
    let name = format!("--crate-name {name} ");
    calls.iter().filter(|call| call.contains(&name)).map(String::as_str).collect()
}

#[test]
fn sdk_crates_get_the_flag_and_others_do_not() {
    let calls = Package::new("").build(true);
    let [sdk] = calls_of(&calls, "aws_sdk_tiny")[..] else { panic!("{calls:#?}") };
    assert!(sdk.starts_with("[1] ") && sdk.ends_with(FLAG), "{sdk}");
    let [app] = calls_of(&calls, "app")[..] else { panic!("{calls:#?}") };
    assert!(app.starts_with("[] ") && !app.contains(FLAG), "{app}");
}

#[test]
fn compiler_that_rejects_the_flag_still_builds() {
    let package = Package::new(REJECTS);
    let calls = package.build(true);
    let [sdk] = calls_of(&calls, "aws_sdk_tiny")[..] else { panic!("{calls:#?}") };
    assert!(sdk.starts_with("[] ") && !sdk.contains(FLAG), "{sdk}");
}

#[test]
fn compiler_is_probed_once() {
    let package = Package::new("");
    let probes = |package: &Package| {
        let text = std::fs::read_to_string(package.path().join("calls")).unwrap_or_default();
        text.lines().filter(|call| call.contains("--print sysroot") && call.contains(FLAG)).count()
    };
    package.build(true);
    assert_eq!(probes(&package), 1);
    std::fs::write(package.path().join("tiny/src/lib.rs"), "pub fn answer() -> u32 { 41 + 1 }\n").unwrap();
    assert_eq!(calls_of(&package.build(true), "aws_sdk_tiny").len(), 1, "compiled again");
    assert_eq!(probes(&package), 0);
}

#[test]
fn switching_between_wrapped_and_plain_rebuilds_nothing() {
    for first in [true, false] {
        let package = Package::new("");
        assert_eq!(package.build(first).len(), 2);
        assert_eq!(package.build(!first), Vec::<String>::new(), "wrapped first: {first}");
    }
}

#[test]
fn configured_wrapper_is_called_in_turn() {
    let package = Package::new("");
    let output = Command::new(package.path().join("rustc-wrapper"))
        .env("PB_NEXT_RUSTC_WRAPPER", "echo")
        .args(["the-compiler", "--crate-name", "app"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "the-compiler --crate-name app\n");
}
