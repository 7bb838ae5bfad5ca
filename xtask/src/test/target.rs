//! Targets of the wire tests.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::docker::{Container, Docker};
use crate::emulator::process::{self, ScopedProcess};
use crate::emulator::{self, Package};
use crate::failure::{self, Failure};
use crate::http;
use crate::project::Project;

/// Maximum number of emulators, equal to the maximum number of test processes.
const MAX_EMULATORS: usize = 4;
/// Longest wait for a connection to a running endpoint.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// LocalStack's Python module, next to the emulator's.
const LOCALSTACK_MODULE: &str = "pb_localstack";
/// Values of `--target`, for messages.
const TARGET_NAMES: &str = "`emulator`, `localstack`, `localstack-host`, `aws` or the URL of a running endpoint such as \
                     http://127.0.0.1:4566";

/// A target of the wire tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Emulators that are started for the run.
    Emulator,
    /// LocalStack in a container, with the user's licence.
    LocalStack,
    /// LocalStack's open edition in a process, with the plugin of this repository.
    LocalStackHost,
    /// An endpoint that is already running, by its URL.
    Url(String),
    /// AWS.
    Aws,
}

impl FromStr for Target {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        match text {
            "emulator" => Ok(Self::Emulator),
            "localstack" => Ok(Self::LocalStack),
            "localstack-host" => Ok(Self::LocalStackHost),
            "aws" => Ok(Self::Aws),
            url if url.starts_with("http://") || url.starts_with("https://") => match http::authority(url) {
                Ok(_) => Ok(Self::Url(url.trim_end_matches('/').to_owned())),
                Err(why) => Err(Failure::usage(format!("{why}\n  hint: expected {TARGET_NAMES}"))),
            },
            other => Err(Failure::usage(format!("unknown target `{other}`; expected {TARGET_NAMES}"))),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Emulator => "emulator",
            Self::LocalStack => "localstack",
            Self::LocalStackHost => "localstack-host",
            Self::Url(url) => url,
            Self::Aws => "aws",
        })
    }
}

/// A running target. Everything that was started for it is stopped when this value is dropped.
#[derive(Debug)]
pub struct Endpoint {
    /// URLs: one, or several of independent endpoints with the same behaviour.
    urls: Vec<String>,
    started: Option<Started>,
}

#[derive(Debug)]
enum Started {
    Processes { processes: Vec<ScopedProcess>, folder: PathBuf },
    Container(Container),
}

impl Target {
    /// Checks the requirements of the target, before anything is built for it.
    ///
    /// # Errors
    ///
    /// Fails if this machine lacks a requirement.
    pub fn check(&self) -> Result<(), Failure> {
        match self {
            Self::LocalStack => Docker::from_env().check(),
            Self::Aws => super::live::check(|name| std::env::var(name).ok()),
            Self::LocalStackHost => Package::LocalStack.check(),
            Self::Emulator | Self::Url(_) => Ok(()),
        }
    }

    /// Returns whether the crates' tests and examples also run against this target, which must have the emulator's
    /// control endpoints.
    pub fn runs_crate_tests(&self) -> bool {
        matches!(self, Self::Emulator | Self::Url(_))
    }

    /// Starts the target. For AWS there is nothing to start, and no URL.
    ///
    /// # Errors
    ///
    /// Fails if the target cannot be installed or started, or if nothing listens at its URL.
    pub fn start(&self, project: &Project) -> Result<Endpoint, Failure> {
        match self {
            Self::Emulator => start(project, Package::Emulator, emulator::MODULE, "test", emulators()),
            Self::LocalStackHost => start(project, Package::LocalStack, LOCALSTACK_MODULE, "localstack-test", 1),
            Self::LocalStack => {
                let container = Docker::from_env().start()?;
                Ok(Endpoint { urls: vec![container.url.clone()], started: Some(Started::Container(container)) })
            }
            Self::Url(url) => match http::check_listening(url, CONNECT_TIMEOUT) {
                Ok(()) => Ok(Endpoint { urls: vec![url.clone()], started: None }),
                Err(why) => Err(Failure::new(format!("nothing listens at {url}: {why}"))),
            },
            Self::Aws => Ok(Endpoint { urls: Vec::new(), started: None }),
        }
    }
}

/// Returns the number of emulators: one per core, because the tests use separate accounts.
fn emulators() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(MAX_EMULATORS)
}

/// Starts endpoint processes for this test run, separate from the process of `--local`.
fn start(project: &Project, package: Package, module: &str, name: &str, count: usize) -> Result<Endpoint, Failure> {
    let home = project.emulator_home();
    let python = emulator::python_of(project, package)?;
    let folder = home.join(format!("{name}-{}", std::process::id()));
    failure::create_folder(&folder)?;
    let processes = (1..=count).map(|number| {
        let mut command = process::command(project, &python, "watched", module);
        command.args(["--port", "0"]);
        if package == Package::LocalStack {
            command.arg("--folder").arg(folder.join(format!("files-{number}")));
        }
        ScopedProcess::start(command, &folder.join(format!("url-{number}")), &folder.join(format!("log-{number}")))
    });
    let processes = processes.collect::<Result<Vec<_>, _>>()?;
    let urls = processes.iter().map(|process| process.url.clone()).collect();
    Ok(Endpoint { urls, started: Some(Started::Processes { processes, folder }) })
}

impl Endpoint {
    /// Returns one URL of the target; empty for AWS.
    pub fn url(&self) -> &str {
        self.urls.first().map_or("", String::as_str)
    }

    /// Returns all URLs of the target, separated by spaces.
    pub fn urls(&self) -> String {
        self.urls.join(" ")
    }

    /// Stops everything that was started. If a step failed, the logs are kept and their folder is printed.
    pub fn finish(self, failed: bool) {
        match self.started {
            Some(Started::Processes { processes, folder }) => {
                drop(processes);
                if failed {
                    eprintln!("the endpoint's log is in {}", folder.display());
                } else {
                    // If this fails, the leftover only takes up some kilobytes.
                    let _ = std::fs::remove_dir_all(&folder);
                }
            }
            Some(Started::Container(container)) => drop(container),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn known_targets_are_parsed() {
        for target in [Target::Emulator, Target::LocalStack, Target::LocalStackHost, Target::Aws] {
            assert_eq!(target.to_string().parse::<Target>().unwrap(), target);
        }
        let url = Target::Url("http://localhost:4566".into());
        assert_eq!("http://localhost:4566/".parse::<Target>().unwrap(), url);
    }

    #[test]
    fn unknown_targets_are_refused() {
        for wrong in ["", "Emulator", "moon", "localhost:4566", "http://"] {
            let text = wrong.parse::<Target>().unwrap_err().to_string();
            assert!(text.contains("emulator") && text.contains("localstack-host"), "{wrong}: {text}");
        }
    }

    #[test]
    fn url_target_must_listen() {
        let project = Project::find().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = Target::Url(format!("http://{}", listener.local_addr().unwrap()));
        target.start(&project).unwrap().finish(false);
        drop(listener);
        assert!(target.start(&project).unwrap_err().to_string().contains("nothing listens"));
    }
}
