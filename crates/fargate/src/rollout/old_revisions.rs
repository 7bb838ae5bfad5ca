//! Deregistration of old revisions after a rollout.

use crate::resources::service::attrs::ServiceAttrs;
use crate::revisions;
use crate::rollout::deployments;
use aws_sdk_ecs::Client;
use pb_engine::{Context, Failure};
use std::collections::BTreeSet;

/// Default number of ACTIVE revisions of a family that are kept for rollbacks.
pub(crate) const KEPT_REVISIONS: usize = 10;

/// Maximum number of old revisions that one rollout deregisters. It is limited because the deploy waits for these
/// calls.
const MAX_PRUNED: usize = 10;

/// Deregisters old revisions of the task definition family of a service. Must be called only after the rollout of the
/// service has succeeded: before that, a rollback may need one of them.
pub(crate) async fn prune(client: &Client, cx: &Context, service: &ServiceAttrs, kept: usize) -> Result<(), Failure> {
    let in_use = service.task_definition.as_str();
    let arns = revisions::active(client, revisions::family(in_use)).await?;
    if arns.len() <= kept {
        return Ok(());
    }
    let before = deployments::previous_revision(client, service).await?;
    for arn in outdated(&arns, in_use, before.as_deref(), kept) {
        revisions::deregister(client, cx, arn).await?;
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
    use super::outdated;

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
}
