//! Checks of the account: quotas, IP addresses, the engine and node type of the queue, permissions.

use super::check::{Check, Verdict};
use super::{permissions, quotas};
use crate::workspace::availability::listed;
use crate::workspace::queue_version;
use aws_config::SdkConfig;
use pb_config::Workspace;
use pb_engine::{Failure, Snapshot};
use pb_redis::{Offer, VersionOffer};
use pb_rules::capacity::{Needs, usable_addresses};

/// Makes all checks of the account in parallel.
pub async fn checks(aws: &SdkConfig, workspace: &Workspace, snapshot: &Snapshot) -> Vec<Check> {
    let redis = &workspace.redis;
    let version = redis.version.clone().or_else(|| queue_version::recorded(snapshot, redis.engine));
    let (room, offered, allowed) = tokio::join!(
        quotas::checks(aws, workspace, snapshot),
        pb_redis::offerings(aws, redis.engine.as_str(), version.as_deref(), &redis.node_type),
        permissions::check(aws, workspace),
    );
    let mut checks = room;
    checks.push(addresses(workspace));
    checks.push(engine(version.as_deref(), offered.version, workspace));
    checks.push(offer("node type", "node_type", redis.node_type.clone(), offered.node_type, workspace));
    checks.push(allowed);
    checks
}

/// Checks whether the engine version is offered, and names newer ones. Without a version, names the one of a new queue.
fn engine(version: Option<&str>, found: Result<VersionOffer, Failure>, workspace: &Workspace) -> Check {
    const NAME: &str = "engine";
    let engine = workspace.redis.engine.as_str();
    let (offer, newer) = match found {
        Ok(VersionOffer { offer, newer }) => (Ok(offer), newer),
        Err(failure) => (Err(failure), Vec::new()),
    };
    let wanted = match (version, newer.last()) {
        (Some(version), _) => format!("{engine} {version}"),
        (None, Some(newest)) => return Check::good(NAME, format!("{engine} {newest}, the newest version")),
        (None, None) => engine.to_owned(),
    };
    let mut check = self::offer(NAME, "version", wanted, offer, workspace);
    if check.verdict == Verdict::Good && !newer.is_empty() {
        check
            .found
            .push_str(&format!("; newer: {} (an upgrade with `redis.version` keeps the jobs)", newer.join(", ")));
    }
    check
}

/// Checks whether an engine version or a node type is offered, which the configuration's key `redis.KEY` sets.
fn offer(name: &str, key: &str, wanted: String, offer: Result<Offer, Failure>, workspace: &Workspace) -> Check {
    match offer {
        Ok(Offer::Offered) => Check::good(name, wanted),
        Ok(Offer::NotOffered(others)) => {
            let found = format!("{wanted} is not offered in {}{}", workspace.region, listed(&others));
            Check::bad(name, found, format!("choose another `redis.{key}`"))
        }
        Ok(Offer::Unlisted) => Check::new(name, Verdict::Unknown, "the endpoint does not list what it offers"),
        Err(failure) => Check::failed(name, Verdict::Unknown, &failure),
    }
}

/// Checks whether the subnet of the tasks has enough IP addresses for the queue, the load balancer and all tasks that
/// run during a rollout of all services. With less, some new tasks fail until old ones have stopped, and the circuit
/// breaker counts them. The configuration is refused if there are not even enough addresses for one additional task.
fn addresses(workspace: &Workspace) -> Check {
    let subnet = workspace.network.tasks_subnet;
    let needs = Needs::addresses(workspace.services.tasks(workspace.deploy.before.as_ref()));
    let (needed, free) = (needs.all, usable_addresses(subnet));
    let found = format!("needs {needed} addresses during a rollout of all services; {subnet} has {free}");
    match needed <= free {
        true => Check::good("addresses", found),
        false => {
            let found = format!("{found}, so some new tasks fail, and the circuit breaker may end the rollout");
            Check::warning("addresses", found, "choose a larger `network.tasks_subnet`, or lower `max_percent`")
        }
    }
}
