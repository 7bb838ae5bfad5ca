//! `scale`: sets the number of tasks of services.

use crate::cli::{Consent, Global, WaitOptions};
use crate::exit::{Error, Exit};
use crate::output::reporter::Reporter;
use crate::run::releases;
use crate::run::service_change::{ChangeRequest, DeployedWorkspace, ServiceChange, change};
use pb_config::{OtherService, Workspace};
use std::collections::BTreeMap;

/// Sets the number of tasks of services.
///
/// # Errors
/// The errors of [`change`]; a count that the service cannot have.
pub async fn scale(
    global: &Global,
    name: &str,
    counts: &[(String, i32)],
    consent: &Consent,
    wait: &WaitOptions,
) -> Result<Exit, Error> {
    let deployed = DeployedWorkspace::open(global, name).await?;
    let mut changes = BTreeMap::new();
    for (key, count) in counts {
        let address = deployed.address(key)?;
        let check = |service: &pb_config::Service| {
            let rule = match deployed.workspace.services.others.get(key) {
                Some(OtherService::Scheduler(_)) => pb_rules::fargate::scheduler_count((*count).into()),
                _ => pb_rules::fargate::desired_count((*count).into()),
            };
            rule.and_then(|()| {
                let (min, max) = (service.min_healthy_percent.into(), service.max_percent.into());
                pb_rules::fargate::rollout_can_progress((*count).into(), min, max)
            })
        };
        let service = deployed.workspace.services.all().find(|(known, _)| known == key).map(|(_, service)| service);
        if let Some(Err(why)) = service.map(check) {
            return Err(Error::usage(format!("invalid count for {key}: {why}"), "choose another count"));
        }
        changes.insert(address, ServiceChange::Count(*count));
    }
    let request = ChangeRequest { operation: "scale", changes: &changes, repair_routing: false };
    let exit = change(global, &deployed, &request, consent, wait).await?;
    let reporter = Reporter::new(global.json, global.verbose);
    counts.iter().for_each(|(key, _)| reporter.message(&afterwards(&deployed.workspace, key)));
    Ok(exit)
}

/// Describes the effect of the next deploy on a count that was set by hand.
fn afterwards(workspace: &Workspace, key: &str) -> String {
    let field = format!("{}.desired_count", releases::address(key));
    if workspace.ignore_changes.contains(&field) {
        return format!(
            "A deploy leaves the count of {key} alone (`ignore_changes`); other tools can still change it."
        );
    }
    match workspace.services.all().any(|(known, service)| known == key && service.keep_scale) {
        true => format!("A deploy keeps this count of {key} until `count` is changed in the configuration."),
        false => format!("The next deploy goes back to the configured count of {key}, unless `keep_scale` is set."),
    }
}
