//! Changes of services without a deploy: `rollback`, `restart` and `scale`. Like a deploy, these commands acquire the
//! lease, store intents before the first write and record the outcome. A rollback also repairs the routing to the
//! services.

mod graph;
mod partial_ledger;
mod routing;
mod steps;
mod summary;

pub use steps::{Revision, ServiceChange, step};

use crate::cli::{Consent, Global, OnInterrupt, WaitOptions};
use crate::exit::{Error, Exit};
use crate::output::reporter::Reporter;
use crate::output::{BAD, BOLD, GOOD, paint};
use crate::run::interrupted::InterruptedRun;
use crate::run::releases::SERVICE;
use crate::run::stack_run::{report_holder, same_writes};
use crate::run::{earlier_releases, outcome, releases};
use crate::workspace::context::{StateContext, connect, load_workspace, state_location};
use crate::workspace::recorded_names;
use crate::{confirmation, invocation, signals};
use aws_config::SdkConfig;
use partial_ledger::PartialLedger;
use pb_config::Workspace;
use pb_engine::{Address, Cancel, Entry, Graph, Ledger, Outcome, Plan, Run, Scaled, Snapshot, apply_plan, observe};
use pb_state::{AcquireOptions, LeaseTable, Session, StateLocation, Store};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A workspace with deployed services.
pub struct DeployedWorkspace {
    pub workspace: Workspace,
    pub aws: SdkConfig,
    pub location: StateLocation,
    pub store: Store,
    pub snapshot: Snapshot,
}

impl DeployedWorkspace {
    /// Reads the configuration and the snapshot.
    ///
    /// # Errors
    /// An invalid configuration; a snapshot that cannot be read, has no services, or belongs to another account or
    /// region.
    pub async fn open(global: &Global, name: &str) -> Result<Self, Error> {
        let mut workspace = load_workspace(global, name)?;
        let aws = connect(global, &workspace).await?;
        let location = state_location(&workspace);
        let StateContext { store, snapshot, .. } = StateContext::open(&aws, &workspace).await?;
        recorded_names::use_recorded_names(&mut workspace, &snapshot);
        if !snapshot.resources.values().any(|record| record.kind == SERVICE) {
            let hint = format!("deploy the workspace: pb-deploy deploy {name}");
            return Err(Error::other(format!("no services are deployed in {name}"), hint));
        }
        Ok(Self { workspace, aws, location, store, snapshot })
    }

    /// Returns the address of a configured service.
    ///
    /// # Errors
    /// `Usage` if the service is not configured.
    pub fn address(&self, key: &str) -> Result<Address, Error> {
        let known: Vec<&str> = self.workspace.services.all().map(|(key, _)| key).collect();
        let unknown = || {
            Error::usage(
                format!("{} has no service {key:?}", self.workspace.name),
                format!("there are: {}", known.join(", ")),
            )
        };
        let key = known.iter().find(|known| **known == key).ok_or_else(unknown)?;
        Address::new(releases::address(key)).map_err(|_| unknown())
    }

    /// Returns the addresses of the recorded services.
    pub fn services(&self) -> impl Iterator<Item = &Address> {
        self.snapshot.resources.iter().filter(|(_, record)| record.kind == SERVICE).map(|(address, _)| address)
    }

    /// Returns the time to wait for a rollout; `None` if the run does not wait.
    pub fn rollout_timeout(&self, wait: &WaitOptions) -> Option<Duration> {
        let seconds = wait.wait_timeout.unwrap_or(self.workspace.deploy.wait_timeout);
        (!wait.no_wait).then(|| Duration::from_secs(seconds.into()))
    }

    /// Returns whether the routing from the load balancer to the services needs to be repaired.
    ///
    /// # Errors
    /// A read that fails.
    pub async fn needs_routing_repair(&self) -> Result<bool, Error> {
        let nothing = ChangeRequest { operation: "rollback", changes: &BTreeMap::new(), repair_routing: true };
        Ok(!self.plan(&self.snapshot, &nothing, &Cancel::never()).await?.is_empty())
    }

