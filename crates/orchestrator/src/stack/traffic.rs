//! Effects of a plan on requests: for each web service, the way requests move to the new tasks, or the duration and
//! cause of an interruption.

#[cfg(test)]
mod tests;

use crate::stack::names;
use crate::stack::names::DEFAULT_SERVICE;
use pb_edge::{ListenerRuleSpec, TargetGroupSpec};
use pb_engine::{Action, Order, Plan, Resource, Step};
use pb_fargate::{ServiceSpec, Services};
use pb_redis::ReplicationGroup;
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;

/// Seconds from the creation of a load balancer until it answers: a middle value of those that AWS users report.
const BALANCER_SECS: u64 = 150;
/// Seconds from the start of tasks until they are healthy targets, with checks every 5 s.
const TASKS_SECS: u64 = 90;
/// Seconds for which the tasks of a deleted service drain.
const DRAINING_SECS: u64 = 60;
/// Seconds for which resolvers cache the address of a load balancer. (Route 53 developer guide: alias records)
const DNS_TTL_SECS: u64 = 60;
/// Seconds from the deletion of a queue until its replacement is available.
const QUEUE_SECS: u64 = 720;

/// Effect of a plan on the requests to one web service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// Key of the service.
    pub service: String,
    /// Approximate duration of the interruption in seconds, if requests fail.
    pub interrupted: Option<u64>,
    /// The way requests move to the new tasks, or the cause of the interruption.
    pub text: String,
}

/// Returns the effects of a plan, in the order of the services. A first deploy and a destroy have none, because no
/// requests are served before the first deploy and after the destroy.
pub fn effects(plan: &Plan) -> Vec<Effect> {
    let services: Vec<WebService> = plan.steps.iter().filter_map(WebService::of).collect();
    let is_served = services.iter().any(|service| service.before.is_some());
    let stays_served = services.iter().any(|service| service.after.is_some());
    if !is_served || !stays_served {
        return Vec::new();
    }
    services.iter().filter_map(|service| Traffic { plan, service }.effect()).collect()
}

/// Service behind the load balancer, before and after the plan.
struct WebService<'a> {
    key: &'a str,
    step: &'a Step,
    before: Option<ServiceSpec>,
    after: Option<ServiceSpec>,
}

impl<'a> WebService<'a> {
    fn of(step: &'a Step) -> Option<Self> {
        if step.kind != Services::KIND || step.action == Action::Untargeted {
            return None;
        }
        let before: Option<ServiceSpec> = spec(step.before.as_ref());
        let idle = matches!(step.action, Action::NoOp | Action::Wait);
        let after = spec(step.after.as_ref()).or_else(|| if idle { before.clone() } else { None });
        let is_web = [&before, &after].into_iter().flatten().any(|spec| !spec.load_balancers.is_empty());
        is_web.then(|| Self { key: names::service_key(&step.address), step, before, after })
    }

    fn ports(spec: &ServiceSpec) -> BTreeSet<u16> {
        spec.load_balancers.iter().map(|target| target.port).collect()
    }
}

/// A web service and the plan that affects the requests to it.
struct Traffic<'a> {
    plan: &'a Plan,
    service: &'a WebService<'a>,
}

