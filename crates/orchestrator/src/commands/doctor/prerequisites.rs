//! Checks of the prerequisites: bucket, table, roles, hosted zone, Availability Zones, images.

use super::check::{Check, Verdict};
use crate::cli::Global;
use crate::output::count;
use crate::workspace::context::state_location;
use crate::workspace::images::Images;
use crate::workspace::prerequisites;
use aws_config::SdkConfig;
use pb_config::Workspace;
use pb_engine::{Action, Cancel, Class, Failure, Goal, Graph, PlanError, PlanScope, Refusal, Snapshot, Step};
use pb_engine::{compute_plan, observe};
use pb_state::{ConditionalWrites, LeaseTable};
use std::sync::Arc;

/// Makes all checks of the prerequisites in parallel.
pub async fn checks(
    global: &Global,
    aws: &SdkConfig,
    workspace: &Workspace,
    account: &str,
    state: Result<Snapshot, Failure>,
) -> Vec<Check> {
    let snapshot = state.as_ref().map_or_else(|_| Snapshot::default(), Clone::clone);
    let (bootstrap, zone, zones, task, images, lease) = tokio::join!(
        bootstrap_checks(aws, workspace, account),
        pb_edge::find_zone(aws, &workspace.zone, workspace.zone_id.as_deref()),
        prerequisites::zones(aws, workspace, &snapshot),
        task_role(aws, workspace),
        Images::look_up(aws, workspace),
        lease(global, aws, workspace),
    );
    let mut checks = bootstrap;
    checks.push(Check::of("state", state, |snapshot| match snapshot.serial {
        0 => "none yet".to_owned(),
        serial => format!("serial {serial}, {}", count(snapshot.resources.len(), "resource")),
    }));
    checks.extend(lease);
    checks.push(Check::of("hosted zone", zone, |zone| format!("{} ({})", zone.name, zone.id)));
    checks.push(Check::of("zones", zones, |zones| zones.join(" and ")));
    checks.extend(task);
    checks.extend(self::images(images));
    checks
}

/// Checks whether the store of the state refuses a write whose condition is not met.
pub fn conditions(bucket: &str, probed: Result<ConditionalWrites, Failure>) -> Option<Check> {
    let name = "conditional writes";
    match probed {
        Ok(ConditionalWrites::Enforced) => {
            Some(Check::good(name, format!("the store of bucket {bucket} honours them")))
        }
        Ok(ConditionalWrites::Ignored(failure)) => Some(Check::failed(name, Verdict::Bad, &failure)),
        // A missing bucket is reported by the check of the bucket itself.
        Err(failure) if failure.class == Class::NotFound => None,
        Err(failure) => Some(Check::failed(name, Verdict::Unknown, &failure)),
    }
}

/// Checks bucket, table and execution role, by means of the plan that `bootstrap` would make.
async fn bootstrap_checks(aws: &SdkConfig, workspace: &Workspace, account: &str) -> Vec<Check> {
    let planned = async {
        let mut graph = Graph::new();
        let spec = crate::run::bootstrap::spec(workspace, account, false);
        pb_bootstrap::bootstrap(&mut graph, aws, &spec)?;
        let (owner, nothing) = (Arc::new(pb_bootstrap::shared_owner(&workspace.stack)), Snapshot::default());
        let observed = observe(&graph, &nothing, &owner, &Cancel::never()).await?;
        compute_plan(&graph, &observed, &nothing, Goal::Deploy, &PlanScope::default())
    };
    match planned.await {
        Err(failure) => vec![Check::failed("preconditions", Verdict::Bad, &failure)],
        Ok(Ok(plan)) => plan.steps.iter().map(|step| step_check(step, &workspace.name)).collect(),
        Ok(Err(refused)) => refused.iter().map(refused_check).collect(),
    }
}

/// Returns the check of a prerequisite that `bootstrap` would refuse. Only the reason of a taken name lacks a remedy.
fn refused_check(refused: &PlanError) -> Check {
    let name = refused.address.as_str();
    match refused.reason {
        Refusal::Unmanaged => Check::bad(name, &refused.why, "choose another name in the configuration"),
        _ => Check::new(name, Verdict::Bad, &refused.why),
    }
}

fn step_check(step: &Step, workspace: &str) -> Check {
    let (name, hint) = (step.address.as_str(), format!("pb-deploy bootstrap {workspace}"));
    let id = step.id.clone().unwrap_or_default();
    let lacks: Vec<&str> = step.changes.iter().map(|change| change.path.as_str()).collect();
    match step.action {
        Action::Create => Check::bad(name, format!("{} does not exist", step.kind), hint),
        // Permissions that were given to the role outside of pb-deploy are not always visible: see `Role`.
        Action::Update if lacks == ["reads"] => {
            Check::warning(name, format!("cannot confirm that role {id} may read the secrets of the services"), hint)
        }
        // ECS refuses a role that does not trust it. A bucket that lacks some settings still works.
        Action::Update if step.kind == "iam.role" => Check::bad(name, format!("{id} lacks {}", lacks.join(", ")), hint),
        Action::Update => Check::warning(name, format!("{id} lacks {}", lacks.join(", ")), hint),
        _ => Check::good(name, id),
    }
}

async fn task_role(aws: &SdkConfig, workspace: &Workspace) -> Option<Check> {
    let name = workspace.roles.task.as_ref()?;
    Some(Check::of("roles/task", prerequisites::role(aws, name, "roles.task", Goal::Deploy).await, |arn| arn))
}

/// Checks whether another run holds the lease. Returns `None` if the table cannot be read.
async fn lease(global: &Global, aws: &SdkConfig, workspace: &Workspace) -> Option<Check> {
    let holder = LeaseTable::new(aws, &state_location(workspace), global.timing()).peek().await;
    // A missing table is reported by the check of the table itself.
    let holder = holder.ok()?;
    Some(match holder {
        None => Check::good("lock", "free"),
        Some(holder) => {
            Check::warning("lock", format!("held by {holder}"), "wait for that run, or see `pb-deploy status`")
        }
    })
}

fn images(images: Result<Images, Vec<Failure>>) -> Vec<Check> {
    match images {
        Err(failures) => failures.iter().map(|failure| Check::failed("image", Verdict::Bad, failure)).collect(),
        Ok(images) => {
            let missing = images.missing().map(|(key, tag)| {
                let found = format!("`{tag}` of {key} is not pushed yet");
                Check::warning(
                    "image",
                    found,
                    "a deploy creates everything except this service, and prints the commands that push its image",
                )
            });
            let missing: Vec<Check> = missing.collect();
            if missing.is_empty() { vec![Check::good("images", "all exist")] } else { missing }
        }
    }
}
