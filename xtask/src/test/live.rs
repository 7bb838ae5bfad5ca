//! Safeguards of the tests on AWS, so that nobody runs them by accident.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use crate::emulator;
use crate::failure::Failure;
use crate::project::{self, Project};
use crate::summary::Outcome;

/// Environment variable with the account that may be used. The tests compare it with the account of the credentials.
pub const ACCOUNT: &str = "PB_LIVE_ACCOUNT";
/// Environment variable with the path of the configuration, which names region, hostname, zone, bucket, lock table and
/// role.
pub const CONFIG: &str = "PB_LIVE_CONFIG";
/// Environment variable that makes the tests run on AWS.
const LIVE: &str = "PB_TEST_LIVE";
/// Notice that is shown before anything is created.
pub const COST: &str = "\
The tests on AWS create one workspace with a random name, change it several times, and destroy it. For about half an
hour they use a load balancer, a cache node, some Fargate tasks and their public addresses, which costs less than one US
dollar. If they are interrupted, `tests/integration/sweep.py` lists and removes the remaining resources.";

/// Checks that the user has named an account and a configuration.
///
/// # Errors
///
/// Fails if the account or the configuration is missing, or if the account is invalid.
pub fn check(variable: impl Fn(&str) -> Option<String>) -> Result<(), Failure> {
    let refuse = |what: &str| Err(Failure::unavailable(format!("the target `aws` needs {what}\n\n{COST}")));
    match variable(ACCOUNT) {
        None => return refuse(&format!("{ACCOUNT}, the id of the account that it may use")),
        Some(account) if account.len() != 12 || !account.bytes().all(|byte| byte.is_ascii_digit()) => {
            return refuse(&format!("an account id of 12 digits in {ACCOUNT}, not `{account}`"));
        }
        Some(_) => {}
    }
    if variable(CONFIG).is_none_or(|path| path.trim().is_empty()) {
        return refuse(&format!("{CONFIG}, the path of a configuration for tests whose prerequisites exist"));
    }
    Ok(())
}

/// Runs the live scenarios one after another, with the user's credentials.
///
/// # Errors
///
/// Fails if Python cannot be installed or run.
pub fn run(
    project: &Project,
    folder: &Path,
    filters: &[String],
    variables: &[(&str, &OsStr)],
) -> Result<Outcome, Failure> {
    let mut command = Command::new(emulator::python(project)?);
    project::remove_cargo_variables(&mut command);
    // These tests must run on AWS, so settings for a local endpoint or an emulator are removed.
    project::remove_variables(&mut command, |name| {
        name.starts_with("AWS_ENDPOINT_URL") || name.starts_with("PB_TEST_") || name.starts_with("PYTHON")
    });
    command.env("PYTHONDONTWRITEBYTECODE", "1").env(LIVE, "1").env("PYTEST_ADDOPTS", "-n 0");
    super::run_pytest(command, folder, filters, variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(account: Option<&str>, config: Option<&str>) -> String {
        let variable = |name: &str| if name == ACCOUNT { account } else { config }.map(str::to_owned);
        match check(variable) {
            Ok(()) => String::new(),
            Err(failure) => {
                assert!(format!("{:?}", failure.exit_code()).contains("69"), "{failure}");
                failure.to_string()
            }
        }
    }

    #[test]
    fn live_tests_require_account_and_configuration() {
        assert!(refused(None, Some("a.toml")).contains(ACCOUNT));
        assert!(refused(Some("12345678901"), Some("a.toml")).contains("12 digits"));
        assert!(refused(Some("12345678901x"), Some("a.toml")).contains("12345678901x"));
        let text = refused(Some("123456789012"), None);
        assert!(text.contains(CONFIG) && text.contains("one US"), "{text}");
        assert_eq!(refused(Some("123456789012"), Some("a.toml")), "");
    }
}
