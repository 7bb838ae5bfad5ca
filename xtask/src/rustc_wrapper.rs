//! The `rustc` wrapper of the project's builds.
//!
//! The AWS SDK crates are generated code, of which a program uses only a few percent. `-Zhint-mostly-unused` makes the
//! compiler generate code for a function only where another crate calls it. This halves the work, and does not change
//! the behaviour of programs. The flag is unstable, so the wrapper sets `RUSTC_BOOTSTRAP=1`, only for these crates and
//! only if the compiler accepts the flag. All other calls of the compiler are passed through unchanged.
//!
//! Cargo calls the wrapper that `RUSTC_WRAPPER` names as `WRAPPER RUSTC ARGUMENT...`, and does not include its name in
//! the fingerprints of builds: a plain `cargo build` reuses the output of a build with the wrapper, and vice versa.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::failure::{self, Failure};

/// File name of the link through which xtask is called as the wrapper.
const NAME: &str = "rustc-wrapper";
/// Environment variable in which cargo looks for a wrapper.
const VARIABLE: &str = "RUSTC_WRAPPER";
/// Environment variable of the equivalent cargo setting, `build.rustc-wrapper`.
const SETTING: &str = "CARGO_BUILD_RUSTC_WRAPPER";
/// Environment variable with a previously configured wrapper, such as a compiler cache, which this wrapper calls.
const NEXT: &str = "PB_NEXT_RUSTC_WRAPPER";
const FLAG: &str = "-Zhint-mostly-unused";
/// Name prefix of the crates that are compiled with the flag.
const PREFIX: &[u8] = b"aws_sdk_";

/// Returns whether a program that was called with this path is to act as the wrapper.
pub fn is_named(program: &OsStr) -> bool {
    Path::new(program).file_name().is_some_and(|name| name == NAME)
}

/// Creates the link `FOLDER/rustc-wrapper` to `xtask`, replacing an older one.
///
/// # Errors
///
/// Fails if the link cannot be written.
pub fn install(folder: &Path, xtask: &Path) -> Result<PathBuf, Failure> {
    let link = folder.join(NAME);
    if std::fs::read_link(&link).is_ok_and(|target| target == xtask) {
        return Ok(link);
    }
    failure::create_folder(folder)?;
    // A rename replaces the link atomically, because another cargo process may be calling it.
    let new = folder.join(format!("{NAME}.{}", std::process::id()));
    let linked = std::os::unix::fs::symlink(xtask, &new).and_then(|()| std::fs::rename(&new, &link));
    linked.map_err(|error| Failure::io(format_args!("link {}", link.display()), &error))?;
    Ok(link)
}

/// Configures a cargo command to use the wrapper at `link`, and the wrapper to call the previously configured one.
pub fn configure(cargo: &mut Command, link: &Path) {
    let configured =
        [VARIABLE, SETTING].into_iter().find_map(|name| std::env::var_os(name).filter(|it| !it.is_empty()));
    // This cargo may run below another cargo that already uses this wrapper, which must not call itself.
    if let Some(next) = configured.filter(|next| !is_named(next)) {
        cargo.env(NEXT, next);
    }
    cargo.env(VARIABLE, link);
}

/// Runs the compiler in place of this process. `link` is the path under which this process was started.
///
/// # Errors
///
/// Fails if the compiler cannot be run.
pub fn run(link: &Path, arguments: &[OsString]) -> Result<Infallible, Failure> {
    let Some((rustc, rest)) = arguments.split_first() else {
        return Err(Failure::usage(format!("{NAME} must be called by cargo, as `{NAME} RUSTC ARGUMENT...`")));
    };
    let mut command = match std::env::var_os(NEXT) {
        Some(next) => {
            let mut command = Command::new(next);
            command.arg(rustc);
            command
        }
        None => Command::new(rustc),
    };
    command.args(rest);
    if is_sdk(rest) && accepts_flag(rustc, link.parent().unwrap_or(Path::new("."))) {
        command.arg(FLAG).env("RUSTC_BOOTSTRAP", "1");
    }
    let error = command.exec();
    Err(Failure::io(format_args!("run {}", command.get_program().to_string_lossy()), &error))
}

/// Returns whether a compiler call with these arguments compiles a crate of the SDK.
fn is_sdk(arguments: &[OsString]) -> bool {
    let mut names = arguments.windows(2).filter(|pair| pair[0] == "--crate-name").map(|pair| &pair[1]);
    names.any(|name| name.as_bytes().starts_with(PREFIX))
}

/// Returns whether a compiler accepts the flag. The answer is cached in `folder`.
fn accepts_flag(rustc: &OsStr, folder: &Path) -> bool {
    let file = folder.join(format!("hint-mostly-unused-{:016x}", identity(rustc)));
    match std::fs::read_to_string(&file).as_deref() {
        Ok("yes") => return true,
        Ok("no") => return false,
        Ok(_) | Err(_) => {}
    }
    // With `-vV`, the compiler would exit before it parses the flags.
    let mut probe = Command::new(rustc);
    probe.args([FLAG, "--print", "sysroot"]).env("RUSTC_BOOTSTRAP", "1");
    let status = probe.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let accepts = status.is_ok_and(|status| status.success());
    // Concurrent processes write the same answer; if the answer cannot be cached, the compiler is asked again next
    // time.
    let _ = std::fs::write(&file, if accepts { "yes" } else { "no" });
    accepts
}

/// Returns a hash that identifies the compiler: it covers the path, the toolchain that `rustup` selects, and the file's
/// size and modification time.
fn identity(rustc: &OsStr) -> u64 {
    let mut hasher = DefaultHasher::new();
    (rustc, std::env::var_os("RUSTUP_TOOLCHAIN")).hash(&mut hasher);
    if let Ok(file) = std::fs::metadata(rustc) {
        (file.len(), file.modified().ok()).hash(&mut hasher);
    }
    hasher.finish()
}
