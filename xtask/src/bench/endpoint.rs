//! The endpoint of one setting: a separate process that both tools use.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::bench::lower_bound::Timings;
use crate::bench::setting::Setting;
use crate::emulator::process::{self, ScopedProcess};
use crate::emulator::{MODULE, log_tail};
use crate::failure::{self, Failure};
use crate::http;
use crate::project::Project;

const TIMEOUT: Duration = Duration::from_secs(10);

/// A running endpoint, which is stopped when this value is dropped.
#[derive(Debug)]
pub struct Endpoint {
    process: ScopedProcess,
    log: PathBuf,
}

impl Endpoint {
    /// Starts an endpoint that keeps its files in `folder`.
    ///
    /// # Errors
    ///
    /// Fails if the endpoint does not start.
    pub fn start(project: &Project, python: &Path, setting: Setting, folder: &Path) -> Result<Self, Failure> {
        failure::create_folder(folder)?;
        let log = folder.join("endpoint.log");
        let mut command = process::command(project, python, "watched", MODULE);
        command.args(["--port", "0"]).args(setting.arguments());
        let process = ScopedProcess::start(command, &folder.join("url"), &log)?;
        Ok(Self { process, log })
    }

    /// Returns the URL of the endpoint.
    pub fn url(&self) -> &str {
        &self.process.url
    }

    /// Returns the timings that the endpoint reports.
    ///
    /// # Errors
    ///
    /// Fails if the endpoint does not answer, or answers without timings.
    pub fn timings(&self) -> Result<Timings, Failure> {
        let failed = |why: String| {
            let tail = log_tail(&self.log);
            Failure::new(format!("failed to read the timings of {}: {why}\n{tail}", self.process.url))
        };
        let answer = http::get(&self.process.url, "/_pb/health", TIMEOUT).map_err(failed)?;
        timings(&answer.body).ok_or_else(|| failed(format!("no timings in {}", answer.body)))
    }
}

fn timings(text: &str) -> Option<Timings> {
    let document: Value = serde_json::from_str(text).ok()?;
    document["pace"].as_object()?.iter().map(|(name, value)| Some((name.clone(), value.as_f64()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timings_table_is_parsed() {
        let read = timings(r#"{"status": "ok", "pace": {"cache_creating": 39.0, "ec2_visible": 0}}"#).unwrap();
        assert_eq!(read, Timings::from([("cache_creating".to_owned(), 39.0), ("ec2_visible".to_owned(), 0.0)]));
        assert_eq!(timings(r#"{"status": "ok"}"#), None);
        assert_eq!(timings(r#"{"pace": {"cache_creating": "long"}}"#), None);
    }
}
