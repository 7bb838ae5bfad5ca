//! Installation of the emulator's dependencies into the target folder.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::emulator::process::isolate_python;
use crate::failure::{self, Failure};
use crate::project::{self, Project};

/// Python interpreters in order of preference; requirements.txt was locked with the first one.
const INTERPRETERS: [&str; 6] = ["python3.11", "python3", "python3.12", "python3.13", "python3.10", "python"];
/// Minimum Python version of moto.
const PYTHON_MIN: (u32, u32) = (3, 10);
/// Upper bound for packages without a known maximum version.
const PYTHON_UNBOUNDED: (u32, u32) = (4, 0);
/// First Python version for which LocalStack's pinned dependencies have no wheels.
const PYTHON_TOO_NEW: (u32, u32) = (3, 13);
/// File that marks a complete installation; without it, the installation was interrupted.
const COMPLETE_MARKER: &str = "complete";

/// An installable package; each has a separate folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Package {
    /// The emulator and the test runner.
    Emulator,
    /// LocalStack's open edition.
    LocalStack,
    /// The installer of the other two packages, used if `uv` is not on `PATH`.
    Uv,
}

impl Package {
    /// Returns the package's lock file in the emulator's folder, the prefix of its installation folders, and a
    /// description for messages.
    fn metadata(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Emulator => ("requirements.txt", "venv-", "the local endpoint (once, about 80 MB)"),
            Self::LocalStack => ("localstack.txt", "localstack-", "LocalStack's open edition (once, about 500 MB)"),
            Self::Uv => ("uv.txt", "uv-", "uv, which installs the rest faster (once, about 60 MB)"),
        }
    }

    /// Returns the supported Python versions: inclusive minimum and exclusive maximum.
    fn python_versions(self) -> ((u32, u32), (u32, u32)) {
        match self {
            Self::Emulator | Self::Uv => (PYTHON_MIN, PYTHON_UNBOUNDED),
            Self::LocalStack => (PYTHON_MIN, PYTHON_TOO_NEW),
        }
    }

    /// Checks that this machine has a Python that the package supports.
    ///
    /// # Errors
    ///
    /// Fails if there is none; the error names the supported versions.
    pub fn check(self) -> Result<(), Failure> {
        interpreter(self).map(drop)
    }
}

/// Installs a package if necessary, and returns the Python of its installation. The caller must hold the lock on the
/// emulator's folder.
///
/// # Errors
///
/// Fails if there is no compatible Python, or if the installation fails.
pub fn ensure_installed(project: &Project, package: Package) -> Result<PathBuf, Failure> {
    let (lock, prefix, description) = package.metadata();
    let requirements = project.emulator().join(lock);
    let folder = project.emulator_home().join(folder_name(prefix, &failure::read(&requirements)?));
    let python = folder.join("bin").join("python");
    if !is_complete(&folder) {
        let environment = Environment { base: interpreter(package)?, folder, requirements };
        let uv = if package == Package::Uv { None } else { uv(project) };
        eprintln!("installing {description}...");
        remove_installations(&project.emulator_home(), prefix);
        environment.create(uv.as_deref())?;
    }
    Ok(python)
}

/// Returns `uv` from `PATH`, or installs it; `None` if the installation fails.
fn uv(project: &Project) -> Option<PathBuf> {
    let on_path = PathBuf::from("uv");
    if runs(&on_path) {
        return Some(on_path);
    }
    match ensure_installed(project, Package::Uv) {
        Ok(python) => Some(python.with_file_name("uv")),
        Err(failure) => {
            eprintln!("{failure}\ninstalling with pip, which is slower...");
            None
        }
    }
}

fn runs(uv: &Path) -> bool {
    Command::new(uv).arg("--version").stdin(Stdio::null()).output().is_ok_and(|output| output.status.success())
}

/// Returns a folder name that depends on the lock file, so that an installation from another lock file does not change
/// the one that a running emulator uses.
fn folder_name(prefix: &str, requirements: &str) -> String {
    let mut hasher = DefaultHasher::new();
    requirements.hash(&mut hasher);
    format!("{prefix}{:016x}", hasher.finish())
}

/// Returns whether the installation is complete and its interpreter still exists, which a Python upgrade may have
/// removed.
fn is_complete(folder: &Path) -> bool {
    folder.join(COMPLETE_MARKER).exists() && folder.join("bin").join("python").exists()
}

/// A virtual environment to be created, and its packages.
#[derive(Debug)]
struct Environment {
    /// Python interpreter that creates the environment.
    base: String,
    folder: PathBuf,
    /// Lock file with pinned versions and hashes.
    requirements: PathBuf,
}

