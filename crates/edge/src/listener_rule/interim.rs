//! The interim specs of listener rules, with which requests go over from one service to another without a gap.

use super::ListenerRuleSpec;
use pb_engine::{Awaited, Interim};
use std::collections::BTreeSet;

/// A host that no client asks for. A new rule matches it alone until its service has healthy tasks.
const PLACEHOLDER_HOST: &str = "not-served-yet.invalid";

/// The distance between the place of a new rule and its interim place, where nobody's place is in its way.
const INTERIM_OFFSET: i32 = 40_000;
/// The last place of a rule. (Elastic Load Balancing API: CreateRule, `Priority`)
const MAX_PRIORITY: i32 = 50_000;

/// Returns the spec that a rule has at first.
///
/// - ECS refuses a service whose target group has no load balancer, so a new rule must exist before its service. Until the service
///   has healthy tasks, the rule matches no request, and leaves its place to a rule that it takes over from.
/// - A host or path that a rule gives up stays in it until all other rules have got theirs. Where hosts and paths change
///   together, both at once would match requests that neither the old nor the new rule is for.
pub(super) fn interim_spec(
    old: Option<&ListenerRuleSpec>,
    new: &ListenerRuleSpec,
) -> Option<Interim<ListenerRuleSpec>> {
    let Some(old) = old.filter(|old| !old.hosts.contains(PLACEHOLDER_HOST)) else {
        let priority = old.map_or(new.priority.saturating_add(INTERIM_OFFSET), |old| old.priority);
        let priority = if priority > MAX_PRIORITY { new.priority } else { priority };
        let spec = ListenerRuleSpec {
            priority,
            hosts: [PLACEHOLDER_HOST.to_owned()].into(),
            paths: BTreeSet::new(),
            ..new.clone()
        };
        return Some(Interim { spec, until: Awaited::Dependents });
    };
    if old.hosts != new.hosts && old.paths != new.paths {
        return None;
    }
    let (hosts, paths) = (union(&old.hosts, &new.hosts), union(&old.paths, &new.paths));
    pb_rules::load_balancer::conditions(hosts.iter().chain(&paths).map(String::as_str)).ok()?;
    Some(Interim { spec: ListenerRuleSpec { hosts, paths, ..new.clone() }, until: Awaited::Peers })
}

/// The patterns of both sets. An empty set stands for all.
fn union(old: &BTreeSet<String>, new: &BTreeSet<String>) -> BTreeSet<String> {
    if old.is_empty() || new.is_empty() { BTreeSet::new() } else { old | new }
}
