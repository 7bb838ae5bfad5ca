//! What must be there before a first deploy: the bucket and the lock table of the state, the role with which ECS starts tasks,
//! and the hosted zone.
//!
//! All of it is shared: workspaces have one bucket and one table, other programs may use them too. So what stands in one of
//! the names is used as it is, whoever made it; what it lacks is a difference like any other, shown before it is changed. What
//! is made carries the tags of the stack, and nothing here is ever deleted by a plan.

mod bucket;
mod policy;
mod role;
mod table;
mod zone;

pub use bucket::{Bucket, BucketAttrs, BucketSpec};
pub use role::{Role, RoleAttrs, RoleSpec};
pub use table::{Table, TableAttrs, TableSpec};
pub use zone::{HostedZone, HostedZoneAttrs, HostedZoneSpec};

use aws_types::SdkConfig;
use pb_engine::{Failure, Graph, Ownership};
use std::collections::BTreeSet;

/// What is wanted.
#[derive(Debug, Clone)]
pub struct BootstrapSpec {
    /// The account that everything is in.
    pub account: String,
    /// The bucket of the state.
    pub bucket: String,
    /// The region of bucket and table.
    pub region: String,
    /// The lock table.
    pub table: String,
    /// The role with which ECS starts tasks.
    pub execution_role: String,
    /// The secrets and parameters that it is to read, by their ARNs.
    pub secrets: BTreeSet<String>,
    /// Name of the inline policy of the role that lets it read them: one for each workspace, for they share the role.
    pub secrets_policy: String,
    /// The public hosted zone, where it is to be made.
    pub zone: Option<String>,
}

/// In whose name these are made: the stack's, for all of its workspaces. A workspace's name has no colon.
#[must_use]
pub fn shared_owner(stack: &str) -> Ownership {
    Ownership { stack: stack.to_owned(), workspace: ":shared".to_owned() }
}

/// Adds what is wanted to `graph`: `state/bucket`, `state/table`, `roles/execution` and `dns/zone`.
///
/// # Errors
/// `Bug` when an address is taken.
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
    let roles = graph.kind(Role::new(aws_sdk_iam::Client::new(config), &spec.secrets_policy));
    let wanted = RoleSpec {
        name: spec.execution_role.clone(),
        trusts_ecs_tasks: true,
        has_policy: true,
        reads: spec.secrets.clone(),
    };
    graph.add("roles/execution", &roles, (), move |()| wanted.clone())?;
    if let Some(name) = spec.zone.clone() {
        let zones = graph.kind(HostedZone::new(aws_sdk_route53::Client::new(config)));
        let zone = graph.add("dns/zone", &zones, (), move |()| HostedZoneSpec { name: name.clone() })?;
        graph.output("name_servers", zone, |zone| zone.name_servers);
    }
    Ok(())
}
