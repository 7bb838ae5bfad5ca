//! Faults at every write of a deploy, of an update with replacements, and of a destroy: the call is refused, throttled,
//! or executed without a response, or the process dies before or after the call. Afterwards, the same command is run
//! again.

use crate::stack::{Config, FIRST, LateLedger, run};
use crate::world::{Fault, Shared};
use crate::{assert_no_changes, deployed};
use pb_engine::Goal;

const FAULTS: [Fault; 5] = [Fault::Refused, Fault::Throttled, Fault::AnswerLost, Fault::DiesBefore, Fault::DiesAfter];

/// Runs `goal` with `config` until the run is complete, with one fault at write number `at`. Returns the number of
/// writes.
async fn with_fault(
    world: &Shared,
    ledger: &LateLedger,
    config: &Config,
    goal: Goal,
    at: usize,
    fault: Fault,
) -> usize {
    let first = world.lock().unwrap().writes;
    world.lock().unwrap().faults = [(first + at, fault)].into();
    for _ in 0..3 {
        if run(world, ledger, config, goal).await.is_some_and(|outcome| outcome.is_complete()) {
            break;
        }
    }
    let writes = world.lock().unwrap().writes - first;
    world.lock().unwrap().faults.clear();
    if goal == Goal::Deploy {
        assert_no_changes(world, ledger, config).await;
        assert!(ledger.snapshot().intents.is_none());
    }
    run(world, ledger, config, Goal::Destroy).await.unwrap();
    let recorded = ledger.snapshot().resources;
    assert!(recorded.is_empty(), "still recorded after destroy, fault {fault:?} at {at}: {recorded:?}");
    let world = world.lock().unwrap();
    assert!(world.things.is_empty(), "left after destroy: {:?}", world.addresses());
    writes
}

#[tokio::test(start_paused = true)]
async fn deploy_survives_every_fault_at_every_call() {
    let mut cases = 0;
    for fault in FAULTS {
        for at in 0.. {
            let (world, ledger) = (Shared::default(), LateLedger::default());
            cases += 1;
            if with_fault(&world, &ledger, &FIRST, Goal::Deploy, at, fault).await <= at {
                break;
            }
        }
    }
    println!("{cases} cases");
    assert!(cases > 100, "{cases} cases");
}

#[tokio::test(start_paused = true)]
async fn replacements_survive_every_fault_at_every_call() {
    let mut cases = 0;
    for changed in [
        Config { port: 6060, ..FIRST },
        Config { cache: "valkey", size: 2, ..FIRST },
        Config { net: "10.1.0.0/16", ..FIRST },
        Config { group: "renamed", workers: false, ..FIRST },
    ] {
        for fault in FAULTS {
            for at in 0.. {
                let (world, ledger) = deployed().await;
                cases += 1;
                if with_fault(&world, &ledger, &changed, Goal::Deploy, at, fault).await <= at {
                    break;
                }
            }
        }
    }
    println!("{cases} cases");
    assert!(cases > 300, "{cases} cases");
}

#[tokio::test(start_paused = true)]
async fn destroy_survives_every_fault_at_every_call() {
    let mut cases = 0;
    for fault in FAULTS {
        for at in 0.. {
            let (world, ledger) = deployed().await;
            cases += 1;
            if with_fault(&world, &ledger, &FIRST, Goal::Destroy, at, fault).await <= at {
                break;
            }
        }
    }
    println!("{cases} cases");
    assert!(cases > 50, "{cases} cases");
}
