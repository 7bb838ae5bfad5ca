//! A state in memory, and inputs over the engine's fake provider.

use crate::exit::{Error, Exit};
use crate::output::reporter::Reporter;
use crate::run::approval::same_writes;
use crate::run::finished::Finished;
use crate::run::outcome;
use crate::run::pipeline::{Input, Pass, Pipeline, Reading};
use crate::run::session::{OpenRequest, OpenState, State};
use futures_util::future::BoxFuture;
use pb_engine::testing::{Fake, FakeCheck, FakeSpec, FakeWorld};
use pb_engine::{
    Action, Address, Cancel, Cause, Class, Entry, ErrorCode, Failure, Goal, Graph, Intents, Ledger, MemoryLedger,
    Operation, Outcome, Ownership, Plan, PlanScope, Snapshot, Step, StepFailure, Stop, apply_ownership_changes,
    apply_plan, compute_plan, observe, with_checks,
};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

static OWNER: LazyLock<Arc<Ownership>> =
    LazyLock::new(|| Arc::new(Ownership { stack: "s".to_owned(), workspace: "w".to_owned() }));
static REPORTER: LazyLock<Reporter> = LazyLock::new(|| Reporter::new(true, false));

pub fn world() -> FakeWorld {
    FakeWorld::default()
}

pub fn pipeline(state: &FakeState) -> Pipeline<'_, FakeState> {
    Pipeline { reporter: &REPORTER, state, workspace: "w", owner: &OWNER, yes: true, lock_timeout: Duration::ZERO }
}

/// A state in memory. All clones share it.
#[derive(Clone, Default)]
pub struct FakeState(Arc<Shared>);

#[derive(Default)]
struct Shared {
    ledger: MemoryLedger,
    /// The snapshot at the time when the state was read without the lease.
    read: Snapshot,
    lost: AtomicBool,
    opened: Mutex<Vec<Operation>>,
    closed: AtomicUsize,
    fail_open: Mutex<Option<Failure>>,
    fail_close: Mutex<Option<Failure>>,
    on_open: Mutex<Option<Box<dyn Fn() + Send>>>,
    stop: Mutex<Option<tokio::sync::watch::Sender<Stop>>>,
}

impl FakeState {
    /// Returns the state as another process reads it.
    pub fn reopened(&self) -> Self {
        let (ledger, read) = (self.0.ledger.clone(), self.0.ledger.snapshot());
        Self(Arc::new(Shared { ledger, read, ..Shared::default() }))
    }

    pub fn on_open(self, hook: impl Fn() + Send + 'static) -> Self {
        *self.0.on_open.lock().unwrap() = Some(Box::new(hook));
        self
    }

    pub fn stored(&self) -> Snapshot {
        self.0.ledger.snapshot()
    }

    pub fn lose(&self) {
        self.0.lost.store(true, Ordering::Relaxed);
    }

    pub fn interrupt(&self) {
        self.0.stop.lock().unwrap().as_ref().unwrap().send(Stop::Gently).unwrap();
    }

    pub fn fail_open(&self, failure: Failure) {
        *self.0.fail_open.lock().unwrap() = Some(failure);
    }

    pub fn fail_close(&self, failure: Failure) {
        *self.0.fail_close.lock().unwrap() = Some(failure);
    }

    pub fn operations(&self) -> Vec<Operation> {
        self.0.opened.lock().unwrap().clone()
    }

    pub fn opened(&self) -> usize {
        self.operations().len()
    }

    pub fn closed(&self) -> usize {
        self.0.closed.load(Ordering::Relaxed)
    }
}

impl State for FakeState {
    type Open = Self;

    fn snapshot(&self) -> &Snapshot {
        &self.0.read
    }

    async fn open(&self, request: OpenRequest<'_>) -> Result<Self, Failure> {
        if let Some(failure) = self.0.fail_open.lock().unwrap().clone() {
            return Err(failure);
        }
        self.0.opened.lock().unwrap().push(request.operation);
        if let Some(hook) = &*self.0.on_open.lock().unwrap() {
            hook();
        }
        Ok(self.clone())
    }

    fn listen(&self) -> Cancel {
        let (stop, cancel) = Cancel::new();
        *self.0.stop.lock().unwrap() = Some(stop);
        cancel
    }
}

impl OpenState for FakeState {
    async fn close(self) -> Result<(), Failure> {
        self.0.closed.fetch_add(1, Ordering::Relaxed);
        self.0.fail_close.lock().unwrap().clone().map_or(Ok(()), Err)
    }
}

impl Ledger for FakeState {
    fn begin(&self, intents: Intents) -> BoxFuture<'_, Result<(), Failure>> {
        self.0.ledger.begin(intents)
    }

    fn record(&self, entry: Entry) {
        if self.lost().is_none() {
            self.0.ledger.record(entry);
        }
    }

    fn lost(&self) -> Option<Failure> {
        let lost = || Failure::new(Class::Locked, "keep the lock", "another run took it").cause(Cause::LeaseLost);
        self.0.lost.load(Ordering::Relaxed).then(lost)
    }

    fn snapshot(&self) -> Snapshot {
        self.0.ledger.snapshot()
    }

    fn end(&self, complete: bool) -> BoxFuture<'_, Result<(), Failure>> {
        self.0.ledger.end(complete)
    }
}

