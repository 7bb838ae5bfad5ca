//! Lower bound for the duration of a deploy or destroy: the critical path of the calls and waits that AWS requires.
//!
//! A link starts when the links that it needs are done, and lasts for one call, for one wait on the endpoint, or for
//! both. No tool can be faster than the path: a wait lasts as long as the endpoint's table says, and the response that
//! reports its end can arrive at that moment. Calls for state and lock, reads, and everything else that a tool may
//! choose to do are not included.

use std::collections::BTreeMap;

use crate::failure::Failure;

/// The endpoint's table: durations in seconds by name.
pub type Timings = BTreeMap<String, f64>;

/// A call or wait that AWS requires, with the links that must be done before.
#[derive(Debug)]
pub struct Link {
    name: &'static str,
    needs: &'static [&'static str],
    /// `true` if the link includes a call.
    call: bool,
    /// Name of the wait's duration in the endpoint's table; `None` for a call alone.
    takes: Option<&'static str>,
}

#[cfg(test)]
impl Link {
    /// Returns the name of the wait's duration in the endpoint's table.
    pub fn takes(&self) -> Option<&'static str> {
        self.takes
    }
}

const fn call(name: &'static str, needs: &'static [&'static str]) -> Link {
    Link { name, needs, call: true, takes: None }
}

const fn wait(name: &'static str, needs: &'static [&'static str], takes: &'static str) -> Link {
    Link { name, needs, call: false, takes: Some(takes) }
}

/// Last link of a deploy that waits for the rollout; other deploys leave it out.
pub const ROLLED_OUT: &str = "rollout complete";

/// Links of a deploy; each comes after the links that it needs.
pub const DEPLOY: &[Link] = &[
    call("CreateVpc", &[]),
    call("CreateInternetGateway", &[]),
    call("AttachInternetGateway", &["CreateVpc", "CreateInternetGateway"]),
    call("CreateSubnet", &["CreateVpc"]),
    call("CreateSecurityGroup", &["CreateVpc"]),
    call("CreateCacheSubnetGroup", &["CreateSubnet"]),
    call("CreateCacheParameterGroup", &[]),
    call("CreateReplicationGroup", &["CreateCacheSubnetGroup", "CreateCacheParameterGroup", "CreateSecurityGroup"]),
    wait("cache node available", &["CreateReplicationGroup"], "cache_creating"),
    call("CreateLoadBalancer", &["CreateSubnet", "CreateSecurityGroup", "AttachInternetGateway"]),
    wait("load balancer active", &["CreateLoadBalancer"], "alb_provisioning"),
    call("CreateTargetGroup", &["CreateVpc"]),
    call("CreateListener", &["CreateLoadBalancer", "CreateTargetGroup"]),
    call("ChangeResourceRecordSets", &["CreateLoadBalancer"]),
    wait("record in sync", &["ChangeResourceRecordSets"], "record_insync"),
    call("CreateCluster", &[]),
    call("CreateLogGroup", &[]),
    call("RegisterTaskDefinition, with the queue's address", &["cache node available", "CreateLogGroup"]),
    call(
        "CreateService",
        &["RegisterTaskDefinition, with the queue's address", "CreateCluster", "CreateListener", "CreateSecurityGroup"],
    ),
    wait(ROLLED_OUT, &["CreateService"], "service_steady"),
];

/// Links of a destroy; each comes after the links that it needs.
pub const DESTROY: &[Link] = &[
    call("DeleteService", &[]),
    wait("service inactive", &["DeleteService"], "service_draining"),
    wait("tasks stopped", &["DeleteService"], "task_stopping"),
    wait("tasks' interfaces gone", &["tasks stopped"], "interfaces_linger"),
    call("DeleteCluster", &["service inactive", "tasks stopped"]),
    call("DeleteLoadBalancer", &[]),
    wait("load balancer's interfaces gone", &["DeleteLoadBalancer"], "interfaces_linger"),
    call("DeleteTargetGroup", &["DeleteLoadBalancer"]),
    call("DeleteReplicationGroup", &[]),
    wait("cache node gone", &["DeleteReplicationGroup"], "cache_deleting"),
    wait("cache node's interface gone", &["cache node gone"], "interfaces_linger"),
    call("DeleteCacheSubnetGroup", &["cache node gone"]),
    call(
        "DeleteSubnet, DeleteSecurityGroup",
        &[
            "tasks' interfaces gone",
            "load balancer's interfaces gone",
            "cache node's interface gone",
            "DeleteCacheSubnetGroup",
        ],
    ),
    call("DetachInternetGateway", &["tasks' interfaces gone", "load balancer's interfaces gone"]),
    call("DeleteInternetGateway", &["DetachInternetGateway"]),
    call("DeleteVpc", &["DeleteSubnet, DeleteSecurityGroup", "DetachInternetGateway"]),
];

/// A link of the critical path with its duration.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Name of the call or wait.
    pub name: &'static str,
    /// Name of the duration in the endpoint's table, if the link includes a wait.
    pub takes: Option<&'static str>,
    /// Duration in seconds.
    pub seconds: f64,
}

/// A critical path, whose duration is the lower bound.
#[derive(Debug, Clone, PartialEq)]
pub struct LowerBound {
    /// The links of the path, in order.
    pub chain: Vec<Step>,
}

impl LowerBound {
    /// Returns the duration of the path in seconds.
    pub fn seconds(&self) -> f64 {
        self.chain.iter().map(|step| step.seconds).sum()
    }
}

/// Returns the critical path of all links, except those in `without`.
///
/// # Errors
///
/// Fails if the table lacks a duration.
pub fn lower_bound(links: &[Link], without: &[&str], timings: &Timings, latency: f64) -> Result<LowerBound, Failure> {
    let mut chains: BTreeMap<&str, LowerBound> = BTreeMap::new();
    for link in links.iter().filter(|link| !without.contains(&link.name)) {
        let before = link.needs.iter().filter_map(|need| chains.get(need));
        let mut chain = before.max_by(|one, other| one.seconds().total_cmp(&other.seconds())).cloned();
        let chain = chain.get_or_insert_with(|| LowerBound { chain: Vec::new() });
        chain.chain.push(step(link, timings, latency)?);
        chains.insert(link.name, chain.clone());
    }
    let longest = chains.into_values().max_by(|one, other| one.seconds().total_cmp(&other.seconds()));
    Ok(longest.unwrap_or(LowerBound { chain: Vec::new() }))
}

fn step(link: &Link, timings: &Timings, latency: f64) -> Result<Step, Failure> {
    let waited = match link.takes {
        Some(name) => {
            *timings.get(name).ok_or_else(|| Failure::new(format!("the endpoint has no duration `{name}`")))?
        }
        None => 0.0,
    };
    let seconds = waited + if link.call { latency } else { 0.0 };
    Ok(Step { name: link.name, takes: link.takes, seconds })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn timings(pairs: &[(&str, f64)]) -> Timings {
        let names = DEPLOY.iter().chain(DESTROY).filter_map(|link| link.takes);
        let mut timings: Timings = names.map(|name| (name.to_owned(), 0.0)).collect();
        timings.extend(pairs.iter().map(|&(name, seconds)| (name.to_owned(), seconds)));
        timings
    }

    fn names(lower_bound: &LowerBound) -> Vec<&str> {
        lower_bound.chain.iter().map(|step| step.name).collect()
    }

    #[test]
    fn links_follow_their_dependencies() {
        for links in [DEPLOY, DESTROY] {
            let mut known = BTreeSet::new();
            for link in links {
                assert!(link.needs.iter().all(|need| known.contains(need)), "{link:?}");
                assert!(known.insert(link.name), "{link:?} is there twice");
            }
        }
    }

    #[test]
    fn deploy_bound_is_cache_then_rollout() {
        let timings = timings(&[("cache_creating", 39.0), ("service_steady", 9.0), ("alb_provisioning", 15.0)]);
        let found = lower_bound(DEPLOY, &[], &timings, 0.04).unwrap();
        assert!((found.seconds() - (48.0 + 6.0 * 0.04)).abs() < 1e-9, "{found:?}");
        assert_eq!(names(&found).first(), Some(&"CreateVpc"));
        assert_eq!(names(&found).last(), Some(&ROLLED_OUT));
        let without_rollout = lower_bound(DEPLOY, &[ROLLED_OUT], &timings, 0.04).unwrap();
        assert!((without_rollout.seconds() - (39.0 + 6.0 * 0.04)).abs() < 1e-9, "{without_rollout:?}");
    }

    #[test]
    fn slow_load_balancer_is_the_critical_path() {
        let timings = timings(&[("cache_creating", 39.0), ("alb_provisioning", 150.0)]);
        let found = lower_bound(DEPLOY, &[], &timings, 0.04).unwrap();
        assert_eq!(names(&found).last(), Some(&"load balancer active"));
        assert!((found.seconds() - (150.0 + 3.0 * 0.04)).abs() < 1e-9, "{found:?}");
    }

    #[test]
    fn destroy_bound_is_cache_and_its_interface() {
        let timings = timings(&[("cache_deleting", 33.0), ("interfaces_linger", 18.0), ("task_stopping", 3.0)]);
        let found = lower_bound(DESTROY, &[], &timings, 0.04).unwrap();
        assert!((found.seconds() - (51.0 + 3.0 * 0.04)).abs() < 1e-9, "{found:?}");
        assert_eq!(names(&found).last(), Some(&"DeleteVpc"));
    }

    #[test]
    fn missing_duration_is_an_error() {
        let text = lower_bound(DEPLOY, &[], &Timings::new(), 0.0).unwrap_err().to_string();
        assert!(text.contains("`cache_creating`"), "{text}");
    }
}
