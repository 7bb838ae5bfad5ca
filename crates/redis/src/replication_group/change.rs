//! Changes in place, and the states in which AWS refuses them.

use super::observed::{spec_of, status};
use super::{CHANGE_TIMEOUT, DESCRIBE, ReplicationGroup, ReplicationGroupAttrs, ReplicationGroupSpec};
use super::{VISIBILITY_TIMEOUT, engine_version};
use crate::{clusters, tags};
use aws_sdk_elasticache::types::ReplicationGroup as Group;
use pb_aws::ForOperation;
use pb_engine::{Change, Class, Context, Failure, Progress, Resource};

/// Maximum number of times that AWS may do something else with a group before it begins an accepted change.
const MAX_INTERRUPTIONS: usize = 10;

impl ReplicationGroup {
    /// Sends the changes of one call, and waits until they are applied.
    ///
    /// AWS refuses the call while it takes a snapshot or does maintenance (`InvalidReplicationGroupState`); this is
    /// waited for. Then, or if the engine changes, the changes may be applied already, by a call of an interrupted run
    /// or whose response was lost: they are not sent again.
    pub(super) async fn modify(
        &self,
        cx: &Context,
        attrs: &ReplicationGroupAttrs,
        spec: &ReplicationGroupSpec,
        changes: &[Change],
    ) -> Result<(), Failure> {
        let wait = async || match self.wait_until_changeable(cx, &attrs.id).await? {
            Some(group) => self.has_applied(&group, spec, changes).await,
            None => Ok(false),
        };
        if has(changes, "engine") && wait().await? {
            return Ok(());
        }
        match self.send(attrs, spec, changes).await {
            Err(failure) if tags::is_unavailable(&failure) => {
                if wait().await? {
                    return Ok(());
                }
                self.send(attrs, spec, changes).await.map_err(refused)?;
            }
            answer => answer.map_err(refused)?,
        }
        self.wait_until_applied(cx, spec, changes).await
    }

    async fn send(
        &self,
        attrs: &ReplicationGroupAttrs,
        spec: &ReplicationGroupSpec,
        changes: &[Change],
    ) -> Result<(), Failure> {
        let changed = |field: &str| has(changes, field);
        // A change of the engine names the version and the parameter group, even if they stay. (ElastiCache user guide:
        // How to upgrade from Redis OSS to Valkey)
        let engine = changed("engine");
        let call = self
            .client
            .modify_replication_group()
            .replication_group_id(&attrs.id)
            .apply_immediately(true)
            .set_engine(engine.then(|| spec.engine.clone()))
            .set_engine_version((engine || changed("engine_version")).then(|| spec.engine_version.clone()))
            .set_cache_parameter_group_name(
                (engine || changed("parameter_group")).then(|| spec.parameter_group.clone()),
            )
            .set_replication_group_description(changed("description").then(|| spec.description.clone()))
            .set_cache_node_type(changed("node_type").then(|| spec.node_type.clone()))
            .set_security_group_ids(
                changed("security_group_ids").then(|| spec.security_group_ids.iter().cloned().collect()),
            )
            .set_automatic_failover_enabled(spec.automatic_failover.filter(|_| changed("automatic_failover")))
            .set_multi_az_enabled(spec.multi_az.filter(|_| changed("multi_az")))
            .set_auto_minor_version_upgrade(
                spec.auto_minor_version_upgrade.filter(|_| changed("auto_minor_version_upgrade")),
            );
        call.send().await.for_operation("elasticache:ModifyReplicationGroup").map(drop)
    }

    /// Waits while AWS does something with a group that refuses changes and deletes: a snapshot, maintenance, or a change
    /// that another run began.
    /// Returns the group, unless it no longer exists.
    pub(super) async fn wait_until_changeable(&self, cx: &Context, id: &str) -> Result<Option<Group>, Failure> {
        let poll = || async {
            let group = self.find(id).await?;
            Ok(match group.as_ref().map(status) {
                None | Some("available" | "create-failed" | "deleting") => Progress::Ready(group),
                Some(state) => Progress::Pending(format!("waiting until queue {id} can be changed (it is {state})")),
            })
        };
        cx.wait(DESCRIBE, CHANGE_TIMEOUT, poll).await
    }