/// An input: `test/a`, `test/b`, which depends on it, and the check `test/served` of both.
pub struct Things {
    pub graph: Graph,
    pub approves: bool,
    pub verifies: bool,
    pub log: Mutex<Vec<String>>,
}

impl Things {
    pub fn new(world: &FakeWorld, value: &'static str) -> Self {
        let mut graph = Graph::new();
        let kind = graph.kind(Fake(world.clone()));
        let spec = move || FakeSpec { value: value.to_owned() };
        let first = graph.add("test/a", &kind, (), move |()| spec()).unwrap();
        let second = graph.add("test/b", &kind, first, move |_| spec()).unwrap();
        let check = Arc::new(FakeCheck(world.clone()));
        graph.add_check("test/served", &check, second, |_| "test/served".to_owned()).unwrap();
        Self { graph, approves: true, verifies: true, log: Mutex::default() }
    }

    /// Returns the hooks that were called since the last call of this function.
    pub fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.log.lock().unwrap())
    }

    fn note(&self, text: impl Into<String>) {
        self.log.lock().unwrap().push(text.into());
    }
}

impl Input for Things {
    type Planned = Plan;

    fn operation(&self) -> Operation {
        Operation::Deploy
    }

    async fn plan(&self, snapshot: &Snapshot, reading: Reading<'_>) -> Result<Plan, Error> {
        let cancel = reading.cancel();
        let observed = with_checks(&self.graph, snapshot, observe(&self.graph, snapshot, &OWNER, &cancel)).await?;
        let plan = compute_plan(&self.graph, &observed, snapshot, Goal::Deploy, &PlanScope::default())?;
        plan.map_err(Error::Refused)
    }

    fn show(&self, _reporter: &Reporter, _plan: &Plan) {}

    fn is_done(&self, plan: &Plan, snapshot: &Snapshot) -> bool {
        plan.is_empty() && snapshot.intents.is_none()
    }

    async fn finish_unchanged(&self, _reporter: &Reporter, _plan: &Plan) -> Result<Exit, Error> {
        self.note("unchanged");
        Ok(Exit::Done)
    }

    fn approve(&self, _reporter: &Reporter, shown: Option<&Plan>, pass: &Pass<'_, Self>) -> Result<(), Error> {
        let shown = shown.unwrap();
        if !same_writes(shown, pass.planned) {
            self.note(format!("shown: {}", shown.writes().count()));
            self.note(format!("approved: {}", pass.planned.writes().count()));
        }
        if self.approves { Ok(()) } else { Err(Error::other(ErrorCode::PlanChanged, "not approved", "approve it")) }
    }

    async fn apply(&self, pass: &Pass<'_, Self>) -> Result<Outcome, Error> {
        Ok(apply_plan(&self.graph, pass.planned, pass.ledger, pass.run).await?)
    }

    async fn on_interrupt(&self, _reporter: &Reporter, _pass: &Pass<'_, Self>, _outcome: &mut Outcome) {
        self.note("interrupted");
    }

    async fn verify(&self, _reporter: &Reporter, _pass: &Pass<'_, Self>, outcome: &mut Outcome) {
        if !self.verifies {
            self.note("verify: wrong");
            outcome.failed.push(StepFailure {
                address: Address::new("test/b").unwrap(),
                action: Action::Check,
                failure: Failure::new(Class::Failed, "verify", "wrong"),
                remains: None,
            });
        }
    }

    fn summarize(&self, _finished: &Finished<'_, Self::Planned>) {
        self.note("summary");
    }

    fn finish(&self, finished: &Finished<'_, Self::Planned>) -> Exit {
        self.note("finish");
        outcome::exit(finished.outcome, finished.run)
    }
}

/// A command that writes the tags of all resources again.
pub struct Retag(pub Things);

impl Input for Retag {
    type Planned = Plan;

    fn operation(&self) -> Operation {
        Operation::Adopt
    }

    async fn plan(&self, snapshot: &Snapshot, reading: Reading<'_>) -> Result<Plan, Error> {
        let observed = observe(&self.0.graph, snapshot, &OWNER, &reading.cancel()).await?;
        let live = observed.managed.iter().flat_map(|(address, found)| found.iter().map(move |live| (address, live)));
        let steps = live.map(|(address, live)| Step {
            before: Some(live.spec.clone()),
            attrs: Some(live.attrs.clone()),
            ..Step::new(address.clone(), live.kind.clone(), Action::Adopt)
        });
        Ok(Plan { steps: steps.collect(), ..Plan::default() })
    }

    fn show(&self, reporter: &Reporter, plan: &Plan) {
        reporter.json("plan", plan);
    }

    fn is_done(&self, plan: &Plan, _snapshot: &Snapshot) -> bool {
        plan.is_empty()
    }

    fn approve(&self, _reporter: &Reporter, _shown: Option<&Plan>, _pass: &Pass<'_, Self>) -> Result<(), Error> {
        Ok(())
    }

    async fn apply(&self, pass: &Pass<'_, Self>) -> Result<Outcome, Error> {
        Ok(apply_ownership_changes(&self.0.graph, pass.planned, pass.ledger, pass.run).await?)
    }
}
