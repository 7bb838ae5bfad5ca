//! Paths of the project, and cargo commands for it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::failure::Failure;
use crate::rustc_wrapper;

/// A checkout of the project with its target folder.
#[derive(Debug, Clone)]
pub struct Project {
    /// The folder with the workspace's Cargo.toml.
    pub root: PathBuf,
    /// The target folder that cargo uses.
    pub target: PathBuf,
    /// Path of the compiler wrapper; `None` to build without it.
    pub rustc_wrapper: Option<PathBuf>,
}

impl Project {
    /// Returns the project from which this xtask was built.
    ///
    /// # Errors
    ///
    /// Fails if the path of this program is unknown.
    pub fn find() -> Result<Self, Failure> {
        let manifest_dir = std::env::var_os("CARGO_MANIFEST_DIR");
        let package = manifest_dir.map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
        let root = package.parent().map(Path::to_path_buf).unwrap_or(package);
        let program = std::env::current_exe().map_err(|error| Failure::io("find the path of this program", &error))?;
        let target = target_of(&program).map_or_else(|| root.join("target"), Path::to_path_buf);
        Ok(Self { root, target, rustc_wrapper: None })
    }

    /// Returns the same project, configured to be built through the wrapper in `rustc_wrapper.rs`.
    ///
    /// # Errors
    ///
    /// Fails if the target folder cannot be written.
    pub fn with_rustc_wrapper(self) -> Result<Self, Failure> {
        let xtask = std::env::current_exe().map_err(|error| Failure::io("find the path of this program", &error))?;
        let link = rustc_wrapper::install(&self.target.join("xtask"), &xtask)?;
        Ok(Self { rustc_wrapper: Some(link), ..self })
    }

    /// Returns the path of the release build of pb-deploy.
    pub fn tool(&self) -> PathBuf {
        self.target.join("release").join("pb-deploy")
    }

    /// Returns the folder of the emulator's sources.
    pub fn emulator(&self) -> PathBuf {
        self.root.join("emulator")
    }

    /// Returns the folder with the installations of the emulator and the files of running emulators.
    pub fn emulator_home(&self) -> PathBuf {
        self.target.join("emulator")
    }

    /// Returns the command `cargo SUBCOMMAND` for the workspace of this project.
    pub fn cargo(&self, subcommand: &str) -> Command {
        self.cargo_in(subcommand, Path::new("Cargo.toml"))
    }

    /// Returns the same command for the workspace of `manifest`, a path relative to the root.
    pub fn cargo_in(&self, subcommand: &str, manifest: &Path) -> Command {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        remove_cargo_variables(&mut command);
        if let Some(link) = &self.rustc_wrapper {
            rustc_wrapper::configure(&mut command, link);
        }
        command.arg(subcommand).arg("--manifest-path").arg(self.root.join(manifest)).stdin(Stdio::null());
        command
    }
}

/// Returns the target folder that contains a program: the folder with `debug/xtask`, or with `debug/deps/xtask-0f1e`
/// for tests. It may have any name.
fn target_of(program: &Path) -> Option<&Path> {
    let profile = program.parent().filter(|folder| !folder.ends_with("deps")).or_else(|| program.ancestors().nth(2))?;
    profile.parent()
}

/// Removes the variables that `cargo run` sets for xtask. Some build scripts (such as that of `ring`) depend on these
/// variables. They would run again, and their dependents be rebuilt, whenever cargo is run by xtask after being run
/// directly, or vice versa.
pub fn remove_cargo_variables(command: &mut Command) {
    remove_variables(command, is_package_variable);
}

/// Removes from a command the environment variables whose names match.
pub fn remove_variables(command: &mut Command, fits: impl Fn(&str) -> bool) {
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(&fits) {
            command.env_remove(name);
        }
    }
}

fn is_package_variable(name: &str) -> bool {
    let prefixes = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];
    prefixes.iter().any(|prefix| name.starts_with(prefix)) || name == "OUT_DIR"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn project_root_contains_the_workspace() {
        let project = Project::find().unwrap();
        assert!(std::fs::read_to_string(project.root.join("Cargo.toml")).unwrap().contains("[workspace]"));
    }

    #[test]
    fn target_folder_is_derived_from_the_program() {
        assert_eq!(target_of(Path::new("/t/debug/xtask")), Some(Path::new("/t")));
        assert_eq!(target_of(Path::new("/t/release/deps/xtask-0f1e")), Some(Path::new("/t")));
        assert_eq!(target_of(Path::new("/xtask")), None);
    }

    #[test]
    fn only_package_variables_are_removed() {
        for name in ["CARGO_PKG_NAME", "CARGO_MANIFEST_DIR", "CARGO_MANIFEST_LINKS", "CARGO_BIN_NAME"] {
            assert!(is_package_variable(name), "{name}");
        }
        for name in ["CARGO", "CARGO_HOME", "CARGO_TARGET_DIR", "CARGO_BUILD_JOBS", "RUSTUP_TOOLCHAIN", "PATH"] {
            assert!(!is_package_variable(name), "{name}");
        }
    }
}
