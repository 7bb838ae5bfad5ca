//! Version of the queue's engine. A configuration without a version uses the version of the existing queue, and for a new
//! queue the newest one that is offered.

use crate::stack::names;
use aws_config::SdkConfig;
use pb_config::{Engine, Workspace};
use pb_engine::{Failure, Goal, Snapshot};
use pb_redis::{QueueNode, UNLISTED_VERSION};

/// Returns a version for results that do not depend on it.
pub fn unknown(workspace: &Workspace) -> String {
    workspace.redis.version.clone().unwrap_or_else(|| UNLISTED_VERSION.to_owned())
}

/// Reads the nodes of all queues if the version depends on them. A destroy does not need the version.
///
/// # Errors
/// A failed call.
pub async fn nodes(aws: &SdkConfig, workspace: &Workspace, goal: Goal) -> Result<Option<Vec<QueueNode>>, Failure> {
    match (&workspace.redis.version, goal) {
        (None, Goal::Deploy) => pb_redis::queue_nodes(aws).await.map(Some),
        _ => Ok(None),
    }
}

/// Returns the version of the queue's engine. Makes a call only if the configuration has no version, and the queue does
/// not exist or has another engine.
///
/// # Errors
/// A failed call.
pub async fn resolve(
    aws: &SdkConfig,
    workspace: &Workspace,
    snapshot: &Snapshot,
    nodes: Result<Option<Vec<QueueNode>>, Failure>,
) -> Result<String, Failure> {
    if let Some(version) = &workspace.redis.version {
        return Ok(version.clone());
    }
    let Some(nodes) = nodes? else { return Ok(unknown(workspace)) };
    let engine = workspace.redis.engine;
    let recorded = Recorded::of(snapshot);
    let group = recorded.as_ref().map_or(workspace.names.replication_group.as_str(), |recorded| recorded.id);
    let node = nodes.iter().find(|node| node.replication_group == group);
    if let Some(version) = existing(engine, node, recorded.as_ref()) {
        return Ok(version);
    }
    let newest = pb_redis::newest_version(aws, engine.as_str()).await.map_err(|failure| {
        failure.hint(format!(
            "without `redis.version`, the newest version of {} is looked up; set `redis.version`, or allow this call",
            engine.as_str()
        ))
    })?;
    Ok(newest.unwrap_or_else(|| UNLISTED_VERSION.to_owned()))
}

/// Recorded queue.
struct Recorded<'a> {
    id: &'a str,
    engine: &'a str,
    version: &'a str,
}

impl<'a> Recorded<'a> {
    fn of(snapshot: &'a Snapshot) -> Option<Self> {
        let record = snapshot.resources.get(names::REPLICATION_GROUP)?;
        let text = |value: &'a serde_json::Value, field: &str| value.get(field)?.as_str();
        Some(Self {
            id: text(&record.attrs, "id")?,
            engine: text(&record.spec, "engine")?,
            version: text(&record.spec, "engine_version")?,
        })
    }
}

/// Returns the recorded version of a queue with this engine.
pub fn recorded(snapshot: &Snapshot, engine: Engine) -> Option<String> {
    let recorded = Recorded::of(snapshot).filter(|recorded| recorded.engine == engine.as_str())?;
    Some(recorded.version.to_owned())
}

/// Returns the version that the queue keeps: the live one, the one of a change to this engine that is in progress, or the
/// recorded one if AWS does not report any. `None` if the queue does not exist or has another engine.
fn existing(engine: Engine, node: Option<&QueueNode>, recorded: Option<&Recorded<'_>>) -> Option<String> {
    let offers = |version: &String| pb_rules::cache::family(engine.as_str(), version).is_ok();
    let recorded = recorded.filter(|recorded| recorded.engine == engine.as_str());
    let recorded = || recorded.map(|recorded| recorded.version.to_owned());
    match node {
        Some(node) if node.engine == engine.as_str() => {
            node.next_version.clone().or_else(|| node.version.clone()).or_else(recorded)
        }
        // AWS does not report the engine to which a change in progress leads, but no version belongs to both engines.
        Some(node) => node.next_version.clone().filter(offers),
        None => recorded(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Recorded, existing};
    use pb_config::Engine;
    use pb_redis::QueueNode;

    fn node(engine: &str, version: Option<&str>, next: Option<&str>) -> QueueNode {
        QueueNode {
            replication_group: "staging-jobqr".to_owned(),
            engine: engine.to_owned(),
            version: version.map(str::to_owned),
            next_version: next.map(str::to_owned),
        }
    }

    #[test]
    fn existing_queue_keeps_its_version() {
        let valkey = Recorded { id: "staging-jobqr", engine: "valkey", version: "8.0" };
        let redis = Recorded { engine: "redis", version: "7.1", ..valkey };
        for (node, recorded, expected) in [
            (Some(node("valkey", Some("8.1"), None)), Some(&valkey), Some("8.1")),
            (Some(node("valkey", Some("8.1"), None)), None, Some("8.1")),
            (Some(node("valkey", Some("8.0"), Some("8.1"))), Some(&valkey), Some("8.1")),
            (Some(node("valkey", None, None)), Some(&valkey), Some("8.0")),
            (Some(node("valkey", None, None)), None, None),
            (Some(node("redis", Some("7.1"), None)), Some(&redis), None),
            (Some(node("redis", Some("7.1"), Some("8.1"))), Some(&redis), Some("8.1")),
            (Some(node("redis", Some("7.0"), Some("7.1"))), Some(&redis), None),
            (None, Some(&valkey), Some("8.0")),
            (None, Some(&redis), None),
            (None, None, None),
        ] {
            assert_eq!(existing(Engine::Valkey, node.as_ref(), recorded).as_deref(), expected, "{node:?}");
        }
    }
}
