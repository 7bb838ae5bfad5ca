//! `deploy` and `destroy`: plan, show, ask, apply.

use crate::cli::{Consent, Global};
use crate::commands::plan::operation;
use crate::exit::{Error, Exit};
use crate::output::reporter::Reporter;
use crate::output::{WARN, paint};
pub use crate::run::approval::Approval;
pub use crate::run::approval::same_writes;
use crate::run::interrupted::InterruptedRun;
use crate::run::{checks, earlier_releases, missing_images, refresh};
use crate::run::{outcome, releases};
use crate::workspace::context::{RunOptions, WorkspaceContext, is_recorded};
use crate::{confirmation, output, signals};
use pb_engine::{Address, Cancel, Entry, Failure, Goal, Ledger, Outcome, Plan, Run, Snapshot, apply_plan};
use pb_state::{AcquireOptions, Holder, LeaseTable, Session};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Plans, shows the plan, asks for confirmation and applies the plan.
///
/// # Errors
/// An error before the run begins. Failures of the run itself are printed here and decide the exit code.
pub async fn run(
    global: &Global,
    workspace: &str,
    goal: Goal,
    consent: &Consent,
    options: &RunOptions,
) -> Result<Exit, Error> {
    let reporter = Reporter::new(global.json, global.verbose);
    let context = WorkspaceContext::open(global, workspace, goal, options).await?;
    if options.selection.refresh_only {
        return refresh::run(global, &context, consent).await;
    }
    let planned = context.preview_plan(goal).await?;
    show_plan(&reporter, &context, goal, &planned.plan, global.verbose);
    if planned.plan.is_empty() && is_recorded(&context.snapshot, &planned.plan) {
        let exit = checks::wait_for_checks(&reporter, &context, &planned.plan).await?;
        return Ok(finish_run(&reporter, global, &context, goal, &context.snapshot.outputs, exit));
    }
    if !planned.plan.is_empty() {
        confirmation::confirm_goal(workspace, goal, consent.yes)?;
    }
    let id = uuid::Uuid::new_v4().to_string();
    let (plan, accept_changed) = (&planned.plan, options.accept_changed_plan);
    let approval = if consent.yes { Approval::ShownPlan { plan, accept_changed } } else { Approval::ExactPlan(plan) };
    acquire_and_apply(&reporter, global, &context, goal, &id, Duration::from_secs(consent.lock_timeout), approval).await
}

/// Acquires the lease, plans again under the lease and applies the plan.
///
/// # Errors
/// An error before the run begins: a lease that another run holds, a plan that was not approved.
pub async fn acquire_and_apply(
    reporter: &Reporter,
    global: &Global,
    context: &WorkspaceContext,
    goal: Goal,
    id: &str,
    lock_timeout: Duration,
    approval: Approval<'_>,
) -> Result<Exit, Error> {
    let (session, cancel) = open_session(reporter, global, context, operation(goal), lock_timeout).await?;
    let run = Run {
        id: id.to_owned(),
        operation: operation(goal).to_owned(),
        owner: context.owner.clone(),
        events: reporter.events(),
        cancel,
    };
    let since = Instant::now();
    let exactly = matches!(approval, Approval::SavedPlan(_));
    let next = Approval::LateImages { accept_changed: approval.accepts_changed() };
    let acted = replan_and_apply(reporter, context, goal, &session, &run, approval).await;
    let (outcome, with_images) = match acted {
        Ok(outcome) if goal == Goal::Deploy && !exactly && outcome.is_complete() => {
            apply_late_images(reporter, context, &session, run.cancel.clone(), outcome, next).await
        }
        acted => (acted, None),
    };
    let context = with_images.as_ref().unwrap_or(context);
    let (lost, snapshot) = (session.lost(), session.snapshot());
    let closed = session.close().await;
    let outcome = outcome?;
    outcome::print_summary(reporter, &outcome, &run, success_label(context, goal), &context.workspace.name, since);
    if let Some(lost) = lost {
        return Err(lost.into());
    }
    closed?;
    if !outcome.is_complete() {
        print_next_steps(reporter, &outcome, &run, &context.workspace.name, &snapshot);
    }
    Ok(finish_run(reporter, global, context, goal, &outcome.outputs, outcome::exit(&outcome, &run)))
}

/// Returns the first word of the summary of a successful run.
fn success_label(context: &WorkspaceContext, goal: Goal) -> &'static str {
    match goal {
        Goal::Destroy => "Destroyed",
        Goal::Deploy if context.workspace.deploy.wait_timeout == 0 => "Started",
        Goal::Deploy => "Deployed",
    }
}

