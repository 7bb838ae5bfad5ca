//! What the wire tests run against.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::emulator;
use crate::emulator::process::{self, Watched};

use crate::failure::{self, Failure};
use crate::http;
use crate::project::Project;

/// Longest wait for a running endpoint to take a connection.
const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// What `--target` takes, for people.
const KNOWN: &str = "`emulator`, or the URL of a running endpoint such as http://127.0.0.1:4566";

/// What the wire tests run against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A fresh emulator.
    Emulator,
    /// An endpoint that is running.
    Url(String),
}

impl FromStr for Target {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        match text {
            "emulator" => Ok(Self::Emulator),
            url if url.starts_with("http://") || url.starts_with("https://") => match http::authority(url) {
                Ok(_) => Ok(Self::Url(url.trim_end_matches('/').to_owned())),
                Err(why) => Err(Failure::usage(format!("{why}\n  hint: there are {KNOWN}"))),
            },
            other => Err(Failure::usage(format!("there is no target `{other}`: there are {KNOWN}"))),
        }
    }
}

/// A target that answers. What was started for it ends with this value.
#[derive(Debug)]
pub struct Endpoint {
    /// Where it answers.
    pub url: String,
    started: Option<Started>,
}

#[derive(Debug)]
struct Started {
    _emulator: Watched,
    folder: PathBuf,
}

impl Target {
    /// Makes the target answer.
    ///
    /// # Errors
    ///
    /// It cannot be installed or started, or nothing listens there.
    pub fn start(&self, project: &Project) -> Result<Endpoint, Failure> {
        match self {
            Self::Emulator => start_emulator(project),
            Self::Url(url) => match http::listens(url, CONNECT_WAIT) {
                Ok(()) => Ok(Endpoint { url: url.clone(), started: None }),
                Err(why) => Err(Failure::new(format!("nothing listens at {url}: {why}"))),
            },
        }
    }
}

/// An emulator of its own: another one than `--local` uses, and one for each run of the tests.
fn start_emulator(project: &Project) -> Result<Endpoint, Failure> {
    let home = project.emulator_home();
    let python = emulator::python(project)?;
    let folder = home.join(format!("test-{}", std::process::id()));
    failure::make_folder(&folder)?;
    let mut command = process::command(project, &python, "watched");
    command.args(["--port", "0"]);
    let emulator = Watched::start(command, &folder.join("url"), &folder.join("log"))?;
    Ok(Endpoint { url: emulator.url.clone(), started: Some(Started { _emulator: emulator, folder }) })
}

impl Endpoint {
    /// Ends what was started; its log is kept if something failed, and named.
    pub fn finish(self, failed: bool) {
        let Some(Started { _emulator: emulator, folder }) = self.started else {
            return;
        };
        drop(emulator);
        if failed {
            eprintln!("the endpoint's log is {}", folder.join("log").display());
        } else {
            // What is left costs a few kilobytes.
            let _ = std::fs::remove_dir_all(&folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn targets_that_are_known() {
        assert_eq!("emulator".parse::<Target>().unwrap(), Target::Emulator);
        let url = Target::Url("http://localhost:4566".into());
        assert_eq!("http://localhost:4566/".parse::<Target>().unwrap(), url);
    }

    #[test]
    fn targets_that_are_not() {
        for wrong in ["", "Emulator", "moon", "localhost:4566", "http://"] {
            let text = wrong.parse::<Target>().unwrap_err().to_string();
            assert!(text.contains("emulator"), "{wrong}: {text}");
        }
    }

    #[test]
    fn a_url_has_to_answer() {
        let project = Project::find().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = Target::Url(format!("http://{}", listener.local_addr().unwrap()));
        target.start(&project).unwrap().finish(false);
        drop(listener);
        assert!(target.start(&project).unwrap_err().to_string().contains("nothing listens"));
    }
}
