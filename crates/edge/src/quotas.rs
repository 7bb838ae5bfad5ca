//! Quota usage of the load balancers, target groups and listener rules that a plan creates.

#[cfg(test)]
mod tests;

use crate::LoadBalancerClient as Client;
use crate::load_balancers::listeners;
use crate::target_group;
use crate::{Listener, ListenerRule, ListenerRuleSpec, LoadBalancer, TargetGroup};
use aws_sdk_elasticloadbalancingv2::types::{LoadBalancerTypeEnum, TargetGroup as Group};
use futures_util::future::try_join_all;
use pb_aws::ForOperation;
use pb_engine::{Address, Failure, Planned, is_unknown};
use pb_rules::quotas::{
    LOAD_BALANCERS, RULES_PER_LOAD_BALANCER, TARGET_GROUPS, TARGET_GROUPS_PER_LOAD_BALANCER, Usage,
};
use std::collections::{BTreeMap, BTreeSet};

/// Returns the usage of each quota whose default a plan exceeds, with the address of the first planned resource that
/// counts towards it. The quotas are those for load balancers and target groups in the region, and for rules and target
/// groups of a load balancer.
///
/// Rules of a listener that does not exist yet are not counted, because its load balancer has no other rules. No call
/// is made unless the plan creates a load balancer, a target group or a rule.
///
/// # Errors
/// The error of a call to AWS.
pub async fn quota_usage(client: &Client, planned: &Planned<'_>) -> Result<Vec<(Address, Usage)>, Failure> {
    let mut found = Vec::new();
    let load_balancers = planned.added::<LoadBalancer>();
    if let Some((first, _)) = load_balancers.first() {
        let (of, now) = ("this region".to_owned(), load_balancer_count(client).await?);
        let more = load_balancers.len();
        found.push((first.clone(), Usage { quota: &LOAD_BALANCERS, of, what: "load balancers", now, more }));
    }
    found.extend(target_usage(client, planned).await?);
    found.retain(|(_, usage)| usage.exceeds_default());
    Ok(found)
}

/// Returns the number of application load balancers in the region, managed or not.
///
/// # Errors
/// The error of `DescribeLoadBalancers`.
pub async fn load_balancer_count(client: &Client) -> Result<usize, Failure> {
    let all = client.describe_load_balancers().into_paginator().items().send();
    let all: Vec<_> = all.try_collect().await.for_operation("elasticloadbalancing:DescribeLoadBalancers")?;
    let others = [LoadBalancerTypeEnum::Network, LoadBalancerTypeEnum::Gateway];
    Ok(all.iter().filter(|one| one.r#type().is_none_or(|kind| !others.contains(kind))).count())
}

/// Returns the usage of the quotas for target groups and rules.
async fn target_usage(client: &Client, planned: &Planned<'_>) -> Result<Vec<(Address, Usage)>, Failure> {
    let groups = planned.added::<TargetGroup>();
    let balancers = rules_by_load_balancer(planned);
    if groups.is_empty() && balancers.is_empty() {
        return Ok(Vec::new());
    }
    let all = target_group::all(client).await?;
    let mut found = Vec::new();
    if let Some((first, _)) = groups.first() {
        let of = "this region".to_owned();
        let (now, more) = (all.len(), groups.len());
        found.push((first.clone(), Usage { quota: &TARGET_GROUPS, of, what: "target groups", now, more }));
    }
    for (balancer, added) in balancers {
        let Some((first, _)) = added.first() else { continue };
        let of = format!("load balancer {}", name(planned, &balancer));
        let (now, more) = targets(&all, &balancer, &added);
        let quota = &TARGET_GROUPS_PER_LOAD_BALANCER;
        found.push((first.clone(), Usage { quota, of: of.clone(), what: "target groups", now, more }));
        let (now, more) = (rules(client, &balancer).await?, added.len());
        found.push((first.clone(), Usage { quota: &RULES_PER_LOAD_BALANCER, of, what: "listener rules", now, more }));
    }
    Ok(found)
}

/// Returns the rules that a plan adds to existing listeners, by ARN of the load balancer.
fn rules_by_load_balancer(planned: &Planned<'_>) -> BTreeMap<String, Vec<(Address, ListenerRuleSpec)>> {
    let mut found: BTreeMap<String, Vec<(Address, ListenerRuleSpec)>> = BTreeMap::new();
    let added = planned.added::<ListenerRule>();
    if added.is_empty() {
        return found;
    }
    let listeners = planned.managed::<Listener>();
    for (address, spec) in added {
        let listener = listeners.iter().find(|(_, _, attrs)| attrs.arn == spec.listener_arn);
        if let Some((_, _, attrs)) = listener {
            found.entry(attrs.load_balancer_arn.clone()).or_default().push((address, spec));
        }
    }
    found
}

fn name(planned: &Planned<'_>, balancer: &str) -> String {
    let load_balancers = planned.managed::<LoadBalancer>();
    load_balancers
        .into_iter()
        .find(|(_, _, attrs)| attrs.arn == balancer)
        .map_or(balancer.to_owned(), |(_, _, attrs)| attrs.name)
}

/// Returns the number of target groups of a load balancer, and the number of target groups that the added rules attach
/// to it.
fn targets(all: &[Group], balancer: &str, added: &[(Address, ListenerRuleSpec)]) -> (usize, usize) {
    let serves = |group: &&Group| group.load_balancer_arns().iter().any(|arn| arn == balancer);
    let existing: BTreeSet<&str> = all.iter().filter(serves).filter_map(Group::target_group_arn).collect();
    let wanted = added.iter().map(|(_, spec)| spec.target_group_arn.as_str());
    let (new, known): (Vec<&str>, Vec<&str>) = wanted.partition(|arn| is_unknown(arn));
    let known: BTreeSet<&str> = known.into_iter().filter(|arn| !existing.contains(arn)).collect();
    (existing.len(), new.len() + known.len())
}

/// Returns the number of rules of all listeners of a load balancer, not counting the default rules.
async fn rules(client: &Client, balancer: &str) -> Result<usize, Failure> {
    let (listeners, kind) = (listeners(client, balancer).await?, ListenerRule::new(client.clone()));
    let arns = listeners.iter().filter_map(|listener| listener.listener_arn());
    let rules = try_join_all(arns.map(|arn| kind.rules(arn))).await?;
    Ok(rules.iter().map(Vec::len).sum())
}
