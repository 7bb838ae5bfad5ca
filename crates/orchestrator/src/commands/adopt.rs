//! `adopt`, `forget` and `state mv`.

use crate::cli::{AdoptOptions, Consent, Global};
use crate::exit::{Error, Exit};
use crate::output::reporter::Reporter;
use crate::run::ownership::{OwnershipRun, Task, imports};
use crate::run::pipeline::Pipeline;
use crate::run::session::StoredState;
use crate::workspace::stack_context::{RunOptions, StackContext};
use pb_engine::Goal;

/// Imports the given resources, or those of a Terraform state.
///
/// # Errors
/// An error before the run begins: a resource that cannot be imported, a lock that another run holds.
pub async fn adopt(global: &Global, name: &str, adoption: &AdoptOptions) -> Result<Exit, Error> {
    let repository = imports::repository(global, name, adoption).await?;
    let options = RunOptions { repository, ..RunOptions::default() };
    change(global, name, &options, Task::Adopt(adoption), (&adoption.consent, adoption.dry_run)).await
}

/// Stops managing the resources at the addresses.
///
/// # Errors
/// The errors of [`adopt`].
pub async fn forget(
    global: &Global,
    name: &str,
    addresses: &[String],
    consent: &Consent,
    dry_run: bool,
) -> Result<Exit, Error> {
    let addresses = addresses.iter().map(|text| imports::address(text)).collect::<Result<Vec<_>, _>>()?;
    change(global, name, &RunOptions::default(), Task::Forget(&addresses), (consent, dry_run)).await
}

/// Moves one resource, or all resources of a service, to another address.
///
/// # Errors
/// The errors of [`adopt`].
pub async fn move_addresses(
    global: &Global,
    name: &str,
    (from, to): (&str, &str),
    consent: &Consent,
    dry_run: bool,
) -> Result<Exit, Error> {
    change(global, name, &RunOptions::default(), Task::Move { from, to }, (consent, dry_run)).await
}

async fn change(
    global: &Global,
    name: &str,
    options: &RunOptions,
    task: Task<'_>,
    (consent, dry_run): (&Consent, bool),
) -> Result<Exit, Error> {
    let reporter = Reporter::new(global.json, global.verbose);
    let context = StackContext::open(global, name, Goal::Deploy, options).await?;
    let state = StoredState::new(&context.base);
    let pipeline = Pipeline::new(&reporter, &state, &context.base, consent);
    pipeline.run(&OwnershipRun { context: &context, reporter: &reporter, task, dry_run }).await
}
