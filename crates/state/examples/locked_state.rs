//! Example of a session: writes and reads the snapshot of one workspace under the lease, and shows a refused second
//! process, a takeover, an unlock, a conflicting write and a restore. It exits with 1 if anything unexpected happens.
//! The bucket, with versioning enabled, and the table must exist.
//!
//! ```text
//! AWS_ENDPOINT_URL=http://127.0.0.1:PORT AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test \
//!     cargo run --release -p pb-state --example locked_state -- BUCKET TABLE
//! ```

use pb_aws::Access;
use pb_engine::{Action, Address, Class, Entry, Event, Events, Intent, Intents, Ledger, Ownership, Record};
use pb_state::{AcquireOptions, LeaseTable, Session, StateLocation, Store, Timing, restore};
use serde_json::json;
use std::error::Error;
use std::time::Duration;

type Done = Result<(), Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Done {
    let mut arguments = std::env::args().skip(1);
    let environment = std::env::vars().collect();
    let access = Access { region: "us-east-2".to_owned(), environment, ..Access::default() };
    let config = pb_aws::connect(&access).await?;
    let location = StateLocation {
        bucket: arguments.next().unwrap_or_else(|| "ospc-terraform-state-storage-s3".to_owned()),
        key: "pb-deploy-example/staging/state.json".to_owned(),
        table: arguments.next().unwrap_or_else(|| "ospc-terraform-state-lock-table".to_owned()),
        kms_key: None,
        owner: Ownership { stack: "pb-deploy-example".to_owned(), workspace: "staging".to_owned() },
    };
    let timing = Timing { lease: Duration::from_secs(4), heartbeat: Duration::from_secs(1) };
    let leases = LeaseTable::new(&config, &location, timing);
    let store = Store::new(&config, &location);
    let options = AcquireOptions::new(format!("the example, pid {}", std::process::id()), "deploy");

    let session = Session::open(store.clone(), &leases, &options, Events::new(print_event)).await?;
    let before = session.snapshot();
    run(&session).await?;
    let stored = Session::read_only(&store).await?;
    expect(stored.serial > before.serial && stored.fence == session.lease().fence(), "a later snapshot of this lease")?;
    expect(stored.resources.len() == 1 && stored.intents.is_none(), "the recorded resource and no intents")?;
    println!("wrote and read serial {} of {}", stored.serial, location.url());

    let second = LeaseTable::new(&config, &location, timing).acquire(&AcquireOptions::new("another", "destroy")).await;
    let refused = second.err().ok_or("a second process acquired the lease")?;
    expect(
        refused.class == Class::Locked && refused.message.contains(&options.who),
        "a failure that names the holder",
    )?;
    println!("refused a second process: {refused}");
    session.close().await?;
    expect(leases.peek().await?.is_none(), "a free lease")?;

    take_over_from_dead_holder(&leases, &options).await?;
    unlock_live_holder(&leases, &options).await?;
    detect_conflict(&store, &leases, &options).await?;
    restore_oldest_version(&store, &leases, &options).await
}

/// Uses the session as the engine uses a ledger.
async fn run(session: &Session) -> Done {
    let address = Address::new("net/vpc")?;
    let step = Intent { address: address.clone(), kind: "ec2.vpc".to_owned(), action: Action::Create, was: None };
    session
        .begin(Intents {
            plan: "p1".to_owned(),
            operation: pb_engine::Operation::Deploy,
            steps: vec![step],
            written: false,
        })
        .await?;
    let attrs = json!({"id": format!("vpc-{}", session.snapshot().serial)});
    session.record(Entry::Put(address, Record { kind: "ec2.vpc".to_owned(), spec: json!({}), attrs, ready: true }));
    session.end(true).await?;
    match session.lost() {
        None => Ok(()),
        Some(failure) => Err(failure.into()),
    }
}

/// Takes over the lease of a dead holder after one lease time.
async fn take_over_from_dead_holder(leases: &LeaseTable, options: &AcquireOptions) -> Done {
    let dead = leases.acquire(options).await?;
    let fence = dead.fence();
    drop(dead);
    let start = std::time::Instant::now();
    let next = leases.acquire(options).await?;
    expect(next.fence() == fence + 1, "the next fencing token")?;
    expect(start.elapsed() >= leases.timing().lease, "a wait of one lease time")?;
    println!("took over from a dead holder after {:.1} s", start.elapsed().as_secs_f32());
    next.release().await?;
    Ok(())
}

/// Breaks the lease of a live holder and waits until the holder detects it.
async fn unlock_live_holder(leases: &LeaseTable, options: &AcquireOptions) -> Done {
    let lease = leases.acquire(options).await?;
    leases.unlock(lease.id()).await?;
    println!("unlocked: {}", lease.until_lost().await);
    Ok(())
}

/// Shows that a session does not overwrite a snapshot that another run has written in the meantime.
async fn detect_conflict(store: &Store, leases: &LeaseTable, options: &AcquireOptions) -> Done {
    let session = Session::open(store.clone(), leases, options, Events::none()).await?;
    let loaded = store.load().await?;
    let mut other = loaded.snapshot.clone();
    other.serial += 1;
    store.save(&other, loaded.etag.as_deref(), &|| Ok(())).await?;
    let refused = run(&session).await.err().ok_or("the snapshot of another run was overwritten")?;
    println!("did not overwrite the snapshot of another run: {refused}");
    expect(session.lost().is_some(), "a lost session")?;
    expect(session.close().await.is_err(), "a failure to store the changes")?;
    expect(store.load().await?.snapshot == other, "the snapshot of the other run")
}

/// Restores the oldest version of the snapshot as the newest version.
async fn restore_oldest_version(store: &Store, leases: &LeaseTable, options: &AcquireOptions) -> Done {
    let versions = store.versions().await?;
    let (newest, oldest) = versions.first().zip(versions.last()).ok_or("no versions")?;
    expect(newest.latest && versions.len() > 1, "several versions, the latest first")?;
    let serial = store.version(&newest.id).await?.serial;
    let restored = restore(store, leases, options, &oldest.id).await?;
    expect(restored.serial == serial + 1 && Session::read_only(store).await? == restored, "the restored snapshot")?;
    println!("restored version {} as serial {}", oldest.id, restored.serial);
    Ok(())
}

fn print_event(event: Event) {
    if let Event::Recorded { serial } = event {
        println!("stored serial {serial}");
    }
}

fn expect(holds: bool, what: &str) -> Done {
    if holds { Ok(()) } else { Err(format!("expected {what}").into()) }
}
