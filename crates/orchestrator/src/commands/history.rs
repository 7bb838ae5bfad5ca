//! `history`: the revisions of each service, with their image, release and outcome.

use crate::cli::Global;
use crate::exit::{Error, Exit};
use crate::output::console;
use crate::output::{BAD, BOLD, DIM, GOOD, paint};
use crate::workspace::deployed;
use crate::workspace::recorded_names;
use pb_engine::{Address, Operation, ReleaseOutcome, Snapshot};
use pb_fargate::{RevisionInfo, ServiceDeployment};
use serde::Serialize;
use std::collections::BTreeSet;

/// Number of revisions of each service that are shown.
const MAX_REVISIONS: usize = 20;

/// Outcome that is shown for a rollout that succeeded according to ECS.
const SUCCESSFUL: &str = "successful";

#[derive(Serialize)]
struct Service<'a> {
    service: &'a str,
    revisions: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    revision: String,
    in_use: bool,
    /// The image as it was configured or given on the command line, if it is recorded.
    asked: Option<String>,
    image: String,
    when: Option<String>,
    who: Option<String>,
    operation: Option<Operation>,
    outcome: Option<String>,
}

/// Shows the revisions of the services, to which `rollback` can return.
///
/// # Errors
/// A read that fails.
pub async fn history(global: &Global, name: &str) -> Result<Exit, Error> {
    let context = deployed::open(global, name).await?;
    let names: Vec<String> = context.workspace.names.services().map(str::to_owned).collect();
    let running = pb_fargate::status(&context.aws, &context.workspace.names.cluster, &names).await?;
    let running: BTreeSet<&str> = running.iter().filter_map(|service| service.revision.as_deref()).collect();
    let mut services = Vec::new();
    for (key, _) in context.workspace.services.all() {
        let Some(service) = context.workspace.names.service(key) else { continue };
        let family = recorded_names::family(&context.workspace, &context.snapshot, key);
        let address = deployed::service_address(&context, key)?;
        let (revisions, rollouts) = tokio::join!(
            pb_fargate::active_revisions(&context.aws, &family, MAX_REVISIONS),
            pb_fargate::service_deployments(&context.aws, &context.workspace.names.cluster, service)
        );
        // The state records the releases too, so the output is useful even if ECS does not return the rollouts.
        let (revisions, rollouts) = (revisions?, rollouts.unwrap_or_default());
        let revisions =
            revisions.iter().map(|revision| row(&context.snapshot, &address, revision, &rollouts, &running)).collect();
        services.push(Service { service: key, revisions });
    }
    if global.json {
        console::document(&services)?;
    } else {
        services.iter().for_each(show);
    }
    Ok(Exit::Done)
}

fn row(
    snapshot: &Snapshot,
    address: &Address,
    revision: &RevisionInfo,
    rollouts: &[ServiceDeployment],
    running: &BTreeSet<&str>,
) -> Row {
    let mut releases = snapshot.releases.iter().rev();
    let last = releases.find_map(|release| {
        let released = release.services.get(address).filter(|released| released.to == revision.arn)?;
        Some((release, released))
    });
    let asked = snapshot.releases.iter().rev().find_map(|release| {
        release.services.get(address).filter(|released| released.to == revision.arn)?.image.clone()
    });
    let rolled = rollouts.iter().find(|rolled| rolled.task_definition == revision.arn);
    let by_ecs = rolled.map(|rolled| rolled.status.to_lowercase().replace('_', " "));
    let outcome = match (last.map(|(_, released)| &released.outcome), by_ecs) {
        (None | Some(ReleaseOutcome::NotWaited), by_ecs) => by_ecs,
        // ECS knows the outcome that the run did not wait for.
        (Some(open), Some(_)) if open.is_open() && rolled.is_some_and(ServiceDeployment::succeeded) => {
            Some(SUCCESSFUL.to_owned())
        }
        (Some(open), Some(by_ecs)) if open.is_open() => Some(format!("{open}; in ECS: {by_ecs}")),
        (Some(known), _) => Some(known.to_string()),
    };
    Row {
        revision: revision.name.clone(),
        in_use: running.contains(revision.name.as_str()),
        asked,
        image: revision.images.values().next().cloned().unwrap_or_default(),
        when: last.map(|(release, _)| release.at.clone()).or_else(|| revision.registered.clone()),
        who: last.map(|(release, _)| release.who.clone()).or_else(|| revision.registered_by.clone()),
        operation: last.map(|(release, _)| release.operation),
        outcome,
    }
}

fn show(service: &Service<'_>) {
    console::print(paint(BOLD, service.service));
    for row in &service.revisions {
        let mark = if row.in_use { paint(GOOD, "*") } else { " ".to_owned() };
        let (name, digest) = row.image.split_once('@').unwrap_or((row.image.as_str(), ""));
        let image = match (&row.asked, digest) {
            (Some(asked), "") => asked.clone(),
            (Some(asked), digest) => format!("{asked} {}", short(digest)),
            (None, "") => name.rsplit('/').next().unwrap_or(name).to_owned(),
            (None, digest) => short(digest).to_owned(),
        };
        let outcome = row.outcome.as_deref().unwrap_or("not released");
        let style = if [ReleaseOutcome::Succeeded.as_str(), SUCCESSFUL].contains(&outcome) { GOOD } else { BAD };
        console::print(format!(
            "{mark} {:<24} {image:<32} {}  {:<28} {} {}",
            row.revision,
            row.when.as_deref().unwrap_or_default(),
            row.who.as_deref().unwrap_or_default(),
            paint(DIM, row.operation.map_or("", Operation::as_str)),
            paint(style, outcome)
        ));
    }
}

/// Returns the first digits of a digest, enough to distinguish it from others.
fn short(digest: &str) -> &str {
    digest.get(.."sha256:".len() + 12).unwrap_or(digest)
}
