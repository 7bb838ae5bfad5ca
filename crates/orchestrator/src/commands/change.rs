//! Changes of services without a deploy: `rollback`, `restart` and `scale`. They take the lease, store intents before the first
//! write and record the outcome, as a deploy does. A rollback also repairs the routing to the services.

mod announced;
mod partial;
mod parts;
mod reach;
mod wishes;

pub use wishes::{Revision, Wish, step};

use crate::cli::{Consent, Global, OnInterrupt, WaitOptions};
use crate::commands::conclude;
use crate::commands::interrupted::Interrupted;
use crate::commands::run::{same, waiting};
use crate::exit::{Error, Exit};
use crate::releases::{self, SERVICE};
use crate::render::run::Show;
use crate::render::{BAD, BOLD, GOOD, paint};
use crate::site::{State, configured, connect, place};
use crate::{consent, invocation, signals, standing};
use aws_config::SdkConfig;
use partial::Partial;
use pb_config::Workspace;
use pb_engine::{Address, Cancel, Entry, Graph, Ledger, Outcome, Plan, Run, Scaled, Snapshot, apply_plan, observe};
use pb_state::{AcquireOptions, LeaseTable, Session, StateLocation, Store};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A workspace whose services are to be changed.
pub struct Scene {
    pub workspace: Workspace,
    pub aws: SdkConfig,
    pub place: StateLocation,
    pub store: Store,
    pub snapshot: Snapshot,
}

impl Scene {
    /// Reads the configuration and the snapshot.
    ///
    /// # Errors
    /// A configuration with mistakes; a snapshot that cannot be read, that has no services, or that was deployed to another
    /// account or region.
    pub async fn open(global: &Global, name: &str) -> Result<Self, Error> {
        let mut workspace = configured(global, name)?;
        let aws = connect(global, &workspace).await?;
        let place = place(&workspace);
        let State { store, snapshot, .. } = State::open(&aws, &workspace).await?;
        standing::name_as_it_stands(&mut workspace, &snapshot);
        if !snapshot.resources.values().any(|record| record.kind == SERVICE) {
            let hint = format!("deploy it: pb-deploy deploy {name}");
            return Err(Error::other(format!("no service of {name} is deployed"), hint));
        }
        Ok(Self { workspace, aws, place, store, snapshot })
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

    /// How long a rollout is waited for; none: not at all.
    pub fn within(&self, wait: &WaitOptions) -> Option<Duration> {
        let seconds = wait.wait_timeout.unwrap_or(self.workspace.deploy.wait_timeout);
        (!wait.no_wait).then(|| Duration::from_secs(seconds.into()))
    }

    /// Returns whether the routing from the load balancer to the services has to be repaired.
    ///
    /// # Errors
    /// The error of a read.
    pub async fn needs_repair(&self) -> Result<bool, Error> {
        let nothing = Change { operation: "rollback", wishes: &BTreeMap::new(), reach: true };
        Ok(!self.plan(&self.snapshot, &nothing, &Cancel::never()).await?.is_empty())
    }

    /// Returns the plan of a change, from the services as they are now.
    async fn plan(&self, snapshot: &Snapshot, change: &Change<'_>, cancel: &Cancel) -> Result<Plan, Error> {
        let mut graph = Graph::new();
        pb_fargate::register_services(&mut graph, &self.aws, None, usize::MAX, false);
        if change.reach {
            parts::Kinds::of(&mut graph, &self.aws);
        }
        let mut observed = observe(&graph, snapshot, &Arc::new(self.place.owner.clone()), cancel).await?;
        observed.untagged.retain(|_, untagged| untagged.kind == SERVICE);
        crate::untagged::refuse(&self.workspace.name, &observed.untagged)?;
        let mut steps = wishes::steps(change.wishes, &observed)?;
        if change.reach {
            steps = reach::with_repairs(&self.aws, &observed, steps).await?;
        }
        Ok(Plan { steps, ..Plan::default() })
    }
}

/// A change of services.
pub struct Change<'a> {
    /// `rollback`, `restart` or `scale`.
    pub operation: &'a str,
    /// The requested change of each service.
    pub wishes: &'a BTreeMap<Address, Wish>,
    /// Set to repair the routing from the load balancer to the services as well.
    pub reach: bool,
}

/// Plans a change, asks, applies it and waits for the rollouts.
///
/// # Errors
/// What keeps it from beginning: no consent, a lease that another holds, a service that is not there.
pub async fn change(
    global: &Global,
    scene: &Scene,
    change: &Change<'_>,
    consent: &Consent,
    wait: &WaitOptions,
) -> Result<Exit, Error> {
    let show = Show::new(global.json, global.verbose);
    let (name, operation) = (&scene.workspace.name, change.operation);
    let plan = scene.plan(&scene.snapshot, change, &Cancel::never()).await?;
    announce(&show, &plan, operation);
    if plan.is_empty() {
        return Ok(Exit::Done);
    }
    consent::confirm(name, operation, consent.yes)?;
    let cancel = signals::listen();
    let claim = AcquireOptions {
        lock_timeout: Duration::from_secs(consent.lock_timeout),
        cancel: cancel.clone(),
        on_wait: waiting(&show),
        ..AcquireOptions::new(crate::identity::who(), operation)
    };
    let leases = LeaseTable::new(&scene.aws, &scene.place, global.timing());
    let session = Session::open(scene.store.clone(), &leases, &claim, show.events()).await?;
    let run = Run {
        id: uuid::Uuid::new_v4().to_string(),
        operation: operation.to_owned(),
        owner: Arc::new(scene.place.owner.clone()),
        events: show.events(),
        cancel,
    };
    let agreed = Agreed { plan: &plan, change, yes: consent.yes };
    let acted = under_lease(&show, scene, &session, &agreed, &run, scene.within(wait)).await;
    let closed = session.close().await;
    let outcome = acted?;
    closed?;
    Ok(finish(&show, scene, &outcome, &run, wait))
}

