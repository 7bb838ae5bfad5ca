//! Prerequisites of a first deploy: the state bucket, the lock table, the role with which ECS starts tasks, the role of the
//! application, and the hosted zone.
//!
//! All of these are shared: workspaces use the same bucket and table, and other programs may use them too. An existing
//! resource with one of the configured names is therefore used, regardless of who created it. Adding a missing setting
//! is a change like any other: it is shown before it is applied. New resources carry the tags of the stack. No plan
//! deletes any of these resources.

mod bucket;
mod permissions;
mod policy;
mod role;
mod roles;
mod table;
mod task_role;
mod zone;

pub use bucket::{Bucket, BucketAttrs, BucketSpec};
pub use permissions::{Permission, Permissions};
pub use role::{Role, RoleSpec, SecretsPolicies};
pub use roles::RoleAttrs;
pub use table::{Table, TableAttrs, TableSpec};
pub use task_role::{Source, TaskRole, TaskRoleSpec};
pub use zone::{HostedZone, HostedZoneAttrs, HostedZoneSpec};

use aws_types::SdkConfig;
use pb_engine::{Failure, Graph, Ownership};
use serde_json::Value;
use std::collections::BTreeSet;

/// Desired prerequisites.
#[derive(Debug, Clone)]
pub struct BootstrapSpec {
    /// Id of the account that owns all resources.
    pub account: String,
    /// Name of the state bucket.
    pub bucket: String,
    /// Region of the bucket and the table.
    pub region: String,
    /// Name of the lock table.
    pub table: String,
    /// Name of the role with which ECS starts tasks.
    pub execution_role: String,
    /// ARNs of the secrets and parameters that the role must be able to read.
    pub secrets: BTreeSet<String>,
    /// ARN pattern of the secrets that pb-deploy itself writes for the stack, and that the role must be able to read.
    pub stack_secrets: String,
    /// Names of the role's inline policies that allow reading `secrets` and `stack_secrets`.
    pub secrets_policies: SecretsPolicies,
    /// ARN of the policy that is the permissions boundary of the roles. An existing execution role keeps its own.
    pub permissions_boundary: Option<String>,
    /// Role of the application; absent if it is not created.
    pub task_role: Option<TaskRoleInputs>,
    /// Name of the public hosted zone to create; absent if no zone is needed.
    pub zone: Option<String>,
}

/// Desired role of the application.
#[derive(Debug, Clone)]
pub struct TaskRoleInputs {
    /// Name of the role.
    pub name: String,
    /// Name of its inline policy with `statements`.
    pub policy: String,
    /// Statements of this policy.
    pub statements: Vec<Value>,
    /// Tasks that may assume the role, if it is created.
    pub source: Source,
}

/// Returns the owner of the shared resources: the stack with the workspace `:shared`, which means all workspaces. It
/// never equals a real workspace, because workspace names contain no colon.
#[must_use]
pub fn shared_owner(stack: &str) -> Ownership {
    Ownership { stack: stack.to_owned(), workspace: ":shared".to_owned() }
}

/// Adds the prerequisites to `graph`: `state/bucket`, `state/table`, `roles/execution`, `roles/task` and
/// `dns/zone`.
///
/// # Errors
/// `Bug` if the graph already contains one of these addresses.
pub fn bootstrap(graph: &mut Graph, config: &SdkConfig, spec: &BootstrapSpec) -> Result<(), Failure> {
    let buckets = graph.kind(Bucket::new(config, &spec.account));
    let wanted = BucketSpec {
        name: spec.bucket.clone(),
        region: spec.region.clone(),
        versioned: true,
        encrypted: true,
        private: true,
        tls_only: true,
    };
    graph.add("state/bucket", &buckets, (), move |()| wanted.clone())?;
    let tables = graph.kind(Table::new(aws_sdk_dynamodb::Client::new(config)));
    let wanted = TableSpec { name: spec.table.clone(), key: table::KEY.to_owned() };
    graph.add("state/table", &tables, (), move |()| wanted.clone())?;
    let iam = aws_sdk_iam::Client::new(config);
    let boundary = spec.permissions_boundary.clone();
    let roles = graph.kind(Role::new(iam.clone(), spec.secrets_policies.clone(), boundary.clone()));
    let wanted = RoleSpec {
        name: spec.execution_role.clone(),
        trusts_ecs_tasks: true,
        has_policy: true,
        reads: spec.secrets.clone(),
        stack_secrets: Some(spec.stack_secrets.clone()),
    };
    graph.add("roles/execution", &roles, (), move |()| wanted.clone())?;
    if let Some(role) = spec.task_role.clone() {
        let roles = graph.kind(TaskRole::new(iam, role.source, &role.policy));
        let wanted = TaskRoleSpec {
            name: role.name,
            trusts_ecs_tasks: true,
            statements: role.statements,
            permissions_boundary: boundary,
        };
        graph.add("roles/task", &roles, (), move |()| wanted.clone())?;
    }
    if let Some(name) = spec.zone.clone() {
        let zones = graph.kind(HostedZone::new(aws_sdk_route53::Client::new(config)));
        let zone = graph.add("dns/zone", &zones, (), move |()| HostedZoneSpec { name: name.clone() })?;
        graph.output("name_servers", zone, |zone| zone.name_servers);
    }
    Ok(())
}
