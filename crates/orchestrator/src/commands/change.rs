//! A change of services alone, with all that a deploy has: the lease, intents before the first write, what came of it on
//! record. Nothing of the services but what is asked for is changed.

use crate::cli::{Consent, Global, OnInterrupt, WaitOptions};
use crate::commands::conclude;
use crate::commands::interrupted::Interrupted;
use crate::commands::run::{same, waiting};
use crate::exit::{Error, Exit};
use crate::releases::{self, SERVICE};
use crate::render::run::Show;
use crate::render::{BAD, BOLD, GOOD, paint};
use crate::site::{State, configured, connect, place};
use crate::{consent, health, invocation, signals, standing};
use aws_config::SdkConfig;
use futures_util::future::BoxFuture;
use pb_config::Workspace;
use pb_engine::{
    Action, Address, Cancel, Entry, Failure, Graph, Intents, Ledger, Live, Outcome, Plan, Record, Run, Scaled,
    Snapshot, Step, act, diff, observe,
};
use pb_fargate::ServiceSpec;
use pb_state::{Claim, LeaseTable, Place, Session, Store};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// What is asked for of a service.
#[derive(Debug, Clone)]
pub enum Wish {
    /// Run this revision, by ARN: it was named.
    Revision(String),
    /// Run the revision, by ARN, that ran before what runs now.
    Before(String),
    /// Run so many tasks.
    Count(i32),
    /// Begin anew with all tasks.
    Restart,
}

/// A workspace whose services are to be changed.
pub struct Scene {
    pub workspace: Workspace,
    pub aws: SdkConfig,
    pub place: Place,
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

    /// The services as they are now.
    async fn live(&self, snapshot: &Snapshot, cancel: &Cancel) -> Result<BTreeMap<Address, Live>, Failure> {
        let mut graph = Graph::new();
        pb_fargate::services(&mut graph, &self.aws, None, usize::MAX, false);
        let observed = observe(&graph, snapshot, &Arc::new(self.place.owner.clone()), cancel).await?;
        crate::untagged::refuse(&self.workspace.name, &observed.untagged)?;
        Ok(observed
            .ours
            .into_iter()
            .filter_map(|(address, found)| Some((address, found.into_iter().next()?)))
            .collect())
    }
}

