//! Revisions of a task definition family.

use crate::tags::{Tags, from_ecs, same_owner};
use aws_sdk_ecs::Client;
use aws_sdk_ecs::primitives::{DateTime, DateTimeFormat};
use aws_sdk_ecs::types::{ContainerDefinition, SortOrder, TaskDefinition, TaskDefinitionField, TaskDefinitionStatus};
use aws_types::SdkConfig;
use futures_util::{StreamExt, stream};
use pb_aws::ForOperation;
use pb_engine::{Context, Failure};
use serde::Serialize;
use std::collections::BTreeMap;

/// Number of revisions that are requested concurrently.
const CONCURRENCY: usize = 8;

/// A revision with its tags.
pub(crate) struct Revision {
    pub definition: TaskDefinition,
    pub tags: Tags,
}

impl Revision {
    pub(crate) fn arn(&self) -> &str {
        self.definition.task_definition_arn().unwrap_or_default()
    }

    /// Returns whether the revision is deregistered: services that use it keep their tasks, but no service can be
    /// updated to it.
    pub(crate) fn is_deregistered(&self) -> bool {
        use TaskDefinitionStatus::{DeleteInProgress, Inactive};
        matches!(self.definition.status(), Some(Inactive | DeleteInProgress))
    }
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
pub(crate) async fn deregister(client: &Client, cx: &Context, arn: &str) -> Result<(), Failure> {
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

#[cfg(test)]
mod tests {
    use super::family;

    #[test]
    fn family_is_parsed_from_an_arn() {
        assert_eq!(family("arn:aws:ecs:us-east-2:123456789012:task-definition/staging-flask:12"), "staging-flask");
    }
}
