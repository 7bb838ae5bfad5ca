//! `adopt`, `forget` and `state mv`: import existing resources, stop managing them, or move them to another address.
//! They change tags and the snapshot, and nothing else.

mod imports;
mod moves;
mod output;
mod preserving_ledger;

use crate::cli::{AdoptOptions, Consent, Global};
use crate::confirmation;
use crate::exit::{Error, Exit};
use crate::output::reporter::Reporter;
use crate::run::stack_run::{report_holder, same_writes};
use crate::signals;
use crate::workspace::context::{RunOptions, WorkspaceContext};
use imports::ImportRequest;
use pb_engine::{Address, Cancel, Class, Failure, Goal, Outcome, Plan, PlanError, Run, Snapshot};
use pb_engine::{apply_ownership_changes, observe, plan_forget};
use pb_state::{AcquireOptions, LeaseTable, Session};
use pb_terraform::{Lock, Mapping};
use preserving_ledger::PreservingLedger;
use std::time::Duration;

/// A task that changes which existing resources are managed, or at which addresses.
enum Task<'a> {
    Adopt(&'a AdoptOptions),
    Forget(&'a [Address]),
    Move { from: &'a str, to: &'a str },
}

/// A planned task, with its output.
struct TaskPlan {
    plan: Plan,
    text: String,
    json: serde_json::Value,
    /// Lineage and serial of the Terraform state that the plan is based on.
    state: Option<(String, u64)>,
    /// Resources of the Terraform state, mapped to addresses.
    mapping: Mapping,
}

/// Imports the given resources, or those of a Terraform state.
///
/// # Errors
/// An error before the run begins: a resource that cannot be imported, a lock that another run holds.
pub async fn adopt(global: &Global, workspace: &str, adoption: &AdoptOptions) -> Result<Exit, Error> {
    run_task(global, workspace, &Task::Adopt(adoption), &adoption.consent, adoption.dry_run).await
}

/// Stops managing the resources at the addresses.
///
/// # Errors
/// The errors of [`adopt`].
pub async fn forget(
    global: &Global,
    workspace: &str,
    addresses: &[String],
    consent: &Consent,
    dry_run: bool,
) -> Result<Exit, Error> {
    let addresses = addresses.iter().map(|text| imports::address(text)).collect::<Result<Vec<_>, _>>()?;
    run_task(global, workspace, &Task::Forget(&addresses), consent, dry_run).await
}

/// Moves one resource, or all resources of a service, to another address.
///
/// # Errors
/// The errors of [`adopt`].
pub async fn move_addresses(
    global: &Global,
    workspace: &str,
    (from, to): (&str, &str),
    consent: &Consent,
    dry_run: bool,
) -> Result<Exit, Error> {
    run_task(global, workspace, &Task::Move { from, to }, consent, dry_run).await
}

async fn run_task(
    global: &Global,
    workspace: &str,
    task: &Task<'_>,
    consent: &Consent,
    dry_run: bool,
) -> Result<Exit, Error> {
    let reporter = Reporter::new(global.json, global.verbose);
    let repository = match task {
        Task::Adopt(adoption) => imports::repository(global, workspace, adoption).await?,
        Task::Forget(_) | Task::Move { .. } => None,
    };
    let context =
        WorkspaceContext::open(global, workspace, Goal::Deploy, &RunOptions { repository, ..RunOptions::default() })
            .await?;
    preserving_ledger::check(task, &context.snapshot, workspace)?;
    let planned = plan_task(&context, task, &context.snapshot, &Cancel::never()).await?;
    reporter.json("plan", &planned.json);
    reporter.message(&planned.text);
    if planned.plan.writes().next().is_none() || dry_run {
        output::removal(&planned, &Outcome::default())
            .iter()
            .for_each(|removal| reporter.message(&output::terraform(removal)));
        return Ok(Exit::Done);
    }
    confirmation::confirm(workspace, &format!("{} this in", task.word()), consent.yes)?;
    let (outcome, interrupted) = run_under_lease(&reporter, global, &context, task, consent, &planned).await?;
    Ok(report(&reporter, task, &context, &planned, &outcome, interrupted))
}

impl Task<'_> {
    fn word(&self) -> &'static str {
        match self {
            Self::Adopt(_) => "adopt",
            Self::Forget(_) => "forget",
            Self::Move { .. } => "move",
        }
    }

    /// Returns the operation that is written to Terraform's lock. By this text, a later run of pb-deploy recognises a
    /// lock that an earlier run left.
    fn operation(&self, context: &WorkspaceContext) -> String {
        format!("pb-deploy {} {}/{}", self.word(), context.owner.stack, context.owner.workspace)
    }
}

/// Reads the resources and plans the task. Changes nothing.
async fn plan_task(
    context: &WorkspaceContext,
    task: &Task<'_>,
    snapshot: &Snapshot,
    cancel: &Cancel,
) -> Result<TaskPlan, Error> {
    match task {
        Task::Adopt(adoption) => {
            let request = ImportRequest::read(context, adoption).await?;
            let adoption_plan = imports::plan_import(context, &request, snapshot, cancel).await?;
            Ok(TaskPlan {
                text: output::text(context, &request, &adoption_plan),
                json: output::json(&request, &adoption_plan),
                state: request.state,
                mapping: request.mapping,
                plan: adoption_plan.plan,
            })
        }
        Task::Forget(addresses) => {
            let observed = observe(&context.graph, snapshot, &context.owner, cancel).await?;
            let plan = plan_forget(&context.graph, &observed, snapshot, addresses).map_err(Error::Refused)?;
            refuse_record_without_load_balancer(&plan)?;
            let text = output::forget(context, &plan);
            let json = serde_json::json!({ "plan": plan });
            Ok(TaskPlan { plan, text, json, state: None, mapping: Mapping::default() })
        }
        Task::Move { from, to } => {
            let moved = moves::plan_state_move(context, from, to, snapshot, cancel).await?;
            let (text, json) = (output::moved(context, &moved), output::moved_json(&moved));
            Ok(TaskPlan { plan: moved.plan, text, json, state: None, mapping: Mapping::default() })
        }
    }
}

