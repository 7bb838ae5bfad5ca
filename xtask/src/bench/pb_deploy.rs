//! `pb-deploy` as a measured tool.

use crate::bench::phase::Phase;
use crate::bench::tool::{EXECUTION_ROLE, HOSTNAME, LOCK_TABLE, REGION, Sandbox, WORKERS, WORKSPACE};
use crate::failure::{self, Failure};

/// Returns the arguments of `pb-deploy` in a phase.
pub fn arguments(phase: Phase) -> Vec<&'static str> {
    match phase {
        Phase::PlanFromNothing | Phase::PlanWithoutChanges => vec!["plan", WORKSPACE, "--detailed-exitcode"],
        Phase::Deploy | Phase::Update => vec!["deploy", WORKSPACE, "--yes"],
        // Terraform does not count the jobs in the queue.
        Phase::Destroy => vec!["destroy", WORKSPACE, "--yes", "--lose-jobs"],
    }
}

/// Writes the configuration of `pb-deploy`.
///
/// # Errors
///
/// Fails if the file cannot be written.
pub fn configure(sandbox: &Sandbox, log_days: u32) -> Result<(), Failure> {
    failure::write(&sandbox.folder.join("pb_deploy.toml"), &configuration(&sandbox.bucket(), log_days))
}

fn configuration(bucket: &str, log_days: u32) -> String {
    format!(
        "region = \"{REGION}\"\nhostname = \"{HOSTNAME}\"\n\n[state]\nbucket = \"{bucket}\"\n\
         lock_table = \"{LOCK_TABLE}\"\n\n[roles]\nexecution = \"{EXECUTION_ROLE}\"\n\n[logs]\n\
         retention_days = {log_days}\n\n[services.celery]\ncount = {WORKERS}\n\n[workspace.{WORKSPACE}]\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn update_changes_one_field() {
        let lines = |days: u32| configuration("b", days).lines().map(str::to_owned).collect::<Vec<_>>();
        let (before, after) = (lines(30), lines(60));
        let changed: Vec<&String> = after.iter().filter(|line| !before.contains(line)).collect();
        assert_eq!(changed, ["retention_days = 60"]);
        assert!(configuration("b", 30).parse::<toml::Table>().is_ok());
    }
}
