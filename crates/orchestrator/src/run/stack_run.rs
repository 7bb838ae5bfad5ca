//! `deploy`, `destroy` and `apply` as inputs of the pipeline: the plan of the whole stack.

use crate::cli::OnInterrupt;
use crate::exit::{Error, Exit};
use crate::invocation;
use crate::output::reporter::Reporter;
use crate::output::{self, WARN, paint};
use crate::run::approval::{Approval, same_writes};
use crate::run::finished::Finished;
use crate::run::interrupted::InterruptedRun;
use crate::run::pipeline::{Input, Pass, Reading};
use crate::run::{checks, earlier_releases, missing_images, outcome, releases};
use crate::stack::names;
use crate::workspace::stack_context::{PlanResult, StackContext, is_recorded};
use crate::workspace::{lost_images, preparation};
use pb_config::TaskRole;
use pb_engine::{Address, Entry, Goal, Operation, Outcome, Snapshot, apply_plan};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A run that makes the resources match the configuration, or deletes them.
pub struct StackRun {
    pub context: Arc<StackContext>,
    pub goal: Goal,
    pub approval: Approval,
    /// The decision about rollouts if the run is interrupted; `None` to ask on a terminal.
    pub on_interrupt: Option<OnInterrupt>,
}

impl Input for StackRun {
    type Planned = PlanResult;

    fn operation(&self) -> Operation {
        self.goal.into()
    }

    async fn plan(&self, snapshot: &Snapshot, reading: Reading<'_>) -> Result<PlanResult, Error> {
        match reading {
            Reading::Preview => self.context.preview_plan(self.goal).await,
            Reading::UnderLease(cancel) => {
                let mut planned = self.context.plan(snapshot, self.goal, cancel).await?;
                checks::skip_without_wait(&self.context, &mut planned.plan);
                Ok(planned)
            }
        }
    }

    fn show(&self, reporter: &Reporter, planned: &PlanResult) {
        let (plan, title) = (&planned.plan, self.context.title());
        reporter.json("plan", plan);
        if self.goal == Goal::Destroy && plan.is_empty() {
            return reporter.message(&format!("Nothing to destroy in {title}."));
        }
        let heading = if plan.is_empty() { String::new() } else { format!("To {} {title}:\n\n", self.operation()) };
        let not_deployed = self.context.not_deployed(self.goal);
        let text = output::plan::text_with_not_deployed(plan, &not_deployed, reporter.is_verbose());
        reporter.message(&format!("{heading}{text}"));
        output::warnings(&planned.warnings).for_each(|warning| reporter.message(&warning));
    }

    fn is_done(&self, planned: &PlanResult, snapshot: &Snapshot) -> bool {
        planned.plan.is_empty() && is_recorded(snapshot, &planned.plan)
    }

    async fn finish_unchanged(&self, reporter: &Reporter, planned: &PlanResult) -> Result<Exit, Error> {
        let exit = checks::wait_for_checks(reporter, &self.context, &planned.plan).await?;
        Ok(self.print_end(reporter, &self.context.base.snapshot.outputs, exit))
    }

    fn question(&self, planned: &PlanResult) -> Option<String> {
        let verb = match lost_images::description(&planned.plan) {
            Some(images) => format!("delete {images} and {}", self.operation()),
            None => self.operation().to_string(),
        };
        (!planned.plan.is_empty()).then_some(verb)
    }

    fn approve(&self, reporter: &Reporter, shown: Option<&PlanResult>, pass: &Pass<'_, Self>) -> Result<(), Error> {
        let (shown, plan) = (shown.map(|shown| &shown.plan), &pass.planned.plan);
        if let Some(heading) = self.approval.heading(shown, plan) {
            if !heading.is_empty() {
                reporter.message(heading);
            }
            self.show(reporter, pass.planned);
        }
        self.approval.check(shown, plan)?;
        if let Approval::SavedPlan(saved) = &self.approval {
            let is_same = same_writes(&saved.plan, plan);
            saved.check(&pass.planned.binding, &pass.before.applied, is_same)?;
            pass.ledger.record(Entry::Applied(saved.id.clone()));
        }
        Ok(())
    }

