//! Revisions of a task definition family.

use crate::resources::service::KnownServices;
use crate::resources::service::attrs::ServiceAttrs;
use crate::rollout::deployments;
use crate::tags::{Tags, from_ecs, same_owner};
use aws_sdk_ecs::Client;
use aws_sdk_ecs::primitives::{DateTime, DateTimeFormat};
use aws_sdk_ecs::types::{ContainerDefinition, SortOrder, TaskDefinition, TaskDefinitionField, TaskDefinitionStatus};
use aws_types::SdkConfig;
use futures_util::future::try_join;
use futures_util::{StreamExt, stream};
use pb_aws::ForOperation;
use pb_engine::{Address, Context, Failure, ReadScope, Resource};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Default number of ACTIVE revisions of a family that are kept for rollbacks.
pub(crate) const KEPT_REVISIONS: usize = 10;

/// Maximum number of old revisions that one rollout deregisters. It is limited because the deploy waits for these
/// calls.
const MAX_PRUNED: usize = 10;

/// Number of revisions that are requested concurrently.
const CONCURRENCY: usize = 8;

/// Maximum number of unmanaged revisions that are skipped in the search for a managed one.
const LOOK_BACK: usize = 10;

/// A revision with its tags.
pub(crate) struct Revision {
    pub definition: TaskDefinition,
    pub tags: Tags,
}

impl Revision {
    fn arn(&self) -> &str {
        self.definition.task_definition_arn().unwrap_or_default()
    }

    /// Returns whether the revision is deregistered: services that use it keep their tasks, but no service can be
    /// updated to it.
    fn is_deregistered(&self) -> bool {
        use TaskDefinitionStatus::{DeleteInProgress, Inactive};
        matches!(self.definition.status(), Some(Inactive | DeleteInProgress))
    }
}

/// Returns the revision in use of a family: the one that a managed service uses, if it is ACTIVE and its tags contain
/// the same address as those of the latest revision. Without such a service, it is the latest managed ACTIVE revision,
/// or the latest ACTIVE revision if none is managed.
///
/// The latest revision is not in use after a rollback, after a rollout that ECS rolled back, or if a run ended between
/// registration and rollout. If it is in use, this function makes only one call for the family, because the services
/// are read anyway.
///
/// # Errors
/// Any failure of the ECS calls.
pub(crate) async fn in_use<R: Resource>(
    client: &Client,
    scope: &ReadScope<R>,
    family: &str,
) -> Result<Option<Revision>, Failure> {
    let (latest, services) = try_join(latest(client, scope, family), KnownServices::shared(scope, client)).await?;
    let Some(latest) = latest else { return Ok(None) };
    let Some(arn) = services.in_use(scope, family).filter(|arn| *arn != latest.arn()) else {
        return Ok(Some(latest));
    };
    let owned = |revision: &Revision| -> Option<Address> { scope.address_from_tags(&revision.tags) };
    let is_usable = |used: &Revision| {
        !used.is_deregistered() && owned(used).is_some_and(|at| owned(&latest).is_none_or(|latest| latest == at))
    };
    let used = describe(client, arn).await?;
    Ok(Some(used.filter(is_usable).unwrap_or(latest)))
}

/// Returns the latest managed ACTIVE revision of a family, or the latest ACTIVE revision if none is managed. Later
/// revisions that are unmanaged have no effect until a service uses them, and then the read of the service shows it.
async fn latest<R: Resource>(client: &Client, scope: &ReadScope<R>, family: &str) -> Result<Option<Revision>, Failure> {
    let Some(latest) = describe(client, family).await? else {
        return Ok(None);
    };
    if scope.address_from_tags(&latest.tags).is_some() {
        return Ok(Some(latest));
    }
    for arn in active(client, family).await?.iter().skip(1).take(LOOK_BACK) {
        let earlier = describe(client, arn).await?;
        if let Some(earlier) = earlier.filter(|earlier| scope.address_from_tags(&earlier.tags).is_some()) {
            return Ok(Some(earlier));
        }
    }
    Ok(Some(latest))
}