    /// Returns the plan of a change, computed from the current state of the services.
    async fn plan(&self, snapshot: &Snapshot, change: &ChangeRequest<'_>, cancel: &Cancel) -> Result<Plan, Error> {
        let mut graph = Graph::new();
        pb_fargate::register_services(&mut graph, &self.aws, None, usize::MAX, false);
        if change.repair_routing {
            graph::Kinds::register(&mut graph, &self.aws);
        }
        let mut observed = observe(&graph, snapshot, &Arc::new(self.location.owner.clone()), cancel).await?;
        observed.untagged.retain(|_, untagged| untagged.kind == SERVICE);
        crate::workspace::untagged::refuse(&self.workspace.name, &observed.untagged)?;
        let mut steps = steps::steps(change.changes, &observed)?;
        if change.repair_routing {
            steps = routing::with_repairs(&self.aws, &observed, steps).await?;
        }
        Ok(Plan { steps, ..Plan::default() })
    }
}

/// A requested change of services.
pub struct ChangeRequest<'a> {
    /// `rollback`, `restart` or `scale`.
    pub operation: &'a str,
    /// The requested change of each service.
    pub changes: &'a BTreeMap<Address, ServiceChange>,
    /// Set to also repair the routing from the load balancer to the services.
    pub repair_routing: bool,
}

/// Plans a change, asks for confirmation, applies the change and waits for the rollouts.
///
/// # Errors
/// An error before the run begins: a change that is not confirmed, a lease that another run holds, a missing service.
pub async fn change(
    global: &Global,
    deployed: &DeployedWorkspace,
    change: &ChangeRequest<'_>,
    consent: &Consent,
    wait: &WaitOptions,
) -> Result<Exit, Error> {
    let reporter = Reporter::new(global.json, global.verbose);
    let (name, operation) = (&deployed.workspace.name, change.operation);
    let plan = deployed.plan(&deployed.snapshot, change, &Cancel::never()).await?;
    show_plan(&reporter, &plan, operation);
    if plan.is_empty() {
        return Ok(Exit::Done);
    }
    confirmation::confirm(name, operation, consent.yes)?;
    let cancel = signals::listen();
    let claim = AcquireOptions {
        lock_timeout: Duration::from_secs(consent.lock_timeout),
        cancel: cancel.clone(),
        on_wait: report_holder(&reporter),
        ..AcquireOptions::new(crate::identity::user_at_host(), operation)
    };
    let leases = LeaseTable::new(&deployed.aws, &deployed.location, global.timing());
    let session = Session::open(deployed.store.clone(), &leases, &claim, reporter.events()).await?;
    let run = Run {
        id: uuid::Uuid::new_v4().to_string(),
        operation: operation.to_owned(),
        owner: Arc::new(deployed.location.owner.clone()),
        events: reporter.events(),
        cancel,
    };
    let approved = ApprovedChange { plan: &plan, change, yes: consent.yes };
    let acted = replan_and_apply(&reporter, deployed, &session, &approved, &run, deployed.rollout_timeout(wait)).await;
    let closed = session.close().await;
    let outcome = acted?;
    closed?;
    Ok(print_result(&reporter, deployed, &outcome, &run, wait))
}

/// Prints the result of a run, and returns the result of the command.
fn print_result(
    reporter: &Reporter,
    deployed: &DeployedWorkspace,
    outcome: &Outcome,
    run: &Run,
    wait: &WaitOptions,
) -> Exit {
    let (name, operation) = (&deployed.workspace.name, &run.operation);
    if !outcome.is_complete() {
        reporter.message(&format!("{}.", paint(BAD, outcome::unsuccessful(outcome, run, name))));
        outcome::print_failures(reporter, outcome, name);
        reporter.json("finished", &serde_json::json!({ "complete": false }));
        return outcome::exit(outcome, run);
    }
    if wait.no_wait {
        reporter.message(&format!("Started. Check the result with `pb-deploy wait {name}`."));
    } else {
        reporter.message(&format!("{} {operation} of {}.", paint(GOOD, "Done:"), paint(BOLD, name)));
    }
    if operation == "rollback" {
        reporter.message(
            "The next deploy will use the configured image again. To keep this revision, set its image in \
             pb_deploy.toml.",
        );
    }
    reporter.json("finished", &serde_json::json!({ "complete": true }));
    Exit::Done
}

