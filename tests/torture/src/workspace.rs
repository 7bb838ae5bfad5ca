//! Test workspace: an account of its own in the endpoint, a directory with a configuration, and runs of the tool in
//! this directory.

use crate::emulator::{temp_dir, tool_path};
use crate::process::{RunResult, RunningProcess};
use crate::random::Random;
use crate::{Problem, exchange};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

const REGION: &str = "us-east-2";
const TABLE: &str = "locks";
const ROLE: &str = "ecsTaskExecutionRole";
static ACCOUNTS: AtomicU64 = AtomicU64::new(0);

/// Configuration values that the tests change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestConfig {
    /// Port of Flask. It is part of the target group's name, so another port replaces the target group.
    pub port: u16,
    /// Number of workers.
    pub workers: u32,
    /// Retention of logs in days; a single call changes it.
    pub retention: u32,
    /// Port that tasks may reach in addition to HTTPS.
    pub egress: u16,
}

impl TestConfig {
    /// Returns the configuration of the first deploy.
    #[must_use]
    pub fn initial() -> Self {
        Self { port: 5050, workers: 1, retention: 30, egress: 8443 }
    }

    /// Returns a changed configuration, for which an update replaces, creates, deletes and updates resources.
    #[must_use]
    pub fn changed() -> Self {
        Self { port: 6060, workers: 2, retention: 60, egress: 9443 }
    }

    fn toml(&self, bucket: &str) -> String {
        let Self { port, workers, retention, egress } = self;
        format!(
            r#"region = "{REGION}"
hostname = "example.test"
[state]
bucket = "{bucket}"
lock_table = "{TABLE}"
[roles]
execution = "{ROLE}"
[network]
egress = [
  {{ protocol = "tcp", port = 443, cidr = "0.0.0.0/0", description = "HTTPS" }},
  {{ protocol = "tcp", port = {egress}, cidr = "0.0.0.0/0", description = "more" }},
]
[logs]
retention_days = {retention}
[services.flask]
image = "registry.example/app:1"
port = {port}
[services.celery]
image = "registry.example/app:1"
count = {workers}
[deploy]
wait_timeout = 60
[workspace.staging]
"#
        )
    }
}

/// A test workspace: an account of its own in the endpoint, with the prerequisites of a deploy, and a directory.
#[derive(Debug)]
pub struct TestWorkspace {
    /// URL of the endpoint.
    pub endpoint: String,
    /// Account id, which is also the access key id.
    pub account: String,
    /// Bucket of the state.
    pub bucket: String,
    lease_seconds: u32,
    tool: PathBuf,
    folder: PathBuf,
    runs: AtomicUsize,
}

impl TestWorkspace {
    /// Creates a workspace whose leases last `lease_seconds`.
    ///
    /// # Errors
    /// Fails if the endpoint does not respond or the tool does not exist.
    pub fn new(endpoint: &str, lease_seconds: u32) -> Result<Self, Problem> {
        let number = ACCOUNTS.fetch_add(1, Ordering::Relaxed);
        let random = Random::new(Random::fresh_seed() ^ number.rotate_left(40)).next_number();
        let account = (100_000_000_000 + random % 900_000_000_000).to_string();
        let bucket = format!("state-{account}");
        let request = json!({
            "bucket": bucket, "table": TABLE, "zone": "example.test", "role": ROLE, "region": REGION,
            "account": account,
        });
        exchange(endpoint, "POST", "/_pb/preconditions", &request.to_string())?;
        let endpoint = endpoint.to_owned();
        let runs = AtomicUsize::new(0);
        Ok(Self { endpoint, account, bucket, lease_seconds, tool: tool_path()?, folder: temp_dir("workspace")?, runs })
    }

    /// Starts the tool with the endpoint `url`.
    ///
    /// # Errors
    /// Fails if the tool cannot be started.
    pub fn start(&self, url: &str, config: &TestConfig, arguments: &[&str]) -> Result<RunningProcess, Problem> {
        let number = self.runs.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.join(number.to_string());
        let config_file = path.with_extension("toml");
        let text = config.toml(&self.bucket);
        std::fs::write(&config_file, text)
            .map_err(|error| format!("failed to write {}: {error}", config_file.display()))?;
        let mut command = Command::new(&self.tool);
        command.args(arguments).current_dir(&self.folder).env_clear();
        for (name, value) in std::env::vars_os() {
            let name_text = name.to_string_lossy();
            if !name_text.starts_with("AWS_") && !name_text.starts_with("PB_") {
                command.env(name, value);
            }
        }
        command.env("HOME", &self.folder).env("USER", "tester").env("HOSTNAME", "test-host");
        command.env("PB_DEPLOY_CONFIG", config_file).env("PB_DEPLOY_LEASE_SECONDS", self.lease_seconds.to_string());
        command.env("AWS_ENDPOINT_URL", url).env("AWS_ACCESS_KEY_ID", &self.account);
        command.env("AWS_SECRET_ACCESS_KEY", "test").env("AWS_EC2_METADATA_DISABLED", "true");
        RunningProcess::start(command, format!("pb-deploy {}", arguments.join(" ")), &path)
    }

    /// Runs the tool, without a proxy, until it has exited.
    ///
    /// # Errors
    /// Fails if the tool does not exit in time.
    pub fn run(&self, config: &TestConfig, arguments: &[&str]) -> Result<RunResult, Problem> {
        self.start(&self.endpoint, config, arguments)?.ended()
    }

    /// Runs a deploy or destroy to completion. Repeats the command if the machine was too slow for the short lease.
    ///
    /// # Errors
    /// Fails if the run fails for another reason.
    pub fn finish(&self, config: &TestConfig, command: &str) -> Result<RunResult, Problem> {
        let mut last = self.run(config, &[command, "staging", "--yes"])?;
        for _ in 0..4 {
            if !last.lost_its_short_lease() {
                break;
            }
            last = self.run(config, &[command, "staging", "--yes"])?;
        }
        last.expect_code(0)
    }

    /// Returns the snapshot, as read by `state show`.
    ///
    /// # Errors
    /// Fails if the tool cannot read the snapshot.
    pub fn state(&self, config: &TestConfig) -> Result<Value, Problem> {
        self.json(config, &["state", "show", "staging", "--json"])
    }

    /// Returns the JSON output of a command.
    ///
    /// # Errors
    /// Fails if the command fails or its output is not JSON.
    pub fn json(&self, config: &TestConfig, arguments: &[&str]) -> Result<Value, Problem> {
        let ended = self.run(config, arguments)?.expect_code(0)?;
        serde_json::from_str(&ended.stdout)
            .map_err(|error| format!("the output of {} is not JSON: {error}", ended.command))
    }
}

impl Drop for TestWorkspace {
    fn drop(&mut self) {
        // Files that cannot be removed take only a few kilobytes.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
