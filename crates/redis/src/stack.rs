//! The queue as a whole.

use crate::{Client, ParameterGroup, ParameterGroupAttrs, ParameterGroupSpec, ReplicationGroup, ReplicationGroupAttrs};
use crate::{ReplicationGroupSpec, SubnetGroup, SubnetGroupAttrs, SubnetGroupSpec};
use aws_types::SdkConfig;
use pb_engine::{Class, Failure, Graph, Handle, Input};
use std::collections::{BTreeMap, BTreeSet};

/// What is wanted of the queue.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueSpec {
    /// Id of the replication group.
    pub replication_group: String,
    /// Name of the subnet group.
    pub subnet_group: String,
    /// Name of the parameter group. With the family in it, another family is made beside this one.
    pub parameter_group: String,
    /// `redis` or `valkey`.
    pub engine: String,
    /// Such as `7.1`; before 6 with the patch version.
    pub engine_version: String,
    /// Such as `cache.t3.small`.
    pub node_type: String,
    /// The port.
    pub port: i32,
    /// Tags of all three, besides `Name` and those of ownership.
    pub tags: BTreeMap<String, String>,
}

impl QueueSpec {
    /// Redis 7.1 on one `cache.t3.small` at port 6379, with all names made from `name`.
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
            tags: BTreeMap::new(),
        }
    }
}

/// What the queue needs of others.
pub struct QueueInputs {
    /// Ids of the subnets in which the node may stand.
    pub subnet_ids: Vec<Input<String>>,
    /// Ids of the security groups that say who may reach it.
    pub security_group_ids: Vec<Input<String>>,
}

/// The queue in a graph.
#[derive(Clone, Copy)]
pub struct QueueStack {
    /// `redis/subnets`
    pub subnet_group: Handle<SubnetGroupAttrs>,
    /// `redis/parameters`
    pub parameter_group: Handle<ParameterGroupAttrs>,
    /// `redis/jobqr`: its endpoint is known once it is available.
    pub replication_group: Handle<ReplicationGroupAttrs>,
}

impl QueueStack {
    /// Adds the queue to `graph`.
    ///
    /// # Errors
    /// `Refused` when engine and version do not exist; `Bug` when an address is taken.
    pub fn add(graph: &mut Graph, config: &SdkConfig, spec: &QueueSpec, inputs: QueueInputs) -> Result<Self, Failure> {
        Self::add_with_client(graph, &Client::new(config), spec, inputs)
    }

    /// [`QueueStack::add`], reached through `client`.
    ///
    /// # Errors
    /// As [`QueueStack::add`].
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
            .map_err(|violation| Failure::new(Class::Refused, "add the queue", violation.to_string()))?;

        let wanted = spec.clone();
        let subnet_group =
            graph.add("redis/subnets", &subnet_groups, inputs.subnet_ids, move |subnet_ids| SubnetGroupSpec {
                name: wanted.subnet_group.clone(),
                description: "Subnets of the queue".to_owned(),
                subnet_ids: subnet_ids.into_iter().collect(),
                nodes_in: BTreeSet::new(),
                tags: named(&wanted.tags, &wanted.subnet_group),
            })?;

        let wanted = spec.clone();
        let parameter_group = graph.add("redis/parameters", &parameter_groups, (), move |()| ParameterGroupSpec {
            name: wanted.parameter_group.clone(),
            family: family.clone(),
            // A broker that evicts loses jobs.
            parameters: [("maxmemory-policy".to_owned(), "noeviction".to_owned())].into(),
            tags: named(&wanted.tags, &wanted.parameter_group),
        })?;

        let wanted = spec.clone();
        let needs = (subnet_group, parameter_group, inputs.security_group_ids);
        let replication_group =
            graph.add("redis/jobqr", &replication_groups, needs, move |(subnets, parameters, groups)| {
                ReplicationGroupSpec {
                    id: wanted.replication_group.clone(),
                    description: "Job queue".to_owned(),
                    engine: wanted.engine.clone(),
                    engine_version: wanted.engine_version.clone(),
                    node_type: wanted.node_type.clone(),
                    port: wanted.port,
                    nodes: 1,
                    subnet_group: subnets.name,
                    parameter_group: parameters.name,
                    security_group_ids: groups.into_iter().collect(),
                    automatic_failover: false,
                    multi_az: false,
                    transit_encryption: false,
                    at_rest_encryption: false,
                    auto_minor_version_upgrade: false,
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
        assert!(failure.message.contains("ends at 7.1"), "{failure}");
    }
}