/// Plans again under the lease, checks the approval, applies the plan and records the outcome.
async fn replan_and_apply(
    reporter: &Reporter,
    deployed: &DeployedWorkspace,
    session: &Session,
    approved: &ApprovedChange<'_>,
    run: &Run,
    within: Option<Duration>,
) -> Result<Outcome, Error> {
    let snapshot = session.snapshot();
    let mut plan = deployed.plan(&snapshot, approved.change, &run.cancel).await?;
    approved.check(reporter, &plan, &run.operation)?;
    let graph = graph::graph(deployed, &plan.steps, within)?;
    plan.checks = if within.is_some() { graph.due_checks() } else { Vec::new() };
    let ledger = PartialLedger { session, intents: snapshot.intents.clone(), recorded: &snapshot };
    let mut outcome = tokio::select! {
        outcome = apply_plan(&graph, &plan, &ledger, run) => outcome?,
        () = reporter.report_long_waits() => Outcome::default(),
    };
    if run.cancel.is_stopped() {
        let (aws, workspace, operation) = (&deployed.aws, deployed.workspace.name.as_str(), run.operation.as_str());
        // A change of the count is not a rollout, so it cannot be rolled back.
        let on_interrupt = (operation == "scale").then_some(OnInterrupt::Leave);
        InterruptedRun { reporter, aws, workspace, operation, on_interrupt }
            .handle_rollouts(&plan, &mut outcome, &session.snapshot())
            .await;
    }
    let own_intents = snapshot.intents.as_ref().is_none_or(|intents| intents.written);
    earlier_releases::record_outcomes(&plan, &outcome, &snapshot, session, within.is_some(), own_intents);
    for (address, change) in approved.change.changes {
        if let (ServiceChange::Count(count), Some(configured)) =
            (change, configured_count(&deployed.workspace, address))
        {
            session.record(Entry::Scaled(address.clone(), Some(Scaled { count: *count, configured })));
        }
    }
    if let Some(release) = releases::release_of_run(&plan, &outcome, &session.snapshot(), None, run, within.is_some()) {
        session.record(Entry::Released(release));
    }
    Ok(outcome)
}

fn configured_count(workspace: &Workspace, address: &Address) -> Option<i32> {
    let key = releases::key(address);
    workspace.services.all().find(|(known, _)| *known == key).map(|(_, service)| service.count)
}

/// The plan that was shown and approved before the lease was acquired.
struct ApprovedChange<'a> {
    plan: &'a Plan,
    change: &'a ChangeRequest<'a>,
    yes: bool,
}

impl ApprovedChange<'_> {
    /// Shows `plan` if it differs from the plan that was shown, and refuses it if it is not approved: a plan that the
    /// user confirmed is applied exactly, and a release that the shown plan did not undo is not undone.
    fn check(&self, reporter: &Reporter, plan: &Plan, operation: &str) -> Result<(), Error> {
        if same_writes(self.plan, plan) {
            return Ok(());
        }
        reporter.message("The running services have changed since they were shown:");
        show_plan(reporter, plan, operation);
        let goes_back = self.change.changes.values().any(|change| matches!(change, ServiceChange::PreviousRevision(_)));
        if plan.writes().next().is_none() || (self.yes && !goes_back) {
            return Ok(());
        }
        let hint = format!("check the services as they are now, then run `{}` again", invocation::rerun_command(""));
        Err(Error::other("the running services have changed since they were shown; nothing was changed", hint))
    }
}

/// Shows the changes of a plan.
fn show_plan(reporter: &Reporter, plan: &Plan, operation: &str) {
    reporter.json("plan", plan);
    let lines: Vec<String> = plan.changes().map(|step| summary::line(step, operation)).collect();
    let text = lines.join("\n");
    reporter.message(if lines.is_empty() { "Nothing to do." } else { &text });
}
