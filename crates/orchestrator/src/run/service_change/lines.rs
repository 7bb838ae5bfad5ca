//! The steps of a change of services, one line each.

use crate::output::{BOLD, paint};
use crate::run::releases;
use pb_edge::{Listener, ListenerRule};
use pb_engine::{Action, Change, Operation, Resource, Step};
use pb_net::SecurityGroupRule;
use serde_json::Value;

/// Returns the line of a step: `fargate/flask: staging-flask:3 -> staging-flask:2`.
pub(super) fn line(step: &Step, operation: Operation) -> String {
    let what = match step.kind.as_str() {
        SecurityGroupRule::KIND => port(step),
        Listener::KIND | ListenerRule::KIND => format!("target group {}", changed(step, "target_group_arn", group)),
        _ => service(step, operation),
    };
    format!("  {}: {what}", paint(BOLD, &step.address))
}

fn service(step: &Step, operation: Operation) -> String {
    let one = |change: &Change| {
        let of = |value: Option<&Value>| text(value, |text| releases::revision(text).to_owned());
        let what = if change.field() == "load_balancers" { "port " } else { "" };
        format!("{what}{} -> {}", of(change.before.as_ref()), of(change.after.as_ref()))
    };
    let what: Vec<String> = step.changes.iter().filter(|change| change.field() != "failed").map(one).collect();
    if what.is_empty() { operation.to_string() } else { what.join(", ") }
}

/// Returns the change of the port that a security group rule allows.
fn port(step: &Step) -> String {
    let of = |spec: Option<&Value>| text(spec.and_then(|spec| spec.get("from_port")), str::to_owned);
    match step.action {
        Action::Delete => format!("closed for port {}", of(step.before.as_ref())),
        Action::Create => format!("opened for port {}", of(step.after.as_ref())),
        _ => format!("port {} -> {}", of(step.before.as_ref()), of(step.after.as_ref())),
    }
}

/// Returns the name in the ARN of a target group.
fn group(arn: &str) -> String {
    arn.split('/').nth(1).unwrap_or(arn).to_owned()
}

fn changed(step: &Step, path: &str, show: fn(&str) -> String) -> String {
    let change = step.changes.iter().find(|change| change.path == path);
    let of = |value: Option<&Value>| text(value, show);
    change.map_or_else(String::new, |change| format!("{} -> {}", of(change.before.as_ref()), of(change.after.as_ref())))
}

fn text(value: Option<&Value>, show: impl Fn(&str) -> String) -> String {
    match value {
        Some(Value::String(text)) => show(text),
        Some(value) => value.to_string(),
        None => String::new(),
    }
}