/// Refuses to forget a DNS record alone. A record cannot carry tags, so it remains managed for as long as the load
/// balancer that it points to is managed.
fn refuse_record_without_load_balancer(plan: &Plan) -> Result<(), Error> {
    let of = |kind: &str| plan.steps.iter().find(|step| step.kind == kind);
    match (of("route53.record"), of("elbv2.load_balancer")) {
        (Some(record), None) => {
            let why = "a DNS record cannot carry tags, and is managed as long as its load balancer is; forget both";
            Err(Error::Refused(vec![PlanError { address: record.address.clone(), why: why.to_owned() }]))
        }
        _ => Ok(()),
    }
}

/// Runs the task under the lease, and under Terraform's lock if a Terraform state is used. Also returns whether the run
/// was interrupted.
async fn run_under_lease(
    reporter: &Reporter,
    global: &Global,
    context: &WorkspaceContext,
    task: &Task<'_>,
    consent: &Consent,
    planned: &TaskPlan,
) -> Result<(Outcome, bool), Error> {
    let cancel = signals::listen();
    let claim = AcquireOptions {
        lock_timeout: Duration::from_secs(consent.lock_timeout),
        cancel: cancel.clone(),
        on_wait: report_holder(reporter),
        ..AcquireOptions::new(crate::identity::user_at_host(), task.word())
    };
    let leases = LeaseTable::new(&context.aws, &context.location, global.timing());
    let session = Session::open(context.store(), &leases, &claim, reporter.events()).await?;
    let run = Run {
        id: uuid::Uuid::new_v4().to_string(),
        operation: task.word().to_owned(),
        owner: context.owner.clone(),
        events: reporter.events(),
        cancel,
    };
    let done = with_terraform_lock(context, task, &session, &run, planned).await;
    if let (Task::Move { .. } | Task::Adopt(_), Ok(outcome)) = (task, &done)
        && outcome.is_complete()
        && !moves::tags_are_visible(context, &session.snapshot(), &planned.plan, &run.cancel).await
    {
        reporter.message("AWS does not show all new tags yet. Wait a minute before the next deploy.");
    }
    let closed = session.close().await;
    let outcome = done?;
    closed?;
    Ok((outcome, run.cancel.is_stopped()))
}

async fn with_terraform_lock(
    context: &WorkspaceContext,
    task: &Task<'_>,
    session: &Session,
    run: &Run,
    planned: &TaskPlan,
) -> Result<Outcome, Error> {
    let lock = match task {
        Task::Adopt(adoption) => match imports::source(adoption)? {
            Some(source) => {
                let (table, who) = (&context.location.table, crate::identity::user_at_host());
                let lock = Lock::acquire(&context.aws, table, &source, &who, &task.operation(context)).await?;
                lock.map(|lock| (lock, source))
            }
            None => None,
        },
        Task::Forget(_) | Task::Move { .. } => None,
    };
    let checked = match &lock {
        Some((lock, source)) => match source.read(&context.aws).await {
            Ok(bytes) => lock.check(&bytes).await,
            Err(failure) => Err(failure),
        },
        None => Ok(()),
    };
    let done = match checked {
        Ok(()) => replan_and_run(context, task, session, run, planned).await,
        Err(failure) => Err(failure.into()),
    };
    let released = match lock {
        Some((lock, _)) => lock.release().await,
        None => Ok(()),
    };
    let outcome = done?;
    released?;
    Ok(outcome)
}

async fn replan_and_run(
    context: &WorkspaceContext,
    task: &Task<'_>,
    session: &Session,
    run: &Run,
    shown: &TaskPlan,
) -> Result<Outcome, Error> {
    let snapshot = session.snapshot();
    preserving_ledger::check(task, &snapshot, &context.workspace.name)?;
    let planned = plan_task(context, task, &snapshot, &run.cancel).await?;
    if !same_writes(&shown.plan, &planned.plan) || shown.state != planned.state {
        let message = "the resources have changed since they were shown; nothing was changed";
        return Err(Error::other(message, "run the same command again to see the changes"));
    }
    let ledger = PreservingLedger::new(session, task);
    Ok(apply_ownership_changes(&context.graph, &planned.plan, &ledger, run).await?)
}

fn report(
    reporter: &Reporter,
    task: &Task<'_>,
    context: &WorkspaceContext,
    planned: &TaskPlan,
    outcome: &Outcome,
    interrupted: bool,
) -> Exit {
    let workspace = &context.workspace.name;
    let removal = output::removal(planned, outcome);
    let text = match outcome.is_complete() {
        true => output::done(task.word(), outcome.done.len(), workspace),
        false => output::incomplete(task.word(), outcome, workspace),
    };
    reporter.message(&text);
    removal.iter().for_each(|removal| reporter.message(&output::terraform(removal)));
    reporter.json("finished", &output::finished(outcome, removal.as_ref()));
    if outcome.is_complete() {
        return Exit::Done;
    }
    let only_stopped = outcome.failed.iter().all(|unfinished| is_interrupted(&unfinished.failure));
    if interrupted && only_stopped { Exit::Interrupted } else { Exit::Failed }
}

fn is_interrupted(failure: &Failure) -> bool {
    failure.class == Class::Interrupted
}
