//! Scenarios and cases. A scenario is a command and the account on which it runs; a case adds the faults during the
//! run. The command is then repeated, as a person would repeat it.

use crate::account::{Account, AccountAroundCall, SharedAccount};
use crate::fault::{ALL, Fault, ReceivedCall};
use crate::process::{Process, ProcessEnd, shared};
use pb_config::Workspace;
use pb_engine::{Class, Goal, Snapshot};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// A command and the account on which it runs.
pub struct Scenario {
    pub name: &'static str,
    /// Account before the command.
    pub base: Account,
    pub workspace: Workspace,
    pub goal: Goal,
    /// Run without faults.
    baseline: OnceLock<Baseline>,
    /// Fingerprints of accounts in which a destroy has left nothing.
    destroyed: Mutex<BTreeSet<String>>,
    /// Number of calls in all cases.
    calls: AtomicUsize,
}

/// A run without faults.
struct Baseline {
    seed: u64,
    calls: Vec<ReceivedCall>,
    /// Account before and after each call.
    around_calls: Vec<AccountAroundCall>,
}

/// Choice of the durations of AWS operations.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// The durations of the account.
    Steady,
    /// Random durations, different for each case.
    Random,
}

/// Faults of a run, and the seed from which everything random follows.
#[derive(Debug, Clone)]
pub struct Case {
    pub pace: Pace,
    pub seed: u64,
    /// Faults by the number of preceding calls.
    pub faults: BTreeMap<usize, Fault>,
}

impl Case {
    /// Returns the command that reproduces the case in the scenario `name`.
    pub fn reproduce_command(&self, name: &str) -> String {
        let Self { pace, seed, faults } = self;
        let faults: Vec<String> = faults.iter().map(|(at, fault)| format!("{at}={fault:?}")).collect();
        let case = format!("{name}:{pace:?}:{seed}:{}", faults.join(","));
        let test = "cargo test --release -p pb-simulation --test simulation case_from_environment -- --nocapture";
        format!("reproduce: SIMULATION_CASE={case} {test}")
    }

    /// Parses a case from [`reproduce_command`](Self::reproduce_command). Returns the scenario of the case, the
    /// scenario that runs next if the command is not repeated, and the case.
    pub fn parse(text: &str) -> (Scenario, Option<Scenario>, Self) {
        let [name, pace, seed, faults] = text.split(':').collect::<Vec<_>>()[..] else {
            panic!("{text}: expected scenario[+next]:pace:seed:call=fault,...")
        };
        let named = |name: &str| crate::scenarios::all().into_iter().find(|scenario| scenario.name == name).unwrap();
        let (name, next) = name.split_once('+').map_or((name, None), |(name, next)| (name, Some(named(next))));
        let known = |fault: &str| ALL.into_iter().find(|known| format!("{known:?}") == fault).unwrap();
        let faults = faults.split(',').filter_map(|fault| fault.split_once('='));
        let faults = faults.map(|(at, fault)| (at.parse().unwrap(), known(fault))).collect();
        let pace = if pace == "Random" { Pace::Random } else { Pace::Steady };
        (named(name), next, Self { pace, seed: seed.parse().unwrap(), faults })
    }
}

/// Runs `future` on a runtime with a paused clock. Everything random in it follows from `seed`.
fn paused<T>(seed: u64, future: impl Future<Output = T>) -> T {
    fastrand::seed(seed);
    let builder = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    builder.unwrap().block_on(future)
}

/// Returns the snapshot in the bucket.
fn stored(account: &SharedAccount) -> Snapshot {
    account.lock().unwrap().stored.clone().unwrap_or_default()
}

impl Scenario {
    /// Creates a scenario that runs the command `goal` for `workspace`, in an account in which `before` is deployed,
    /// or, if `before` is `None`, in the account `empty`.
    pub fn new(
        name: &'static str,
        empty: Account,
        before: Option<&Workspace>,
        workspace: Workspace,
        goal: Goal,
    ) -> Self {
        let of = |base| Self {
            name,
            base,
            workspace,
            goal,
            baseline: OnceLock::new(),
            destroyed: Mutex::default(),
            calls: AtomicUsize::new(0),
        };
        let Some(before) = before else { return of(empty) };
        let base = paused(0, async {
            let account = shared(empty);
            let end = Process::new(&account, before).run(Goal::Deploy).await;
            assert!(end.is_complete(), "{name}: {end:?}");
            // Wait until all network interfaces are released.
            tokio::time::sleep(Duration::from_secs(1200)).await;
            let mut account = account.lock().unwrap();
            account.expire();
            account.fork()
        });
        of(base)
    }

