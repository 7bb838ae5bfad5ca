//! The tools that are measured.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde_json::json;

use crate::bench::measure::Invocation;
use crate::bench::phase::Phase;
use crate::bench::{pb_deploy, terraform};
use crate::emulator;
use crate::failure::{self, Failure};
use crate::project::Project;

/// Values that the stacks of both tools share.
pub const REGION: &str = "us-east-2";
pub const HOSTNAME: &str = "bench.example.org";
pub const LOCK_TABLE: &str = "bench-lock";
pub const EXECUTION_ROLE: &str = "ecsTaskExecutionRole";
pub const WORKSPACE: &str = "staging";
pub const WORKERS: u32 = 4;
/// Log retention in days, before and after the one-field update.
pub const LOG_DAYS: [u32; 2] = [30, 60];

/// A tool that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// `pb-deploy`.
    PbDeploy,
    /// Terraform with its AWS provider.
    Terraform,
}

impl Tool {
    /// Returns the name of the tool in the report.
    pub fn name(self) -> &'static str {
        match self {
            Self::PbDeploy => "pb-deploy",
            Self::Terraform => "Terraform",
        }
    }
}

impl FromStr for Tool {
    type Err = Failure;

    fn from_str(name: &str) -> Result<Self, Failure> {
        match name {
            "ours" => Ok(Self::PbDeploy),
            "terraform" => Ok(Self::Terraform),
            _ => Err(Failure::usage(format!("unknown tool `{name}`; expected ours or terraform"))),
        }
    }
}

/// A separate account for one tool in one round, with a folder for the tool's files.
#[derive(Debug)]
pub struct Sandbox {
    /// The tool that uses the account.
    pub tool: Tool,
    /// Account id of twelve digits, which the emulator derives from an access key of the same digits.
    pub account: String,
    /// Working directory of the tool.
    pub folder: PathBuf,
    /// URL of the endpoint.
    pub url: String,
}

impl Sandbox {
    /// Creates the folder, and the prerequisites of a deploy in the account.
    ///
    /// # Errors
    ///
    /// Fails if the folder cannot be written, or if the endpoint refuses to create the prerequisites.
    pub fn create(tool: Tool, number: u32, url: &str, home: &Path) -> Result<Self, Failure> {
        let account = format!("7{number:011}");
        let folder = home.join(&account);
        failure::create_folder(&folder)?;
        let sandbox = Self { tool, account, folder, url: url.to_owned() };
        let wanted = json!({
            "account": sandbox.account, "region": REGION, "bucket": sandbox.bucket(), "table": LOCK_TABLE, "zone": HOSTNAME,
            "role": EXECUTION_ROLE, "stand_in_images": true,
        });
        emulator::ensure_prerequisites(url, &wanted)?;
        Ok(sandbox)
    }

    /// Returns the name of the state bucket. It contains the account id, because bucket names are unique across all
    /// accounts.
    pub fn bucket(&self) -> String {
        format!("bench-{}", self.account)
    }

    /// Prepares the tool for its phases; this is not measured.
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be written or a command fails.
    pub fn prepare(&self, project: &Project) -> Result<(), Failure> {
        match self.tool {
            Tool::PbDeploy => pb_deploy::configure(self, LOG_DAYS[0]),
            Tool::Terraform => terraform::initialise(self, project),
        }
    }

    /// Returns the command of a phase; for the update, first changes the tool's configuration.
    ///
    /// # Errors
    ///
    /// Fails if the configuration cannot be written.
    pub fn command(&self, phase: Phase, program: &Path) -> Result<Invocation, Failure> {
        if phase == Phase::Update {
            match self.tool {
                Tool::PbDeploy => pb_deploy::configure(self, LOG_DAYS[1])?,
                Tool::Terraform => terraform::configure(self, LOG_DAYS[1])?,
            }
        }
        let arguments = match self.tool {
            Tool::PbDeploy => pb_deploy::arguments(phase),
            Tool::Terraform => terraform::arguments(phase),
        };
        Ok(self.call(program, &arguments))
    }

    /// Returns an invocation of a program in this account, without the user's environment.
    pub fn call(&self, program: &Path, arguments: &[&str]) -> Invocation {
        let folder = self.folder.display().to_string();
        let mut environment = vec![
            ("PATH".to_owned(), std::env::var("PATH").unwrap_or_default()),
            ("HOME".to_owned(), folder.clone()),
            ("USER".to_owned(), "bench".to_owned()),
            ("AWS_ACCESS_KEY_ID".to_owned(), self.account.clone()),
            ("AWS_SECRET_ACCESS_KEY".to_owned(), "bench".to_owned()),
            ("AWS_ENDPOINT_URL".to_owned(), self.url.clone()),
            ("AWS_REGION".to_owned(), REGION.to_owned()),
            ("AWS_EC2_METADATA_DISABLED".to_owned(), "true".to_owned()),
        ];
        if self.tool == Tool::Terraform {
            environment.extend(terraform::environment(&self.folder));
        }
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        Invocation { program: program.to_owned(), arguments, folder: self.folder.clone(), environment }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invocation_inherits_no_user_settings() {
        let sandbox =
            Sandbox { tool: Tool::PbDeploy, account: "7".into(), folder: "/f".into(), url: "http://h:1".into() };
        let call = sandbox.call(Path::new("/bin/tool"), &["plan"]);
        let names: Vec<&str> = call.environment.iter().map(|(name, _)| &**name).collect();
        assert!(!names.contains(&"AWS_PROFILE") && !names.contains(&"TF_CLI_CONFIG_FILE"), "{names:?}");
        assert!(call.environment.contains(&("HOME".into(), "/f".into())));
        let sandbox = Sandbox { tool: Tool::Terraform, ..sandbox };
        let call = sandbox.call(Path::new("/bin/tool"), &["plan"]);
        assert!(call.environment.iter().any(|(name, _)| name == "TF_CLI_CONFIG_FILE"));
    }

    #[test]
    fn tool_names_are_parsed() {
        assert_eq!("ours".parse::<Tool>().unwrap(), Tool::PbDeploy);
        assert_eq!("terraform".parse::<Tool>().unwrap(), Tool::Terraform);
        "Terraform".parse::<Tool>().unwrap_err();
    }
}
