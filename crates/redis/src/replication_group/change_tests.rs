//! Changes in place, by the statuses and settings that AWS reports one after the other.

use super::tests::{clusters, group, managed_tags, member, spec, stack_of};
use super::{ReplicationGroup, ReplicationGroupSpec};
use crate::Client;
use crate::testing::error_metadata;
use aws_sdk_elasticache::operation::describe_cache_clusters::DescribeCacheClustersOutput;
use aws_sdk_elasticache::operation::describe_replication_groups::DescribeReplicationGroupsOutput;
use aws_sdk_elasticache::operation::modify_replication_group::{
    ModifyReplicationGroupError, ModifyReplicationGroupInput, ModifyReplicationGroupOutput,
};
use aws_sdk_elasticache::types::CacheParameterGroupStatus;
use aws_smithy_mocks::{Rule, mock};
use pb_engine::{Action, Change, Class, Failure, Resource};
use std::sync::{Arc, Mutex};

/// Node type before and after the change of [`larger`].
const SMALL: &str = "cache.t3.small";
const LARGE: &str = "cache.m7g.large";

fn larger() -> ReplicationGroupSpec {
    ReplicationGroupSpec { node_type: LARGE.to_owned(), ..spec() }
}

/// Returns the spec of Valkey 8.0.
fn valkey() -> ReplicationGroupSpec {
    ReplicationGroupSpec {
        engine: "valkey".to_owned(),
        engine_version: "8.0".to_owned(),
        parameter_group: "staging-jobqr-valkey8".to_owned(),
        ..spec()
    }
}

/// Responds with one status and node type after the other, and then repeats the last ones.
fn described(states: &'static [(&'static str, &'static str)]) -> Rule {
    let next = Mutex::new(0);
    mock!(Client::describe_replication_groups).then_output(move || {
        let mut next = next.lock().unwrap();
        let (status, node_type) = states[(*next).min(states.len() - 1)];
        *next += 1;
        let mut group = group(status);
        group.cache_node_type = Some(node_type.to_owned());
        DescribeReplicationGroupsOutput::builder().replication_groups(group).build()
    })
}

fn modify(matches: impl Fn(&ModifyReplicationGroupInput) -> bool + Send + Sync + 'static) -> Rule {
    mock!(Client::modify_replication_group)
        .match_requests(matches)
        .then_output(|| ModifyReplicationGroupOutput::builder().build())
}

/// Changes the node type, while AWS reports `states`. Returns the number of calls that change the group.
async fn resize(states: &'static [(&'static str, &'static str)], modify: &Rule) -> Result<usize, Failure> {
    let (states, clusters, tags) = (described(states), clusters(member().build()), managed_tags());
    stack_of(larger(), &[&states, &clusters, &tags, modify]).deploy().await?;
    Ok(modify.num_calls())
}