impl Environment {
    /// Creates the environment, with uv if possible. If uv fails, pip may still succeed: uv ignores pip's settings, so
    /// it may not know the package index.
    fn create(&self, uv: Option<&Path>) -> Result<(), Failure> {
        match uv.map(|uv| self.with_uv(uv)) {
            Some(Ok(())) => {}
            Some(Err(failure)) => {
                eprintln!("{failure}\ninstalling with pip instead...");
                self.with_pip()?;
            }
            None => self.with_pip()?,
        }
        failure::write(&self.folder.join(COMPLETE_MARKER), "")
    }

    fn with_uv(&self, uv: &Path) -> Result<(), Failure> {
        self.venv(&["--without-pip"])?;
        let mut command = Command::new(uv);
        command.args(["pip", "install", "--quiet", "--require-hashes", "--compile-bytecode", "--python"]);
        command.arg(self.folder.join("bin").join("python")).arg("--requirement").arg(&self.requirements);
        run(command, "uv pip install", "check that the package index is reachable")
    }

    fn with_pip(&self) -> Result<(), Failure> {
        self.venv(&[])?;
        let mut pip = Command::new(self.folder.join("bin").join("python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--require-hashes"]);
        pip.arg("--requirement").arg(&self.requirements);
        run(pip, "pip install", "check that pip's package index is reachable")
    }

    fn venv(&self, options: &[&str]) -> Result<(), Failure> {
        let mut venv = Command::new(&self.base);
        venv.args(["-m", "venv", "--clear"]).args(options).arg(&self.folder);
        let hint = "on Debian and Ubuntu, run `apt install python3-venv`";
        run(venv, &format!("{} -m venv", self.base), hint)
    }
}

fn run(mut command: Command, name: &str, hint: &str) -> Result<(), Failure> {
    project::remove_cargo_variables(&mut command);
    isolate_python(&mut command);
    // pip compiles the packages once, so that Python need not do so at every start.
    command.env_remove("PYTHONDONTWRITEBYTECODE").stdin(Stdio::null());
    let output = command.output().map_err(|error| Failure::io(format_args!("run {name}"), &error))?;
    if output.status.success() {
        return Ok(());
    }
    let output_text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    Err(Failure::new(format!("{name} failed: {}\n{}\n  hint: {hint}", output.status, output_text.trim_end())))
}

/// Returns a compatible Python interpreter: the one that `PYTHON` names, or the first one found.
fn interpreter(package: Package) -> Result<String, Failure> {
    let named = std::env::var("PYTHON").ok();
    let candidates = named.as_deref().map_or_else(|| INTERPRETERS.to_vec(), |named| vec![named]);
    first_compatible(package, &candidates, version).map(str::to_owned).ok_or_else(|| {
        let hint = match &named {
            Some(named) => format!("PYTHON names `{named}`, which is not a compatible Python"),
            None => "install one, or set PYTHON to its path".to_owned(),
        };
        Failure::unavailable(format!("{}\n  hint: {hint}", python_requirement(package)))
    })
}

/// Returns the first interpreter whose version the package supports.
fn first_compatible<'a>(
    package: Package,
    candidates: &[&'a str],
    version: impl Fn(&str) -> Option<(u32, u32)>,
) -> Option<&'a str> {
    let (from, below) = package.python_versions();
    let fits = |name: &&&str| version(name).is_some_and(|found| (from..below).contains(&found));
    candidates.iter().find(fits).copied()
}

fn python_requirement(package: Package) -> String {
    let ((major, minor), (_, below)) = package.python_versions();
    match package {
        Package::Emulator | Package::Uv => format!("the local endpoint needs Python {major}.{minor} or later"),
        Package::LocalStack => format!("LocalStack needs Python {major}.{minor} to {major}.{}", below - 1),
    }
}

