//! Changes of services without a deploy: `rollback`, `restart` and `scale`. They take the lease, store intents before the first
//! write and record the outcome, as a deploy does. A rollback also repairs the routing to the services.

mod graph;
mod partial_ledger;
mod routing;
mod steps;
mod summary;

pub use steps::{Revision, ServiceChange, step};

use crate::cli::{Consent, Global, OnInterrupt, WaitOptions};
use crate::commands::earlier_releases;
use crate::commands::interrupted::InterruptedRun;
use crate::commands::run::{report_holder, same_writes};
use crate::context::{StateContext, connect, load_workspace, state_location};
use crate::exit::{Error, Exit};
use crate::releases::{self, SERVICE};
use crate::render::reporter::Reporter;
use crate::render::{BAD, BOLD, GOOD, paint};
use crate::{confirmation, invocation, recorded_names, signals};
use aws_config::SdkConfig;
use partial_ledger::PartialLedger;
use pb_config::Workspace;
use pb_engine::{Address, Cancel, Entry, Graph, Ledger, Outcome, Plan, Run, Scaled, Snapshot, apply_plan, observe};
use pb_state::{AcquireOptions, LeaseTable, Session, StateLocation, Store};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A workspace whose services are to be changed.
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
    /// A configuration with mistakes; a snapshot that cannot be read, that has no services, or that was deployed to another
    /// account or region.
    pub async fn open(global: &Global, name: &str) -> Result<Self, Error> {
        let mut workspace = load_workspace(global, name)?;
        let aws = connect(global, &workspace).await?;
        let location = state_location(&workspace);
        let StateContext { store, snapshot, .. } = StateContext::open(&aws, &workspace).await?;
        recorded_names::use_recorded_names(&mut workspace, &snapshot);
        if !snapshot.resources.values().any(|record| record.kind == SERVICE) {
            let hint = format!("deploy it: pb-deploy deploy {name}");
            return Err(Error::other(format!("no service of {name} is deployed"), hint));
        }
        Ok(Self { workspace, aws, location, store, snapshot })
    }

    /// The address of a configured service.
    ///
    /// # Errors
    /// `Usage` for one that is not configured.
    pub fn address(&self, key: &str) -> Result<Address, Error> {
        let known: Vec<&str> = self.workspace.services.all().map(|(key, _)| key).collect();
        let unknown =
            || Error::usage(format!("there is no service {key:?}"), format!("there are: {}", known.join(", ")));
        let key = known.iter().find(|known| **known == key).ok_or_else(unknown)?;
        Address::new(releases::address(key)).map_err(|_| unknown())
    }

    /// The addresses of the recorded services.
    pub fn services(&self) -> impl Iterator<Item = &Address> {
        self.snapshot.resources.iter().filter(|(_, record)| record.kind == SERVICE).map(|(address, _)| address)
    }

    /// How long a rollout is waited for; none: not at all.
    pub fn rollout_timeout(&self, wait: &WaitOptions) -> Option<Duration> {
        let seconds = wait.wait_timeout.unwrap_or(self.workspace.deploy.wait_timeout);
        (!wait.no_wait).then(|| Duration::from_secs(seconds.into()))
    }

    /// Returns whether the routing from the load balancer to the services has to be repaired.
    ///
    /// # Errors
    /// The error of a read.
    pub async fn needs_routing_repair(&self) -> Result<bool, Error> {
        let nothing = ChangeRequest { operation: "rollback", changes: &BTreeMap::new(), repair_routing: true };
        Ok(!self.plan(&self.snapshot, &nothing, &Cancel::never()).await?.is_empty())
    }

    /// Returns the plan of a change, from the services as they are now.
    async fn plan(&self, snapshot: &Snapshot, change: &ChangeRequest<'_>, cancel: &Cancel) -> Result<Plan, Error> {
        let mut graph = Graph::new();
        pb_fargate::register_services(&mut graph, &self.aws, None, usize::MAX, false);
        if change.repair_routing {
            graph::Kinds::register(&mut graph, &self.aws);
        }
        let mut observed = observe(&graph, snapshot, &Arc::new(self.location.owner.clone()), cancel).await?;
        observed.untagged.retain(|_, untagged| untagged.kind == SERVICE);
        crate::untagged::refuse(&self.workspace.name, &observed.untagged)?;
        let mut steps = steps::steps(change.changes, &observed)?;
        if change.repair_routing {
            steps = routing::with_repairs(&self.aws, &observed, steps).await?;
        }
        Ok(Plan { steps, ..Plan::default() })
    }
}

/// A change of services.
pub struct ChangeRequest<'a> {
    /// `rollback`, `restart` or `scale`.
    pub operation: &'a str,
    /// The requested change of each service.
    pub changes: &'a BTreeMap<Address, ServiceChange>,
    /// Set to repair the routing from the load balancer to the services as well.
    pub repair_routing: bool,
}

/// Plans a change, asks, applies it and waits for the rollouts.
///
/// # Errors
/// What keeps it from beginning: no consent, a lease that another holds, a service that is not there.
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

/// Says what came of it.
fn print_result(
    reporter: &Reporter,
    deployed: &DeployedWorkspace,
    outcome: &Outcome,
    run: &Run,
    wait: &WaitOptions,
) -> Exit {
    let (name, operation) = (&deployed.workspace.name, &run.operation);
    if !outcome.is_complete() {
        reporter.message(&format!("{} {operation} of {name}.", paint(BAD, "Not complete:")));
        super::run::print_failures(reporter, outcome, name);
        reporter.json("finished", &serde_json::json!({ "complete": false }));
        return super::run::exit(outcome, run);
    }
    if wait.no_wait {
        reporter.message(&format!(
            "Not waited for: whether it succeeds is not known; follow it with `pb-deploy wait {name}`"
        ));
    } else {
        reporter.message(&format!("{} {operation} of {}.", paint(GOOD, "Done:"), paint(BOLD, name)));
    }
    if operation == "rollback" {
        reporter.message(
            "The next deploy brings what is configured: write the image that shall stay into the configuration.",
        );
    }
    reporter.json("finished", &serde_json::json!({ "complete": true }));
    Exit::Done
}

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
        // A count that is set is no rollout, and nothing that could be rolled back.
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

/// The plan that was shown and agreed to, before the lease was taken.
struct ApprovedChange<'a> {
    plan: &'a Plan,
    change: &'a ChangeRequest<'a>,
    yes: bool,
}

impl ApprovedChange<'_> {
    /// Shows a plan that differs from the one that was shown, and refuses it where it was not agreed to: what somebody has
    /// confirmed is done exactly, and a release that nobody has seen is not undone.
    fn check(&self, reporter: &Reporter, plan: &Plan, operation: &str) -> Result<(), Error> {
        if same_writes(self.plan, plan) {
            return Ok(());
        }
        reporter.message("What runs has changed since it was shown:");
        show_plan(reporter, plan, operation);
        let goes_back = self.change.changes.values().any(|change| matches!(change, ServiceChange::PreviousRevision(_)));
        if plan.writes().next().is_none() || (self.yes && !goes_back) {
            return Ok(());
        }
        let hint = format!("look at what runs now, then run `{}` again", invocation::rerun_command(""));
        Err(Error::other("what runs has changed since it was shown: nothing was changed", hint))
    }
}

/// Shows what will be done.
fn show_plan(reporter: &Reporter, plan: &Plan, operation: &str) {
    reporter.json("plan", plan);
    let lines: Vec<String> = plan.changes().map(|step| summary::line(step, operation)).collect();
    let text = lines.join("\n");
    reporter.message(if lines.is_empty() { "Nothing to do." } else { &text });
}