    async fn apply(&self, pass: &Pass<'_, Self>) -> Result<Outcome, Error> {
        Ok(apply_plan(&self.context.graph, &pass.planned.plan, pass.ledger, pass.run).await?)
    }

    async fn on_interrupt(&self, reporter: &Reporter, pass: &Pass<'_, Self>, outcome: &mut Outcome) {
        if self.goal == Goal::Destroy {
            return;
        }
        let base = &self.context.base;
        let operation = self.operation();
        InterruptedRun { reporter, aws: &base.aws, workspace: base.name(), operation, on_interrupt: self.on_interrupt }
            .handle_rollouts(&pass.planned.plan, outcome, &pass.ledger.snapshot())
            .await;
    }

    fn record(&self, pass: &Pass<'_, Self>, outcome: &Outcome) {
        let plan = &pass.planned.plan;
        if self.goal == Goal::Deploy {
            earlier_releases::record_outcomes(plan, outcome, pass.before, pass.ledger, self.waits(), true);
            let images = Some(&self.context.prerequisites.images);
            let snapshot = pass.ledger.snapshot();
            if let Some(release) = releases::release_of_run(plan, outcome, &snapshot, images, pass.run, self.waits()) {
                pass.ledger.record(Entry::Released(release));
            }
        }
        self.forget_manual_counts(pass, outcome);
    }

    async fn follow_up(&self, reporter: &Reporter) -> Result<Option<Self>, Error> {
        let missing = || self.context.prerequisites.images.missing().map(|(key, _)| key);
        if self.goal == Goal::Destroy || self.approval.is_saved_plan() || missing().next().is_none() {
            return Ok(None);
        }
        let Some(context) = self.context.with_pushed_images().await? else { return Ok(None) };
        let left: Vec<&str> = context.prerequisites.images.missing().map(|(key, _)| key).collect();
        let pushed: Vec<&str> = missing().filter(|key| !left.contains(key)).collect();
        reporter.message(&format!("Images found. Starting {}.", pushed.join(" and ")));
        let approval = Approval::LateImages { accept_changed: self.approval.accepts_changed() };
        let (context, on_interrupt) = (Arc::new(context), self.on_interrupt);
        Ok(Some(Self { context, approval, on_interrupt, ..*self }))
    }

    fn summarize(&self, finished: &Finished<'_, Self::Planned>) {
        let success = match self.goal {
            Goal::Destroy => "Destroyed",
            Goal::Deploy if !self.waits() => "Started",
            Goal::Deploy => "Deployed",
        };
        outcome::print_summary(finished, success);
    }

    fn finish(&self, finished: &Finished<'_, Self::Planned>) -> Exit {
        if !finished.outcome.is_complete() {
            print_next_steps(finished);
        }
        let exit = outcome::exit(finished.outcome, finished.run);
        if self.goal == Goal::Destroy && exit == Exit::Done {
            self.print_remaining_role(finished.reporter);
        }
        self.print_end(finished.reporter, &finished.outcome.outputs, exit)
    }
}

impl StackRun {
    fn waits(&self) -> bool {
        checks::waits_for_rollouts(&self.context)
    }

    /// Prints the commands that delete the task role that `bootstrap` created. Like all prerequisites, no plan deletes it.
    fn print_remaining_role(&self, reporter: &Reporter) {
        let base = &self.context.base;
        let role = base.workspace.roles.task.as_ref().and_then(TaskRole::created);
        let arn = self.context.prerequisites.task_role_arn.as_deref().filter(|arn| arn.starts_with("arn:"));
        let (Some(role), Some(_)) = (role, arn) else { return };
        let (name, policy) = (invocation::quoted(&role.name), preparation::task_policy(&base.workspace));
        let command = |text: String| invocation::aws_command(&text, &base.workspace.region);
        let delete_policy =
            format!("aws iam delete-role-policy --role-name {name} --policy-name {}", invocation::quoted(&policy));
        reporter.message(&format!(
            "The task role {} is not deleted, as no prerequisite is. If nothing else uses it, delete it with:\n  {}\n  {}",
            role.name,
            command(delete_policy),
            command(format!("aws iam delete-role --role-name {name}")),
        ));
    }

