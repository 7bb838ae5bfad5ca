//! One case: a world, a command, and what goes wrong meanwhile. Then the same command is given again, as a person would.

use crate::fault::{ALL, Arrival, Fault};
use crate::process::{End, Process, shared};
use crate::world::{Shared, World};
use pb_config::Workspace;
use pb_engine::{Class, Goal, Snapshot};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// How often the same command is given, at most, when `faults` calls go wrong.
fn tries(faults: usize) -> usize {
    faults + 1
}

/// What is done to what.
pub struct Scenario {
    pub name: &'static str,
    /// What is there before.
    pub base: World,
    pub workspace: Workspace,
    pub goal: Goal,
}

/// How long AWS takes.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// As the world says.
    Steady,
    /// Other times each time.
    Random,
}

/// What goes wrong, and all that is random.
#[derive(Debug, Clone)]
pub struct Case {
    pub pace: Pace,
    pub seed: u64,
    /// The faults, by how many calls came before.
    pub faults: BTreeMap<usize, Fault>,
}

impl Case {
    /// How to have the case again.
    pub fn again(&self, scenario: &Scenario) -> String {
        let Self { pace, seed, faults } = self;
        let faults: Vec<String> = faults.iter().map(|(at, fault)| format!("{at}={fault:?}")).collect();
        let case = format!("{}:{pace:?}:{seed}:{}", scenario.name, faults.join(","));
        format!("again: SIMULATION_CASE={case} cargo test --release -p pb-simulation one_case -- --nocapture")
    }

    /// The case that [`again`](Self::again) tells, and its scenario.
    pub fn parse(text: &str) -> (Scenario, Self) {
        let [name, pace, seed, faults] = text.split(':').collect::<Vec<_>>()[..] else {
            panic!("{text}: scenario:pace:seed:call=fault,...")
        };
        let scenario = crate::scenarios::all().into_iter().find(|scenario| scenario.name == name).unwrap();
        let known = |fault: &str| ALL.into_iter().find(|known| format!("{known:?}") == fault).unwrap();
        let faults = faults.split(',').filter_map(|fault| fault.split_once('='));
        let faults = faults.map(|(at, fault)| (at.parse().unwrap(), known(fault))).collect();
        let pace = if pace == "Random" { Pace::Random } else { Pace::Steady };
        (scenario, Self { pace, seed: seed.parse().unwrap(), faults })
    }
}

/// A runtime with a paused clock, in which everything that is random begins with `seed`.
fn paused<T>(seed: u64, future: impl Future<Output = T>) -> T {
    fastrand::seed(seed);
    let builder = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    builder.unwrap().block_on(future)
}

/// The snapshot that lies in the bucket.
fn stored(world: &Shared) -> Snapshot {
    world.lock().unwrap().stored.clone().unwrap_or_default()
}

impl Scenario {
    /// `goal` in an account in which `before` was deployed.
    pub fn new(name: &'static str, empty: World, before: Option<&Workspace>, workspace: Workspace, goal: Goal) -> Self {
        let Some(before) = before else { return Self { name, base: empty, workspace, goal } };
        let base = paused(0, async {
            let world = shared(empty);
            let end = Process::new(&world, before).run(Goal::Deploy).await;
            assert!(end.is_complete(), "{name}: {end:?}");
            // Nothing lingers any more.
            tokio::time::sleep(Duration::from_secs(1200)).await;
            let mut world = world.lock().unwrap();
            world.pass();
            world.frozen()
        });
        Self { name, base, workspace, goal }
    }

    /// The calls of a run in which nothing goes wrong.
    pub fn calls(&self, seed: u64) -> Vec<Arrival> {
        paused(seed, async {
            let world = shared(self.base.clone());
            let end = Process::new(&world, &self.workspace).run(self.goal).await;
            assert!(end.is_complete(), "{}: {end:?}", self.name);
            world.lock().unwrap().log.clone()
        })
    }

    /// The same, with a panic as words too.
    pub fn tried(&self, case: &Case) -> Result<(), String> {
        match catch_unwind(AssertUnwindSafe(|| self.check(case))) {
            Ok(outcome) => outcome,
            Err(_) => Err("it panicked".to_owned()),
        }
    }

