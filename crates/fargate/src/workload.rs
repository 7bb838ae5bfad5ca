//! What is wanted of one thing that runs.

use std::collections::BTreeMap;

/// One thing that runs: so many tasks of one image.
#[derive(Debug, Clone)]
pub struct WorkloadSpec {
    /// What it is called in addresses, and the name of its container: `flask` is at `fargate/flask` and
    /// `fargate/flask_task`.
    pub key: String,
    /// Name of the service, and family of the task definition.
    pub name: String,
    /// Where its image comes from.
    pub image: Image,
    /// The command; empty: the image's own.
    pub command: Vec<String>,
    /// Variables beside those with the address of the queue.
    pub environment: BTreeMap<String, String>,
    /// Variables with secrets, each with the ARN of its secret.
    pub secrets: BTreeMap<String, String>,
    /// How many tasks run.
    pub count: i32,
    /// CPU units of a task; 1024 are one virtual CPU.
    pub cpu: i32,
    /// Memory of a task in MiB.
    pub memory: i32,
    /// Time from SIGTERM to SIGKILL, in seconds.
    pub stop_timeout: i32,
    /// Whether a small init process hands signals on.
    pub init_process: bool,
    /// Part of the tasks that keep running during a rollout, in percent.
    pub min_healthy_percent: i32,
    /// Tasks that may run during a rollout, old and new together, in percent.
    pub max_percent: i32,
    /// Whether a rollout whose tasks fail again and again is given up and rolled back.
    pub breaker: bool,
    /// Failed tasks after which a rollout is given up; absent: what ECS does by itself.
    pub breaker_threshold: Option<i32>,
    /// Whether people may open a shell in its tasks. The task role needs permissions for that.
    pub execute_command: bool,
}

/// Where an image comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Image {
    /// The own repository, at this tag.
    Tag(String),
    /// The own repository, with this digest: `sha256:` and 64 hexadecimal digits.
    Digest(String),
    /// A full reference.
    Reference(String),
}

impl WorkloadSpec {
    /// A workload with the sizes that this stack has by default: one task with one CPU and 4 GiB, 30 s to stop.
    #[must_use]
    pub fn new(key: &str, name: &str, image: Image) -> Self {
        Self {
            key: key.to_owned(),
            name: name.to_owned(),
            image,
            command: Vec::new(),
            environment: BTreeMap::new(),
            secrets: BTreeMap::new(),
            count: 1,
            cpu: 1024,
            memory: 4096,
            stop_timeout: 30,
            init_process: false,
            min_healthy_percent: 100,
            max_percent: 200,
            breaker: true,
            breaker_threshold: None,
            execute_command: false,
        }
    }

    /// Celery workers: four tasks, which get as long as Fargate gives to finish what they do, and an init process that
    /// hands SIGTERM on.
    #[must_use]
    pub fn workers(key: &str, name: &str, image: Image) -> Self {
        Self { count: 4, stop_timeout: 120, init_process: true, ..Self::new(key, name, image) }
    }

    /// A scheduler of periodic tasks: one task, which is gone before the next one comes.
    #[must_use]
    pub fn scheduler(key: &str, name: &str, image: Image) -> Self {
        Self { min_healthy_percent: 0, max_percent: 100, init_process: true, ..Self::new(key, name, image) }
    }
}