/// Returns the revision with the ARN `name`, or the latest ACTIVE revision of the family `name`; returns `None` if it
/// does not exist.
///
/// DescribeTaskDefinition has no error code for a missing revision: it returns a ClientException "Unable to describe
/// task definition". (ECS developer guide: API failure reasons)
pub(crate) async fn describe(client: &Client, name: &str) -> Result<Option<Revision>, Failure> {
    let call = client.describe_task_definition().task_definition(name).include(TaskDefinitionField::Tags);
    match call.send().await.for_operation("ecs:DescribeTaskDefinition") {
        Ok(answer) => {
            let tags = from_ecs(answer.tags());
            Ok(answer.task_definition.map(|definition| Revision { definition, tags }))
        }
        Err(failure) if failure.is("ClientException") && failure.message.contains("Unable to describe") => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Lists the ARNs of the ACTIVE revisions of a family, latest first.
pub(crate) async fn active(client: &Client, family: &str) -> Result<Vec<String>, Failure> {
    let call = client.list_task_definitions().family_prefix(family).status(TaskDefinitionStatus::Active);
    let pages = call.sort(SortOrder::Desc).into_paginator();
    let arns: Result<Vec<String>, _> = pages.items().send().collect().await;
    let mut arns = arns.for_operation("ecs:ListTaskDefinitions")?;
    arns.retain(|arn| self::family(arn) == family);
    Ok(arns)
}

/// Returns the family in the ARN of a revision.
pub(crate) fn family(arn: &str) -> &str {
    let name = crate::names::last_part(arn);
    name.split_once(':').map_or(name, |(family, _)| family)
}

/// A revision as shown to operators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RevisionInfo {
    /// ARN of the revision.
    pub arn: String,
    /// Family and number: `staging-flask:3`.
    pub name: String,
    /// `true` if new tasks can run it: it is `ACTIVE`, not deregistered.
    pub active: bool,
    /// Tags, including the ownership tags.
    pub tags: Tags,
    /// Images by container.
    pub images: BTreeMap<String, String>,
    /// Ports by container.
    #[serde(skip)]
    pub ports: BTreeMap<String, Vec<u16>>,
    /// Registration time: `2026-11-22T19:30:00Z`.
    pub registered: Option<String>,
    /// ARN of the identity that registered the revision.
    pub registered_by: Option<String>,
}

/// Returns the revision with this name (`staging-flask:3`) or ARN, or `None` if it never existed.
///
/// # Errors
/// Any failure of the ECS calls.
pub async fn revision(config: &SdkConfig, name: &str) -> Result<Option<RevisionInfo>, Failure> {
    Ok(describe(&Client::new(config), name).await?.map(info))
}

/// Returns the last ACTIVE revisions of a family, at most `last`, latest first.
///
/// # Errors
/// Any failure of the ECS calls.
pub async fn active_revisions(config: &SdkConfig, family: &str, last: usize) -> Result<Vec<RevisionInfo>, Failure> {
    let client = Client::new(config);
    let mut arns = active(&client, family).await?;
    arns.truncate(last);
    let found: Vec<Result<Option<Revision>, Failure>> =
        stream::iter(&arns).map(|arn| describe(&client, arn)).buffered(CONCURRENCY).collect().await;
    found.into_iter().filter_map(|one| one.map(|one| one.map(info)).transpose()).collect()
}

fn info(revision: Revision) -> RevisionInfo {
    let definition = revision.definition;
    let arn = definition.task_definition_arn().unwrap_or_default().to_owned();
    let image = |container: &ContainerDefinition| {
        (container.name().unwrap_or_default().to_owned(), container.image().unwrap_or_default().to_owned())
    };
    let ports = |container: &ContainerDefinition| {
        let ports =
            container.port_mappings().iter().filter_map(|mapping| u16::try_from(mapping.container_port()?).ok());
        (container.name().unwrap_or_default().to_owned(), ports.collect())
    };
    let registered = definition.registered_at().map(|at| DateTime::from_secs(at.secs()));
    RevisionInfo {
        name: crate::names::last_part(&arn).to_owned(),
        active: definition.status() == Some(&TaskDefinitionStatus::Active),
        tags: revision.tags,
        images: definition.container_definitions().iter().map(image).collect(),
        ports: definition.container_definitions().iter().map(ports).collect(),
        registered: registered.and_then(|at| at.fmt(DateTimeFormat::DateTime).ok()),
        registered_by: definition.registered_by().map(str::to_owned),
        arn,
    }
}

/// Deregisters one revision if it belongs to the workspace of `cx`.
async fn deregister(client: &Client, cx: &Context, arn: &str) -> Result<(), Failure> {
    let ours = describe(client, arn).await?.is_some_and(|revision| same_owner(cx, &revision.tags));
    if ours {
        let call = client.deregister_task_definition().task_definition(arn);
        call.send().await.for_operation("ecs:DeregisterTaskDefinition")?;
    }
    Ok(())
}

/// Deregisters all ACTIVE revisions of a family that belong to the workspace of `cx`.
pub(crate) async fn deregister_all(client: &Client, cx: &Context, family: &str) -> Result<(), Failure> {
    for arn in active(client, family).await? {
        deregister(client, cx, &arn).await?;
    }
    Ok(())
}

/// Removes the ownership tags from all ACTIVE revisions of a family that belong to the workspace of `cx`.
pub(crate) async fn forget_all(client: &Client, cx: &Context, family: &str) -> Result<(), Failure> {
    for arn in active(client, family).await? {
        let ours = describe(client, &arn).await?.is_some_and(|revision| same_owner(cx, &revision.tags));
        if ours {
            crate::tags::forget(client, &arn).await?;
        }
    }
    Ok(())
}

/// Deregisters old revisions of the task definition family of a service. Must be called only after the rollout of the
/// service has succeeded: before that, a rollback may need one of them.
pub(crate) async fn prune(client: &Client, cx: &Context, service: &ServiceAttrs, kept: usize) -> Result<(), Failure> {
    let in_use = service.task_definition.as_str();
    let arns = active(client, family(in_use)).await?;
    if arns.len() <= kept {
        return Ok(());
    }
    let before = deployments::previous_revision(client, service).await?;
    for arn in outdated(&arns, in_use, before.as_deref(), kept) {
        deregister(client, cx, arn).await?;
    }
    Ok(())
}

/// Returns those of `arns` that can be deregistered. `arns` is sorted latest first. The following revisions are kept:
/// the last `kept`, the revision `in_use`, the revision that was registered before it, and the revision that served
/// before it (`before`).
fn outdated<'a>(arns: &'a [String], in_use: &str, before: Option<&str>, kept: usize) -> Vec<&'a String> {
    let at = arns.iter().position(|arn| arn == in_use);
    let served = before.and_then(|before| arns.iter().position(|arn| arn == before));
    let needed: BTreeSet<usize> = at.into_iter().flat_map(|at| [at, at + 1]).chain(served).collect();
    let old = arns.iter().enumerate().skip(kept).filter(|(index, _)| !needed.contains(index));
    old.map(|(_, arn)| arn).take(MAX_PRUNED).collect()
}

