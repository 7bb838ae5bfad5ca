//! `restart`: replaces the tasks of services.

use crate::cli::{Consent, Global, WaitOptions};
use crate::exit::{Error, Exit};
use crate::output::reporter::Reporter;
use crate::run::pipeline::Pipeline;
use crate::run::service_change::ServiceRun;
use crate::run::session::StoredState;
use crate::workspace::deployed;
use pb_engine::{Address, Operation};
use pb_fargate::ServiceChange;

/// Restarts all services, or the given ones. Their tasks are replaced in a rollout.
///
/// # Errors
/// An error before the run begins: a service that is not configured, a lease that another run holds.
pub async fn restart(
    global: &Global,
    name: &str,
    services: &[String],
    consent: &Consent,
    wait: &WaitOptions,
) -> Result<Exit, Error> {
    let context = deployed::open(global, name).await?;
    let addresses: Vec<Address> = match services {
        [] => deployed::services(&context).cloned().collect(),
        keys => keys.iter().map(|key| deployed::service_address(&context, key)).collect::<Result<_, _>>()?,
    };
    let changes = addresses.into_iter().map(|address| (address, ServiceChange::Restart)).collect();
    let reporter = Reporter::new(global.json, global.verbose);
    let run = ServiceRun::new(&context, Operation::Restart, changes, consent, wait);
    Pipeline::new(&reporter, &StoredState::new(&context), &context, consent).run(&run).await
}
