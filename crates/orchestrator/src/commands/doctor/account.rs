//! Checks of the account: quotas, IP addresses, the engine and node type of the queue, permissions.

use super::check::{Check, Verdict};
use super::{permissions, quotas};
use aws_config::SdkConfig;
use pb_config::Workspace;
use pb_engine::Snapshot;
use pb_rules::capacity::{Needs, usable_addresses};

/// Makes all checks of the account in parallel.
pub async fn checks(aws: &SdkConfig, workspace: &Workspace, snapshot: &Snapshot) -> Vec<Check> {
    let redis = &workspace.redis;
    let (room, offered, allowed) = tokio::join!(
        quotas::checks(aws, workspace, snapshot),
        pb_redis::offerings(aws, redis.engine.as_str(), &redis.version, &redis.node_type),
        permissions::check(aws, workspace),
    );
    let mut checks = room;
    checks.push(addresses(workspace));
    checks.push(match offered.version {
        Ok(true) => Check::good("engine", format!("{} {}", redis.engine.as_str(), redis.version)),
        Ok(false) => {
            let found = format!("{} {} is not offered in {}", redis.engine.as_str(), redis.version, workspace.region);
            Check::bad("engine", found, "choose another `redis.version`")
        }
        Err(failure) => Check::failed("engine", Verdict::Unknown, &failure),
    });
    checks.push(match offered.node_type {
        Ok(true) => Check::good("node type", &redis.node_type),
        Ok(false) => {
            let found = format!("{} is not offered in {}", redis.node_type, workspace.region);
            Check::bad("node type", found, "choose another `redis.node_type`")
        }
        Err(failure) => Check::failed("node type", Verdict::Unknown, &failure),
    });
    checks.push(allowed);
    checks
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