    /// Waits until an accepted change is applied. At first, the group may still report `available` and its old settings,
    /// and AWS may do something else with it before it begins the change; neither of them ends the wait.
    async fn wait_until_applied(
        &self,
        cx: &Context,
        spec: &ReplicationGroupSpec,
        changes: &[Change],
    ) -> Result<(), Failure> {
        let id = &spec.id;
        for _ in 0..MAX_INTERRUPTIONS {
            let visible = cx.wait(DESCRIBE, VISIBILITY_TIMEOUT, || async {
                let Some(group) = self.find(id).await? else { return Ok(Progress::Ready(true)) };
                let available = status(&group) == "available";
                if !available || self.has_applied(&group, spec, changes).await? {
                    return Ok(Progress::Ready(available));
                }
                Ok(Progress::Pending(format!("waiting for the change of queue {id} to become visible")))
            });
            if visible.await.map_err(|failure| invisible(id, failure))? {
                return Ok(());
            }
            cx.wait(DESCRIBE, CHANGE_TIMEOUT, || async {
                let state = self.find(id).await?.map(|group| status(&group).to_owned());
                Ok(match state.as_deref() {
                    Some(state @ ("modifying" | "snapshotting")) => {
                        Progress::Pending(format!("waiting for queue {id} ({state})"))
                    }
                    _ => Progress::Ready(()),
                })
            })
            .await?;
        }
        Err(invisible(id, Failure::new(Class::TimedOut, DESCRIBE, "AWS does not begin the change")))
    }

    /// Returns whether the group has the wanted values of all changed fields.
    async fn has_applied(
        &self,
        group: &Group,
        spec: &ReplicationGroupSpec,
        changes: &[Change],
    ) -> Result<bool, Failure> {
        let member = group.member_clusters().first().map(String::as_str);
        let members = match member {
            Some(_) if changes.iter().any(|change| is_member_field(change.field())) => {
                clusters::describe(&self.client, member).await?
            }
            _ => Vec::new(),
        };
        let live = spec_of(group, members.first(), Some(spec), &spec.tags);
        Ok(changes.iter().all(|change| is_equal(change.field(), &live, spec)))
    }

    /// Adds or removes replicas once the group is available.
    pub(super) async fn set_nodes(
        &self,
        cx: &Context,
        attrs: &ReplicationGroupAttrs,
        spec: &ReplicationGroupSpec,
        nodes: i32,
        changes: &[Change],
    ) -> Result<(), Failure> {
        let attrs = self.wait_ready(cx, attrs.clone()).await?;
        let before = changes.iter().find(|change| change.field() == "nodes").and_then(|change| change.before.as_ref());
        let fewer = before.is_some_and(|before| before.as_i64() > Some(nodes.into()));
        let (id, replicas) = (attrs.id, nodes - 1);
        let answer = if fewer {
            let call = self.client.decrease_replica_count().replication_group_id(id).apply_immediately(true);
            call.new_replica_count(replicas).send().await.for_operation("elasticache:DecreaseReplicaCount").map(drop)
        } else {
            let call = self.client.increase_replica_count().replication_group_id(id).apply_immediately(true);
            call.new_replica_count(replicas).send().await.for_operation("elasticache:IncreaseReplicaCount").map(drop)
        };
        match answer {
            // A preceding call took effect, and its response was lost. (ElastiCache API: IncreaseReplicaCount,
            // DecreaseReplicaCount)
            Err(failure) if failure.is("NoOperationFault") => Ok(()),
            Err(failure) => Err(refused(failure)),
            Ok(()) => {
                let nodes = changes.iter().filter(|change| change.field() == "nodes").cloned();
                self.wait_until_applied(cx, spec, &nodes.collect::<Vec<_>>()).await
            }
        }
    }
}