    /// Returns the number of calls in all cases.
    pub fn total_calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    fn baseline(&self, seed: u64) -> &Baseline {
        let run = || {
            paused(seed, async {
                let around_calls = Some(Arc::default());
                let account = shared(Account { around_calls, ..self.base.clone() });
                let end = Process::new(&account, &self.workspace).run(self.goal).await;
                assert!(end.is_complete(), "{}: {end:?}", self.name);
                let account = account.lock().unwrap();
                let around_calls = account.around_calls.as_ref().unwrap().lock().unwrap().clone();
                Baseline { seed, calls: account.calls.clone(), around_calls }
            })
        };
        let baseline = self.baseline.get_or_init(run);
        assert_eq!(baseline.seed, seed, "only one run without faults is kept");
        baseline
    }

    /// Returns the calls of a run without faults.
    pub fn calls(&self, seed: u64) -> &[ReceivedCall] {
        &self.baseline(seed).calls
    }

    /// Returns the duration and the calls of a run without faults.
    pub fn measure(&self, seed: u64) -> (Duration, Vec<ReceivedCall>) {
        paused(seed, async {
            let account = shared(self.base.clone());
            let began = tokio::time::Instant::now();
            let end = Process::new(&account, &self.workspace).run(self.goal).await;
            assert!(end.is_complete(), "{}: {end:?}", self.name);
            let calls = account.lock().unwrap().calls.clone();
            (began.elapsed(), calls)
        })
    }

    /// Returns the account after the death of the process if the death is the only fault: until then, the case is the
    /// same as the run without faults.
    fn account_after_death(&self, case: &Case) -> Option<Account> {
        let mut faults = case.faults.iter();
        let (Pace::Steady, Some((at, fault)), None) = (case.pace, faults.next(), faults.next()) else { return None };
        let around_call = |at: &usize| self.baseline(case.seed).around_calls[*at].clone();
        match fault {
            Fault::DiesBefore => Some(around_call(at).before),
            Fault::DiesAfter => Some(around_call(at).after),
            _ => None,
        }
    }

    /// Returns the account at the start of a case, with its faults and times.
    fn initial_account(&self, case: &Case) -> Account {
        let times = match case.pace {
            Pace::Steady => self.base.times,
            Pace::Random => self.base.times.random(),
        };
        Account { faults: case.faults.clone(), times, ..self.base.clone() }
    }

    /// Runs the command of the case until it completes. Returns the account and the outcome.
    async fn play(&self, case: &Case, left: Option<Account>) -> (SharedAccount, Result<(), String>) {
        // If `left` is given, the process that left this account was the first attempt.
        let tries = if left.is_some() { 1 } else { case.faults.len() + 1 };
        let account = shared(left.unwrap_or_else(|| self.initial_account(case)));
        let outcome = self.converge(&account, tries).await;
        (account, outcome)
    }

    /// Runs the case like [`check`](Self::check), and turns a panic into an error.
    pub fn check_catching_panics(&self, case: &Case) -> Result<(), String> {
        catching_panics(|| self.check(case))
    }

    /// Runs the case once, and then the scenario `next` instead of repeating the command. Checks the result of `next`,
    /// and turns a panic into an error.
    pub fn check_abandoned_for(&self, next: &Self, case: &Case) -> Result<(), String> {
        let left = self.account_after_death(case);
        catching_panics(|| {
            paused(case.seed, async {
                let died = left.is_some();
                let account = shared(left.unwrap_or_else(|| self.initial_account(case)));
                if !died && let Some(why) = fatal_outcome(&Process::new(&account, &self.workspace).run(self.goal).await)
                {
                    return Err(format!("it ended with {why}"));
                }
                account.lock().unwrap().faults.clear();
                next.converge(&account, 1).await?;
                next.check_final_state(&account).await
            })
        })
    }

    /// Checks the account after the command has completed.
    async fn check_final_state(&self, account: &SharedAccount) -> Result<(), String> {
        match self.goal {
            Goal::Deploy => self.check_deployed_then_destroyed(account).await,
            Goal::Destroy => check_destroyed(account).await,
        }
    }

    /// Runs the case and checks the result.
    fn check(&self, case: &Case) -> Result<(), String> {
        let left = self.account_after_death(case);
        paused(case.seed, async {
            let (account, outcome) = self.play(case, left).await;
            outcome?;
            account.lock().unwrap().faults.clear();
            let outcome = self.check_final_state(&account).await;
            self.calls.fetch_add(account.lock().unwrap().calls.len(), Ordering::Relaxed);
            outcome
        })
    }

