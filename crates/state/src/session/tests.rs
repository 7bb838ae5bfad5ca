use super::Session;
use crate::lease::Claim;
use crate::simulated::{What, World};
use pb_engine::{Action, Address, Class, Entry, Event, Events, Failure, Intent, Intents, Ledger, Record, Snapshot};
use serde_json::json;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, advance, sleep};

const SECOND: Duration = Duration::from_secs(1);

async fn try_open(world: &World) -> Result<Session, Failure> {
    Session::open(world.store(), &world.leases(), &Claim::new("ana", "deploy"), Events::none()).await
}

async fn open(world: &World) -> Session {
    try_open(world).await.unwrap()
}

fn address(number: usize) -> Address {
    Address::new(format!("net/r{number}")).unwrap()
}

fn put(number: usize) -> Entry {
    let record = Record { kind: "k".into(), spec: json!({}), attrs: json!({"id": number}), ready: true };
    Entry::Put(address(number), record)
}

fn intents() -> Intents {
    let step = Intent { address: address(0), kind: "k".into(), action: Action::Create, was: None };
    Intents { plan: "p".into(), operation: "deploy".into(), steps: vec![step], written: false }
}

#[tokio::test(start_paused = true)]
async fn intents_are_durable_before_anything_is_done() {
    let world = World::default();
    world.delay("PutObject", 2 * SECOND);
    let session = open(&world).await;
    session.begin(intents()).await.unwrap();
    let stored = world.snapshot().unwrap();
    assert_eq!(stored.intents, Some(intents()));
    assert_eq!((stored.serial, stored.fence, stored.lineage.len()), (1, 1, 36));
    assert_eq!(session.snapshot(), stored);
    assert_eq!(world.writes().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn records_never_wait_coalesce_and_one_write_is_in_flight() {
    let world = World::default();
    world.delay("PutObject", SECOND);
    let session = open(&world).await;
    session.begin(intents()).await.unwrap();
    let start = Instant::now();
    for number in 0..50 {
        session.record(put(number));
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(start.elapsed(), Duration::from_millis(2500), "a record waited");
    session.end(true).await.unwrap();
    session.close().await.unwrap();
    let puts = world.writes();
    assert!((4..=5).contains(&puts.len()), "{} writes", puts.len());
    assert_eq!(world.most_writing(), 1);
    for (number, put) in puts.iter().enumerate().skip(1) {
        assert_eq!(put.headers["if-match"], format!("\"etag-{number}\""));
    }
    let stored = world.snapshot().unwrap();
    assert_eq!((stored.resources.len(), stored.intents, stored.serial), (50, None, puts.len() as u64));
}

#[tokio::test(start_paused = true)]
async fn every_snapshot_on_the_way_is_whole() {
    let world = World::default();
    let session = open(&world).await;
    session.begin(intents()).await.unwrap();
    for number in 0..5 {
        session.record(put(number));
        sleep(SECOND).await;
    }
    let serials: Vec<u64> = world
        .writes()
        .iter()
        .map(|call| crate::decode(&call.body, &World::place().owner).unwrap())
        .map(|snapshot| snapshot.serial)
        .collect();
    assert_eq!(serials, [1, 2, 3, 4, 5, 6]);
}

#[tokio::test(start_paused = true)]
async fn what_is_as_before_is_not_written() {
    let world = World::default();
    let session = open(&world).await;
    session.record(Entry::Outputs([("url".to_owned(), json!("u"))].into()));
    session.end(true).await.unwrap();
    session.close().await.unwrap();
    assert_eq!(world.writes().len(), 1);
    let session = open(&world).await;
    session.record(Entry::Outputs([("url".to_owned(), json!("u"))].into()));
    session.end(true).await.unwrap();
    session.close().await.unwrap();
    assert_eq!(world.writes().len(), 1);
    assert_eq!(world.snapshot().unwrap().serial, 1);
}

#[tokio::test(start_paused = true)]
async fn an_incomplete_run_leaves_its_intents() {
    let world = World::default();
    let session = open(&world).await;
    session.begin(intents()).await.unwrap();
    session.record(put(1));
    session.end(false).await.unwrap();
    session.close().await.unwrap();
    let stored = world.snapshot().unwrap();
    assert_eq!((stored.intents, stored.resources.len()), (Some(intents()), 1));
    let session = open(&world).await;
    assert_eq!(session.lease().fence(), 2);
    session.end(true).await.unwrap();
    let after = world.snapshot().unwrap();
    assert_eq!((after.serial, after.fence, &after.lineage), (stored.serial + 1, 2, &stored.lineage));
}

#[tokio::test(start_paused = true)]
async fn close_stores_what_is_left_and_releases() {
    let world = World::default();
    let session = open(&world).await;
    session.record(put(1));
    session.close().await.unwrap();
    assert_eq!(world.snapshot().unwrap().resources.len(), 1);
    assert!(!world.item().unwrap().contains_key("holder"));
}

#[tokio::test(start_paused = true)]
async fn what_was_stored_is_told() {
    let world = World::default();
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    let events = Events::new(move |event| {
        if let Event::Recorded { serial } = event {
            heard.lock().unwrap().push(serial);
        }
    });
    let session = Session::open(world.store(), &world.leases(), &Claim::new("a", "b"), events).await.unwrap();
    session.begin(intents()).await.unwrap();
    session.end(true).await.unwrap();
    assert_eq!(*told.lock().unwrap(), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn after_another_changed_the_snapshot_nothing_is_written() {
    let world = World::default();
    let session = open(&world).await;
    session.begin(intents()).await.unwrap();
    let other = Snapshot { lineage: "other".into(), fence: session.lease().fence() + 1, ..Snapshot::default() };
    world.put_snapshot(&other);
    session.record(put(1));
    sleep(SECOND).await;
    let lost = session.lost().unwrap();
    assert!(lost.class == Class::Locked && lost.message.contains("changed by another"), "{lost}");
    let puts = world.writes().len();
    session.record(put(2));
    assert_eq!(session.end(true).await.unwrap_err().class, Class::Locked);
    assert_eq!(session.begin(intents()).await.unwrap_err().class, Class::Locked);
    assert_eq!(session.close().await.unwrap_err().class, Class::Locked);
    assert_eq!((world.writes().len(), world.snapshot().unwrap()), (puts, other));
    assert!(!world.item().unwrap().contains_key("holder"), "the lease was ours to release");
}

#[tokio::test(start_paused = true)]
async fn after_the_lease_was_lost_nothing_is_written() {
    let world = World::default();
    let session = open(&world).await;
    session.begin(intents()).await.unwrap();
    let mut item = world.item().unwrap();
    item.insert("holder".into(), json!({"S": "other"}));
    world.set_item(item.into());
    sleep(6 * SECOND).await;
    assert_eq!(session.lost().unwrap().class, Class::Locked);
    session.record(put(1));
    assert_eq!(session.end(false).await.unwrap_err().class, Class::Locked);
    assert_eq!(session.close().await.unwrap_err().class, Class::Locked);
    assert_eq!(world.writes().len(), 1);
    assert_eq!(world.item().unwrap()["holder"]["S"], "other");
}

#[tokio::test(start_paused = true)]
async fn changes_of_a_moment_go_into_one_write_and_who_waits_for_it_does_not_wait_longer() {
    let world = World::default();
    let session = open(&world).await;
    let start = Instant::now();
    session.begin(intents()).await.unwrap();
    assert!(start.elapsed() < Duration::from_millis(50), "{:?}", start.elapsed());
    for number in 0..10 {
        session.record(put(number));
        sleep(Duration::from_millis(9)).await;
    }
    sleep(SECOND).await;
    assert_eq!(world.writes().len(), 2, "the intents, and ten changes");
    assert_eq!(world.snapshot().unwrap().resources.len(), 10);
    session.record(put(10));
    let start = Instant::now();
    session.end(true).await.unwrap();
    assert!(start.elapsed() < Duration::from_millis(50), "{:?}", start.elapsed());
    assert_eq!(world.snapshot().unwrap().resources.len(), 11);
}

#[tokio::test(start_paused = true)]
async fn a_write_in_flight_is_let_go_when_the_lease_is_lost() {
    let world = World::default();
    let session = open(&world).await;
    session.begin(intents()).await.unwrap();
    world.fault("PutObject", What::Late(3600 * SECOND));
    session.record(put(1));
    sleep(SECOND).await;
    world.set_item(json!({"fence": {"N": "2"}}));
    let start = Instant::now();
    let failure = session.end(true).await.unwrap_err();
    assert!(start.elapsed() <= 6 * SECOND, "{:?}", start.elapsed());
    assert!(failure.message.contains("taken away"), "{failure}");
    assert_eq!(world.snapshot().unwrap().resources.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_stood_still_for_a_lease_time_writes_nothing() {
    let world = World::default();
    let session = open(&world).await;
    session.begin(intents()).await.unwrap();
    advance(20 * SECOND).await;
    session.record(put(1));
    sleep(SECOND).await;
    assert_eq!(session.lost().unwrap().class, Class::Locked);
    assert_eq!(session.end(true).await.unwrap_err().class, Class::Locked);
    let _ = session.close().await;
    assert_eq!(world.writes().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_stood_still_between_two_tries_writes_nothing() {
    let world = World::default();
    let session = open(&world).await;
    session.begin(intents()).await.unwrap();
    world.fault("PutObject", What::Refused(503, "SlowDown"));
    session.record(put(1));
    sleep(Duration::from_millis(120)).await;
    assert_eq!(world.writes().len(), 2, "the try that was refused");
    advance(20 * SECOND).await;
    sleep(20 * SECOND).await;
    assert_eq!(world.writes().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_failed_write_ends_the_run_and_is_made_good_at_its_end() {
    let world = World::default();
    let session = open(&world).await;
    session.begin(intents()).await.unwrap();
    for _ in 0..6 {
        world.fault("PutObject", What::Refused(503, "SlowDown"));
    }
    session.record(put(1));
    sleep(60 * SECOND).await;
    assert_eq!(session.lost().unwrap().class, Class::Throttled);
    session.end(false).await.unwrap();
    assert_eq!(session.lost().unwrap().class, Class::Throttled, "it stays");
    assert_eq!(world.snapshot().unwrap().resources.len(), 1);
    session.close().await.unwrap();
}

/// A write without an answer, and S3 cannot be asked either: what it wrote is ours, and is not taken for another's.
#[tokio::test(start_paused = true)]
async fn a_write_that_was_given_up_and_done_all_the_same_is_followed() {
    for begun in [true, false] {
        let world = World::default();
        let session = open(&world).await;
        if begun {
            session.begin(intents()).await.unwrap();
        }
        world.fault("PutObject", What::AnswerLost);
        world.fault("GetObject", What::Refused(403, "AccessDenied"));
        session.record(put(1));
        sleep(SECOND).await;
        assert_eq!(session.lost().unwrap().class, Class::Denied, "the run ends");
        let written = world.snapshot().unwrap();
        session.record(put(2));
        session.end(false).await.unwrap();
        session.close().await.unwrap();
        let after = world.snapshot().unwrap();
        assert_eq!((after.resources.len(), after.serial), (2, written.serial + 1));
        assert_eq!(after.lineage, written.lineage);
        assert!(!world.item().unwrap().contains_key("holder"));
    }
}

#[tokio::test(start_paused = true)]
async fn intents_that_could_not_be_stored_are_not_meant() {
    let world = World::default();
    world.fault_with("PutObject", "checksum", What::Refused(403, "AccessDenied"));
    let session = open(&world).await;
    assert_eq!(session.begin(intents()).await.unwrap_err().class, Class::Denied);
    session.close().await.unwrap();
    assert_eq!(world.snapshot(), None);
    assert!(!world.item().unwrap().contains_key("holder"));
}

#[tokio::test(start_paused = true)]
async fn a_corrupt_snapshot_is_refused_and_left_alone() {
    let world = World::default();
    world.put(Some(b"{\"format\": 1".to_vec()));
    assert!(try_open(&world).await.unwrap_err().message.contains("corrupt"));
    assert_eq!(world.item(), None, "the lease was taken");
    assert!(Session::read_only(&world.store()).await.is_err());
    assert!(world.writes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn reading_takes_no_lease() {
    let world = World::default();
    let snapshot = Snapshot { serial: 3, ..Snapshot::default() };
    world.put_snapshot(&snapshot);
    assert_eq!(Session::read_only(&world.store()).await.unwrap(), snapshot);
    assert!(world.item().is_none() && world.calls("UpdateItem").is_empty());
}
