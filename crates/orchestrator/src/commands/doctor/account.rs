//! Checks of the account: quotas, IP addresses, the engine and node type of the queue, permissions.

use super::check::{Check, Verdict};
use super::{permissions, quotas};
use aws_config::SdkConfig;
use pb_config::Workspace;
use pb_engine::Snapshot;

/// Numbers of IP addresses in a subnet: those that AWS reserves for itself, and those that the load balancer may use.
const RESERVED_BY_AWS: i64 = 5;
const LOAD_BALANCER_ADDRESSES: i64 = 8;

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

/// Checks whether the subnet of the tasks has enough IP addresses for the queue, the load balancer and all tasks, even
/// during a rollout.
fn addresses(workspace: &Workspace) -> Check {
    let subnet = workspace.network.tasks_subnet;
    let size = 1_i64 << (32 - subnet.prefix_len());
    let tasks: i64 = workspace
        .services
        .all()
        .map(|(_, service)| i64::from(service.count) * i64::from(service.max_percent.max(100)) / 100)
        .sum();
    let (needed, free) = (tasks + 1 + LOAD_BALANCER_ADDRESSES, size - RESERVED_BY_AWS);
    let found = format!("needs {needed} addresses during a rollout of all services; {subnet} has {free}");
    match needed <= free {
        true => Check::good("addresses", found),
        false => Check::bad("addresses", found, "choose a larger `network.tasks_subnet`, or fewer tasks"),
    }
}