impl Traffic<'_> {
    fn effect(&self) -> Option<Effect> {
        let effect = |interrupted: Option<u64>, text: String| {
            Some(Effect { service: self.service.key.to_owned(), interrupted, text })
        };
        if let Some((seconds, why)) = self.interruption() {
            return effect(Some(seconds), why);
        }
        let texts: Vec<String> = [self.rollout(), self.checks(), self.routing()].into_iter().flatten().collect();
        if texts.is_empty() { None } else { effect(None, texts.join("; ")) }
    }

    /// Returns the duration and the first cause of an interruption.
    fn interruption(&self) -> Option<(u64, String)> {
        self.service.before.as_ref()?;
        let after = self.service.after.as_ref()?;
        let key = self.service.key;
        let mut request_path = vec![
            (names::LOAD_BALANCER.to_owned(), BALANCER_SECS + TASKS_SECS + DNS_TTL_SECS),
            (names::LISTENER.to_owned(), TASKS_SECS),
            (names::LISTENER_HTTPS.to_owned(), TASKS_SECS),
            (names::targets(key), TASKS_SECS),
            (names::RECORD.to_owned(), DNS_TTL_SECS),
            (self.service.step.address.to_string(), DRAINING_SECS + TASKS_SECS),
        ];
        request_path.extend(names::listener_rules(key).into_iter().map(|rule| (rule, TASKS_SECS)));
        let replaced =
            request_path.iter().filter_map(|(address, seconds)| Some((self.deleted_first(address)?, seconds)));
        let replaced: Vec<(&Step, &u64)> = replaced.collect();
        if let Some((step, _)) = replaced.first() {
            let waits_for_queue = replaced.iter().any(|(step, _)| step.kind == Services::KIND) && self.replaces_queue();
            let longest = replaced.iter().map(|(_, seconds)| **seconds).max().unwrap_or_default();
            let seconds = longest + if waits_for_queue { QUEUE_SECS } else { 0 };
            return Some((
                seconds,
                format!("{} is deleted before its replacement exists ({})", step.address, replacement_reason(step)),
            ));
        }
        if after.desired_count == 0 {
            return None;
        }
        let stops_all = self.is_rolled_out() && min_running_tasks(after) == 0;
        let why = format!(
            "the old tasks may stop before the new ones are healthy (min_healthy_percent = {} of {})",
            after.min_healthy_percent,
            crate::output::count(usize::try_from(after.desired_count).unwrap_or_default(), "task"),
        );
        stops_all.then_some((TASKS_SECS, why))
    }

    /// Returns the step of a resource that is deleted before its replacement exists.
    fn deleted_first(&self, address: &str) -> Option<&Step> {
        let is_first = |step: &&Step| step.action == (Action::Replace { order: Order::DestroyBeforeCreate });
        self.plan.steps.iter().filter(is_first).find(|step| step.address.as_str() == address)
    }

    fn replaces_queue(&self) -> bool {
        let is_queue = |step: &Step| step.kind == ReplicationGroup::KIND;
        self.plan.steps.iter().any(|step| is_queue(step) && matches!(step.action, Action::Replace { .. }))
    }

    fn rollout(&self) -> Option<String> {
        let WebService { before, after, step, .. } = self.service;
        match (before, after) {
            (None, _) => {
                let others = if self.service.key == DEFAULT_SERVICE { "no service" } else { DEFAULT_SERVICE };
                Some(format!("takes requests once its tasks are healthy; until then {others} answers them"))
            }
            (Some(_), None) if self.service.key == DEFAULT_SERVICE => {
                Some("is removed: no service answers its requests".to_owned())
            }
            (Some(_), None) => Some(format!(
                "is removed: its requests go to the services with matching rules, or to {DEFAULT_SERVICE}"
            )),
            (Some(_), Some(after)) if after.desired_count == 0 && step.action == Action::Update => {
                Some("is scaled to zero: the load balancer answers with 503".to_owned())
            }
            (Some(before), Some(after)) if self.is_rolled_out() => Some(rolling(before, after)),
            (Some(_), Some(_)) if matches!(step.action, Action::Replace { .. }) => {
                Some("the old service answers until the tasks of the new one are healthy".to_owned())
            }
            _ => None,
        }
    }

    /// Returns whether the plan makes ECS replace the tasks.
    fn is_rolled_out(&self) -> bool {
        const FIELDS: [&str; 7] = [
            "task_definition",
            "subnets",
            "security_groups",
            "assign_public_ip",
            "load_balancers",
            "execute_command",
            "failed",
        ];
        let step = self.service.step;
        step.action == Action::Update && step.changes.iter().any(|change| FIELDS.contains(&change.field()))
    }

    fn checks(&self) -> Option<String> {
        let (old, new): (TargetGroupSpec, TargetGroupSpec) = self.updated(&names::targets(self.service.key))?;
        let asks = |spec: &TargetGroupSpec| (spec.health.path.clone(), spec.health.matcher.clone());
        (asks(&old) != asks(&new)).then(|| {
            let when = if self.is_rolled_out() { "after the rollout" } else { "while requests are being served" };
            format!("the health checks change {when} and are restored if no target passes the new ones")
        })
    }

    /// Returns the effect of a change of the service's hosts, paths or priority.
    fn routing(&self) -> Option<String> {
        let (old, new): (ListenerRuleSpec, ListenerRuleSpec) =
            self.updated(&names::listener_rule(self.service.key)?)?;
        let differ = (old.hosts != new.hosts, old.paths != new.paths, old.priority != new.priority);
        let text = match differ {
            (true, true, _) => {
                "hosts and paths change together: for about a second, another service may answer some requests"
            }
            (true, ..) | (_, true, _) => "requests for its new hosts and paths move to it one by one; none is lost",
            (_, _, true) => "its rule moves to another priority without a gap",
            _ => return None,
        };
        Some(text.to_owned())
    }

    /// Returns the spec of a resource before and after an update in place.
    fn updated<S: DeserializeOwned>(&self, address: &str) -> Option<(S, S)> {
        let updates = self.plan.steps.iter().filter(|step| step.action == Action::Update);
        let step = updates.into_iter().find(|step| step.address.as_str() == address)?;
        Some((spec(step.before.as_ref())?, spec(step.after.as_ref())?))
    }
}

fn rolling(before: &ServiceSpec, after: &ServiceSpec) -> String {
    let mut text = match (min_running_tasks(after), after.desired_count) {
        (kept, count) if kept >= count => "the old tasks answer until the new ones are healthy".to_owned(),
        (kept, count) => format!("{kept} of {count} tasks answer until the new ones are healthy"),
    };
    if WebService::ports(before) != WebService::ports(after) {
        text.push_str("; the security groups allow both ports until then");
    }
    text
}

/// Returns the number of tasks that ECS keeps running during a rollout. (ECS developer guide: deployment configuration;
/// rounded up)
fn min_running_tasks(spec: &ServiceSpec) -> i32 {
    let percent = i64::from(spec.desired_count) * i64::from(spec.min_healthy_percent);
    i32::try_from((percent + 99) / 100).unwrap_or(i32::MAX)
}

/// Returns the reason for a replacement.
fn replacement_reason(step: &Step) -> String {
    step.reason.clone().unwrap_or_else(|| match step.replacement_fields.as_slice() {
        [] => "it has to be replaced".to_owned(),
        fields => format!("AWS cannot change its {}", fields.join(" and ")),
    })
}

fn spec<S: DeserializeOwned>(value: Option<&serde_json::Value>) -> Option<S> {
    serde_json::from_value(value?.clone()).ok()
}