#[cfg(test)]
mod tests {
    use super::{family, outdated};

    fn arns(from: u32) -> Vec<String> {
        (1..=from).rev().map(|n| format!("arn:aws:ecs:us-east-2:1:task-definition/web:{n}")).collect()
    }

    #[test]
    fn last_ten_current_and_previous_revisions_are_kept() {
        let arns = arns(15);
        let gone = |in_use: usize| -> Vec<String> {
            outdated(&arns, &arns[in_use], None, 10)
                .iter()
                .map(|arn| arn.rsplit(':').next().unwrap().to_owned())
                .collect()
        };
        assert_eq!(gone(0), ["5", "4", "3", "2", "1"]);
        assert_eq!(gone(12), ["5", "4", "1"]);
        assert!(outdated(&arns[..10], &arns[0], None, 10).is_empty());
        let kept = |before: &str| {
            outdated(&arns[..6], &arns[0], Some(before), 2)
                .into_iter()
                .map(|arn| arn.rsplit(':').next().unwrap().to_owned())
        };
        // Revisions 11 to 14 never served, so a rollback would return to revision 10.
        assert_eq!(kept(&arns[5]).collect::<Vec<_>>(), ["13", "12", "11"]);
    }

    #[test]
    fn family_is_parsed_from_an_arn() {
        assert_eq!(family("arn:aws:ecs:us-east-2:123456789012:task-definition/staging-flask:12"), "staging-flask");
    }
}
