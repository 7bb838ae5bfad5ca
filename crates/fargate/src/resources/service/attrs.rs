//! Attributes of a service, and the deployment that they name.

use crate::rollout::status::ExpectedDeployment;
use serde::{Deserialize, Serialize};

/// Attributes of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceAttrs {
    /// ARN of the service.
    pub arn: String,
    /// Name of the service.
    pub name: String,
    /// Name of the cluster.
    pub cluster: String,
    /// Id of the deployment that was started last; absent before the first deployment.
    pub deployment: Option<String>,
    /// ARN of the revision of that deployment.
    pub task_definition: String,
    /// Set until the tasks of that deployment have logged that they are ready, if the program waits for that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub awaits_ready_log: bool,
}

/// Returns the deployment with which the rollout of the service succeeds.
pub(crate) fn expected(attrs: &ServiceAttrs) -> ExpectedDeployment<'_> {
    ExpectedDeployment {
        cluster: &attrs.cluster,
        service: &attrs.name,
        deployment: attrs.deployment.as_deref().unwrap_or_default(),
        task_definition: &attrs.task_definition,
    }
}
