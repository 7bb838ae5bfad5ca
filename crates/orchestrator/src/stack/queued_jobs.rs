//! The guard of the jobs in the queue: a queue with jobs is deleted only on request.

use crate::invocation;
use crate::output::count;
use crate::stack::names;
use aws_config::SdkConfig;
use futures_util::future::BoxFuture;
use pb_config::Workspace;
use pb_engine::{Backoff, Cause, Class, Context, Failure, Graph, Guard, Ownership, Plan, Refusal};
use pb_fargate::{OneOffCommand, Services, StoppedTask, TaskClient, TaskDefinitions, TaskExit};
use pb_redis::ReplicationGroup;
use pb_rules::secrets::redact_text;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// The program that counts the jobs, which runs in the image of a service.
const PROGRAM: &str = include_str!("count_jobs.py");

/// Beginning of the line that the program prints.
const RESULT: &str = "pb-deploy-jobs ";

/// Exit code of the program if there are jobs.
const HAS_JOBS: i32 = 3;

/// Limit of the start of the task, and of its run: both wait for capacity and for the image at worst.
const LIMIT: Backoff = Backoff::minutes(Duration::from_secs(10 * 60));

/// The result of the program.
#[derive(Debug, Default, Deserialize)]
struct Jobs {
    /// Number of waiting jobs of each queue that has some.
    waiting: BTreeMap<String, u64>,
    /// Number of jobs that workers have taken and not acknowledged.
    unacknowledged: u64,
}

/// Guard of plans that delete the queue. Counts the jobs in a one-off task, because only the tasks can reach the queue.
struct QueuedJobs {
    aws: SdkConfig,
    owner: Ownership,
    tags: BTreeMap<String, String>,
    /// Set if the jobs may be lost.
    loses_jobs: bool,
}

/// Adds the guard to the graph of a workspace. `loses_jobs` is set if the jobs may be lost.
///
/// # Errors
/// `Bug` if the address is already in use.
pub fn add_guard(
    graph: &mut Graph,
    aws: &SdkConfig,
    workspace: &Workspace,
    owner: &Ownership,
    loses_jobs: bool,
) -> Result<(), Failure> {
    let (aws, owner, tags) = (aws.clone(), owner.clone(), workspace.tags.clone());
    graph.add_guard(names::QUEUED_JOBS, QueuedJobs { aws, owner, tags, loses_jobs })
}

impl Guard for QueuedJobs {
    fn notice(&self, plan: &Plan) -> Option<String> {
        // A queue that AWS could not create has no jobs.
        plan.deleted::<ReplicationGroup>().iter().find(|(_, queue, _)| !queue.failed)?;
        let notice = match counting_service(plan) {
            _ if self.loses_jobs => "deleted with the queue, without a count (--lose-jobs)",
            Some(_) => "counted before the queue is deleted",
            None => "deleted with the queue, without a count: no service is deployed that could count them",
        };
        Some(notice.to_owned())
    }

    fn check<'a>(&'a self, cx: &'a Context, plan: &'a Plan) -> BoxFuture<'a, Result<String, Failure>> {
        Box::pin(async move {
            match counting_service(plan) {
                Some(service) if !self.loses_jobs => self.count(cx, service).await,
                _ => Ok("not counted".to_owned()),
            }
        })
    }
}

impl QueuedJobs {
    async fn count(&self, cx: &Context, counting: CountingService) -> Result<String, Failure> {
        let CountingService { cluster, service, container } = counting;
        let tasks = TaskClient::new(&self.aws, &cluster);
        let mut tags = self.tags.clone();
        tags.insert("Name".to_owned(), format!("{service}-count-jobs"));
        let one = OneOffCommand {
            service,
            container,
            command: ["python", "-c", PROGRAM].map(str::to_owned).to_vec(),
            tags: self.owner.tags(cx.address(), &tags),
        };
        let stopped = tasks.run_until_stopped(cx, &one, LIMIT).await;
        let again = invocation::command(&[&cx.operation().to_string(), &self.owner.workspace, "--lose-jobs"]);
        match stopped {
            Ok(StoppedTask { exit: TaskExit { exit_code: Some(0), .. }, .. }) => Ok("no jobs".to_owned()),
            Ok(task) => {
                let log = tasks.last_lines(&task).await;
                let has_jobs = task.exit.exit_code == Some(HAS_JOBS);
                Err(if has_jobs { self::has_jobs(&log, &again) } else { not_counted(&task, &log, &again) })
            }
            Err(failure) if failure.class == Class::Interrupted => Err(failure),
            Err(failure) => Err(failure.hint(format!("the jobs in the queue were not counted; {}", remedy(&again)))),
        }
    }
}

/// A deployed service in whose image the jobs are counted.
#[derive(Debug, PartialEq, Eq)]
struct CountingService {
    /// Name of its cluster. An imported cluster can have another name than the configuration gives to a new one.
    cluster: String,
    service: String,
    /// Name of the application container.
    container: String,
}

/// Returns the service that counts: one without a load balancer if there is one, because those are the workers. Any service
/// can reach the queue.
fn counting_service(plan: &Plan) -> Option<CountingService> {
    let definitions = plan.existing::<TaskDefinitions>();
    let services = plan.existing::<Services>().into_iter().map(|(address, service, _)| {
        let key = names::service_key(&address);
        let definition = definitions.iter().find(|(at, ..)| names::workload_key(at) == Some(key));
        let containers = definition.into_iter().flat_map(|(_, definition, _)| definition.containers.keys());
        let container = names::application_container(containers, key).to_owned();
        let counting = CountingService { cluster: service.cluster, service: service.name, container };
        (!service.load_balancers.is_empty(), counting)
    });
    services.min_by_key(|(serves, counting)| (*serves, counting.service.clone())).map(|(_, counting)| counting)
}

