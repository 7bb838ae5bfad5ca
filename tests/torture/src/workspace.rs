//! An account of its own in the endpoint, a folder with a configuration, and the tool in it.

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

/// What is configured, as far as the tests change it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestConfig {
    /// The port of Flask: part of a name, so that another one replaces the target group.
    pub port: u16,
    /// How many workers.
    pub workers: u32,
    /// Days that logs are kept; one call changes it.
    pub retention: u32,
    /// Port that tasks may reach beside HTTPS.
    pub egress: u16,
}

impl TestConfig {
    /// What is deployed from nothing.
    #[must_use]
    pub fn initial() -> Self {
        Self { port: 5050, workers: 1, retention: 30, egress: 8443 }
    }

    /// A change of it: one thing is replaced, one made, one deleted, others updated.
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

/// An account of its own in the endpoint, with what a deploy needs, and a folder.
#[derive(Debug)]
pub struct TestWorkspace {
    /// The endpoint.
    pub endpoint: String,
    /// The account, which is the access key too.
    pub account: String,
    /// The bucket of the state.
    pub bucket: String,
    lease_seconds: u32,
    tool: PathBuf,
    folder: PathBuf,
    runs: AtomicUsize,
}

impl TestWorkspace {
    /// A new one, whose leases last so many seconds.
    ///
    /// # Errors
    /// When the endpoint does not answer, or the tool is not there.
    pub fn new(endpoint: &str, lease_seconds: u32) -> Result<Self, Problem> {
        let number = ACCOUNTS.fetch_add(1, Ordering::Relaxed);
        let random = Random::new(Random::fresh_seed() ^ number.rotate_left(40)).next_number();
        let account = (100_000_000_000 + random % 900_000_000_000).to_string();
        let bucket = format!("state-{account}");
        let request = json!({
            "bucket": bucket, "table": TABLE, "zone": "example.test", "role": ROLE, "region": REGION, "account": account,
        });
        exchange(endpoint, "POST", "/_pb/preconditions", &request.to_string())?;
        let endpoint = endpoint.to_owned();
        let runs = AtomicUsize::new(0);
        Ok(Self { endpoint, account, bucket, lease_seconds, tool: tool_path()?, folder: temp_dir("workspace")?, runs })
    }

    /// Starts the tool on the workspace of the tests, with its calls sent to `url`.
    ///
    /// # Errors
    /// When it cannot be started.
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

    /// Runs the tool to its end, straight to the endpoint.
    ///
    /// # Errors
    /// When it does not end.
    pub fn run(&self, config: &TestConfig, arguments: &[&str]) -> Result<RunResult, Problem> {
        self.start(&self.endpoint, config, arguments)?.ended()
    }

    /// Deploys or destroys until it is done. When the machine was too slow for the short lease, it is tried again.
    ///
    /// # Errors
    /// When it fails for another reason.
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

    /// What is remembered, through `state show`.
    ///
    /// # Errors
    /// When the tool cannot read it.
    pub fn state(&self, config: &TestConfig) -> Result<Value, Problem> {
        self.json(config, &["state", "show", "staging", "--json"])
    }

    /// What a query answers in JSON.
    ///
    /// # Errors
    /// When it fails, or answers something else.
    pub fn json(&self, config: &TestConfig, arguments: &[&str]) -> Result<Value, Problem> {
        let ended = self.run(config, arguments)?.expect_code(0)?;
        serde_json::from_str(&ended.stdout).map_err(|error| format!("{} gives no JSON: {error}", ended.command))
    }
}

impl Drop for TestWorkspace {
    fn drop(&mut self) {
        // What is left costs a few kilobytes.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