/// Returns the changes of each call, in order, without those of tags, of nodes and of fields that are not managed. All changes are one call, except that an
/// upgrade to another engine precedes a change of the node type: AWS documents that a change of the node type blocks an
/// upgrade, but not that both fit into one call. (ElastiCache user guide: Resolving blocked engine upgrades)
pub(super) fn calls(changes: &[Change]) -> Vec<Vec<Change>> {
    let is_sent = |change: &&Change| is_set(change) && !matches!(change.field(), "tags" | "nodes");
    let all = changes.iter().filter(is_sent).cloned();
    let is_later = |change: &Change| has(changes, "engine") && change.field() == "node_type";
    let (later, first): (Vec<Change>, Vec<Change>) = all.partition(is_later);
    [first, later].into_iter().filter(|part| !part.is_empty()).collect()
}

/// Returns whether a change has a new value. A field that is not managed has none: after a create whose response was lost,
/// all fields of the group that was found are compared.
fn is_set(change: &Change) -> bool {
    change.after.as_ref().is_some_and(|value| !value.is_null())
}

/// Returns whether a field is among the changes.
pub(super) fn has(changes: &[Change], field: &str) -> bool {
    changes.iter().any(|change| change.field() == field)
}

/// Returns whether only the description of a member contains the field.
fn is_member_field(field: &str) -> bool {
    matches!(field, "engine_version" | "parameter_group" | "security_group_ids")
}

/// Returns whether two specs have the same value of a field that can be changed in place. The tags are changed by calls
/// of their own.
fn is_equal(field: &str, live: &ReplicationGroupSpec, wanted: &ReplicationGroupSpec) -> bool {
    match field {
        "description" => live.description == wanted.description,
        "engine" => live.engine == wanted.engine,
        "engine_version" => live.engine_version == wanted.engine_version,
        "node_type" => live.node_type == wanted.node_type,
        "nodes" => live.nodes == wanted.nodes,
        "parameter_group" => live.parameter_group == wanted.parameter_group,
        "security_group_ids" => live.security_group_ids == wanted.security_group_ids,
        "automatic_failover" => live.automatic_failover == wanted.automatic_failover,
        "multi_az" => live.multi_az == wanted.multi_az,
        "auto_minor_version_upgrade" => live.auto_minor_version_upgrade == wanted.auto_minor_version_upgrade,
        _ => true,
    }
}

/// Returns whether a change of `field` needs another group. AWS turns Redis into Valkey in place, and never back; it
/// raises versions in place, and never lowers them. (ElastiCache user guide: Version management; How to upgrade from
/// Redis OSS to Valkey)
pub(super) fn needs_another_group(field: &str, old: &ReplicationGroupSpec, new: &ReplicationGroupSpec) -> bool {
    match field {
        "engine" => !is_upgrade_to_valkey(old, new),
        "engine_version" => {
            old.engine == new.engine && engine_version::is_earlier(&new.engine_version, &old.engine_version)
        }
        _ => false,
    }
}

fn is_upgrade_to_valkey(old: &ReplicationGroupSpec, new: &ReplicationGroupSpec) -> bool {
    (old.engine.as_str(), new.engine.as_str()) == ("redis", "valkey")
}

/// Returns the failure for an accepted change that AWS does not show.
fn invisible(id: &str, failure: Failure) -> Failure {
    if failure.class != Class::TimedOut {
        return failure;
    }
    let message = format!("AWS accepted the change of queue {id}, but does not apply it");
    Failure::new(Class::TimedOut, DESCRIBE, message)
        .hint("run the same command again: it compares the queue with the configuration and changes what differs")
}

/// Classifies the failure of a modification. The failure is temporary while the group is being created or changed.
/// Changes that the engine rejects, such as an earlier version, fail permanently.
fn refused(failure: Failure) -> Failure {
    if tags::is_unavailable(&failure) {
        failure.class(Class::NotReady)
    } else if failure.is("InvalidParameterValue") || failure.is("InvalidParameterCombination") {
        failure.hint(
            "ElastiCache changes a queue in place only to newer versions, with a matching parameter group; keep the \
             version, or choose a newer one that is offered",
        )
    } else {
        failure
    }
}