    /// Removes the records of counts that were set by hand and are not kept.
    fn forget_manual_counts(&self, pass: &Pass<'_, Self>, outcome: &Outcome) {
        for (address, scaled) in &pass.ledger.snapshot().scaled {
            let mut services = self.context.base.workspace.services.all();
            let is_kept = services.any(|(key, service)| {
                names::service_key(address) == key && service.keep_scale && service.count == scaled.count
            });
            if (!is_kept || self.goal == Goal::Destroy) && outcome.is_applied() {
                pass.ledger.record(Entry::Scaled(address.clone(), None));
            }
        }
    }

    /// Prints the outputs of a run, or the commands for images that are still missing and for rollouts that may still
    /// be in progress. Returns the result of the command.
    fn print_end(&self, reporter: &Reporter, outputs: &BTreeMap<String, Value>, exit: Exit) -> Exit {
        let (images, base) = (&self.context.prerequisites.images, &self.context.base);
        let lacks_images = self.goal == Goal::Deploy && images.missing().next().is_some();
        let repository = outputs.get("repository").and_then(Value::as_str);
        let exit = match repository {
            Some(uri) if exit == Exit::Done && lacks_images => {
                missing_images::print_push_commands(reporter, base, images, uri);
                Exit::ImagesMissing
            }
            // A deploy with targets has not created the repository.
            _ => exit,
        };
        if exit == Exit::Done && !self.waits() {
            let follow = invocation::command(&["wait", base.name()]);
            let warning = paint(WARN, "Rollouts may still be in progress.");
            reporter.message(&format!("{warning} Check them with `{follow}`."));
        }
        let complete = exit == Exit::Done;
        reporter.json("finished", &serde_json::json!({ "complete": complete, "outputs": outputs }));
        if complete
            && !reporter.is_json()
            && let Some(url) = outputs.get("url").and_then(Value::as_str)
        {
            reporter.result(url);
        }
        exit
    }
}

/// Prints the commands that continue or undo an incomplete run.
fn print_next_steps(finished: &Finished<'_, PlanResult>) {
    let Finished { reporter, workspace, run, outcome, snapshot, .. } = finished;
    let again = invocation::command(&[&run.operation.to_string(), workspace]);
    if outcome.is_applied() && !run.cancel.is_stopped() {
        return reporter.message(&checks::failure_advice(workspace));
    }
    if !outcome.failed.iter().any(|failed| outcome::is_failed_rollout(&failed.failure)) {
        return reporter.message(&format!("Progress is saved. Run `{again}` again to finish."));
    }
    reporter.message(&format!("Progress is saved. Fix the error and run `{again}` again."));
    let released = snapshot.releases.iter().filter(|release| release.run == run.id);
    let rolled_back = |address: &Address| {
        let mut failed = outcome.failed.iter().filter(|failed| failed.address == *address);
        failed.any(|failed| failed.failure.is_rolled_back())
    };
    let released = released.flat_map(|release| &release.services);
    let left = released.filter(|(address, released)| released.from.is_some() && !rolled_back(address));
    let left: Vec<&str> = left.map(|(address, _)| names::service_key(address)).collect();
    if !left.is_empty() {
        let (names, verb) = (left.join(" and "), if left.len() == 1 { "is" } else { "are" });
        let undo = invocation::command(&["rollback", workspace]);
        reporter.message(&format!("{names} {verb} already on the new revision. To undo: `{undo}`."));
    }
}