/// Does what is wished, and follows it.
///
/// # Errors
/// What keeps it from beginning: no consent, a lease that another holds, a service that is not there.
pub async fn change(
    global: &Global,
    scene: &Scene,
    operation: &str,
    wishes: &BTreeMap<Address, Wish>,
    consent: &Consent,
    wait: &WaitOptions,
) -> Result<Exit, Error> {
    let show = Show::new(global.json, global.verbose);
    let name = &scene.workspace.name;
    let seen = scene.live(&scene.snapshot, &Cancel::never()).await?;
    let plan = Plan { steps: steps(wishes, &seen)?, ..Plan::default() };
    announce(&show, &plan, operation);
    if plan.is_empty() {
        return Ok(Exit::Done);
    }
    consent::confirm(name, operation, consent.yes)?;
    let cancel = signals::listen();
    let claim = Claim {
        lock_timeout: Duration::from_secs(consent.lock_timeout),
        cancel: cancel.clone(),
        waiting: waiting(&show),
        ..Claim::new(crate::identity::who(), operation)
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
    let agreed = Agreed { plan: &plan, wishes, yes: consent.yes };
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
    let steps = steps(agreed.wishes, &scene.live(&snapshot, &run.cancel).await?)?;
    let mut plan = Plan { steps, ..Plan::default() };
    agreed.check(show, &plan, &run.operation)?;
    let mut graph = Graph::new();
    let kept = scene.workspace.deploy.keep_revisions.into();
    let kind = pb_fargate::services(&mut graph, &scene.aws, within, kept, true);
    if let Some(within) = within.filter(|within| !within.is_zero()) {
        graph.wait_at_most(within);
    }
    let healthy = health::kind(&scene.aws, &scene.workspace, within);
    for step in &plan.steps {
        let spec = typed(step.after.as_ref().unwrap_or(&Value::Null))?;
        let (key, count) = (releases::key(&step.address), spec.desired_count);
        let service = graph.add(step.address.as_str(), &kind, (), {
            let spec = spec.clone();
            move |()| spec.clone()
        })?;
        health::add(&mut graph, &healthy, (key, service), &spec, count)?;
    }
    plan.checks = if within.is_some() { graph.due_checks() } else { Vec::new() };
    let ledger = Partial { session, intents: snapshot.intents.clone(), remembered: &snapshot };
    let mut outcome = tokio::select! {
        outcome = act(&graph, &plan, &ledger, run) => outcome?,
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
    for (address, wish) in agreed.wishes {
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

fn typed(spec: &Value) -> Result<ServiceSpec, Error> {
    serde_json::from_value(spec.clone())
        .map_err(|e| Error::other(format!("cannot read a service: {e}"), "this is an error in pb-deploy"))
}

/// What has to be done for the wishes: a step for each service, without those that are as wished already.
fn steps(wishes: &BTreeMap<Address, Wish>, live: &BTreeMap<Address, Live>) -> Result<Vec<Step>, Error> {
    let mut steps = Vec::new();
    for (address, wish) in wishes {
        let Some(live) = live.get(address) else {
            return Err(Error::other(format!("{address} is not there"), "deploy it first"));
        };
        let (mut before, mut after) = (live.spec.clone(), live.spec.clone());
        after["failed"] = Value::Bool(false);
        match wish {
            Wish::Revision(arn) | Wish::Before(arn) => after["task_definition"] = Value::String(arn.clone()),
            Wish::Count(count) => after["desired_count"] = (*count).into(),
            // A service whose last rollout failed is told to begin anew; here it is asked for.
            Wish::Restart => before["failed"] = Value::Bool(true),
        }
        let changes = diff(&before, &after);
        let action = match (changes.is_empty(), live.settled) {
            (true, true) => continue,
            (true, false) => Action::Await,
            (false, _) => Action::Update,
        };
        steps.push(Step {
            address: address.clone(),
            kind: SERVICE.to_owned(),
            action,
            origin: None,
            drift: Vec::new(),
            reason: None,
            changes,
            forces: Vec::new(),
            from: None,
            id: None,
            before: Some(before),
            after: Some(after),
            attrs: Some(live.attrs.clone()),
        });
    }
    Ok(steps)
}

/// The plan that was shown and agreed to, before the lease was taken.
struct Agreed<'a> {
    plan: &'a Plan,
    wishes: &'a BTreeMap<Address, Wish>,
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
        let goes_back = self.wishes.values().any(|wish| matches!(wish, Wish::Before(_)));
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
    let lines: Vec<String> = plan.changes().map(|step| announced(step, operation)).collect();
    let text = lines.join("\n");
    show.say(if lines.is_empty() { "Nothing to do." } else { &text });
}

/// `fargate/flask: staging-flask:3 -> staging-flask:2`.
fn announced(step: &Step, operation: &str) -> String {
    let text = |value: Option<&Value>| match value {
        Some(Value::String(text)) => releases::revision(text).to_owned(),
        Some(value) => value.to_string(),
        None => String::new(),
    };
    let what: Vec<String> = step
        .changes
        .iter()
        .filter(|change| change.field() != "failed")
        .map(|change| format!("{} -> {}", text(change.before.as_ref()), text(change.after.as_ref())))
        .collect();
    let what = if what.is_empty() { operation.to_owned() } else { what.join(", ") };
    format!("  {}: {what}", paint(BOLD, &step.address))
}

/// The ledger of a run that is about services alone: what is remembered of all else stays, and so does what an earlier run
/// meant to do and did not end.
struct Partial<'a> {
    session: &'a Session,
    intents: Option<Intents>,
    remembered: &'a Snapshot,
}

impl Partial<'_> {
    /// What is to be remembered of a service: what was wanted before, but for what is changed by hand.
    fn record(&self, address: &Address, record: Record) -> Record {
        let Some(before) = self.remembered.resources.get(address) else { return record };
        let mut spec = before.spec.clone();
        for field in ["task_definition", "desired_count"] {
            spec[field] = record.spec[field].clone();
        }
        Record { spec, ..record }
    }
}

impl Ledger for Partial<'_> {
    fn begin(&self, mut intents: Intents) -> BoxFuture<'_, Result<(), Failure>> {
        if let Some(unfinished) = &self.intents {
            intents.operation.clone_from(&unfinished.operation);
            intents.steps.splice(0..0, unfinished.steps.iter().cloned());
        }
        self.session.begin(intents)
    }

    fn record(&self, entry: Entry) {
        if let Entry::Put(address, record) = entry {
            let record = self.record(&address, record);
            self.session.record(Entry::Put(address, record));
        }
    }

    fn lost(&self) -> Option<Failure> {
        self.session.lost()
    }

    fn end(&self, complete: bool) -> BoxFuture<'_, Result<(), Failure>> {
        match &self.intents {
            Some(unfinished) if complete => self.session.begin(unfinished.clone()),
            _ => self.session.end(complete),
        }
    }
}
