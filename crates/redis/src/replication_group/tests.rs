use super::{ReplicationGroup, ReplicationGroupSpec};
use crate::Client;
use crate::testing::{error_metadata, name_tag, owned_tags, standalone};
use aws_sdk_elasticache::operation::create_replication_group::{
    CreateReplicationGroupError, CreateReplicationGroupInput, CreateReplicationGroupOutput,
};
use aws_sdk_elasticache::operation::delete_replication_group::{
    DeleteReplicationGroupError, DeleteReplicationGroupOutput,
};
use aws_sdk_elasticache::operation::describe_cache_clusters::DescribeCacheClustersOutput;
use aws_sdk_elasticache::operation::describe_cache_subnet_groups::DescribeCacheSubnetGroupsOutput;
use aws_sdk_elasticache::operation::describe_events::DescribeEventsOutput;
use aws_sdk_elasticache::operation::describe_replication_groups::{
    DescribeReplicationGroupsError, DescribeReplicationGroupsOutput,
};
use aws_sdk_elasticache::operation::increase_replica_count::IncreaseReplicaCountError;
use aws_sdk_elasticache::operation::list_tags_for_resource::{ListTagsForResourceError, ListTagsForResourceOutput};
use aws_sdk_elasticache::types::{
    AutomaticFailoverStatus, CacheCluster, CacheParameterGroupStatus, CacheSubnetGroup, Endpoint, Event, MultiAzStatus,
    NodeGroup, PendingModifiedValues, ReplicationGroup as Group, SecurityGroupMembership, StorageEncryptionType, Tag,
};
use aws_smithy_mocks::{MockResponse, Rule, mock};
use pb_engine::{Action, Class, Graph, Origin, Standalone};
use std::sync::Mutex;

const ARN: &str = "arn:aws:elasticache:us-east-2:1:replicationgroup:staging-jobqr";

pub(super) fn spec() -> ReplicationGroupSpec {
    ReplicationGroupSpec {
        id: "staging-jobqr".to_owned(),
        description: "Job queue".to_owned(),
        engine: "redis".to_owned(),
        engine_version: "7.1".to_owned(),
        node_type: "cache.t3.small".to_owned(),
        port: 6400,
        nodes: Some(1),
        subnet_group: "staging-jobqr".to_owned(),
        parameter_group: "staging-jobqr-redis7".to_owned(),
        security_group_ids: ["sg-1".to_owned()].into(),
        automatic_failover: Some(false),
        multi_az: Some(false),
        transit_encryption: false,
        at_rest_encryption: Some(false),
        auto_minor_version_upgrade: Some(false),
        failed: false,
        tags: name_tag("staging-jobqr"),
    }
}

pub(super) fn stack_of(spec: ReplicationGroupSpec, rules: &[&Rule]) -> Standalone {
    let client = pb_aws::mock_client!(aws_sdk_elasticache, rules.iter().copied());
    let mut graph = Graph::new();
    let kind = graph.kind(ReplicationGroup::new(client));
    graph.add("redis/jobqr", &kind, (), move |()| spec.clone()).unwrap();
    standalone(graph)
}

/// Returns the group as AWS describes it with this status: without an endpoint while it is being created.
pub(super) fn group(status: &str) -> Group {
    let group = Group::builder()
        .replication_group_id("staging-jobqr")
        .arn(ARN)
        .description("Job queue")
        .status(status)
        .engine("redis")
        .cache_node_type("cache.t3.small")
        .member_clusters("staging-jobqr-001")
        .automatic_failover(AutomaticFailoverStatus::Disabled)
        .multi_az(MultiAzStatus::Disabled)
        .transit_encryption_enabled(false)
        .at_rest_encryption_enabled(false)
        .auto_minor_version_upgrade(false);
    let endpoint = Endpoint::builder().address("jobqr.example").port(6400).build();
    match status {
        "creating" | "create-failed" => group.build(),
        _ => group.node_groups(NodeGroup::builder().primary_endpoint(endpoint).build()).build(),
    }
}

pub(super) fn member() -> aws_sdk_elasticache::types::builders::CacheClusterBuilder {
    CacheCluster::builder()
        .cache_cluster_id("staging-jobqr-001")
        .replication_group_id("staging-jobqr")
        .engine("redis")
        .engine_version("7.1.0")
        .cache_node_type("cache.t3.small")
        .cache_subnet_group_name("staging-jobqr")
        .cache_parameter_group(
            CacheParameterGroupStatus::builder().cache_parameter_group_name("staging-jobqr-redis7").build(),
        )
        .security_groups(SecurityGroupMembership::builder().security_group_id("sg-1").status("active").build())
}

