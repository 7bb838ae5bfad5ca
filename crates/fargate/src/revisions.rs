//! The revisions of a family of task definitions.

use crate::tags::{Tags, of_ecs, same_owner};
use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::{SortOrder, TaskDefinition, TaskDefinitionField, TaskDefinitionStatus};
use pb_aws::Answer;
use pb_engine::{Context, Failure};
use std::collections::BTreeSet;

/// How many ACTIVE revisions of a family are kept, so that a rollout can go back.
pub(crate) const KEPT: usize = 10;

/// How many old revisions one deploy deregisters at most: calls that nobody waits for gladly.
const PRUNED_AT_A_TIME: usize = 10;

/// A revision, and its tags.
pub(crate) struct Revision {
    pub definition: TaskDefinition,
    pub tags: Tags,
}

/// The revision that `name` names: an ARN, or a family for its latest ACTIVE revision. None when there is none.
///
/// DescribeTaskDefinition has no error of its own for that: it answers a ClientException "Unable to describe task
/// definition". (ECS developer guide: API failure reasons)
pub(crate) async fn describe(client: &Client, name: &str) -> Result<Option<Revision>, Failure> {
    let call = client.describe_task_definition().task_definition(name).include(TaskDefinitionField::Tags);
    match call.send().await.answer("ecs:DescribeTaskDefinition") {
        Ok(answer) => {
            let tags = of_ecs(answer.tags());
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
    let mut arns = arns.answer("ecs:ListTaskDefinitions")?;
    arns.retain(|arn| self::family(arn) == family);
    Ok(arns)
}

/// The family in the ARN of a revision.
pub(crate) fn family(arn: &str) -> &str {
    let name = crate::last_part(arn);
    name.split_once(':').map_or(name, |(family, _)| family)
}

/// Deregisters one revision, when it is of the workspace of `cx`.
async fn deregister(client: &Client, cx: &Context, arn: &str) -> Result<(), Failure> {
    let ours = describe(client, arn).await?.is_some_and(|revision| same_owner(cx, &revision.tags));
    if ours {
        let call = client.deregister_task_definition().task_definition(arn);
        call.send().await.answer("ecs:DeregisterTaskDefinition")?;
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
pub(crate) async fn prune(client: &Client, cx: &Context, in_use: &str) -> Result<(), Failure> {
    let arns = active(client, family(in_use)).await?;
    for arn in outdated(&arns, in_use) {
        deregister(client, cx, arn).await?;
    }
    Ok(())
}

/// Of the ARNs, latest first, those that can go: not among the last, not in use, and not the one before that.
fn outdated<'a>(arns: &'a [String], in_use: &str) -> Vec<&'a String> {
    let at = arns.iter().position(|arn| arn == in_use);
    let kept: BTreeSet<usize> = at.into_iter().flat_map(|at| [at, at + 1]).collect();
    let old = arns.iter().enumerate().skip(KEPT).filter(|(index, _)| !kept.contains(index));
    old.map(|(_, arn)| arn).take(PRUNED_AT_A_TIME).collect()
}

#[cfg(test)]
mod tests {
    use super::{family, outdated};

    fn arns(from: u32) -> Vec<String> {
        (1..=from).rev().map(|n| format!("arn:aws:ecs:us-east-2:1:task-definition/web:{n}")).collect()
    }

    #[test]
    fn the_last_ten_the_one_in_use_and_the_one_before_it_are_kept() {
        let arns = arns(15);
        let gone = |in_use: usize| -> Vec<String> {
            outdated(&arns, &arns[in_use]).iter().map(|arn| arn.rsplit(':').next().unwrap().to_owned()).collect()
        };
        assert_eq!(gone(0), ["5", "4", "3", "2", "1"]);
        assert_eq!(gone(12), ["5", "4", "1"]);
        assert!(outdated(&arns[..10], &arns[0]).is_empty());
    }

    #[test]
    fn the_family_of_an_arn() {
        assert_eq!(family("arn:aws:ecs:us-east-2:123456789012:task-definition/staging-flask:12"), "staging-flask");
    }
}
