//! `scale`: sets the number of tasks of services.

use crate::cli::{Consent, Global, WaitOptions};
use crate::exit::{Error, Exit};
use crate::output::reporter::Reporter;
use crate::run::pipeline::Pipeline;
use crate::run::service_change::ServiceRun;
use crate::run::session::StoredState;
use crate::stack::names;
use crate::workspace::deployed;
use pb_config::{OtherService, Workspace};
use pb_engine::Operation;
use pb_fargate::ServiceChange;
use pb_rules::capacity::{Needs, subnet_has_room};
use std::collections::BTreeMap;

/// Sets the number of tasks of services.
///
/// # Errors
/// An error before the run begins: a count that the service cannot have, a lease that another run holds.
pub async fn scale(
    global: &Global,
    name: &str,
    counts: &[(String, i32)],
    consent: &Consent,
    wait: &WaitOptions,
) -> Result<Exit, Error> {
    let context = deployed::open(global, name).await?;
    let mut changes = BTreeMap::new();
    check_addresses(&context.workspace, counts)?;
    for (key, count) in counts {
        let address = deployed::service_address(&context, key)?;
        check_count(&context.workspace, key, *count)?;
        changes.insert(address, ServiceChange::Count(*count));
    }
    let reporter = Reporter::new(global.json, global.verbose);
    let run = ServiceRun::new(&context, Operation::Scale, changes, consent, wait);
    let exit = Pipeline::new(&reporter, &StoredState::new(&context), &context, consent).run(&run).await?;
    counts.iter().for_each(|(key, _)| reporter.message(&afterwards(&context.workspace, key)));
    Ok(exit)
}

/// Refuses counts for which the subnet of the tasks has too few addresses.
fn check_addresses(workspace: &Workspace, counts: &[(String, i32)]) -> Result<(), Error> {
    let mut services = workspace.services.clone();
    for (key, count) in counts {
        if let Some(service) = services.get_mut(key) {
            service.count = *count;
        }
    }
    let needs = Needs::addresses(services.tasks(workspace.deploy.before.as_ref()));
    subnet_has_room(workspace.network.tasks_subnet, needs)
        .map_err(|why| Error::usage(format!("invalid count: {why}"), "choose lower counts"))
}

/// Refuses a count that the service cannot have.
fn check_count(workspace: &Workspace, key: &str, count: i32) -> Result<(), Error> {
    let Some((_, service)) = workspace.services.all().find(|(known, _)| *known == key) else { return Ok(()) };
    let (min, max) = (service.min_healthy_percent.into(), service.max_percent.into());
    let rule = match workspace.services.others.get(key) {
        Some(OtherService::Scheduler(_)) => pb_rules::fargate::scheduler_count(count.into()),
        _ => pb_rules::fargate::desired_count(count.into()),
    };
    rule.and_then(|()| pb_rules::fargate::rollout_can_progress(count.into(), min, max))
        .map_err(|why| Error::usage(format!("invalid count for {key}: {why}"), "choose another count"))
}

/// Describes the effect of the next deploy on a count that was set by hand.
fn afterwards(workspace: &Workspace, key: &str) -> String {
    if workspace.ignore_changes.contains(&names::desired_count(key)) {
        return format!(
            "A deploy leaves the count of {key} alone (`ignore_changes`); other tools can still change it."
        );
    }
    match workspace.services.all().any(|(known, service)| known == key && service.keep_scale) {
        true => format!("A deploy keeps this count of {key} until `count` is changed in the configuration."),
        false => format!("The next deploy goes back to the configured count of {key}, unless `keep_scale` is set."),
    }
}