pub(super) fn clusters(member: CacheCluster) -> Rule {
    mock!(Client::describe_cache_clusters)
        .then_output(move || DescribeCacheClustersOutput::builder().cache_clusters(member.clone()).build())
}

/// Responds with one status after the other, and then repeats the last status. An empty status means "not found".
fn statuses(statuses: &'static [&'static str]) -> Rule {
    let next = Mutex::new(0);
    mock!(Client::describe_replication_groups).then_compute_response(move |call| {
        let mut next = next.lock().unwrap();
        let status = statuses[(*next).min(statuses.len() - 1)];
        *next += 1;
        match status {
            "" if call.replication_group_id().is_some() => MockResponse::Error(
                DescribeReplicationGroupsError::generic(error_metadata("ReplicationGroupNotFoundFault")),
            ),
            "" => MockResponse::Output(DescribeReplicationGroupsOutput::builder().build()),
            status => MockResponse::Output(
                DescribeReplicationGroupsOutput::builder().replication_groups(group(status)).build(),
            ),
        }
    })
}

fn tags(tags: Vec<Tag>) -> Rule {
    mock!(Client::list_tags_for_resource)
        .then_output(move || ListTagsForResourceOutput::builder().set_tag_list(Some(tags.clone())).build())
}

pub(super) fn managed_tags() -> Rule {
    tags(owned_tags("redis/jobqr", "staging-jobqr"))
}

fn matches_spec(call: &CreateReplicationGroupInput) -> bool {
    let mut tags: Vec<Tag> = call.tags().to_vec();
    let mut expected = owned_tags("redis/jobqr", "staging-jobqr");
    tags.sort_by_key(|tag| tag.key().map(str::to_owned));
    expected.sort_by_key(|tag| tag.key().map(str::to_owned));
    tags == expected
        && call.replication_group_id() == Some("staging-jobqr")
        && call.engine_version() == Some("7.1")
        && call.num_cache_clusters() == Some(1)
        && call.port() == Some(6400)
        && call.cache_parameter_group_name() == Some("staging-jobqr-redis7")
        && call.cache_subnet_group_name() == Some("staging-jobqr")
        && call.security_group_ids() == ["sg-1"]
        // The defaults of this setting and the next depend on the engine.
        && call.at_rest_encryption_enabled() == Some(false)
        && call.auto_minor_version_upgrade() == Some(false)
        && call.automatic_failover_enabled() == Some(false)
}

fn create() -> Rule {
    mock!(Client::create_replication_group)
        .match_requests(matches_spec)
        .then_output(|| CreateReplicationGroupOutput::builder().replication_group(group("creating")).build())
}

#[tokio::test(start_paused = true)]
async fn replication_group_create_sends_its_spec_and_waits() {
    // The responses to the read, to a poll while the group is not visible yet, to two polls during its creation, and to
    // the last poll.
    let (statuses, create, clusters) =
        (statuses(&["", "", "creating", "creating", "available"]), create(), clusters(member().build()));
    let snapshot = stack_of(spec(), &[&statuses, &create, &clusters]).deploy().await.unwrap();
    let record = snapshot.resources.values().next().unwrap();
    assert!(record.ready);
    assert_eq!(record.attrs["primary_endpoint_address"], "jobqr.example");
    assert_eq!(record.attrs["port"], 6400);
    assert_eq!((create.num_calls(), statuses.num_calls()), (1, 5));
}

#[tokio::test(start_paused = true)]
async fn deployed_replication_group_needs_no_change() {
    let (statuses, clusters, tags) = (statuses(&["available"]), clusters(member().build()), managed_tags());
    let plan = stack_of(spec(), &[&statuses, &clusters, &tags]).plan().await.unwrap();
    assert!(plan.is_empty(), "{plan:?}");
}

#[tokio::test(start_paused = true)]
async fn group_that_is_being_created_is_only_waited_for() {
    // The group has no endpoint yet, and its tags cannot be read. It counts as managed because its subnet group is
    // managed.
    let statuses = statuses(&["creating"]);
    let clusters = clusters(member().set_engine_version(None).set_cache_parameter_group(None).build());
    let tags = mock!(Client::list_tags_for_resource).then_compute_response(|call| match call.resource_name() {
        Some(ARN) => {
            MockResponse::Error(ListTagsForResourceError::generic(error_metadata("InvalidReplicationGroupState")))
        }
        _ => MockResponse::Output(
            ListTagsForResourceOutput::builder().set_tag_list(Some(owned_tags("redis/subnets", "x"))).build(),
        ),
    });
    let subnets = mock!(Client::describe_cache_subnet_groups).then_output(|| {
        let group = CacheSubnetGroup::builder().cache_subnet_group_name("staging-jobqr").arn("subnets").build();
        DescribeCacheSubnetGroupsOutput::builder().cache_subnet_groups(group).build()
    });
    let plan = stack_of(spec(), &[&statuses, &clusters, &tags, &subnets]).plan().await.unwrap();
    assert_eq!(plan.steps[0].action, Action::Wait, "{plan:?}");
}

