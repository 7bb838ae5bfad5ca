//! Terraform as a measured tool, with an equivalent stack: the one that the wire tests migrate to pb-deploy.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::bench::measure;
use crate::bench::phase::Phase;
use crate::bench::tool::{EXECUTION_ROLE, HOSTNAME, LOCK_TABLE, LOG_DAYS, Sandbox, WORKERS, WORKSPACE};
use crate::failure::{self, Failure};
use crate::project::Project;

/// Name of Terraform's program.
pub const PROGRAM: &str = "terraform";
/// Path of the stack, relative to the project's root.
const STACK: &str = "tests/integration/terraform/main.tf";
/// Variable with the folder of an already downloaded provider, as in the wire tests.
const PLUGINS_VARIABLE: &str = "PB_TEST_TERRAFORM_PLUGINS";
const PLUGINS: &str = "/opt/tf-plugins";
/// File with a configuration of Terraform's command line that replaces the user's.
const CLI_CONFIG: &str = "cli.tfrc";

/// Returns Terraform's arguments in a phase.
pub fn arguments(phase: Phase) -> Vec<&'static str> {
    let command: &[&str] = match phase {
        Phase::PlanFromNothing | Phase::PlanWithoutChanges => &["plan", "-detailed-exitcode"],
        Phase::Deploy | Phase::Update => &["apply", "-auto-approve"],
        Phase::Destroy => &["destroy", "-auto-approve"],
    };
    [command, &["-input=false", "-no-color"]].concat()
}

/// Returns the environment variables that Terraform needs.
pub fn environment(folder: &Path) -> Vec<(String, String)> {
    let config = folder.join(CLI_CONFIG).display().to_string();
    let all = [("TF_CLI_CONFIG_FILE", &*config), ("TF_IN_AUTOMATION", "1"), ("CHECKPOINT_DISABLE", "1")];
    all.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Returns Terraform's version, if it is installed.
pub fn version() -> Option<String> {
    let mut command = Command::new(PROGRAM);
    command.args(["version", "-json"]).env("CHECKPOINT_DISABLE", "1").stdin(Stdio::null()).stderr(Stdio::null());
    let output = command.output().ok()?;
    let answer: Value = serde_json::from_slice(&output.stdout).ok()?;
    answer["terraform_version"].as_str().map(str::to_owned)
}

/// Returns the provider version that the stack requires.
///
/// # Errors
///
/// Fails if the stack cannot be read, or does not require a provider version.
pub fn provider_version(project: &Project) -> Result<String, Failure> {
    let stack = failure::read(&project.root.join(STACK))?;
    let found = provider_of(&stack).map(str::to_owned);
    found.ok_or_else(|| Failure::new(format!("{STACK} does not require a version of the AWS provider")))
}

fn provider_of(stack: &str) -> Option<&str> {
    let (_, after) = stack.split_once("source = \"hashicorp/aws\", version = \"")?;
    Some(after.split_once('"')?.0)
}

/// Writes the stack to the tool's folder, and creates its Terraform workspace.
///
/// # Errors
///
/// Fails if a file cannot be written, or if Terraform cannot install its provider.
pub fn initialise(sandbox: &Sandbox, project: &Project) -> Result<(), Failure> {
    failure::write(&sandbox.folder.join("main.tf"), &failure::read(&project.root.join(STACK))?)?;
    failure::write(&sandbox.folder.join(CLI_CONFIG), &cli_config(&plugins()))?;
    configure(sandbox, LOG_DAYS[0])?;
    let bucket = format!("-backend-config=bucket={}", sandbox.bucket());
    let table = format!("-backend-config=dynamodb_table={LOCK_TABLE}");
    let program = Path::new(PROGRAM);
    measure::prepare(
        &sandbox.call(program, &["init", "-input=false", &bucket, &table]),
        &sandbox.folder.join("init.log"),
    )?;
    measure::prepare(&sandbox.call(program, &["workspace", "new", WORKSPACE]), &sandbox.folder.join("workspace.log"))
}

/// Writes the file with the values of the stack's variables.
///
/// # Errors
///
/// Fails if the file cannot be written.
pub fn configure(sandbox: &Sandbox, log_days: u32) -> Result<(), Failure> {
    let values = json!({
        "endpoint": sandbox.url, "hostname": HOSTNAME, "execution_role": EXECUTION_ROLE, "workers": WORKERS,
        "log_days": log_days,
    });
    failure::write(&sandbox.folder.join("terraform.tfvars.json"), &values.to_string())
}

fn plugins() -> PathBuf {
    std::env::var_os(PLUGINS_VARIABLE).map_or_else(|| PLUGINS.into(), PathBuf::from)
}

/// Returns a command-line configuration that names the provider's folder if it exists; else Terraform downloads the
/// provider.
fn cli_config(plugins: &Path) -> String {
    match plugins.is_dir() {
        true => format!("provider_installation {{ filesystem_mirror {{ path = {:?} }} }}\n", plugins.display()),
        false => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn existing_plugin_folder_is_used() {
        let folder = tempfile::tempdir().unwrap();
        assert!(cli_config(folder.path()).contains("filesystem_mirror"));
        assert_eq!(cli_config(&folder.path().join("none")), "");
    }

    #[test]
    fn stack_declares_every_variable() {
        let project = Project::find().unwrap();
        let stack = std::fs::read_to_string(project.root.join(STACK)).unwrap();
        for name in ["endpoint", "hostname", "execution_role", "workers", "log_days"] {
            assert!(stack.contains(&format!("variable \"{name}\"")), "{name}");
        }
        assert!(provider_version(&project).unwrap().starts_with("5."));
        assert_eq!(provider_of("terraform {}"), None);
    }

    #[test]
    fn only_plans_use_detailed_exit_codes() {
        for phase in Phase::ALL {
            let plans = matches!(phase, Phase::PlanFromNothing | Phase::PlanWithoutChanges);
            assert_eq!(arguments(phase).contains(&"-detailed-exitcode"), plans, "{phase:?}");
        }
    }
}
