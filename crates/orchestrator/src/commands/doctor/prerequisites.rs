//! Checks of the prerequisites: bucket, table, roles, hosted zone, Availability Zones, images.

use super::check::{Check, Verdict};
use super::hostnames;
use crate::cli::Global;
use crate::output::count;
use crate::workspace::context::state_location;
use crate::workspace::images::Images;
use crate::workspace::preparation::{self, Creatable};
use crate::workspace::prerequisites;
use aws_config::SdkConfig;
use pb_config::{TaskRole, Workspace};
use pb_engine::{Action, Class, Failure, Goal, PlanError, Refusal, Snapshot, Step};
use pb_state::{ConditionalWrites, LeaseTable};
use serde_json::Value;

/// Makes all checks of the prerequisites in parallel. Also returns the command that creates what is missing, if
/// `bootstrap` can.
pub async fn checks(
    global: &Global,
    aws: &SdkConfig,
    workspace: &Workspace,
    account: &str,
    state: Result<Snapshot, Failure>,
) -> (Vec<Check>, Option<String>) {
    let snapshot = state.as_ref().map_or_else(|_| Snapshot::default(), Clone::clone);
    let ((mut checks, mut missing), zone, zones, task, images, lease) = tokio::join!(
        bootstrap_checks(aws, workspace, account),
        prerequisites::zone(aws, workspace, Goal::Deploy),
        prerequisites::zones(aws, workspace, &snapshot),
        task_role(aws, workspace),
        Images::look_up(aws, workspace),
        lease(global, aws, workspace),
    );
    // A missing bucket is reported by the check of the bucket itself.
    if !(state.is_err() && missing.contains(&Creatable::Bucket)) {
        checks.push(Check::of("state", state, |snapshot| match snapshot.serial {
            0 => "none yet".to_owned(),
            serial => format!("serial {serial}, {}", count(snapshot.resources.len(), "resource")),
        }));
    }
    checks.extend(lease);
    missing.extend(zone.as_ref().err().and_then(|failed| failed.creatable));
    let hostnames = match &zone {
        Ok(zone) => hostnames::checks(aws, workspace, zone, &snapshot).await,
        Err(_) => Vec::new(),
    };
    let zone = zone.map_err(|failed| failed.failure);
    checks.push(Check::of("hosted zone", zone, |zone| format!("{} ({})", zone.name, zone.id)));
    checks.extend(hostnames);
    checks.push(Check::of("zones", zones, |zones| zones.join(" and ")));
    checks.extend(task);
    checks.extend(self::images(images));
    let command = (!missing.is_empty()).then(|| preparation::command(&workspace.name, missing));
    (checks, command)
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

/// Checks bucket, table and the roles that `bootstrap` creates, by means of the plan that `bootstrap` would make.
/// Also returns what `bootstrap` would create.
async fn bootstrap_checks(aws: &SdkConfig, workspace: &Workspace, account: &str) -> (Vec<Check>, Vec<Creatable>) {
    match preparation::bootstrap_plan(aws, workspace, account).await {
        Err(failure) => (vec![Check::failed("preconditions", Verdict::Bad, &failure)], Vec::new()),
        Ok(Ok(plan)) => {
            let checks = plan.steps.iter().map(|step| step_check(step, &workspace.name)).collect();
            (checks, preparation::created(&plan).collect())
        }
        Ok(Err(refused)) => (refused.iter().map(refused_check).collect(), Vec::new()),
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
    // Nothing needs this permission before pb-deploy has written a secret, and a plan that needs it is refused.
    let lacks: Vec<&str> = lacks.into_iter().filter(|path| *path != "stack_secrets").collect();
    match step.action {
        Action::Update if lacks.is_empty() => Check::good(name, id),
        Action::Create => Check::bad(name, format!("{} does not exist", step.kind), hint),
        // Permissions that were given to the role outside of pb-deploy are not always visible: see `Role`.
        Action::Update if lacks == ["reads"] => {
            Check::warning(name, format!("cannot confirm that role {id} may read the secrets of the services"), hint)
        }
        // ECS refuses a role that does not trust it. A bucket that lacks some settings still works.
        Action::Update if step.kind == "iam.role" => Check::bad(name, format!("{id} lacks {}", lacks.join(", ")), hint),
        Action::Update if step.kind == "iam.task_role" => {
            let differs = format!("{id} differs from the configuration in {}", lacks.join(", "));
            // A deploy needs the trust and the statements; it works with more statements, and with any boundary.
            match lacks.contains(&"trusts_ecs_tasks") || lacks_statements(step) {
                true => Check::bad(name, differs, hint),
                false => Check::warning(name, differs, hint),
            }
        }
        Action::Update => Check::warning(name, format!("{id} lacks {}", lacks.join(", ")), hint),
        _ => Check::good(name, id),
    }
}

async fn task_role(aws: &SdkConfig, workspace: &Workspace) -> Option<Check> {
    // A role that `bootstrap` creates is checked with its plan.
    let Some(TaskRole::Existing(name)) = &workspace.roles.task else { return None };
    Some(Check::of("roles/task", prerequisites::role(aws, name, "roles.task", Goal::Deploy).await, |arn| arn))
}

/// Returns whether a task role lacks a statement of the configuration.
fn lacks_statements(step: &Step) -> bool {
    let statements = |spec: &Option<Value>| spec.as_ref().and_then(|spec| spec["statements"].as_array()).cloned();
    let (live, wanted) = (statements(&step.before).unwrap_or_default(), statements(&step.after).unwrap_or_default());
    wanted.iter().any(|statement| !live.contains(statement))
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