    /// Runs the case; in words, what is wrong with how it ended.
    pub fn check(&self, case: &Case) -> Result<(), String> {
        let Case { pace, seed, faults } = case;
        paused(*seed, async {
            let times = match pace {
                Pace::Steady => self.base.times,
                Pace::Random => self.base.times.random(),
            };
            let world = shared(World { faults: faults.clone(), times, ..self.base.clone() });
            self.converge(&world, faults.len()).await?;
            world.lock().unwrap().faults.clear();
            if self.goal == Goal::Deploy {
                self.deployed(&world).await?;
                self.destroy(&world).await?;
            }
            gone(&world).await
        })
    }

    /// The calls of the case until the command was done, one a line.
    pub fn transcript(&self, case: &Case) -> String {
        paused(case.seed, async {
            let times = match case.pace {
                Pace::Steady => self.base.times,
                Pace::Random => self.base.times.random(),
            };
            let world = shared(World { faults: case.faults.clone(), times, ..self.base.clone() });
            let outcome = self.converge(&world, case.faults.len()).await;
            let log = world.lock().unwrap().log.clone();
            let lines = log.iter().enumerate().filter(|(_, call)| call.writes).map(|(at, call)| {
                let fault = case.faults.get(&at).map(|fault| format!("{fault:?}")).unwrap_or_default();
                let input: String = call.input.chars().take(150).collect();
                format!("{at:4} {:>8.2} {} {} {fault} {input}", call.when.as_secs_f64(), call.name, call.code)
            });
            format!("{}\n{outcome:?}", lines.collect::<Vec<_>>().join("\n"))
        })
    }

    /// Gives the command until it is done.
    async fn converge(&self, world: &Shared, faults: usize) -> Result<(), String> {
        let mut ends = Vec::new();
        for _ in 0..tries(faults) {
            let end = Process::new(world, &self.workspace).run(self.goal).await;
            if end.is_complete() {
                return Ok(());
            }
            if let Some(why) = hopeless(&end) {
                return Err(format!("it ended with {why}\n{ends:#?}"));
            }
            ends.push(end);
        }
        Err(format!("it does not converge: {ends:#?}"))
    }

    /// Everything is there once, is remembered, and nothing is left to do.
    async fn deployed(&self, world: &Shared) -> Result<(), String> {
        let snapshot = stored(world);
        let wrong = world.lock().unwrap().compare(&snapshot);
        let process = Process::new(world, &self.workspace);
        let plan = process.plan(Goal::Deploy, &snapshot).await.map_err(|failure| failure.to_string())?;
        let held = world.lock().unwrap().lease.as_ref().is_some_and(|item| item.contains_key("holder"));
        let left: Vec<String> =
            plan.changes().map(|step| format!("{:?} {} {:?}", step.action, step.address, step.changes)).collect();
        match () {
            () if !wrong.is_empty() => Err(format!("{wrong:#?}")),
            () if !plan.is_empty() => Err(format!("left to do: {left:#?}")),
            () if snapshot.resources.len() != process.resources() => Err("not everything is remembered".to_owned()),
            () if snapshot.intents.is_some() => Err("the intents were not taken back".to_owned()),
            () if held => Err("the lease is held".to_owned()),
            () => Ok(()),
        }
    }

    async fn destroy(&self, world: &Shared) -> Result<(), String> {
        let end = Process::new(world, &self.workspace).run(Goal::Destroy).await;
        if end.is_complete() { Ok(()) } else { Err(format!("destroy ended with {end:#?}")) }
    }
}

/// Nothing is there and nothing is remembered.
async fn gone(world: &Shared) -> Result<(), String> {
    tokio::time::sleep(Duration::from_secs(1200)).await;
    let snapshot = stored(world);
    let mut world = world.lock().unwrap();
    world.pass();
    let left: Vec<&str> = world.made().into_keys().collect();
    if !left.is_empty() || !world.interfaces.is_empty() {
        return Err(format!("left after destroy: {left:?} {:?}", world.interfaces));
    }
    if !snapshot.resources.is_empty() || snapshot.intents.is_some() {
        return Err(format!("remembered after destroy: {:?} {:?}", snapshot.resources.keys(), snapshot.intents));
    }
    Ok(())
}

/// What no fault may lead to.
fn hopeless(end: &End) -> Option<String> {
    let bad = |class: Class| matches!(class, Class::Bug | Class::NotOurs);
    match end {
        End::Stopped(failure) if bad(failure.class) => Some(failure.to_string()),
        End::Ran(outcome) => {
            let mut failed = outcome.failed.iter().filter(|unfinished| bad(unfinished.failure.class));
            failed.next().map(|unfinished| format!("{}: {}", unfinished.address, unfinished.failure))
        }
        _ => None,
    }
}
