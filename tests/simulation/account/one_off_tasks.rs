//! One-off tasks of ECS. A task runs for as long as a rollout takes, and exits with 0.

use super::{ACCOUNT, Account, Answer, REGION, Tags, refused, tag_list, tags_of};
use crate::wire::Call;
use serde_json::{Value, json};
use std::time::Duration;

/// A one-off task.
#[derive(Debug, Clone)]
pub struct OneOffTask {
    pub arn: String,
    pub started_by: String,
    pub token: String,
    pub container: String,
    pub tags: Tags,
    pub stops_at: Duration,
    /// Set if StopTask ended the task.
    pub stopped: bool,
}

impl Account {
    pub fn run_task(&mut self, call: &Call) -> Answer {
        let token = call.text("clientToken").to_owned();
        if !self.tasks.iter().any(|task| task.token == token) {
            self.check_service(&call.input)?;
            let vpc = call.input["networkConfiguration"]["awsvpcConfiguration"].clone();
            let (stops_at, runs) = (self.now() + self.times.rollout, self.times.rollout);
            let arn = format!("arn:aws:ecs:{REGION}:{ACCOUNT}:task/staging-ecs-cluster/{:032x}", self.serial());
            let texts = |field: &str| -> Vec<String> {
                vpc[field].as_array().into_iter().flatten().filter_map(|id| id.as_str().map(str::to_owned)).collect()
            };
            self.attach_interface(&arn, &texts("subnets")[0], &texts("securityGroups"), true);
            self.release_interfaces(&arn, runs);
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let container = text(&call.input["overrides"]["containerOverrides"][0]["name"]);
            let tags = tags_of(&call.input["tags"], "key", "value");
            let started_by = call.text("startedBy").to_owned();
            let token = token.clone();
            self.tasks.push(OneOffTask { arn, started_by, token, container, tags, stops_at, stopped: false });
        }
        let own: Vec<String> =
            self.tasks.iter().filter(|task| task.token == token).map(|task| task.arn.clone()).collect();
        Ok(json!({"tasks": self.described(&own), "failures": []}))
    }

    pub fn list_one_off_tasks(&mut self, call: &Call) -> Answer {
        let (now, stopped, by) = (self.now(), call.text("desiredStatus") == "STOPPED", call.text("startedBy"));
        let found = self.tasks.iter().filter(|task| (task.stops_at <= now) == stopped);
        let found = found.filter(|task| by.is_empty() || task.started_by == by);
        Ok(json!({"taskArns": found.map(|task| &task.arn).collect::<Vec<_>>()}))
    }

    pub fn describe_tasks(&mut self, call: &Call) -> Answer {
        Ok(json!({"tasks": self.described(&call.texts("tasks")), "failures": []}))
    }

    pub fn stop_task(&mut self, call: &Call) -> Answer {
        let (now, arn) = (self.now(), call.text("task").to_owned());
        match self.tasks.iter_mut().find(|task| task.arn == arn) {
            Some(task) if task.stops_at > now => (task.stops_at, task.stopped) = (now, true),
            Some(_) => {}
            None => return refused("InvalidParameterException", "The referenced task was not found."),
        }
        Ok(json!({"task": self.described(&[arn])[0]}))
    }

    /// Returns whether a task runs.
    pub fn has_running_task(&mut self) -> bool {
        let now = self.now();
        self.tasks.iter().any(|task| task.stops_at > now)
    }

    fn described(&mut self, arns: &[String]) -> Vec<Value> {
        let now = self.now();
        let found = self.tasks.iter().filter(|task| arns.contains(&task.arn));
        let described = found.map(|task| {
            let ended = task.stops_at <= now;
            let mut container = json!({"name": task.container});
            if ended && !task.stopped {
                container["exitCode"] = json!(0);
            }
            json!({
                "taskArn": task.arn,
                "startedBy": task.started_by,
                "lastStatus": if ended { "STOPPED" } else { "RUNNING" },
                "stoppedReason": if task.stopped { "Task stopped by user" } else { "Essential container in task exited" },
                "containers": [container],
                "tags": tag_list(&task.tags, "key", "value"),
            })
        });
        described.collect()
    }
}
