//! A run that loses the lease, for example because it was suspended for too long, makes no further calls, and the next
//! run finishes its work.

use crate::stack::{self, FIRST, LateLedger, plan};
use crate::world::{self, Shared};
use crate::{change, deployed};
use futures_util::future::BoxFuture;
use pb_engine::{Cancel, Class, Entry, Events, Failure, Goal, Intents, Ledger, Outcome, Run, Snapshot, apply_plan};
use std::sync::Arc;

/// A ledger that is lost once the world has received a number of writes.
struct Losing {
    stored: LateLedger,
    world: Shared,
    at: usize,
    /// The class of the failure that causes the loss. Entries after the intents are stored if the snapshot is refused
    /// (`Refused`), but not if the lease is lost.
    why: Class,
}

impl Ledger for Losing {
    fn begin(&self, intents: Intents) -> BoxFuture<'_, Result<(), Failure>> {
        self.stored.begin(intents)
    }

    fn record(&self, entry: Entry) {
        if self.why == Class::Refused {
            self.stored.record(entry);
        }
    }

    fn lost(&self) -> Option<Failure> {
        let lost = self.world.lock().unwrap().writes >= self.at;
        lost.then(|| Failure::new(self.why, "keep the ledger", "it is lost"))
    }

    fn snapshot(&self) -> Snapshot {
        self.stored.snapshot()
    }

    fn end(&self, complete: bool) -> BoxFuture<'_, Result<(), Failure>> {
        match self.why {
            Class::Refused => self.stored.end(complete),
            _ => Box::pin(async { Ok(()) }),
        }
    }
}

async fn losing(world: &Shared, ledger: &LateLedger, goal: Goal, at: usize, why: Class) -> Outcome {
    let (graph, plan) = (stack::graph(world, &FIRST), plan(world, ledger, &FIRST, goal).await.unwrap());
    let owner = Arc::new(world::owner());
    let run = Run { id: "run".into(), operation: goal.into(), owner, events: Events::none(), cancel: Cancel::never() };
    apply_plan(&graph, &plan, &Losing { stored: ledger.clone(), world: world.clone(), at, why }, &run).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn lost_lease_prevents_further_calls() {
    for goal in [Goal::Deploy, Goal::Destroy] {
        for at in 0.. {
            let (world, ledger) = if goal == Goal::Deploy { Default::default() } else { deployed().await };
            let before = world.lock().unwrap().writes;
            let outcome = losing(&world, &ledger, goal, before + at, Class::Locked).await;
            let writes = world.lock().unwrap().writes - before;
            assert!(writes <= at, "{goal:?}: {writes} writes, although the lease was lost after {at}");
            if outcome.is_complete() {
                assert!(at > 10, "{at}");
                break;
            }
            assert!(outcome.failed.iter().all(|unfinished| unfinished.failure.class == Class::Locked), "{outcome:?}");
            change(&world, &ledger, &FIRST).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn refused_snapshot_keeps_intents_of_creates_in_flight() {
    for at in 0.. {
        let (world, ledger) = (Shared::default(), LateLedger::default());
        let outcome = losing(&world, &ledger, Goal::Deploy, at, Class::Refused).await;
        if outcome.is_complete() {
            assert!(at > 10, "{at}");
            break;
        }
        // The next run finds the resources that were created, and creates none of them twice.
        change(&world, &ledger, &FIRST).await;
    }
}
