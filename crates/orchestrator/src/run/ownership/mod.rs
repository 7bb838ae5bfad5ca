//! `adopt`, `forget` and `state mv` as inputs of the pipeline: import existing resources, stop managing them, or move
//! them to another address. They change tags and the snapshot, and nothing else.

mod https_table;
pub mod imports;
mod moves;
mod output;
mod task;
mod unfinished;
mod verdict;

pub use task::{Task, TaskPlan};

use crate::exit::{Error, Exit};
use crate::output::reporter::Reporter;
use crate::run::approval::same_writes;
use crate::run::finished::Finished;
use crate::run::outcome;
use crate::run::pipeline::{Input, Pass, Reading};
use crate::workspace::stack_context::StackContext;
use imports::ImportRequest;
use output::Shown;
use pb_engine::{Cancel, ErrorCode, Observed, Operation, Outcome, PartialLedger, Plan, PlanError, Snapshot};
use pb_engine::{apply_ownership_changes, observe, plan_forget};
use pb_terraform::{Lock, Mapping, Source, StateDigest};
use verdict::Verdict;

/// Kinds without tags, each with the kind by whose resources it is found, and names for both.
const FOUND_BY: [(&str, &str, &str, &str); 3] = [
    ("route53.record", "elbv2.load_balancer", "a DNS record", "load balancer"),
    ("acm.validation", "acm.certificate", "a validation record", "certificate"),
    ("elbv2.listener_certificate", "elbv2.listener", "a certificate of a listener", "listener"),
];

/// A run that changes ownership.
pub struct OwnershipRun<'a> {
    pub context: &'a StackContext,
    pub reporter: &'a Reporter,
    pub task: Task<'a>,
    /// Set if the plan is only shown.
    pub dry_run: bool,
}

impl Input for OwnershipRun<'_> {
    type Planned = TaskPlan;

    fn operation(&self) -> Operation {
        match self.task {
            Task::Adopt(_) => Operation::Adopt,
            Task::Forget(_) => Operation::Forget,
            Task::Move { .. } => Operation::Move,
        }
    }

    async fn plan(&self, snapshot: &Snapshot, reading: Reading<'_>) -> Result<TaskPlan, Error> {
        unfinished::check(&self.task, snapshot, self.context.base.name())?;
        plan_task(self.context, &self.task, snapshot, &reading.cancel()).await
    }

    fn show(&self, reporter: &Reporter, planned: &TaskPlan) {
        reporter.json("plan", &planned.json);
        reporter.message(&planned.text);
    }

    fn is_done(&self, planned: &TaskPlan, _snapshot: &Snapshot) -> bool {
        planned.plan.writes().next().is_none() || self.dry_run || planned.blocked.is_some()
    }

    async fn finish_unchanged(&self, reporter: &Reporter, planned: &TaskPlan) -> Result<Exit, Error> {
        if let Some(blocked) = &planned.blocked {
            return Err(blocked.into());
        }
        if let Some(removal) = output::removal(planned, &Outcome::default()) {
            reporter.message(&output::terraform(&removal));
        }
        Ok(if planned.lacks_images() { Exit::ImagesMissing } else { Exit::Done })
    }

    fn question(&self, _planned: &TaskPlan) -> Option<String> {
        Some(format!("{} this in", self.operation()))
    }

    /// Holds Terraform's lock if a Terraform state is used.
    async fn guard<T>(&self, pass: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let Task::Adopt(adoption) = &self.task else { return pass.await };
        let Some(source) = imports::source(adoption)? else { return pass.await };
        let Some(lock) = self.lock_terraform(&source).await? else { return pass.await };
        let checked = match source.read(&self.context.base.aws).await {
            Ok(bytes) => lock.compare_digest(&bytes).await,
            Err(failure) => Err(failure),
        };
        let done = match checked {
            Ok(digest) => {
                if let StateDigest::Earlier(item) = digest {
                    self.reporter.message(&output::warning(&item));
                }
                pass.await
            }
            Err(failure) => Err(failure.into()),
        };
        let released = lock.release().await;
        let done = done?;
        released?;
        Ok(done)
    }

    fn approve(&self, _reporter: &Reporter, shown: Option<&TaskPlan>, pass: &Pass<'_, Self>) -> Result<(), Error> {
        let planned = pass.planned;
        if let Some(blocked) = &planned.blocked {
            return Err(blocked.into());
        }
        let is_same = |shown: &TaskPlan| same_writes(&shown.plan, &planned.plan) && shown.state == planned.state;
        if shown.is_some_and(is_same) {
            return Ok(());
        }
        let message = "the resources have changed since they were shown; nothing was changed";
        Err(Error::other(ErrorCode::PlanChanged, message, "run the same command again to see the changes"))
    }

    async fn apply(&self, pass: &Pass<'_, Self>) -> Result<Outcome, Error> {
        let forgotten = match self.task {
            Task::Forget(addresses) => addresses,
            _ => &[],
        };
        let ledger =
            PartialLedger::new(pass.ledger).keep_intents(unfinished::must_be_kept).resolve(forgotten.iter().cloned());
        Ok(apply_ownership_changes(&self.context.graph, &pass.planned.plan, &ledger, pass.run).await?)
    }

    async fn verify(&self, reporter: &Reporter, pass: &Pass<'_, Self>, outcome: &mut Outcome) {
        if matches!(self.task, Task::Forget(_)) || !outcome.is_complete() {
            return;
        }
        let (snapshot, plan) = (pass.ledger.snapshot(), &pass.planned.plan);
        if !moves::tags_are_visible(self.context, &snapshot, plan, &pass.run.cancel).await {
            reporter.message("AWS does not show all new tags yet. Wait a minute before the next deploy.");
        }
    }

    fn summarize(&self, finished: &Finished<'_, Self::Planned>) {
        let Finished { reporter, workspace, outcome, .. } = finished;
        reporter.message(&match outcome.is_complete() {
            true => output::done(self.operation(), outcome.done.len(), workspace, finished.planned.state.is_some()),
            false => output::incomplete(self.operation(), outcome, workspace),
        });
    }

    fn finish(&self, finished: &Finished<'_, Self::Planned>) -> Exit {
        let Finished { reporter, outcome, planned, run, .. } = finished;
        let removal = output::removal(planned, outcome);
        if let Some(removal) = &removal {
            reporter.message(&output::terraform(removal));
        }
        reporter.json("finished", &output::finished(outcome, removal.as_ref()));
        match outcome::exit(outcome, run) {
            Exit::Done if planned.lacks_images() => Exit::ImagesMissing,
            exit => exit,
        }
    }
}

