//! Interim specs of listener rules, with which requests move from one service to another without interruption.

use super::ListenerRuleSpec;
use pb_engine::{Awaited, Interim};
use std::collections::BTreeSet;

/// Host that no client requests. A new rule matches only this host until its service has healthy tasks.
const PLACEHOLDER_HOST: &str = "not-served-yet.invalid";

/// Distance between the priority of a new rule and its interim priority, which no other rule uses.
const INTERIM_OFFSET: i32 = 40_000;
/// Highest priority number. (Elastic Load Balancing API: CreateRule, `Priority`)
const MAX_PRIORITY: i32 = 50_000;

/// Returns the interim spec of a rule.
///
/// - ECS refuses a service whose target group has no load balancer, so a new rule must exist before its service. Until
///   the service has healthy tasks, the rule matches no request and has an interim priority, so that the rule that it
///   replaces can keep its own.
/// - A host or path that is removed from a rule stays in it until all other rules are updated. If hosts and paths
///   change together, there is no interim spec: the union of the old and the new patterns would match requests that
///   neither the old nor the new rule matches.
/// - A new redirect matches no request until all other rules have changed, those of its destination among them.
pub(super) fn interim_spec(
    old: Option<&ListenerRuleSpec>,
    new: &ListenerRuleSpec,
) -> Option<Interim<ListenerRuleSpec>> {
    let Some(old) = old.filter(|old| !old.hosts.contains(PLACEHOLDER_HOST)) else {
        let priority = old.map_or(new.priority.saturating_add(INTERIM_OFFSET), |old| old.priority);
        let priority = if priority > MAX_PRIORITY { new.priority } else { priority };
        let until = if new.redirect.is_some() { Awaited::Peers } else { Awaited::Dependents };
        let spec = ListenerRuleSpec {
            priority,
            hosts: [PLACEHOLDER_HOST.to_owned()].into(),
            paths: BTreeSet::new(),
            ..new.clone()
        };
        return Some(Interim { spec, until });
    };
    if old.hosts != new.hosts && old.paths != new.paths {
        return None;
    }
    let (hosts, paths) = (union(&old.hosts, &new.hosts), union(&old.paths, &new.paths));
    pb_rules::load_balancer::conditions(hosts.iter().chain(&paths).map(String::as_str)).ok()?;
    Some(Interim { spec: ListenerRuleSpec { hosts, paths, ..new.clone() }, until: Awaited::Peers })
}

/// Returns patterns that match everything that the patterns of either set match. An empty set matches everything.
fn union(old: &BTreeSet<String>, new: &BTreeSet<String>) -> BTreeSet<String> {
    if old.is_empty() || new.is_empty() { BTreeSet::new() } else { old | new }
}