fn version(interpreter: &str) -> Option<(u32, u32)> {
    let code = "import sys; print(*sys.version_info[:2])";
    let output = Command::new(interpreter).args(["-c", code]).stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
    let (major, minor) = text.trim().split_once(' ')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Removes all installations with this prefix, unless an emulator that is recorded as running may be using one.
fn remove_installations(home: &Path, prefix: &str) {
    if home.join("pid").exists() {
        return;
    }
    for entry in std::fs::read_dir(home).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            // If this fails, the leftover only takes up space.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn installation_folder_depends_on_the_lock_file() {
        assert_eq!(folder_name("a-", "moto==1"), folder_name("a-", "moto==1"));
        assert_ne!(folder_name("a-", "moto==1"), folder_name("a-", "moto==2"));
    }

    #[test]
    fn interrupted_installation_is_incomplete() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("bin")).unwrap();
        std::fs::write(folder.path().join("bin/python"), "").unwrap();
        assert!(!is_complete(folder.path()));
        std::fs::write(folder.path().join(COMPLETE_MARKER), "").unwrap();
        assert!(is_complete(folder.path()));
        std::fs::remove_file(folder.path().join("bin/python")).unwrap();
        assert!(!is_complete(folder.path()));
    }

    #[test]
    fn old_installations_are_removed_unless_in_use() {
        let home = tempfile::tempdir().unwrap();
        let (old, other) = (home.path().join("venv-old"), home.path().join("localstack-old"));
        std::fs::create_dir(&old).unwrap();
        std::fs::create_dir(&other).unwrap();
        std::fs::write(home.path().join("pid"), "1").unwrap();
        remove_installations(home.path(), "venv-");
        assert!(old.exists());
        std::fs::remove_file(home.path().join("pid")).unwrap();
        remove_installations(home.path(), "venv-");
        assert!(!old.exists() && other.exists());
    }

    #[test]
    fn python_version_is_chosen_per_package() {
        let version = |name: &str| Some((3, name.strip_prefix("python3.")?.parse().ok()?));
        let (emulator, localstack) = (Package::Emulator, Package::LocalStack);
        assert_eq!(first_compatible(emulator, &["python3.9", "python", "python3.13"], version), Some("python3.13"));
        assert_eq!(first_compatible(localstack, &["python3.13", "python3.12"], version), Some("python3.12"));
        assert_eq!(first_compatible(localstack, &["python3.9", "python3.13"], version), None);
        assert_eq!(python_requirement(localstack), "LocalStack needs Python 3.10 to 3.12");
        assert_eq!(python_requirement(emulator), "the local endpoint needs Python 3.10 or later");
    }

    #[test]
    fn invalid_interpreter_has_no_version() {
        assert_eq!(version("false"), None);
        assert_eq!(version("no-such-program"), None);
    }

    /// Installs with stand-ins for Python and uv, and returns the calls of these programs.
    fn install_calls(uv_ends_with: Option<u8>) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let calls = path("calls");
        let script = |name: &str, text: &str| {
            std::fs::write(path(name), format!("#!/bin/sh\necho {name} \"$*\" >>{}\n{text}\n", calls.display()))
                .unwrap();
            std::fs::set_permissions(path(name), std::fs::Permissions::from_mode(0o755)).unwrap();
        };
        script("pip", "");
        let made = format!("for last; do :; done; mkdir -p $last/bin; cp {} $last/bin/python", path("pip").display());
        script("base", &made);
        let base = path("base").display().to_string();
        let environment = Environment { base, folder: path("venv"), requirements: "r.txt".into() };
        let uv = uv_ends_with.map(|code| {
            script("uv", &format!("echo no such index; exit {code}"));
            path("uv")
        });
        environment.create(uv.as_deref()).unwrap();
        assert!(is_complete(&path("venv")));
        let shown = folder.path().display().to_string();
        std::fs::read_to_string(&calls).unwrap().lines().map(|line| line.replace(&shown, "")).collect()
    }

    #[test]
    fn uv_installs_by_hash_and_needs_no_pip() {
        let calls = install_calls(Some(0));
        assert_eq!(calls[0], "base -m venv --clear --without-pip /venv");
        let install = "uv pip install --quiet --require-hashes --compile-bytecode --python /venv/bin/python";
        assert_eq!(calls[1..], [format!("{install} --requirement r.txt")]);
    }

    #[test]
    fn pip_installs_by_hash_where_uv_is_missing_or_fails() {
        for uv in [None, Some(2)] {
            let calls = install_calls(uv);
            let [venv, pip] = &calls[calls.len() - 2..] else { panic!("{calls:?}") };
            assert_eq!(venv, "base -m venv --clear /venv");
            assert!(pip.starts_with("pip -m pip install ") && pip.contains("--require-hashes"), "{pip}");
        }
    }

    #[test]
    fn pip_output_is_part_of_the_error() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo no such hash; exit 3"]);
        let text = run(command, "pip install", "look").unwrap_err().to_string();
        assert!(
            text.contains("pip install failed") && text.contains("no such hash") && text.contains("look"),
            "{text}"
        );
    }
}