fn has_jobs(log: &[String], again: &str) -> Failure {
    let jobs = log.iter().rev().find_map(|line| line.strip_prefix(RESULT));
    let message = match jobs.and_then(|jobs| serde_json::from_str::<Jobs>(jobs).ok()) {
        Some(jobs) => format!("the queue contains {jobs}"),
        None => "the queue contains jobs".to_owned(),
    };
    let hint = format!("let the workers finish them first; {}", remedy(again));
    Failure::refused(Refusal::QueuedJobs, "count the jobs", message).hint(hint)
}

fn not_counted(task: &StoppedTask, log: &[String], again: &str) -> Failure {
    let StoppedTask { id, exit, .. } = task;
    let code = exit.exit_code.map_or("did not run".to_owned(), |code| format!("exited with code {code}"));
    let last = log.last().map(|line| format!("; last log line: {}", redact_text(line))).unwrap_or_default();
    let message = format!("the jobs in the queue could not be counted: task {id} {code}: {}{last}", exit.reason);
    Failure::new(Class::Failed, "count the jobs", message).cause(Cause::Task).hint(remedy(again))
}

fn remedy(again: &str) -> String {
    format!("to delete the queue with its jobs: `{again}`")
}

/// Formats the counts: `5 jobs (celery 2, reports 1, 2 not acknowledged)`.
impl fmt::Display for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queues = self.waiting.iter().map(|(queue, jobs)| format!("{queue} {jobs}"));
        let taken = (self.unacknowledged > 0).then(|| format!("{} not acknowledged", self.unacknowledged));
        let all = self.waiting.values().sum::<u64>() + self.unacknowledged;
        let parts: Vec<String> = queues.chain(taken).collect();
        let all = count(usize::try_from(all).unwrap_or(usize::MAX), "job");
        write!(f, "{all} ({})", parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::{CountingService, Jobs, counting_service, has_jobs, not_counted};
    use pb_engine::{ErrorCode, Plan, Refusal};
    use pb_fargate::{StoppedTask, TaskExit};
    use serde_json::{Value, json};

    #[test]
    fn jobs_are_listed_by_queue() {
        let jobs = |text: &str| serde_json::from_str::<Jobs>(text).unwrap().to_string();
        assert_eq!(jobs(r#"{"waiting": {"celery": 1}, "unacknowledged": 0}"#), "1 job (celery 1)");
        assert_eq!(jobs(r#"{"waiting": {}, "unacknowledged": 2}"#), "2 jobs (2 not acknowledged)");
        let both = r#"{"waiting": {"celery": 2, "reports": 1}, "unacknowledged": 1}"#;
        assert_eq!(jobs(both), "4 jobs (celery 2, reports 1, 1 not acknowledged)");
    }

    /// Returns the step that deletes a service of an imported cluster.
    fn service(key: &str, targets: &Value) -> Value {
        let name = format!("staging-{key}s");
        let before = json!({
            "name": name, "cluster": "imported", "task_definition": "arn:1", "desired_count": 1,
            "launch_type": "FARGATE", "subnets": [], "security_groups": [], "assign_public_ip": true,
            "load_balancers": targets, "health_check_grace_seconds": 0, "min_healthy_percent": 100,
            "max_percent": 200, "circuit_breaker": {"enable": true, "rollback": true, "threshold": null},
            "propagate_tags": "SERVICE", "managed_tags": true, "execute_command": false, "status": "ACTIVE",
            "failed": false, "tags": {},
        });
        let attrs = json!({
            "arn": "arn:service", "name": name, "cluster": "imported", "deployment": null, "task_definition": "arn:1",
        });
        let (address, action) = (format!("fargate/{key}"), json!({"do": "delete"}));
        json!({"address": address, "kind": "ecs.service", "action": action, "before": before, "attrs": attrs})
    }

    #[test]
    fn jobs_are_counted_by_a_worker_in_its_own_cluster() {
        let web = json!([{"target_group_arn": "arn:targets", "container": "api", "port": 80}]);
        let steps = [service("api", &web), service("worker", &json!([]))];
        let plan: Plan = serde_json::from_value(json!({ "steps": steps })).unwrap();
        let [cluster, service, container] = ["imported", "staging-workers", "worker"].map(str::to_owned);
        assert_eq!(counting_service(&plan), Some(CountingService { cluster, service, container }));
        assert_eq!(counting_service(&Plan::default()), None);
    }

    #[test]
    fn exit_code_decides_without_a_log() {
        let failure = has_jobs(&[], "pb-deploy destroy staging --lose-jobs");
        assert_eq!(failure.message, "the queue contains jobs");
        assert_eq!(failure.error_code(), Refusal::QueuedJobs.error_code());
    }

    #[test]
    fn failed_count_hides_secrets_of_its_log() {
        let exit = TaskExit { exit_code: None, reason: "no capacity".to_owned() };
        let task = StoppedTask { id: "7".to_owned(), exit, log: None };
        let line = "cannot connect to redis://:hush@queue:6379/0".to_owned();
        let failure = not_counted(&task, &[line], "again");
        assert!(failure.message.contains("task 7 did not run: no capacity"), "{failure}");
        assert!(!failure.message.contains("hush"), "{failure}");
        assert_eq!(failure.error_code(), ErrorCode::Task);
    }
}
