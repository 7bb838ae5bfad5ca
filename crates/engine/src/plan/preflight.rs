//! Preflight checks: checks of a plan against other resources in AWS, before anything is changed.

use crate::model::failure::Failure;
use crate::model::observed::Observed;
use crate::model::ownership::Ownership;
use crate::model::plan::Plan;
use crate::model::plan_error::PlanError;
use crate::resource::graph::Graph;
use crate::resource::preflight_check::Planned;
use futures_util::future::try_join_all;

/// Runs the preflight checks of the graph on `plan`. Makes no call for a plan without writes.
///
/// # Errors
/// The error of a failed read; `Bug` if a spec cannot be serialized.
pub async fn preflight(
    graph: &Graph,
    observed: &Observed,
    owner: &Ownership,
    plan: &Plan,
) -> Result<Vec<PlanError>, Failure> {
    if plan.writes().next().is_none() {
        return Ok(Vec::new());
    }
    let desired = graph.specs()?.into_iter().map(|(_, spec)| spec).collect();
    let planned = Planned { plan, observed, owner, desired };
    let found = try_join_all(graph.preflight_checks.iter().map(|check| check.check(&planned))).await?;
    Ok(found.into_iter().flatten().collect())
}
