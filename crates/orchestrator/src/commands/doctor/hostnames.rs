//! Checks whether clients reach the hostnames of the workspace, as far as the records of the hosted zone decide.

use super::check::{Check, Verdict};
use aws_config::SdkConfig;
use futures_util::future::join_all;
use pb_config::{OtherService, Workspace};
use pb_edge::{LoadBalancerAttrs, Zone};
use pb_engine::{Failure, Obstacle, Snapshot};

/// Checks each hostname for which a deploy creates a record.
pub async fn checks(aws: &SdkConfig, workspace: &Workspace, zone: &Zone, snapshot: &Snapshot) -> Vec<Check> {
    let record = snapshot.resources.get(pb_edge::names::LOAD_BALANCER);
    let balancer: Option<LoadBalancerAttrs> =
        record.and_then(|record| serde_json::from_value(record.attrs.clone()).ok());
    let balancer = balancer.map(|attrs| attrs.dns_name);
    join_all(hostnames(workspace).map(|(address, hostname)| {
        let balancer = balancer.as_deref();
        async move {
            let found = pb_edge::hostname_obstacles(aws, zone, hostname, balancer).await;
            check(hostname, found, snapshot.resources.contains_key(address.as_str()))
        }
    }))
    .await
}

/// Returns the address and name of each record.
fn hostnames(workspace: &Workspace) -> impl Iterator<Item = (String, &str)> {
    let own = (pb_edge::names::RECORD.to_owned(), workspace.names.hostname.as_str());
    let routes = workspace.services.others.values().filter_map(|other| match other {
        OtherService::Web(_, route) => Some(&route.records),
        OtherService::Workers(_) | OtherService::Scheduler(_) => None,
    });
    let others = routes.flatten().map(|host| (pb_edge::names::route_record(host), host.as_str()));
    std::iter::once(own).chain(others)
}

/// Converts the obstacles of a hostname. Some of them refuse only a deploy that creates or changes the record.
fn check(hostname: &str, found: Result<Vec<Obstacle>, Failure>, is_deployed: bool) -> Check {
    let name = format!("hostname {hostname}");
    let found = match found {
        Err(failure) => return Check::failed(&name, Verdict::Unknown, &failure),
        Ok(found) => found,
    };
    let is_bad = found.iter().any(|obstacle| obstacle.total || !is_deployed);
    let text: Vec<String> = found.into_iter().map(|obstacle| obstacle.why).collect();
    match (text.as_slice(), is_bad) {
        ([], _) => Check::good(&name, "no other record keeps clients from it"),
        (_, true) => Check::new(&name, Verdict::Bad, text.join("; ")),
        (_, false) => Check::new(&name, Verdict::Warning, text.join("; ")),
    }
}