    /// Returns the writes of the case until the command has completed, one per line. If the process died, returns only
    /// the writes of the next process.
    pub fn transcript(&self, case: &Case) -> String {
        let left = self.account_after_death(case);
        paused(case.seed, async {
            let (account, outcome) = self.play(case, left).await;
            let log = account.lock().unwrap().calls.clone();
            let lines = log.iter().enumerate().filter(|(_, call)| call.writes).map(|(at, call)| {
                let fault = case.faults.get(&at).map(|fault| format!("{fault:?}")).unwrap_or_default();
                let input: String = call.input.chars().take(150).collect();
                format!("{at:4} {:>8.2} {} {} {fault} {input}", call.when.as_secs_f64(), call.name, call.code)
            });
            format!("{}\n{outcome:?}", lines.collect::<Vec<_>>().join("\n"))
        })
    }

    /// Repeats the command until it completes.
    async fn converge(&self, account: &SharedAccount, tries: usize) -> Result<(), String> {
        let mut ends = Vec::new();
        for _ in 0..tries {
            let end = Process::new(account, &self.workspace).run(self.goal).await;
            if end.is_complete() {
                return Ok(());
            }
            if let Some(why) = fatal_outcome(&end) {
                return Err(format!("the run ended with {why}\n{ends:#?}"));
            }
            ends.push(end);
        }
        Err(format!("the command does not converge: {ends:#?}"))
    }

    /// Checks that every resource exists exactly once and is recorded, and that no changes are left to make.
    async fn check_deployed(&self, account: &SharedAccount) -> Result<(), String> {
        let snapshot = stored(account);
        let failures = account.lock().unwrap().inconsistencies(&snapshot);
        let process = Process::new(account, &self.workspace);
        let plan = process.plan(Goal::Deploy, &snapshot).await.map_err(|failure| failure.to_string())?;
        let held = account.lock().unwrap().lease.as_ref().is_some_and(|item| item.contains_key("holder"));
        let left: Vec<String> =
            plan.changes().map(|step| format!("{:?} {} {:?}", step.action, step.address, step.changes)).collect();
        match () {
            () if !failures.is_empty() => Err(format!("{failures:#?}")),
            () if !plan.is_empty() => Err(format!("left to do: {left:#?}")),
            () if plan.checks.iter().any(|check| check.due) => Err(format!("not healthy: {:#?}", plan.checks)),
            () if snapshot.resources.len() != process.resources() => Err("some resources are not recorded".to_owned()),
            () if snapshot.intents.is_some() => Err("the intents were not removed".to_owned()),
            () if held => Err("the lease is held".to_owned()),
            () => Ok(()),
        }
    }

    /// Checks that everything is deployed and that a destroy then leaves nothing. The destroy is omitted if an account
    /// that differs only in ids was destroyed before, because it would do the same.
    async fn check_deployed_then_destroyed(&self, account: &SharedAccount) -> Result<(), String> {
        self.check_deployed(account).await?;
        let fingerprint = account.lock().unwrap().fingerprint();
        if !self.destroyed.lock().unwrap_or_else(PoisonError::into_inner).contains(&fingerprint) {
            self.destroy(account).await?;
            check_destroyed(account).await?;
            self.destroyed.lock().unwrap_or_else(PoisonError::into_inner).insert(fingerprint);
        }
        Ok(())
    }

    async fn destroy(&self, account: &SharedAccount) -> Result<(), String> {
        let end = Process::new(account, &self.workspace).run(Goal::Destroy).await;
        if end.is_complete() { Ok(()) } else { Err(format!("the destroy ended with {end:#?}")) }
    }
}

fn catching_panics(check: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    match catch_unwind(AssertUnwindSafe(check)) {
        Ok(outcome) => outcome,
        Err(_) => Err("the case panicked".to_owned()),
    }
}

/// Checks that no resource exists and none is recorded.
async fn check_destroyed(account: &SharedAccount) -> Result<(), String> {
    tokio::time::sleep(Duration::from_secs(1200)).await;
    let snapshot = stored(account);
    let mut account = account.lock().unwrap();
    account.expire();
    let left: Vec<&str> = account.created_resources().into_keys().collect();
    if !left.is_empty() || !account.interfaces.is_empty() {
        return Err(format!("left after destroy: {left:?} {:?}", account.interfaces));
    }
    if !snapshot.resources.is_empty() || snapshot.intents.is_some() {
        return Err(format!("recorded after destroy: {:?} {:?}", snapshot.resources.keys(), snapshot.intents));
    }
    Ok(())
}

/// Returns the failure in `end` that no fault may cause, if any.
fn fatal_outcome(end: &ProcessEnd) -> Option<String> {
    let bad = |class: Class| matches!(class, Class::Bug | Class::Unmanaged);
    match end {
        ProcessEnd::Failed(failure) if bad(failure.class) => Some(failure.to_string()),
        ProcessEnd::Finished(outcome) => {
            let mut failed = outcome.failed.iter().filter(|unfinished| bad(unfinished.failure.class));
            failed.next().map(|unfinished| format!("{}: {}", unfinished.address, unfinished.failure))
        }
        _ => None,
    }
}