/// Prints the commands that continue or undo an incomplete run.
fn print_next_steps(reporter: &Reporter, outcome: &Outcome, run: &Run, workspace: &str, now: &Snapshot) {
    let again = format!("pb-deploy {} {workspace}", run.operation);
    if outcome.is_applied() && !run.cancel.is_stopped() {
        return reporter.message(&checks::failure_advice(workspace));
    }
    if !outcome.failed.iter().any(|failed| is_rollout_failure(&failed.failure)) {
        return reporter.message(&format!("Progress is saved. Run `{again}` again to finish."));
    }
    reporter.message(&format!("Progress is saved. Fix the error and run `{again}` again."));
    let released = now.releases.iter().filter(|release| release.run == run.id).flat_map(|release| &release.services);
    let rolled_back = |address: &Address| {
        let mut failed = outcome.failed.iter().filter(|failed| failed.address == *address);
        failed.any(|failed| failed.failure.details.iter().any(|detail| detail.starts_with(pb_fargate::ROLLED_BACK)))
    };
    let left = released.filter(|(address, released)| released.from.is_some() && !rolled_back(address));
    let left: Vec<&str> = left.map(|(address, _)| releases::key(address)).collect();
    if !left.is_empty() {
        let (names, verb) = (left.join(" and "), if left.len() == 1 { "is" } else { "are" });
        reporter.message(&format!(
            "{names} {verb} already on the new revision. To undo: `pb-deploy rollback {workspace}`."
        ));
    }
}

/// Returns whether a rollout failed, rather than a single call.
pub fn is_rollout_failure(failure: &Failure) -> bool {
    failure.operation.starts_with("roll out ")
}

/// Deploys the services whose images were pushed during the run. Also returns the context with these images, if there
/// are any.
async fn apply_late_images(
    reporter: &Reporter,
    context: &WorkspaceContext,
    session: &Session,
    cancel: Cancel,
    outcome: Outcome,
    next: Approval<'_>,
) -> (Result<Outcome, Error>, Option<WorkspaceContext>) {
    if context.prerequisites.images.missing().next().is_none() || cancel.is_stopped() {
        return (Ok(outcome), None);
    }
    let with_images = match context.with_pushed_images().await {
        Ok(Some(with_images)) => with_images,
        Ok(None) => return (Ok(outcome), None),
        Err(error) => return (Err(error), None),
    };
    let still_missing: Vec<&str> = with_images.prerequisites.images.missing().map(|(key, _)| key).collect();
    let pushed = context.prerequisites.images.missing().map(|(key, _)| key).filter(|key| !still_missing.contains(key));
    reporter.message(&format!("Images found. Starting {}.", pushed.collect::<Vec<_>>().join(" and ")));
    let run = Run {
        id: uuid::Uuid::new_v4().to_string(),
        operation: operation(Goal::Deploy).to_owned(),
        owner: context.owner.clone(),
        events: reporter.events(),
        cancel,
    };
    let more = replan_and_apply(reporter, &with_images, Goal::Deploy, session, &run, next).await;
    let joined = more.map(|mut more| {
        more.done.splice(0..0, outcome.done);
        more
    });
    (joined, Some(with_images))
}

/// Starts to listen for Ctrl-C, and acquires the lease.
///
/// # Errors
/// A lease that another run holds; a snapshot that cannot be read.
pub async fn open_session(
    reporter: &Reporter,
    global: &Global,
    context: &WorkspaceContext,
    operation: &str,
    lock_timeout: Duration,
) -> Result<(Session, Cancel), Error> {
    let cancel = signals::listen();
    let store = context.store();
    let leases = LeaseTable::new(&context.aws, &context.location, global.timing());
    let claim = AcquireOptions {
        lock_timeout,
        cancel: cancel.clone(),
        on_wait: report_holder(reporter),
        ..AcquireOptions::new(crate::identity::user_at_host(), operation)
    };
    Ok((Session::open(store, &leases, &claim, reporter.events()).await?, cancel))
}

/// Returns a callback that prints the holder of the lease while the run waits for it.
pub fn report_holder(reporter: &Reporter) -> Arc<dyn Fn(&Holder) + Send + Sync> {
    let reporter = reporter.clone();
    Arc::new(move |holder| {
        let Holder { who, operation, since, .. } = holder;
        reporter.message(&format!("Waiting for {who}, who holds the lock ({operation}, since {since})"));
    })
}

