//! `wait`: follows the latest releases to their end.

use crate::cli::{Global, WaitOptions};
use crate::exit::{Error, Exit};
use crate::output::reporter::Reporter;
use crate::run::wait::wait_for_releases;
use crate::workspace::deployed;

/// Waits until the latest releases serve. Changes nothing in AWS, but records the outcomes of the rollouts if the lease
/// is free.
///
/// # Errors
/// A read that fails. A rollout that failed is printed and decides the exit code.
pub async fn wait(global: &Global, name: &str, wait: &WaitOptions) -> Result<Exit, Error> {
    let context = deployed::open(global, name).await?;
    let reporter = Reporter::new(global.json, global.verbose);
    wait_for_releases(&reporter, &context, deployed::rollout_timeout(&context, wait)).await
}
