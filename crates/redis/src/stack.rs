//! The queue as a part of a graph.

use crate::names;
use crate::{Client, ParameterGroup, ParameterGroupAttrs, ParameterGroupSpec, ReplicationGroup, ReplicationGroupAttrs};
use crate::{ReplicationGroupSpec, SubnetGroup, SubnetGroupAttrs, SubnetGroupSpec};
use aws_types::SdkConfig;
use pb_engine::{Failure, Graph, Handle, Input, Refusal};
use std::collections::{BTreeMap, BTreeSet};

/// Spec of the queue.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueSpec {
    /// Id of the replication group.
    pub replication_group: String,
    /// Name of the subnet group.
    pub subnet_group: String,
    /// Name of the parameter group. A name that contains the family allows a group of another family to exist at the
    /// same time.
    pub parameter_group: String,
    /// Engine: `redis` or `valkey`.
    pub engine: String,
    /// Engine version, such as `7.1`; versions before 6 include the patch version, as in `5.0.6`.
    pub engine_version: String,
    /// Node type, such as `cache.t3.small`.
    pub node_type: String,
    /// Port of the queue.
    pub port: i32,
    /// `true` if data on disk is encrypted. If absent, it is not managed.
    pub at_rest_encryption: Option<bool>,
    /// `true` if AWS may upgrade to a later minor version than the configured one. If absent, it is not managed.
    pub auto_minor_version_upgrade: Option<bool>,
    /// Tags of all three resources, without `Name` and the ownership tags.
    pub tags: BTreeMap<String, String>,
}

impl QueueSpec {
    /// Returns a spec of Redis 7.1 on one `cache.t3.small` node with port 6379, with all names derived from `name`.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self {
            replication_group: name.to_owned(),
            subnet_group: name.to_owned(),
            parameter_group: format!("{name}-redis7"),
            engine: "redis".to_owned(),
            engine_version: "7.1".to_owned(),
            node_type: "cache.t3.small".to_owned(),
            port: 6379,
            at_rest_encryption: None,
            auto_minor_version_upgrade: None,
            tags: BTreeMap::new(),
        }
    }
}

/// Inputs of the queue from other resources.
pub struct QueueInputs {
    /// Ids of the subnets in which the node may run.
    pub subnet_ids: Vec<Input<String>>,
    /// Ids of the security groups that control access to the queue.
    pub security_group_ids: Vec<Input<String>>,
}

/// Handles of the queue's resources.
#[derive(Clone, Copy)]
pub struct QueueStack {
    /// Subnet group, `redis/subnets`.
    pub subnet_group: Handle<SubnetGroupAttrs>,
    /// Parameter group, `redis/parameters`.
    pub parameter_group: Handle<ParameterGroupAttrs>,
    /// Replication group, `redis/jobqr`. Its endpoint is known once the group is available.
    pub replication_group: Handle<ReplicationGroupAttrs>,
}

impl QueueStack {
    /// Adds the queue to `graph`.
    ///
    /// # Errors
    /// `Refused` if the engine version does not exist; `Bug` if an address is already used.
    pub fn add(graph: &mut Graph, config: &SdkConfig, spec: &QueueSpec, inputs: QueueInputs) -> Result<Self, Failure> {
        Self::add_with_client(graph, &Client::new(config), spec, inputs)
    }

