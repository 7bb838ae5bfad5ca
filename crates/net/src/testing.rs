//! Helpers shared by the tests of the resource kinds.

use aws_sdk_ec2::types::{Filter, ResourceType, Tag, TagSpecification};
use pb_engine::{Event, Events, Graph, Ownership, Plan, Resource, Standalone};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Returns the body of an EC2 error response.
pub(crate) fn refusal(code: &str, message: &str) -> Option<String> {
    Some(format!(
        "<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>\
         <RequestID>r-1</RequestID></Response>"
    ))
}

/// Returns the tags of the tested resource, without the ownership tags.
pub(crate) fn plain_tags() -> BTreeMap<String, String> {
    BTreeMap::from([("Name".to_owned(), "it".to_owned())])
}

/// Returns the tags of the tested resource with the ownership tags.
pub(crate) fn managed_tags() -> Vec<Tag> {
    let tags = [
        ("Name", "it"),
        ("pb-deploy:stack", "stack"),
        ("pb-deploy:workspace", "workspace"),
        ("pb-deploy:address", "test/it"),
    ];
    tags.into_iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

/// Returns whether a create call sends all of [`managed_tags`].
pub(crate) fn sends_managed_tags(specs: &[TagSpecification], kind: &ResourceType) -> bool {
    let [spec] = specs else { return false };
    spec.resource_type() == Some(kind) && managed_tags().iter().all(|tag| spec.tags().contains(tag))
}

/// Returns whether a describe call filters by the ownership tags of the workspace.
pub(crate) fn filters_by_tags(filters: &[Filter]) -> bool {
    let is = |filter: &Filter, name: &str, value: &str| filter.name() == Some(name) && filter.values() == [value];
    matches!(filters, [stack, workspace] if is(stack, "tag:pb-deploy:stack", "stack")
        && is(workspace, "tag:pb-deploy:workspace", "workspace"))
}

/// Returns whether a describe call has this filter.
pub(crate) fn has_filter(filters: &[Filter], name: &str, value: &str) -> bool {
    filters.iter().any(|filter| filter.name() == Some(name) && filter.values().iter().any(|found| found == value))
}

/// Returns a standalone stack that consists of one resource.
pub(crate) fn standalone<R: Resource>(resource: R, spec: R::Spec) -> Standalone {
    let mut graph = Graph::new();
    let kind = graph.kind(resource);
    graph.add("test/it", &kind, (), move |()| spec.clone()).unwrap();
    Standalone::new(owner(), graph)
}

fn owner() -> Ownership {
    Ownership { stack: "stack".to_owned(), workspace: "workspace".to_owned() }
}

/// Returns the stack, and a list that collects the messages of its waits.
pub(crate) fn record_waiting(stack: Standalone) -> (Standalone, Arc<Mutex<Vec<String>>>) {
    let messages = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&messages);
    let events = Events::new(move |event| {
        if let Event::Waiting { what, .. } = event {
            sink.lock().unwrap().push(what);
        }
    });
    (stack.events(events), messages)
}

/// Returns the paths of all fields that a plan changes.
pub(crate) fn changed_paths(plan: &Plan) -> Vec<String> {
    plan.changes().flat_map(|step| step.changes.iter().map(|change| change.path.clone())).collect()
}
