//! `status`: services, health, address and lock, at a glance.

use crate::cli::Global;
use crate::exit::{Error, Exit};
use crate::render::{self, BAD, BOLD, DIM, GOOD, WARN, paint};
use crate::site::{configured, connect, place};
use pb_edge::TargetHealth;
use pb_engine::Snapshot;
use pb_fargate::ServiceStatus;
use pb_state::{Holder, LeaseTable, Session, Store};
use serde::Serialize;

#[derive(Serialize)]
struct Status<'a> {
    workspace: &'a str,
    url: Option<&'a str>,
    deployed: bool,
    /// What a run that did not end was about.
    unfinished: Option<&'a str>,
    services: &'a [ServiceStatus],
    targets: &'a [TargetHealth],
    lock: Option<Lock<'a>>,
}

#[derive(Serialize)]
struct Lock<'a> {
    id: &'a str,
    who: &'a str,
    operation: &'a str,
    since: &'a str,
    fence: u64,
}

/// Shows services, health, address and lock. Changes nothing, and needs no more than the snapshot to know where to look.
///
/// # Errors
/// What a read fails with.
pub async fn status(global: &Global, name: &str) -> Result<Exit, Error> {
    let workspace = configured(global, name)?;
    let aws = connect(global, &workspace).await?;
    let place = place(&workspace);
    let store = Store::new(&aws, &place);
    let leases = LeaseTable::new(&aws, &place, global.timing());
    let names: Vec<String> = workspace.names.services().map(str::to_owned).collect();
    let (snapshot, holder, services) = tokio::join!(
        Session::read_only(&store),
        leases.peek(),
        pb_fargate::status(&aws, &workspace.names.cluster, &names)
    );
    let (snapshot, holder, services) = (snapshot?, holder?, services?);
    let mut targets = Vec::new();
    for group in services.iter().flat_map(|service| &service.target_groups) {
        targets.extend(pb_edge::target_health(&aws, group).await?);
    }
    let status = Status {
        workspace: name,
        url: snapshot.outputs.get("url").and_then(|url| url.as_str()),
        deployed: !snapshot.resources.is_empty(),
        unfinished: snapshot.intents.as_ref().map(|intents| intents.operation.as_str()),
        services: &services,
        targets: &targets,
        lock: holder.as_ref().map(lock),
    };
    if global.json {
        render::document(&status)?;
    } else {
        show(&status, &snapshot);
    }
    Ok(Exit::Done)
}

fn lock(holder: &Holder) -> Lock<'_> {
    let Holder { id, who, operation, since, fence, .. } = holder;
    Lock { id, who, operation, since, fence: *fence }
}

fn show(status: &Status<'_>, snapshot: &Snapshot) {
    let resources = render::count(snapshot.resources.len(), "resource");
    let state = if status.deployed { resources } else { paint(DIM, "not deployed") };
    anstream::println!("{}  {state}  {}", paint(BOLD, status.workspace), status.url.unwrap_or_default());
    for service in status.services {
        let full = service.running == service.desired && service.rollout.as_deref() == Some("COMPLETED");
        let rollout = service.rollout.as_deref().unwrap_or("no deployment");
        let counts = format!("{} of {} running, {} pending", service.running, service.desired, service.pending);
        let revision = service.revision.as_deref().unwrap_or_default();
        let style = if full { GOOD } else { WARN };
        anstream::println!("  {:<20} {}  {rollout}  {}", service.name, paint(style, counts), paint(DIM, revision));
    }
    for target in status.targets {
        let style = if target.state == "healthy" { GOOD } else { BAD };
        let reason = target.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
        anstream::println!("  {:<20} {}{reason}", target.address, paint(style, &target.state));
    }
    if let Some(operation) = status.unfinished {
        anstream::println!("  {} a run to {operation} did not end; run it again to finish", paint(WARN, "unfinished:"));
    }
    match &status.lock {
        Some(lock) => anstream::println!(
            "  {} by {} ({}, since {}), id {}",
            paint(WARN, "locked"),
            lock.who,
            lock.operation,
            lock.since,
            lock.id
        ),
        None => anstream::println!("  {}", paint(DIM, "not locked")),
    }
}