impl OwnershipRun<'_> {
    /// Acquires Terraform's lock, if its state has one.
    async fn lock_terraform(&self, source: &Source) -> Result<Option<Lock>, Error> {
        let base = &self.context.base;
        // By this text, a later run of pb-deploy recognises a lock that an earlier run left.
        let operation = format!("pb-deploy {} {}/{}", self.operation(), base.owner.stack, base.owner.workspace);
        let who = crate::identity::user_at_host();
        Ok(Lock::acquire(&base.aws, &base.location.table, source, &who, &operation).await?)
    }
}

/// Reads the resources and plans the task. Changes nothing.
async fn plan_task(
    context: &StackContext,
    task: &Task<'_>,
    snapshot: &Snapshot,
    cancel: &Cancel,
) -> Result<TaskPlan, Error> {
    match task {
        Task::Adopt(adoption) => {
            let request = ImportRequest::read(context, adoption).await?;
            let adoption_plan = imports::plan_import(context, &request, snapshot, cancel).await?;
            let verdict = Verdict::of(&request, &adoption_plan);
            let blocked = verdict::blocker(&request, &adoption_plan, verdict.as_ref(), context.base.name());
            let shown = Shown { context, request: &request, adoption_plan: &adoption_plan, verdict: verdict.as_ref() };
            Ok(TaskPlan {
                text: output::text(&shown, blocked.is_some()),
                json: output::json(&shown),
                blocked,
                state: request.state,
                mapping: request.mapping,
                plan: adoption_plan.plan,
            })
        }
        Task::Forget(addresses) => {
            let observed = observe(&context.graph, snapshot, &context.base.owner, cancel).await?;
            let plan = plan_forget(&context.graph, &observed, snapshot, addresses).map_err(Error::Refused)?;
            refuse_untagged_alone(&plan, &observed)?;
            let text = output::forget(context, &plan);
            let json = serde_json::json!({ "plan": plan });
            Ok(TaskPlan { plan, text, json, state: None, mapping: Mapping::default(), blocked: None })
        }
        Task::Move { from, to } => {
            let moved = moves::plan_state_move(context, from, to, snapshot, cancel).await?;
            let (text, json) = (output::moved(context, &moved), output::moved_json(&moved));
            Ok(TaskPlan { plan: moved.plan, text, json, state: None, mapping: Mapping::default(), blocked: None })
        }
    }
}

/// Refuses to forget a resource that cannot carry tags alone: it remains managed for as long as the resource is managed
/// by which it is found.
fn refuse_untagged_alone(plan: &Plan, observed: &Observed) -> Result<(), Error> {
    let of = |kind: &str| plan.steps.iter().find(|step| step.kind == kind);
    let is_managed = |kind: &str| observed.managed.values().flatten().any(|live| live.kind == kind);
    let refused: Vec<PlanError> = FOUND_BY
        .iter()
        .filter(|(_, parent, ..)| of(parent).is_none() && is_managed(parent))
        .filter_map(|(kind, _, what, whole)| {
            let why = format!("{what} cannot carry tags, and is managed as long as its {whole} is; forget both");
            Some(PlanError::new(of(kind)?.address.clone(), why))
        })
        .collect();
    if refused.is_empty() { Ok(()) } else { Err(Error::Refused(refused)) }
}