    /// Adds the queue to `graph`; its resources make their calls through `client`.
    ///
    /// # Errors
    /// The errors of [`QueueStack::add`].
    pub fn add_with_client(
        graph: &mut Graph,
        client: &Client,
        spec: &QueueSpec,
        inputs: QueueInputs,
    ) -> Result<Self, Failure> {
        let subnet_groups = graph.kind(SubnetGroup::new(client.clone()));
        let parameter_groups = graph.kind(ParameterGroup::new(client.clone()));
        let replication_groups = graph.kind(ReplicationGroup::new(client.clone()));
        let family = pb_rules::cache::family(&spec.engine, &spec.engine_version)
            .map_err(|violation| Failure::refused(Refusal::Configuration, "add the queue", violation.to_string()))?;

        let wanted = spec.clone();
        let subnet_group =
            graph.add(names::SUBNET_GROUP, &subnet_groups, inputs.subnet_ids, move |subnet_ids| SubnetGroupSpec {
                name: wanted.subnet_group.clone(),
                description: "Subnets of the queue".to_owned(),
                subnet_ids: subnet_ids.into_iter().collect(),
                nodes_in: BTreeSet::new(),
                tags: named(&wanted.tags, &wanted.subnet_group),
            })?;

        let wanted = spec.clone();
        let parameter_group =
            graph.add(names::PARAMETER_GROUP, &parameter_groups, (), move |()| ParameterGroupSpec {
                name: wanted.parameter_group.clone(),
                family: family.clone(),
                // A broker with eviction loses jobs.
                parameters: [("maxmemory-policy".to_owned(), "noeviction".to_owned())].into(),
                tags: named(&wanted.tags, &wanted.parameter_group),
            })?;

        let wanted = spec.clone();
        let needs = (subnet_group, parameter_group, inputs.security_group_ids);
        let replication_group =
            graph.add(names::REPLICATION_GROUP, &replication_groups, needs, move |(subnets, parameters, groups)| {
                ReplicationGroupSpec {
                    id: wanted.replication_group.clone(),
                    description: "Job queue".to_owned(),
                    engine: wanted.engine.clone(),
                    engine_version: wanted.engine_version.clone(),
                    node_type: wanted.node_type.clone(),
                    port: wanted.port,
                    nodes: None,
                    subnet_group: subnets.name,
                    parameter_group: parameters.name,
                    security_group_ids: groups.into_iter().collect(),
                    automatic_failover: None,
                    multi_az: None,
                    // The address of the queue has the scheme `redis://`, without TLS.
                    transit_encryption: false,
                    at_rest_encryption: wanted.at_rest_encryption,
                    auto_minor_version_upgrade: wanted.auto_minor_version_upgrade,
                    failed: false,
                    tags: named(&wanted.tags, &wanted.replication_group),
                }
            })?;
        Ok(Self { subnet_group, parameter_group, replication_group })
    }
}

fn named(tags: &BTreeMap<String, String>, name: &str) -> BTreeMap<String, String> {
    let mut tags = tags.clone();
    tags.insert("Name".to_owned(), name.to_owned());
    tags
}

#[cfg(test)]
mod tests {
    use super::{QueueInputs, QueueSpec, QueueStack};
    use crate::Client;
    use aws_sdk_elasticache::config::{BehaviorVersion, Config};
    use pb_engine::{Graph, Input};

    fn client() -> Client {
        Client::from_conf(Config::builder().behavior_version(BehaviorVersion::latest()).build())
    }

    fn inputs() -> QueueInputs {
        let known = |id: &str| Input::known(id.to_owned());
        QueueInputs { subnet_ids: vec![known("subnet-1")], security_group_ids: vec![known("sg-1")] }
    }

    #[test]
    fn queue_specs_use_noeviction_and_the_given_names() {
        let mut graph = Graph::new();
        QueueStack::add_with_client(&mut graph, &client(), &QueueSpec::named("staging-jobqr"), inputs()).unwrap();
        assert!(graph.validate().unwrap().is_empty());
        let specs: Vec<String> = graph.specs().unwrap().iter().map(|(at, spec)| format!("{at} {spec}")).collect();
        assert!(specs[0].starts_with("redis/subnets"), "{}", specs[0]);
        assert!(specs[1].contains(r#""family":"redis7""#), "{}", specs[1]);
        assert!(specs[1].contains(r#""maxmemory-policy":"noeviction""#), "{}", specs[1]);
        assert!(specs[2].contains(r#""parameter_group":"staging-jobqr-redis7""#), "{}", specs[2]);
        assert!(specs.iter().all(|spec| spec.contains(r#""Name":"staging-jobqr"#)), "{specs:?}");
    }

    #[test]
    fn unknown_engine_version_is_refused() {
        let spec = QueueSpec { engine_version: "8.0".to_owned(), ..QueueSpec::named("staging-jobqr") };
        let failure = QueueStack::add_with_client(&mut Graph::new(), &client(), &spec, inputs()).err().unwrap();
        assert!(failure.message.contains("ElastiCache offers Redis up to 7.1"), "{failure}");
    }
}
