//! Settings of a workload.

use std::collections::BTreeMap;

/// Settings of one workload: a number of tasks that run the same image.
#[derive(Debug, Clone)]
pub struct WorkloadSpec {
    /// Key in addresses, and name of the container. The key `flask` results in the addresses `fargate/flask` and
    /// `fargate/flask_task`.
    pub key: String,
    /// Name of the service and family of the task definition.
    pub name: String,
    /// Source of the image.
    pub image: Image,
    /// Command; if empty, the command of the image.
    pub command: Vec<String>,
    /// Environment variables, in addition to those that contain the address of the queue.
    pub environment: BTreeMap<String, String>,
    /// Environment variables with secret values: the ARNs of the secrets, by variable name.
    pub secrets: BTreeMap<String, String>,
    /// Number of tasks.
    pub count: i32,
    /// CPU units of a task; 1024 units are one vCPU.
    pub cpu: i32,
    /// Memory of a task in MiB.
    pub memory: i32,
    /// Time from SIGTERM to SIGKILL, in seconds.
    pub stop_timeout: i32,
    /// `true` if the container runs an init process that forwards signals.
    pub init_process: bool,
    /// Minimum percentage of the desired count that must keep running during a rollout.
    pub min_healthy_percent: i32,
    /// Maximum percentage of the desired count that may run during a rollout, old and new tasks together.
    pub max_percent: i32,
    /// `true` if the circuit breaker ends a rollout after too many failed tasks and rolls back.
    pub breaker: bool,
    /// Number of failed tasks after which the circuit breaker ends a rollout; if absent, the ECS default.
    pub breaker_threshold: Option<i32>,
    /// Text that each new task logs when it is ready, and for which a rollout waits; if absent, running is enough.
    pub ready_log: Option<String>,
    /// `true` if ECS Exec can open a shell in the tasks, for which the task role needs permissions.
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
            ready_log: None,
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
