//! Process of the local endpoint, and the paths of the programs that the tests run.

use crate::Problem;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Longest wait for the endpoint to start: importing moto takes some seconds, and more on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(120);
/// Factor that is applied to the emulator's durations: as fast as possible, but slow enough for every intermediate
/// state to be observed.
const TIME_FACTOR: &str = "0.1";
static TEMP_DIRS: AtomicUsize = AtomicUsize::new(0);

/// A local endpoint. If this process started it, the endpoint ends when this value is dropped or this process ends.
#[derive(Debug)]
pub struct Emulator {
    /// URL of the endpoint.
    pub url: String,
    child: Option<Mutex<Child>>,
}

/// Returns the root directory of the repository.
pub(crate) fn repository_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).map(Path::to_path_buf).unwrap_or_default()
}

/// Returns the target directory that this program was built into.
pub(crate) fn target_dir() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let release = program.ancestors().find(|folder| folder.ends_with("release") || folder.ends_with("debug"));
    release.and_then(Path::parent).map_or_else(|| repository_root().join("target"), Path::to_path_buf)
}

/// Returns the path of the tool: `PB_DEPLOY_BIN`, or else the release binary in the target directory of this program.
pub(crate) fn tool_path() -> Result<PathBuf, Problem> {
    let configured = std::env::var_os("PB_DEPLOY_BIN").map(PathBuf::from);
    let path = configured.unwrap_or_else(|| target_dir().join("release").join("pb-deploy"));
    let hint = "build it with `cargo xtask test`, or set PB_DEPLOY_BIN";
    if path.exists() { Ok(path) } else { Err(format!("{} not found: {hint}", path.display())) }
}

/// Creates a temporary directory.
pub(crate) fn temp_dir(name: &str) -> Result<PathBuf, Problem> {
    let number = TEMP_DIRS.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("pb-torture-{}-{name}-{number}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|error| format!("failed to create {}: {error}", folder.display()))?;
    Ok(folder)
}

/// Returns a command that runs the Python of the emulator's installation, without the user's AWS credentials.
pub(crate) fn python() -> Result<Command, Problem> {
    let home = target_dir().join("emulator");
    let found = std::fs::read_dir(&home).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> = found.filter(|path| path.join("complete").exists()).collect();
    found.sort();
    let hint = "install it with `cargo xtask emulator start` or `cargo xtask test`";
    let venv = found.pop().ok_or_else(|| format!("no local endpoint found in {}: {hint}", home.display()))?;
    let mut command = Command::new(venv.join("bin").join("python"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("AWS_") {
            command.env_remove(name);
        }
    }
    command.env_remove("PYTHONPATH").env_remove("PYTHONHOME").env("PYTHONDONTWRITEBYTECODE", "1");
    command.env("AWS_CONFIG_FILE", "/dev/null").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null").arg("-s");
    Ok(command)
}

impl Emulator {
    /// Returns the endpoint that `PB_TEST_ENDPOINT` names, or starts an endpoint if the variable is not set.
    ///
    /// # Errors
    /// Fails if the endpoint is not installed or does not start.
    pub fn get() -> Result<Self, Problem> {
        match std::env::var("PB_TEST_ENDPOINT") {
            Ok(url) => Ok(Self { url: url.trim_end_matches('/').to_owned(), child: None }),
            Err(_) => Self::start(),
        }
    }

    /// Starts an endpoint.
    ///
    /// # Errors
    /// Fails if the endpoint is not installed or does not start.
    pub fn start() -> Result<Self, Problem> {
        let folder = temp_dir("endpoint")?;
        let (ready, log) = (folder.join("url"), folder.join("log"));
        let mut command = python()?;
        let root = repository_root();
        command.arg(root.join("xtask/src/emulator/launch.py")).args(["watched", "pb_emulator", "serve", "--port", "0"]);
        command
            .args(["--pace", TIME_FACTOR, "--ready-file"])
            .arg(&ready)
            .env("PB_EMULATOR_SOURCES", root.join("emulator"));
        let failed = |error: std::io::Error| format!("failed to start the local endpoint: {error}");
        let out = std::fs::File::create(&log).map_err(failed)?;
        command.stdout(Stdio::null()).stderr(out).stdin(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        let end = Instant::now() + START_TIMEOUT;
        loop {
            if let Some(url) = std::fs::read_to_string(&ready).ok().filter(|url| url.ends_with('\n')) {
                // The directory is not needed any more: the URL has been read, and the log matters only if the endpoint
                // does not start.
                let _ = std::fs::remove_dir_all(&folder);
                return Ok(Self { url: url.trim().to_owned(), child: Some(Mutex::new(child)) });
            }
            if Instant::now() > end || !matches!(child.try_wait(), Ok(None)) {
                let mut text = String::new();
                let _ = std::fs::File::open(&log).and_then(|mut file| file.read_to_string(&mut text));
                let _ = child.kill().and_then(|()| child.wait());
                return Err(format!("the local endpoint did not start:\n{text}"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        if let Some(child) = self.child.take() {
            let mut child = child.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
            // The endpoint can be killed, because it has no data that must be kept.
            let _ = child.kill().and_then(|()| child.wait());
        }
    }
}
