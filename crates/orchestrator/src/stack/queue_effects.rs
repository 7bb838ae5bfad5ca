//! Effects of a plan on the queue: whether its jobs stay, and why they are lost otherwise.

use pb_engine::{Action, Plan, Resource, Step};
use pb_redis::{ReplicationGroup, ReplicationGroupSpec};

/// Effect of a plan on a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueueEffect {
    /// The queue is replaced, and its jobs and the stored results are lost.
    Lost(Vec<Cause>),
    /// The engine or its version changes in place. Jobs and endpoint stay.
    Upgraded {
        /// Engine and version before, such as `redis 7.1`.
        from: String,
        /// Engine and version afterwards.
        to: String,
        /// Set if clients lose the connection for the time of a failover.
        failover: bool,
    },
}

/// Cause of a replacement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// Valkey would become Redis.
    Engine,
    /// The version would be lowered from this one.
    Version(String),
    /// The encryption of stored data would change.
    AtRestEncryption,
    /// Another field would change, or another resource is replaced.
    Other,
}

/// Returns the effects of a plan on queues that exist.
pub fn effects(plan: &Plan) -> Vec<QueueEffect> {
    plan.steps.iter().filter(|step| step.kind == ReplicationGroup::KIND).filter_map(effect).collect()
}

fn effect(step: &Step) -> Option<QueueEffect> {
    let before: ReplicationGroupSpec = spec(step.before.as_ref())?;
    let after: ReplicationGroupSpec = spec(step.after.as_ref())?;
    let version = |spec: &ReplicationGroupSpec| format!("{} {}", spec.engine, spec.engine_version);
    match step.action {
        Action::Replace { .. } if !before.failed => Some(QueueEffect::Lost(causes(step, &before, &after))),
        Action::Update if version(&before) != version(&after) => Some(QueueEffect::Upgraded {
            from: version(&before),
            to: version(&after),
            failover: pb_rules::cache::upgrade_needs_failover(&before.engine, &before.engine_version),
        }),
        _ => None,
    }
}

fn causes(step: &Step, before: &ReplicationGroupSpec, after: &ReplicationGroupSpec) -> Vec<Cause> {
    let cause = |path: &String| match path.as_str() {
        "engine" => Cause::Engine,
        "engine_version" => Cause::Version(before.engine_version.clone()),
        "at_rest_encryption" => Cause::AtRestEncryption,
        _ => Cause::Other,
    };
    let mut causes: Vec<Cause> = step.replacement_fields.iter().map(cause).collect();
    // The version of another engine is neither earlier nor later.
    if before.engine != after.engine {
        causes.retain(|cause| !matches!(cause, Cause::Version(_)));
    }
    causes.dedup();
    if causes.is_empty() { vec![Cause::Other] } else { causes }
}

fn spec(value: Option<&serde_json::Value>) -> Option<ReplicationGroupSpec> {
    serde_json::from_value(value?.clone()).ok()
}

impl QueueEffect {
    /// Returns whether jobs are lost.
    pub fn is_loss(&self) -> bool {
        matches!(self, Self::Lost(_))
    }

    /// Returns the effect as a sentence without its end.
    pub fn text(&self) -> String {
        match self {
            Self::Lost(causes) => {
                let causes: Vec<String> = causes.iter().map(Cause::text).collect();
                format!("the jobs in the queue and the stored results are lost: {}", causes.join("; "))
            }
            Self::Upgraded { from, to, failover } => {
                let during = match failover {
                    true => "connections fail for 30 to 60 seconds, because AWS moves the endpoint to another node",
                    false => "connections can break for some seconds",
                };
                format!("{from} becomes {to} in place: jobs, results and the endpoint stay; {during}")
            }
        }
    }
}

impl Cause {
    fn text(&self) -> String {
        match self {
            Self::Engine => {
                "AWS cannot turn valkey into redis (to keep them, set `redis.engine` to \"valkey\")".to_owned()
            }
            Self::Version(from) => {
                format!("AWS cannot lower the version of a queue (to keep them, set `redis.version` to \"{from}\")")
            }
            Self::AtRestEncryption => {
                "AWS cannot change the encryption of stored data (to keep them, remove `redis.at_rest_encryption`)"
                    .to_owned()
            }
            Self::Other => "the queue is replaced by an empty one".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Cause, QueueEffect, effects};
    use pb_engine::{Action, Address, Order, Plan, Resource, Step};
    use pb_redis::ReplicationGroup;
    use serde_json::{Value, json};

    fn spec(engine: &str, version: &str) -> Value {
        json!({
            "id": "w-jobqr", "description": "Job queue", "engine": engine, "engine_version": version,
            "node_type": "cache.t3.small", "port": 6400, "nodes": 1, "subnet_group": "w-jobqr",
            "parameter_group": "w-jobqr-p", "security_group_ids": [], "automatic_failover": null, "multi_az": null,
            "transit_encryption": false, "at_rest_encryption": false, "auto_minor_version_upgrade": true, "tags": {},
        })
    }

    fn effect(action: Action, from: (&str, &str), to: (&str, &str), fields: &[&str]) -> Option<QueueEffect> {
        let step = Step {
            before: Some(spec(from.0, from.1)),
            after: Some(spec(to.0, to.1)),
            replacement_fields: fields.iter().map(|field| (*field).to_owned()).collect(),
            ..Step::new(Address::new("redis/jobqr").unwrap(), ReplicationGroup::KIND, action)
        };
        effects(&Plan { steps: vec![step], ..Plan::default() }).pop()
    }

    #[test]
    fn upgrade_keeps_the_jobs_and_may_need_a_failover() {
        for (from, failover) in [("7.1", false), ("5.0.6", false), ("5.0.5", true), ("4.0.10", true)] {
            let found = effect(Action::Update, ("redis", from), ("valkey", "8.0"), &[]).unwrap();
            let text = if failover { "connections fail for 30 to 60 seconds" } else { "break for some seconds" };
            assert!(!found.is_loss() && found.text().contains(text), "{from}: {found:?}");
        }
        assert_eq!(effect(Action::Update, ("redis", "7.1"), ("redis", "7.1"), &[]), None);
    }

    #[test]
    fn replacement_states_the_loss_and_its_causes() {
        let replace = Action::Replace { order: Order::DestroyBeforeCreate };
        for (from, to, fields, causes) in [
            (("valkey", "8.0"), ("redis", "7.1"), &["engine", "engine_version"][..], vec![Cause::Engine]),
            (("valkey", "8.1"), ("valkey", "8.0"), &["engine_version"], vec![Cause::Version("8.1".to_owned())]),
            (("redis", "7.1"), ("redis", "7.1"), &["at_rest_encryption"], vec![Cause::AtRestEncryption]),
            (("redis", "7.1"), ("redis", "7.1"), &["port"], vec![Cause::Other]),
            (("redis", "7.1"), ("redis", "7.1"), &[], vec![Cause::Other]),
        ] {
            let found = effect(replace, from, to, fields).unwrap();
            assert_eq!(found, QueueEffect::Lost(causes));
            assert!(found.text().starts_with("the jobs in the queue and the stored results are lost: "));
        }
    }
}
