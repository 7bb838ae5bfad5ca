//! The revisions of a family of task definitions.

use crate::deployments;
use crate::service::{KnownServices, ServiceAttrs};
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

/// How many ACTIVE revisions of a family are kept, so that a rollout can go back.
pub(crate) const KEPT_REVISIONS: usize = 10;

/// How many old revisions one deploy deregisters at most: calls that nobody waits for gladly.
const MAX_PRUNED: usize = 10;

/// How many revisions are described at a time.
const CONCURRENCY: usize = 8;

/// The number of revisions of others behind which one of ours is looked for.
const LOOK_BACK: usize = 10;

/// A revision, and its tags.
pub(crate) struct Revision {
    pub definition: TaskDefinition,
    pub tags: Tags,
}

impl Revision {
    fn arn(&self) -> &str {
        self.definition.task_definition_arn().unwrap_or_default()
    }

    /// Returns whether it was deregistered: services that use it keep their tasks, and cannot be given it again.
    fn is_deregistered(&self) -> bool {
        use TaskDefinitionStatus::{DeleteInProgress, Inactive};
        matches!(self.definition.status(), Some(Inactive | DeleteInProgress))
    }
}

/// Returns the revision of a family that is in use: the one that a service of ours has, where it is ACTIVE and carries the same
/// address as the latest. Without such a service it is the latest ACTIVE revision that is ours, or else the latest.
///
/// After a rollback, after a rollout that ECS rolled back, or when a run ended between the registration and the rollout, the
/// latest is not the one that serves. Where it is, this takes one call for the family: the services are asked for anyway.
///
/// # Errors
/// The failures of ECS.
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

/// The latest ACTIVE revision of a family that is ours, or else the latest. Revisions that somebody registered on top of ours
/// change nothing until a service uses them, and that is seen at the service.
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

/// The revision that `name` names: an ARN, or a family for its latest ACTIVE revision. None when there is none.
///
/// DescribeTaskDefinition has no error of its own for that: it answers a ClientException "Unable to describe task
/// definition". (ECS developer guide: API failure reasons)
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

/// The ARNs of the ACTIVE revisions of a family, the latest first.
pub(crate) async fn active(client: &Client, family: &str) -> Result<Vec<String>, Failure> {
    let call = client.list_task_definitions().family_prefix(family).status(TaskDefinitionStatus::Active);
    let pages = call.sort(SortOrder::Desc).into_paginator();
    let arns: Result<Vec<String>, _> = pages.items().send().collect().await;
    let mut arns = arns.for_operation("ecs:ListTaskDefinitions")?;
    arns.retain(|arn| self::family(arn) == family);
    Ok(arns)
}

/// The family in the ARN of a revision.
pub(crate) fn family(arn: &str) -> &str {
    let name = crate::last_part(arn);
    name.split_once(':').map_or(name, |(family, _)| family)
}

/// A revision, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RevisionInfo {
    /// Its ARN.
    pub arn: String,
    /// Family and number: `staging-flask:3`.
    pub name: String,
    /// Whether it can be run: `ACTIVE`, not deregistered.
    pub active: bool,
    /// Whose it is, by its ownership tags.
    pub tags: Tags,
    /// The images by container.
    pub images: BTreeMap<String, String>,
    /// The ports by container.
    #[serde(skip)]
    pub ports: BTreeMap<String, Vec<u16>>,
    /// When it was registered: `2026-11-22T19:30:00Z`.
    pub registered: Option<String>,
    /// Who registered it, as AWS names them: an ARN.
    pub registered_by: Option<String>,
}

/// The revision of this name (`staging-flask:3`) or ARN; none when there never was one.
///
/// # Errors
/// The failures of ECS.
pub async fn revision(config: &SdkConfig, name: &str) -> Result<Option<RevisionInfo>, Failure> {
    Ok(describe(&Client::new(config), name).await?.map(info))
}

/// The last revisions of a family that can be run, the latest first.
///
/// # Errors
/// The failures of ECS.
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
        name: crate::last_part(&arn).to_owned(),
        active: definition.status() == Some(&TaskDefinitionStatus::Active),
        tags: revision.tags,
        images: definition.container_definitions().iter().map(image).collect(),
        ports: definition.container_definitions().iter().map(ports).collect(),
        registered: registered.and_then(|at| at.fmt(DateTimeFormat::DateTime).ok()),
        registered_by: definition.registered_by().map(str::to_owned),
        arn,
    }
}

/// Deregisters one revision, when it is of the workspace of `cx`.
async fn deregister(client: &Client, cx: &Context, arn: &str) -> Result<(), Failure> {
    let ours = describe(client, arn).await?.is_some_and(|revision| same_owner(cx, &revision.tags));
    if ours {
        let call = client.deregister_task_definition().task_definition(arn);
        call.send().await.for_operation("ecs:DeregisterTaskDefinition")?;
    }
    Ok(())
}

/// Deregisters all ACTIVE revisions of a family that are of the workspace of `cx`.
pub(crate) async fn deregister_all(client: &Client, cx: &Context, family: &str) -> Result<(), Failure> {
    for arn in active(client, family).await? {
        deregister(client, cx, &arn).await?;
    }
    Ok(())
}

/// Takes the ownership tags off all ACTIVE revisions of a family that are of the workspace of `cx`.
pub(crate) async fn forget_all(client: &Client, cx: &Context, family: &str) -> Result<(), Failure> {
    for arn in active(client, family).await? {
        let ours = describe(client, &arn).await?.is_some_and(|revision| same_owner(cx, &revision.tags));
        if ours {
            crate::tags::forget(client, &arn).await?;
        }
    }
    Ok(())
}

/// Deregisters the revisions that are too old to go back to. Called when the rollout to `in_use` has succeeded; before that
/// an older revision may be the one to go back to.
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

/// Of the ARNs, latest first, those that can go: not among the last `kept`, not in use, not the one that served before, and
/// not the one that was registered before.
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
        // Revisions 11 to 14 never served: the one to go back to is 10.
        assert_eq!(kept(&arns[5]).collect::<Vec<_>>(), ["13", "12", "11"]);
    }

    #[test]
    fn family_is_parsed_from_an_arn() {
        assert_eq!(family("arn:aws:ecs:us-east-2:123456789012:task-definition/staging-flask:12"), "staging-flask");
    }
}
