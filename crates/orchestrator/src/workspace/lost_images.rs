//! Images that are deleted with the repository, if that is allowed.

use crate::invocation;
use crate::output::count;
use crate::stack::names;
use pb_engine::{Action, Goal, Live, Observed, Plan, PlanError, Resource, Step};
use pb_fargate::{Repositories, RepositoryAttrs};
use serde::Deserialize;

/// Returns the images that a plan deletes with the repository, such as `101 images`; `None` if it deletes none.
pub fn description(plan: &Plan) -> Option<String> {
    let is_deleted = |step: &&Step| {
        step.kind == Repositories::KIND && matches!(step.action, Action::Delete | Action::Replace { .. })
    };
    let step = plan.steps.iter().find(is_deleted)?;
    let images = RepositoryAttrs::deserialize(step.attrs.as_ref()?).ok()?.images?;
    (images > 0).then(|| count(images, "image"))
}

/// Adds the remedy to the refusal to delete a repository that contains images.
pub fn with_remedy(workspace: &str, goal: Goal, observed: &Observed, refused: Vec<PlanError>) -> Vec<PlanError> {
    let keeps = |live: &Live| RepositoryAttrs::deserialize(&live.attrs).is_ok_and(|attrs| attrs.keeps_images);
    let is_kept = |refused: &PlanError| {
        refused.address.as_str() == names::REPOSITORY
            && observed.managed.get(&refused.address).is_some_and(|found| found.iter().any(keeps))
    };
    let once = match goal {
        Goal::Destroy => {
            let command = invocation::command(&["destroy", workspace, "--delete-images"]);
            format!("run `{command}`, or ")
        }
        Goal::Deploy => String::new(),
    };
    let one = |refused: PlanError| match is_kept(&refused) {
        true => {
            let why = format!(
                "{}; to delete them too, {once}set `delete_images = true` under `[repository]` in the configuration",
                refused.why
            );
            PlanError { why, ..refused }
        }
        false => refused,
    };
    refused.into_iter().map(one).collect()
}