/// Says what came of it.
fn finish(show: &Show, scene: &Scene, outcome: &Outcome, run: &Run, wait: &WaitOptions) -> Exit {
    let (name, operation) = (&scene.workspace.name, &run.operation);
    if !outcome.is_complete() {
        show.say(&format!("{} {operation} of {name}.", paint(BAD, "Not complete:")));
        super::run::failures(show, outcome, name);
        show.json("finished", &serde_json::json!({ "complete": false }));
        return super::run::exit(outcome, run);
    }
    if wait.no_wait {
        show.say(&format!("Not waited for: whether it succeeds is not known; follow it with `pb-deploy wait {name}`"));
    } else {
        show.say(&format!("{} {operation} of {}.", paint(GOOD, "Done:"), paint(BOLD, name)));
    }
    if operation == "rollback" {
        show.say("The next deploy brings what is configured: write the image that shall stay into the configuration.");
    }
    show.json("finished", &serde_json::json!({ "complete": true }));
    Exit::Done
}

async fn under_lease(
    show: &Show,
    scene: &Scene,
    session: &Session,
    agreed: &Agreed<'_>,
    run: &Run,
    within: Option<Duration>,
) -> Result<Outcome, Error> {
    let snapshot = session.snapshot();
    let mut plan = scene.plan(&snapshot, agreed.change, &run.cancel).await?;
    agreed.check(show, &plan, &run.operation)?;
    let graph = parts::graph(scene, &plan.steps, within)?;
    plan.checks = if within.is_some() { graph.due_checks() } else { Vec::new() };
    let ledger = Partial { session, intents: snapshot.intents.clone(), remembered: &snapshot };
    let mut outcome = tokio::select! {
        outcome = apply_plan(&graph, &plan, &ledger, run) => outcome?,
        () = show.still_waiting() => Outcome::default(),
    };
    if run.cancel.is_stopped() {
        let (aws, workspace, operation) = (&scene.aws, scene.workspace.name.as_str(), run.operation.as_str());
        // A count that is set is no rollout, and nothing that could be rolled back.
        let asked = (operation == "scale").then_some(OnInterrupt::Leave);
        Interrupted { show, aws, workspace, operation, asked }.settle(&plan, &mut outcome, &session.snapshot()).await;
    }
    let own_intents = snapshot.intents.as_ref().is_none_or(|intents| intents.written);
    conclude::note(&plan, &outcome, &snapshot, session, within.is_some(), own_intents);
    for (address, wish) in agreed.change.wishes {
        if let (Wish::Count(count), Some(configured)) = (wish, configured_count(&scene.workspace, address)) {
            session.record(Entry::Scaled(address.clone(), Some(Scaled { count: *count, configured })));
        }
    }
    if let Some(release) = releases::of_run(&plan, &outcome, &session.snapshot(), None, run, within.is_some()) {
        session.record(Entry::Released(release));
    }
    Ok(outcome)
}

fn configured_count(workspace: &Workspace, address: &Address) -> Option<i32> {
    let key = releases::key(address);
    workspace.services.all().find(|(known, _)| *known == key).map(|(_, service)| service.count)
}

/// The plan that was shown and agreed to, before the lease was taken.
struct Agreed<'a> {
    plan: &'a Plan,
    change: &'a Change<'a>,
    yes: bool,
}

impl Agreed<'_> {
    /// Shows a plan that differs from the one that was shown, and refuses it where it was not agreed to: what somebody has
    /// confirmed is done exactly, and a release that nobody has seen is not undone.
    fn check(&self, show: &Show, plan: &Plan, operation: &str) -> Result<(), Error> {
        if same(self.plan, plan) {
            return Ok(());
        }
        show.say("What runs has changed since it was shown:");
        announce(show, plan, operation);
        let goes_back = self.change.wishes.values().any(|wish| matches!(wish, Wish::Before(_)));
        if plan.writes().next().is_none() || (self.yes && !goes_back) {
            return Ok(());
        }
        let hint = format!("look at what runs now, then run `{}` again", invocation::again(""));
        Err(Error::other("what runs has changed since it was shown: nothing was changed", hint))
    }
}

/// Shows what will be done.
fn announce(show: &Show, plan: &Plan, operation: &str) {
    show.json("plan", plan);
    let lines: Vec<String> = plan.changes().map(|step| announced::line(step, operation)).collect();
    let text = lines.join("\n");
    show.say(if lines.is_empty() { "Nothing to do." } else { &text });
}
