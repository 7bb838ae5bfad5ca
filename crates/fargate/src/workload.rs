//! The settings of one workload.

use std::collections::BTreeMap;

/// The settings of one workload: a number of tasks that run one image.
#[derive(Debug, Clone)]
pub struct WorkloadSpec {
    /// Key in addresses, and name of the container: `flask` has the addresses `fargate/flask` and `fargate/flask_task`.
    pub key: String,
    /// Name of the service and family of the task definition.
    pub name: String,
    /// Source of the image.
    pub image: Image,
    /// Command; if empty, that of the image.
    pub command: Vec<String>,
    /// Environment variables, in addition to those with the address of the queue.
    pub environment: BTreeMap<String, String>,
    /// Environment variables with secrets; the values are the ARNs of the secrets.
    pub secrets: BTreeMap<String, String>,
    /// Number of tasks.
    pub count: i32,
    /// CPU units of a task; 1024 units are one vCPU.
    pub cpu: i32,
    /// Memory of a task in MiB.
    pub memory: i32,
    /// Time from SIGTERM to SIGKILL, in seconds.
    pub stop_timeout: i32,
    /// True to run an init process that forwards signals.
    pub init_process: bool,
    /// Minimum share of the tasks that keep running during a rollout, in percent.
    pub min_healthy_percent: i32,
    /// Maximum share of tasks that run during a rollout, old and new together, in percent.
    pub max_percent: i32,
    /// True to have the circuit breaker end a rollout after too many failed tasks and roll back.
    pub breaker: bool,
    /// Number of failed tasks after which the circuit breaker ends a rollout; if absent, the default of ECS.
    pub breaker_threshold: Option<i32>,
    /// True to allow ECS Exec to open a shell in the tasks, which needs permissions of the task role.
    pub execute_command: bool,
}

/// Source of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Image {
    /// A tag in the repository of the stack.
    Tag(String),
    /// A digest in the repository of the stack: `sha256:` and 64 hexadecimal digits.
    Digest(String),
    /// A full image reference.
    Reference(String),
}

impl WorkloadSpec {
    /// Creates a workload with the default sizes: one task with 1 vCPU and 4 GiB, and 30 s to stop.
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

    /// Creates a workload of Celery workers: four tasks, with the longest stop timeout that Fargate allows and an init
    /// process that forwards SIGTERM.
    #[must_use]
    pub fn workers(key: &str, name: &str, image: Image) -> Self {
        Self { count: 4, stop_timeout: 120, init_process: true, ..Self::new(key, name, image) }
    }

    /// Creates a workload with a scheduler of periodic tasks: one task, which stops before its replacement starts.
    #[must_use]
    pub fn scheduler(key: &str, name: &str, image: Image) -> Self {
        Self { min_healthy_percent: 0, max_percent: 100, init_process: true, ..Self::new(key, name, image) }
    }
}