async fn replan_and_apply(
    reporter: &Reporter,
    context: &WorkspaceContext,
    goal: Goal,
    session: &Session,
    run: &Run,
    approval: Approval<'_>,
) -> Result<Outcome, Error> {
    let snapshot = session.snapshot();
    let mut planned = context.plan(&snapshot, goal, &run.cancel).await?;
    checks::skip_without_wait(context, &mut planned.plan);
    if let Some(heading) = approval.heading(&planned.plan) {
        if !heading.is_empty() {
            reporter.message(heading);
        }
        show_plan(reporter, context, goal, &planned.plan, false);
    }
    approval.check(&planned.plan)?;
    if let Approval::SavedPlan(saved) = approval {
        saved.check(&planned.binding, &snapshot.applied, same_writes(&saved.plan, &planned.plan))?;
        session.record(Entry::Applied(saved.id.clone()));
    }
    let mut outcome = tokio::select! {
        outcome = apply_plan(&context.graph, &planned.plan, session, run) => outcome?,
        () = reporter.report_long_waits() => Outcome::default(),
    };
    if run.cancel.is_stopped() && goal == Goal::Deploy {
        let interrupted = InterruptedRun {
            reporter,
            aws: &context.aws,
            workspace: &context.workspace.name,
            operation: &run.operation,
            on_interrupt: context.on_interrupt,
        };
        interrupted.handle_rollouts(&planned.plan, &mut outcome, &session.snapshot()).await;
    }
    if goal == Goal::Deploy {
        let waited = context.workspace.deploy.wait_timeout > 0;
        earlier_releases::record_outcomes(&planned.plan, &outcome, &snapshot, session, waited, true);
    }
    record_release(context, goal, &planned.plan, &outcome, session, run);
    Ok(outcome)
}

/// Records the release, and removes the records of counts that were set by hand and are not kept.
fn record_release(
    context: &WorkspaceContext,
    goal: Goal,
    plan: &Plan,
    outcome: &Outcome,
    session: &Session,
    run: &Run,
) {
    let snapshot = session.snapshot();
    let waited = context.workspace.deploy.wait_timeout > 0;
    let images = Some(&context.prerequisites.images);
    if let Some(release) = releases::release_of_run(plan, outcome, &snapshot, images, run, waited)
        && goal == Goal::Deploy
    {
        session.record(Entry::Released(release));
    }
    for (address, scaled) in &snapshot.scaled {
        let mut services = context.workspace.services.all();
        let is_kept = services
            .any(|(key, service)| releases::key(address) == key && service.keep_scale && service.count == scaled.count);
        if (!is_kept || goal == Goal::Destroy) && outcome.is_applied() {
            session.record(Entry::Scaled(address.clone(), None));
        }
    }
}

fn show_plan(reporter: &Reporter, context: &WorkspaceContext, goal: Goal, plan: &Plan, verbose: bool) {
    reporter.json("plan", plan);
    let title =
        if plan.is_empty() { String::new() } else { format!("To {} {}:\n\n", operation(goal), context.title()) };
    if goal == Goal::Destroy && plan.is_empty() {
        reporter.message(&format!("Nothing to destroy in {}.", context.title()));
    } else {
        let text = output::plan::text_with_not_deployed(plan, &context.not_deployed(goal), verbose);
        reporter.message(&format!("{title}{text}"));
    }
}

/// Ends a run: prints its outputs, or the commands for images that are still missing and rollouts that may still be in
/// progress. Returns the result of the command.
fn finish_run(
    reporter: &Reporter,
    global: &Global,
    context: &WorkspaceContext,
    goal: Goal,
    outputs: &BTreeMap<String, serde_json::Value>,
    exit: Exit,
) -> Exit {
    let images = &context.prerequisites.images;
    let exit = match goal {
        Goal::Deploy if exit == Exit::Done && images.missing().next().is_some() => Exit::ImagesMissing,
        _ => exit,
    };
    if exit == Exit::ImagesMissing {
        missing_images::print_push_commands(
            reporter,
            images,
            outputs,
            &context.workspace.region,
            &context.workspace.name,
        );
    }
    if exit == Exit::Done && context.workspace.deploy.wait_timeout == 0 {
        let follow = format!("pb-deploy wait {}", context.workspace.name);
        let warning = paint(WARN, "Rollouts may still be in progress.");
        reporter.message(&format!("{warning} Check them with `{follow}`."));
    }
    print_result(reporter, global, outputs, exit == Exit::Done);
    exit
}

/// Prints the URL to stdout, or the last line of the JSON output.
fn print_result(reporter: &Reporter, global: &Global, outputs: &BTreeMap<String, serde_json::Value>, complete: bool) {
    if global.json {
        reporter.json("finished", &serde_json::json!({ "complete": complete, "outputs": outputs }));
    } else if complete && let Some(url) = outputs.get("url").and_then(serde_json::Value::as_str) {
        anstream::println!("{url}");
    }
}
