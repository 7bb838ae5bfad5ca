//! Tasks of services, and the lines that they log when they are ready.

use super::ecs::SERVICE;
use super::{Account, Answer, refused};
use crate::wire::Call;
use serde_json::{Value, json};
use std::time::Duration;

/// Time from the completion of a rollout until the log of its tasks shows that they are ready.
const READY_AFTER: Duration = Duration::from_secs(3);
/// Token of the second page: a page of log events may be empty although another one follows.
const SECOND_PAGE: &str = "second-page";

/// Returns the ids of the tasks of the current deployment of a service.
fn ids(service: &Value) -> Vec<String> {
    let deployment = service["deploymentIds"].as_array().and_then(|all| all.last()).map(|last| last["id"].clone());
    let serial = deployment.as_ref().and_then(Value::as_str).and_then(|id| id.rsplit('/').next()).unwrap_or_default();
    (0..service["desiredCount"].as_u64().unwrap_or_default()).map(|number| format!("{serial}x{number}")).collect()
}

impl Account {
    /// Returns the running tasks of a service; no task stops by itself.
    pub fn list_tasks(&self, call: &Call) -> Answer {
        let is_named = |service: &Value| service["serviceName"] == call.text("serviceName");
        let all = self.of_kind(SERVICE).map(|(_, service)| &service.body).filter(|service| is_named(service));
        let all = all.filter(|_| call.text("desiredStatus") == "RUNNING");
        let arns = all.flat_map(ids).map(|id| super::ecs::arn(&format!("task/cluster/{id}")));
        Ok(json!({"taskArns": arns.collect::<Vec<_>>()}))
    }

    /// Returns the lines of all tasks that are ready and whose stream has the prefix.
    pub fn filter_log_events(&mut self, call: &Call) -> Answer {
        let group = super::other_services::logs_arn(call.text("logGroupName"));
        if !self.resources.contains_key(&group) {
            return refused("ResourceNotFoundException", "The specified log group does not exist.");
        }
        if call.text("nextToken").is_empty() {
            return Ok(json!({"events": [], "nextToken": SECOND_PAGE}));
        }
        let (prefix, now) = (call.text("logStreamNamePrefix"), self.now());
        let ready_at = |changed_at| changed_at + self.times.rollout + READY_AFTER;
        let ready = self.of_kind(SERVICE).filter(|(_, service)| now >= ready_at(service.changed_at));
        let own = ready.filter(|(_, service)| {
            prefix.starts_with(&format!("{}/", service.body["serviceName"].as_str().unwrap_or_default()))
        });
        let event = |id: String| json!({"logStreamName": format!("{prefix}{id}"), "message": "celery@h ready.", "timestamp": 1});
        Ok(json!({"events": own.flat_map(|(_, service)| ids(&service.body)).map(event).collect::<Vec<_>>()}))
    }
}
