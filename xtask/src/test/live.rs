//! The guards of the tests on AWS itself: nobody gets there by accident.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use crate::emulator;
use crate::failure::Failure;
use crate::project::{self, Project};
use crate::summary::Outcome;

/// The account that may be used, as its owner says it; the tests compare it with the one that the credentials are for.
pub const ACCOUNT: &str = "PB_LIVE_ACCOUNT";
/// The configuration: region, hostname, zone, bucket, lock table and role are taken from it.
pub const CONFIG: &str = "PB_LIVE_CONFIG";
/// Set for the tests when they are to run on AWS.
const LIVE: &str = "PB_TEST_LIVE";
/// What is said before anything is made.
pub const COST: &str = "\
The tests on AWS make one workspace of a random name, several times changed, and remove it. For about half an hour they
hold a load balancer, a cache node, a few Fargate tasks and their public addresses: that costs less than one US dollar.
If they are interrupted, `tests/integration/sweep.py` lists and removes what they left.";

/// Whether the person has said which account, and with which configuration.
///
/// # Errors
///
/// Not both are said, or the account is none.
pub fn check(variable: impl Fn(&str) -> Option<String>) -> Result<(), Failure> {
    let refuse = |what: &str| Err(Failure::unavailable(format!("the target `aws` needs {what}\n\n{COST}")));
    match variable(ACCOUNT) {
        None => return refuse(&format!("the account that may be used in {ACCOUNT}")),
        Some(account) if account.len() != 12 || !account.bytes().all(|byte| byte.is_ascii_digit()) => {
            return refuse(&format!("the 12 digits of an account in {ACCOUNT}, not `{account}`"));
        }
        Some(_) => {}
    }
    if variable(CONFIG).is_none_or(|path| path.trim().is_empty()) {
        return refuse(&format!("a configuration for tests, with what has to be there already, in {CONFIG}"));
    }
    Ok(())
}

/// Runs the live scenarios, one after the other, with the person's own credentials.
///
/// # Errors
///
/// Python cannot be installed or run.
pub fn run(
    project: &Project,
    folder: &Path,
    filters: &[String],
    variables: &[(&str, &OsStr)],
) -> Result<Outcome, Failure> {
    let mut command = Command::new(emulator::python(project)?);
    project::remove_cargo_variables(&mut command);
    // Neither a local endpoint of the person's nor one of ours may stand in for AWS here.
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
        assert!(text.contains(CONFIG) && text.contains("US dollar"), "{text}");
        assert_eq!(refused(Some("123456789012"), Some("a.toml")), "");
    }
}
