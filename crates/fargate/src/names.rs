//! Addresses of the resources that [`FargateStack::add`](crate::FargateStack::add) adds to a graph.

use pb_engine::Ownership;

/// Prefix of all addresses.
const CONCERN: &str = "fargate/";

/// Suffix of the addresses of task definitions.
const TASK: &str = "_task";

/// Address of the log group.
pub const LOG_GROUP: &str = "fargate/logs";

/// Address of the image repository.
pub const REPOSITORY: &str = "fargate/repository";

/// Address of the cluster.
pub const CLUSTER: &str = "fargate/cluster";

/// Address of the release command.
pub const RELEASE_COMMAND: &str = "fargate/before";

/// Addresses of the resources that all workloads share.
const SHARED: [&str; 4] = [LOG_GROUP, REPOSITORY, CLUSTER, RELEASE_COMMAND];

/// Returns the address of the service of the workload with this key: `fargate/flask` for `flask`.
#[must_use]
pub fn service(key: &str) -> String {
    format!("{CONCERN}{key}")
}

/// Returns the address of the task definition of the workload with this key: `fargate/flask_task` for `flask`.
#[must_use]
pub fn task_definition(key: &str) -> String {
    format!("{CONCERN}{key}{TASK}")
}

/// Returns the key of the workload whose service has this address, or `None` if it is not the address of a service.
#[must_use]
pub fn service_key(address: &str) -> Option<&str> {
    let is_service = |key: &&str| !key.ends_with(TASK) && !SHARED.contains(&address);
    address.strip_prefix(CONCERN).filter(is_service)
}

/// Returns the key of the workload whose task definition has this address, or `None` if it is not the address of a task
/// definition.
#[must_use]
pub fn task_definition_key(address: &str) -> Option<&str> {
    address.strip_prefix(CONCERN)?.strip_suffix(TASK)
}

/// Returns the prefix of the names of all resources of a workspace.
pub(crate) fn name_prefix(owner: &Ownership) -> String {
    format!("{}-", owner.workspace)
}

/// Returns the last part of an ARN: `web:3` for `arn:aws:ecs:us-east-2:1:task-definition/web:3`.
pub(crate) fn last_part(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

#[cfg(test)]
mod tests {
    use super::{SHARED, service, service_key, task_definition, task_definition_key};

    #[test]
    fn keys_are_read_from_addresses() {
        let (flask, task) = (service("flask"), task_definition("flask"));
        assert_eq!((flask.as_str(), task.as_str()), ("fargate/flask", "fargate/flask_task"));
        assert_eq!((service_key(&flask), task_definition_key(&flask)), (Some("flask"), None));
        assert_eq!((service_key(&task), task_definition_key(&task)), (None, Some("flask")));
    }

    #[test]
    fn shared_and_other_addresses_have_no_key() {
        for address in SHARED.into_iter().chain(["net/vpc", "edge/flask_task", "flask"]) {
            assert_eq!((service_key(address), task_definition_key(address)), (None, None), "{address}");
        }
    }
}
