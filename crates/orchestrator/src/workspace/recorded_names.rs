//! Recorded names. Resources that were imported, or created under another key, keep names that differ from the
//! configured names. Reads use the recorded names; new resources get the configured names.

use crate::stack::names;
use pb_config::Workspace;
use pb_engine::Snapshot;
use serde_json::{Map, Value};

/// Replaces the configured names of a workspace with the recorded ones.
pub fn use_recorded_names(workspace: &mut Workspace, snapshot: &Snapshot) {
    let keep = |slot: &mut String, address: &str| {
        if let Some(name) = text(snapshot, address, "name") {
            name.clone_into(slot);
        }
    };
    let configured = &mut workspace.names;
    keep(&mut configured.cluster, names::CLUSTER);
    keep(&mut configured.log_group, names::LOG_GROUP);
    keep(&mut configured.flask, &names::service("flask"));
    keep(&mut configured.celery, &names::service("celery"));
    for (key, slot) in &mut configured.others {
        keep(slot, &names::service(key));
    }
}

/// Returns the family of the task definitions of a service.
pub fn family(workspace: &Workspace, snapshot: &Snapshot, key: &str) -> String {
    let recorded = text(snapshot, &names::task_definition(key), "family").or_else(|| workspace.names.service(key));
    recorded.unwrap_or(key).to_owned()
}

/// Returns the application container of a service: the container whose name is the service's key, or the only
/// container.
pub fn container(snapshot: &Snapshot, key: &str) -> String {
    let containers = containers(snapshot, key).into_iter().flat_map(Map::keys);
    names::application_container(containers, key).to_owned()
}

/// Returns the prefix of the log streams of a service.
pub fn log_streams(workspace: &Workspace, snapshot: &Snapshot, key: &str) -> String {
    let logs =
        containers(snapshot, key).and_then(|all| all.get(&container(snapshot, key))?.pointer("/log/stream_prefix"));
    let recorded = logs.and_then(Value::as_str).or_else(|| workspace.names.service(key));
    format!("{}/", recorded.unwrap_or(key))
}

fn text<'a>(snapshot: &'a Snapshot, address: &str, field: &str) -> Option<&'a str> {
    snapshot.resources.get(address)?.attrs.get(field)?.as_str()
}

fn containers<'a>(snapshot: &'a Snapshot, key: &str) -> Option<&'a Map<String, Value>> {
    snapshot.resources.get(names::task_definition(key).as_str())?.spec.get("containers")?.as_object()
}

#[cfg(test)]
mod tests {
    use super::{container, log_streams, use_recorded_names};
    use pb_config::Config;
    use pb_engine::{Address, Record, Snapshot};
    use serde_json::{Value, json};

    fn record(kind: &str, spec: Value, attrs: Value) -> Record {
        Record { kind: kind.to_owned(), spec, attrs, ready: true }
    }

    #[test]
    fn recorded_names_replace_configured_ones() {
        let mut snapshot = Snapshot::default();
        let containers = json!({ "containers": { "web": { "log": { "stream_prefix": "old" } } } });
        for (address, record) in [
            ("fargate/cluster", record("ecs.cluster", Value::Null, json!({ "name": "theirs" }))),
            ("fargate/flask", record("ecs.service", Value::Null, json!({ "name": "staging-web" }))),
            ("fargate/flask_task", record("ecs.task_definition", containers, json!({ "family": "web-task" }))),
        ] {
            snapshot.resources.insert(Address::new(address).unwrap(), record);
        }
        let text = include_str!("../../../../pb_deploy.toml");
        let mut workspace = Config::parse(text, "pb_deploy.toml").unwrap().workspace("staging").unwrap();
        use_recorded_names(&mut workspace, &snapshot);
        let names = &workspace.names;
        assert_eq!((names.cluster.as_str(), names.flask.as_str()), ("theirs", "staging-web"));
        assert_eq!((names.celery.as_str(), names.log_group.as_str()), ("staging-celery", "staging-pb_workers"));
        assert_eq!(super::family(&workspace, &snapshot, "flask"), "web-task");
        assert_eq!(super::family(&workspace, &snapshot, "celery"), "staging-celery");
        assert_eq!((container(&snapshot, "flask"), container(&snapshot, "celery")), ("web".into(), "celery".into()));
        assert_eq!(log_streams(&workspace, &snapshot, "flask"), "old/");
        assert_eq!(log_streams(&workspace, &snapshot, "celery"), "staging-celery/");
    }
}