#[tokio::test(start_paused = true)]
async fn pending_modifications_count_as_live_values() {
    let pending = PendingModifiedValues::builder().cache_node_type("cache.m7g.large").engine_version("7.1.0").build();
    let member = member().engine_version("7.0.7").pending_modified_values(pending).build();
    let wanted = ReplicationGroupSpec { node_type: "cache.m7g.large".to_owned(), ..spec() };
    let (statuses, clusters, tags) = (statuses(&["modifying"]), clusters(member), managed_tags());
    let plan = stack_of(wanted, &[&statuses, &clusters, &tags]).plan().await.unwrap();
    assert_eq!(plan.steps[0].action, Action::Wait, "{plan:?}");
}

#[tokio::test(start_paused = true)]
async fn existing_replica_is_no_failure() {
    // A preceding call added the replica, and its response was lost.
    let increase = mock!(Client::increase_replica_count)
        .match_requests(|call| call.new_replica_count() == Some(1))
        .then_error(|| IncreaseReplicaCountError::generic(error_metadata("NoOperationFault")));
    let (statuses, clusters, tags) = (statuses(&["available"]), clusters(member().build()), managed_tags());
    let wanted = ReplicationGroupSpec { nodes: Some(2), ..spec() };
    stack_of(wanted, &[&statuses, &clusters, &tags, &increase]).deploy().await.unwrap();
    assert_eq!(increase.num_calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn immutable_field_change_replaces_the_group() {
    for wanted in [
        ReplicationGroupSpec { engine_version: "7.0".to_owned(), ..spec() },
        ReplicationGroupSpec { port: 6401, ..spec() },
        ReplicationGroupSpec { subnet_group: "staging-other".to_owned(), ..spec() },
        ReplicationGroupSpec { at_rest_encryption: Some(true), ..spec() },
    ] {
        let (statuses, clusters, tags) = (statuses(&["available"]), clusters(member().build()), managed_tags());
        let plan = stack_of(wanted, &[&statuses, &clusters, &tags]).plan().await.unwrap();
        assert!(matches!(plan.steps[0].action, Action::Replace { .. }), "{plan:?}");
        assert_ne!(plan.steps[0].origin, Some(Origin::Drift));
    }
}

#[tokio::test(start_paused = true)]
async fn create_waits_while_a_group_with_the_id_is_deleted() {
    let taken = mock!(Client::create_replication_group)
        .sequence()
        .error(|| CreateReplicationGroupError::generic(error_metadata("ReplicationGroupAlreadyExists")))
        .output(|| CreateReplicationGroupOutput::builder().replication_group(group("creating")).build())
        .build();
    // The read leaves out the group because it is being deleted. The create, which is refused, finds the same reason.
    // Then the new group is available.
    let (statuses, clusters) = (statuses(&["deleting", "deleting", "available"]), clusters(member().build()));
    stack_of(spec(), &[&statuses, &clusters, &taken]).deploy().await.unwrap();
    assert_eq!(taken.num_calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn unmanaged_replication_group_is_left_alone() {
    let (statuses, clusters, tags) = (statuses(&["available"]), clusters(member().build()), tags(Vec::new()));
    let failure = stack_of(spec(), &[&statuses, &clusters, &tags]).plan().await.unwrap_err();
    assert!(failure.message.contains("replication group staging-jobqr"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn failed_group_creation_is_a_failure() {
    let (statuses, clusters, create) = (statuses(&["", "create-failed"]), clusters(member().build()), create());
    let event = |message: &str| Event::builder().message(message).build();
    let events = mock!(Client::describe_events)
        .match_requests(|call| call.source_identifier() == Some("staging-jobqr-001"))
        .then_output(move || {
            DescribeEventsOutput::builder().events(event("no capacity")).events(event("an earlier event")).build()
        });
    let failure = stack_of(spec(), &[&statuses, &clusters, &create, &events]).deploy().await.unwrap_err();
    assert_eq!(failure.class, Class::Failed);
    assert_eq!(failure.message, "replication group staging-jobqr could not be created: no capacity");
}

/// The tags of such a group never become readable.
#[tokio::test(start_paused = true)]
async fn group_that_could_not_be_created_is_replaced() {
    let delete =
        mock!(Client::delete_replication_group).then_output(|| DeleteReplicationGroupOutput::builder().build());
    let statuses = statuses(&["create-failed", "create-failed", "deleting", "", "available"]);
    let (clusters, tags, create) = (clusters(member().build()), managed_tags(), create());
    stack_of(spec(), &[&statuses, &clusters, &tags, &delete, &create]).deploy().await.unwrap();
    assert_eq!((delete.num_calls(), create.num_calls()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn group_delete_waits_until_allowed_and_until_gone() {
    let delete = mock!(Client::delete_replication_group)
        .match_requests(|call| call.final_snapshot_identifier().is_none())
        .sequence()
        .error(|| DeleteReplicationGroupError::generic(error_metadata("InvalidReplicationGroupState")))
        .output(|| DeleteReplicationGroupOutput::builder().build())
        .build();
    let statuses = statuses(&["available", "snapshotting", "available", "deleting", ""]);
    let (clusters, tags) = (clusters(member().build()), managed_tags());
    stack_of(spec(), &[&statuses, &clusters, &tags, &delete]).destroy().await.unwrap();
    assert_eq!((delete.num_calls(), statuses.num_calls()), (2, 5));
}

/// The tags cannot be read while the group is being modified. Their loss is found when the group is available.
#[tokio::test(start_paused = true)]
async fn delete_of_a_group_that_lost_its_tags_is_refused() {
    let delete =
        mock!(Client::delete_replication_group).then_output(|| DeleteReplicationGroupOutput::builder().build());
    let unreadable = || ListTagsForResourceError::generic(error_metadata("InvalidReplicationGroupState"));
    let stripped = || ListTagsForResourceOutput::builder().build();
    let tags = mock!(Client::list_tags_for_resource)
        .sequence()
        .error(unreadable)
        .error(unreadable)
        .output(stripped)
        .times(9)
        .build();
    let (statuses, clusters, create) =
        (statuses(&["", "available", "modifying"]), clusters(member().build()), create());
    let stack = stack_of(spec(), &[&statuses, &clusters, &tags, &create, &delete]);
    stack.deploy().await.unwrap();
    let failure = stack.destroy().await.unwrap_err();
    assert_eq!(failure.class, Class::Unmanaged, "{failure}");
    assert_eq!(delete.num_calls(), 0);
}

#[test]
fn invalid_spec_is_refused() {
    use pb_engine::Resource;
    for (wrong, why) in [
        (ReplicationGroupSpec { id: "staging--jobqr".to_owned(), ..spec() }, "--"),
        (ReplicationGroupSpec { engine_version: "7.1.0".to_owned(), ..spec() }, "AWS chooses the patch version"),
        (ReplicationGroupSpec { node_type: "small".to_owned(), ..spec() }, "node type"),
        (ReplicationGroupSpec { automatic_failover: Some(true), ..spec() }, "at least 2 nodes"),
        (ReplicationGroupSpec { nodes: Some(7), ..spec() }, "between 1 and 6"),
    ] {
        let refused = ReplicationGroup::validate(&wrong).unwrap_err();
        assert!(refused.contains(why), "{refused}");
    }
    assert_eq!(ReplicationGroup::validate(&spec()), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn upgrade_and_encryption_by_aws_are_no_change() {
    let upgraded = member().engine_version("7.2.0").build();
    let plan = async |wanted: ReplicationGroupSpec, upgrades: bool| {
        let mut group = group("available");
        group.auto_minor_version_upgrade = Some(upgrades);
        group.storage_encryption_type = Some(StorageEncryptionType::SseElasticache);
        let described = mock!(Client::describe_replication_groups)
            .then_output(move || DescribeReplicationGroupsOutput::builder().replication_groups(group.clone()).build());
        let owned = tags(owned_tags("redis/jobqr", "staging-jobqr"));
        stack_of(wanted, &[&described, &clusters(upgraded.clone()), &owned]).plan().await.unwrap()
    };
    let wanted =
        |encrypted| ReplicationGroupSpec { at_rest_encryption: encrypted, auto_minor_version_upgrade: None, ..spec() };
    for encrypted in [None, Some(false), Some(true)] {
        assert!(plan(wanted(encrypted), true).await.is_empty(), "{encrypted:?}");
    }
    let refused = plan(wanted(None), false).await;
    assert!(refused.steps[0].replacement_fields.contains(&"engine_version".to_owned()), "a downgrade replaces");
}