#[tokio::test(start_paused = true)]
async fn update_sends_changed_fields_and_waits() {
    let modify = modify(|call| {
        call.apply_immediately() == Some(true)
            && call.cache_node_type() == Some(LARGE)
            && call.engine().is_none()
            && call.engine_version().is_none()
            && call.cache_parameter_group_name().is_none()
            && call.security_group_ids().is_empty()
    });
    // The response to the read, then once more `available`, because the change is not visible at once, then the
    // progress of the change.
    let states = &[("available", SMALL), ("available", SMALL), ("modifying", SMALL), ("available", LARGE)];
    assert_eq!(resize(states, &modify).await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn snapshot_before_the_change_does_not_end_the_wait() {
    let states = &[
        ("available", SMALL),
        ("available", SMALL),
        ("snapshotting", SMALL),
        ("available", SMALL),
        ("available", SMALL),
        ("modifying", SMALL),
        ("available", LARGE),
    ];
    let (states, clusters, tags, modify) =
        (described(states), clusters(member().build()), managed_tags(), modify(|_| true));
    stack_of(larger(), &[&states, &clusters, &tags, &modify]).deploy().await.unwrap();
    assert!(states.num_calls() >= 7, "the change was taken for applied after {} reads", states.num_calls());
}

#[tokio::test(start_paused = true)]
async fn change_that_never_begins_is_a_failure() {
    let failure = resize(&[("available", SMALL)], &modify(|_| true)).await.unwrap_err();
    assert_eq!(failure.class, Class::TimedOut);
    assert!(failure.message.contains("does not apply it"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn refused_change_is_repeated_after_the_passing_state() {
    let refused_once = mock!(Client::modify_replication_group)
        .sequence()
        .error(|| ModifyReplicationGroupError::generic(error_metadata("InvalidReplicationGroupState")))
        .output(|| ModifyReplicationGroupOutput::builder().build())
        .build();
    let states = &[
        ("available", SMALL),
        ("snapshotting", SMALL),
        ("snapshotting", SMALL),
        ("available", SMALL),
        ("modifying", SMALL),
        ("available", LARGE),
    ];
    assert_eq!(resize(states, &refused_once).await.unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn change_that_is_applied_meanwhile_is_not_sent_again() {
    let refused = mock!(Client::modify_replication_group)
        .then_error(|| ModifyReplicationGroupError::generic(error_metadata("InvalidReplicationGroupState")));
    let states = &[("available", SMALL), ("modifying", SMALL), ("available", LARGE)];
    assert_eq!(resize(states, &refused).await.unwrap(), 1);
}

/// Serves Redis until the group is modified, and Valkey afterwards.
fn engines(modified: &Arc<Mutex<bool>>) -> [Rule; 2] {
    let is_valkey = Arc::clone(modified);
    let groups = mock!(Client::describe_replication_groups).then_output(move || {
        let engine = if *is_valkey.lock().unwrap() { "valkey" } else { "redis" };
        let mut group = group("available");
        group.engine = Some(engine.to_owned());
        DescribeReplicationGroupsOutput::builder().replication_groups(group).build()
    });
    let is_valkey = Arc::clone(modified);
    let clusters = mock!(Client::describe_cache_clusters).then_output(move || {
        let node = match *is_valkey.lock().unwrap() {
            false => member().build(),
            true => {
                let parameters = CacheParameterGroupStatus::builder();
                let parameters = parameters.cache_parameter_group_name("staging-jobqr-valkey8").build();
                member().engine("valkey").engine_version("8.0.1").cache_parameter_group(parameters).build()
            }
        };
        DescribeCacheClustersOutput::builder().cache_clusters(node).build()
    });
    [groups, clusters]
}

#[tokio::test(start_paused = true)]
async fn redis_becomes_valkey_in_one_call() {
    let modified = Arc::new(Mutex::new(false));
    let [groups, clusters] = engines(&modified);
    let modify = modify(move |call| {
        *modified.lock().unwrap() = true;
        call.engine() == Some("valkey")
            && call.engine_version() == Some("8.0")
            && call.cache_parameter_group_name() == Some("staging-jobqr-valkey8")
            && call.apply_immediately() == Some(true)
    });
    let tags = managed_tags();
    let stack = stack_of(valkey(), &[&groups, &clusters, &tags, &modify]);
    assert_eq!(stack.plan().await.unwrap().steps[0].action, Action::Update);
    stack.deploy().await.unwrap();
    assert_eq!(modify.num_calls(), 1);
    assert!(stack.plan().await.unwrap().is_empty());
}

#[test]
fn node_type_changes_after_the_engine() {
    let change = |path: &str| Change { path: path.to_owned(), before: None, after: Some("new".into()) };
    let calls = |paths: &[&str]| -> Vec<Vec<String>> {
        let changes: Vec<Change> = paths.iter().map(|path| change(path)).collect();
        super::change::calls(&changes).into_iter().map(|part| part.into_iter().map(|one| one.path).collect()).collect()
    };
    assert_eq!(
        calls(&["engine", "engine_version", "node_type", "parameter_group", "tags.Name", "nodes"]),
        [vec!["engine", "engine_version", "parameter_group"], vec!["node_type"]]
    );
    assert_eq!(calls(&["engine_version", "node_type"]), [["engine_version", "node_type"]]);
    assert!(calls(&["tags.Name", "nodes"]).is_empty());
}

#[test]
fn field_that_is_not_managed_is_not_sent() {
    let unset = Change { path: "multi_az".to_owned(), before: Some(false.into()), after: Some(().into()) };
    let removed = Change { after: None, ..unset.clone() };
    assert!(super::change::calls(&[unset, removed]).is_empty());
}

#[test]
fn only_upgrades_are_changes_in_place() {
    let version = |engine: &str, version: &str| ReplicationGroupSpec {
        engine: engine.to_owned(),
        engine_version: version.to_owned(),
        ..spec()
    };
    for (old, new, replaced) in [
        (("redis", "7.1"), ("valkey", "7.2"), false),
        (("redis", "5.0.5"), ("valkey", "8.0"), false),
        (("redis", "6.2"), ("redis", "7.1"), false),
        (("valkey", "7.2"), ("valkey", "8.2"), false),
        (("valkey", "8.0"), ("redis", "7.1"), true),
        (("valkey", "7.2"), ("redis", "7.1"), true),
        (("valkey", "8.1"), ("valkey", "8.0"), true),
        (("redis", "7.1"), ("redis", "6.2"), true),
    ] {
        let (before, after) = (version(old.0, old.1), version(new.0, new.1));
        let changed = ["engine", "engine_version"].into_iter().filter(|field| match *field {
            "engine" => before.engine != after.engine,
            _ => before.engine_version != after.engine_version,
        });
        let needs = |field: &str| ReplicationGroup::change_requires_replacement(field, &before, &after);
        assert_eq!(changed.into_iter().any(needs), replaced, "{old:?} {new:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn snapshot_alone_is_no_reason_to_wait() {
    let (groups, clusters, tags) = (described(&[("snapshotting", SMALL)]), clusters(member().build()), managed_tags());
    let plan = stack_of(spec(), &[&groups, &clusters, &tags]).plan().await.unwrap();
    assert!(plan.is_empty(), "{plan:?}");
}
