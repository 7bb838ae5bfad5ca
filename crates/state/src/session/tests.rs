use super::Session;
use crate::fake::{FakeAws, Fault};
use crate::lease::AcquireOptions;
use pb_engine::{Action, Address, Class, Entry, Event, Events, Failure, Intent, Intents, Ledger, Record, Snapshot};
use serde_json::json;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, advance, sleep};

const SECOND: Duration = Duration::from_secs(1);

async fn try_open(aws: &FakeAws) -> Result<Session, Failure> {
    Session::open(aws.store(), &aws.leases(), &AcquireOptions::new("ana", "deploy"), Events::none()).await
}

async fn open(aws: &FakeAws) -> Session {
    try_open(aws).await.unwrap()
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
    Intents { plan: "p".into(), operation: pb_engine::Operation::Deploy, steps: vec![step], written: false }
}

#[tokio::test(start_paused = true)]
async fn intents_are_stored_before_the_first_change() {
    let aws = FakeAws::default();
    aws.delay("PutObject", 2 * SECOND);
    let session = open(&aws).await;
    session.begin(intents()).await.unwrap();
    let stored = aws.snapshot().unwrap();
    assert_eq!(stored.intents, Some(intents()));
    assert_eq!((stored.serial, stored.fence, stored.lineage.len()), (1, 1, 36));
    assert_eq!(session.snapshot(), stored);
    assert_eq!(aws.writes().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn records_are_coalesced_with_one_write_in_flight() {
    let aws = FakeAws::default();
    aws.delay("PutObject", SECOND);
    let session = open(&aws).await;
    session.begin(intents()).await.unwrap();
    let start = Instant::now();
    for number in 0..50 {
        session.record(put(number));
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(start.elapsed(), Duration::from_millis(2500), "a record had to wait");
    session.end(true).await.unwrap();
    session.close().await.unwrap();
    let puts = aws.writes();
    assert!((4..=5).contains(&puts.len()), "{} writes", puts.len());
    assert_eq!(aws.max_concurrent_writes(), 1);
    for (number, put) in puts.iter().enumerate().skip(1) {
        assert_eq!(put.headers["if-match"], format!("\"etag-{number}\""));
    }
    let stored = aws.snapshot().unwrap();
    assert_eq!((stored.resources.len(), stored.intents, stored.serial), (50, None, puts.len() as u64));
}

#[tokio::test(start_paused = true)]
async fn every_stored_snapshot_is_complete() {
    let aws = FakeAws::default();
    let session = open(&aws).await;
    session.begin(intents()).await.unwrap();
    for number in 0..5 {
        session.record(put(number));
        sleep(SECOND).await;
    }
    let serials: Vec<u64> = aws
        .writes()
        .iter()
        .map(|call| crate::decode(&call.body, &FakeAws::location().owner).unwrap())
        .map(|snapshot| snapshot.serial)
        .collect();
    assert_eq!(serials, [1, 2, 3, 4, 5, 6]);
}

#[tokio::test(start_paused = true)]
async fn unchanged_snapshot_is_not_written() {
    let aws = FakeAws::default();
    let session = open(&aws).await;
    session.record(Entry::Outputs([("url".to_owned(), json!("u"))].into()));
    session.end(true).await.unwrap();
    session.close().await.unwrap();
    assert_eq!(aws.writes().len(), 1);
    let session = open(&aws).await;
    session.record(Entry::Outputs([("url".to_owned(), json!("u"))].into()));
    session.end(true).await.unwrap();
    session.close().await.unwrap();
    assert_eq!(aws.writes().len(), 1);
    assert_eq!(aws.snapshot().unwrap().serial, 1);
}

#[tokio::test(start_paused = true)]
async fn incomplete_run_keeps_its_intents() {
    let aws = FakeAws::default();
    let session = open(&aws).await;
    session.begin(intents()).await.unwrap();
    session.record(put(1));
    session.end(false).await.unwrap();
    session.close().await.unwrap();
    let stored = aws.snapshot().unwrap();
    assert_eq!((stored.intents, stored.resources.len()), (Some(intents()), 1));
    let session = open(&aws).await;
    assert_eq!(session.lease().fence(), 2);
    session.end(true).await.unwrap();
    let after = aws.snapshot().unwrap();
    assert_eq!((after.serial, after.fence, &after.lineage), (stored.serial + 1, 2, &stored.lineage));
}

#[tokio::test(start_paused = true)]
async fn close_stores_pending_changes_and_releases_the_lease() {
    let aws = FakeAws::default();
    let session = open(&aws).await;
    session.record(put(1));
    session.close().await.unwrap();
    assert_eq!(aws.snapshot().unwrap().resources.len(), 1);
    assert!(!aws.item().unwrap().contains_key("holder"));
}

#[tokio::test(start_paused = true)]
async fn stored_serials_are_reported_as_events() {
    let aws = FakeAws::default();
    let reported = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&reported);
    let events = Events::new(move |event| {
        if let Event::Recorded { serial } = event {
            heard.lock().unwrap().push(serial);
        }
    });
    let session = Session::open(aws.store(), &aws.leases(), &AcquireOptions::new("a", "b"), events).await.unwrap();
    session.begin(intents()).await.unwrap();
    session.end(true).await.unwrap();
    assert_eq!(*reported.lock().unwrap(), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn session_writes_nothing_after_a_conflicting_write() {
    let aws = FakeAws::default();
    let session = open(&aws).await;
    session.begin(intents()).await.unwrap();
    let other = Snapshot { lineage: "other".into(), fence: session.lease().fence() + 1, ..Snapshot::default() };
    aws.put_snapshot(&other);
    session.record(put(1));
    sleep(SECOND).await;
    let lost = session.lost().unwrap();
    assert!(lost.class == Class::Locked && lost.message.contains("changed by another run"), "{lost}");
    let puts = aws.writes().len();
    session.record(put(2));
    assert_eq!(session.end(true).await.unwrap_err().class, Class::Locked);
    assert_eq!(session.begin(intents()).await.unwrap_err().class, Class::Locked);
    assert_eq!(session.close().await.unwrap_err().class, Class::Locked);
    assert_eq!((aws.writes().len(), aws.snapshot().unwrap()), (puts, other));
    assert!(!aws.item().unwrap().contains_key("holder"), "the lease was not released");
}

#[tokio::test(start_paused = true)]
async fn session_writes_nothing_after_losing_its_lease() {
    let aws = FakeAws::default();
    let session = open(&aws).await;
    session.begin(intents()).await.unwrap();
    let mut item = aws.item().unwrap();
    item.insert("holder".into(), json!({"S": "other"}));
    aws.set_item(item.into());
    sleep(6 * SECOND).await;
    assert_eq!(session.lost().unwrap().class, Class::Locked);
    session.record(put(1));
    assert_eq!(session.end(false).await.unwrap_err().class, Class::Locked);
    assert_eq!(session.close().await.unwrap_err().class, Class::Locked);
    assert_eq!(aws.writes().len(), 1);
    assert_eq!(aws.item().unwrap()["holder"]["S"], "other");
}

#[tokio::test(start_paused = true)]
async fn writes_are_coalesced_without_delaying_flush() {
    let aws = FakeAws::default();
    let session = open(&aws).await;
    let start = Instant::now();
    session.begin(intents()).await.unwrap();
    assert!(start.elapsed() < Duration::from_millis(50), "{:?}", start.elapsed());
    for number in 0..10 {
        session.record(put(number));
        sleep(Duration::from_millis(9)).await;
    }
    sleep(SECOND).await;
    assert_eq!(aws.writes().len(), 2, "one write for the intents, and one for ten changes");
    assert_eq!(aws.snapshot().unwrap().resources.len(), 10);
    session.record(put(10));
    let start = Instant::now();
    session.end(true).await.unwrap();
    assert!(start.elapsed() < Duration::from_millis(50), "{:?}", start.elapsed());
    assert_eq!(aws.snapshot().unwrap().resources.len(), 11);
}

#[tokio::test(start_paused = true)]
async fn write_in_flight_is_abandoned_when_the_lease_is_lost() {
    let aws = FakeAws::default();
    let session = open(&aws).await;
    session.begin(intents()).await.unwrap();
    aws.fault("PutObject", Fault::Delayed(3600 * SECOND));
    session.record(put(1));
    sleep(SECOND).await;
    aws.set_item(json!({"fence": {"N": "2"}}));
    let start = Instant::now();
    let failure = session.end(true).await.unwrap_err();
    assert!(start.elapsed() <= 6 * SECOND, "{:?}", start.elapsed());
    assert!(failure.message.contains("broken with `pb-deploy unlock`"), "{failure}");
    assert_eq!(aws.snapshot().unwrap().resources.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn process_suspended_for_a_lease_time_writes_nothing() {
    let aws = FakeAws::default();
    let session = open(&aws).await;
    session.begin(intents()).await.unwrap();
    advance(20 * SECOND).await;
    session.record(put(1));
    sleep(SECOND).await;
    assert_eq!(session.lost().unwrap().class, Class::Locked);
    assert_eq!(session.end(true).await.unwrap_err().class, Class::Locked);
    let _ = session.close().await;
    assert_eq!(aws.writes().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn process_suspended_between_two_attempts_writes_nothing() {
    let aws = FakeAws::default();
    let session = open(&aws).await;
    session.begin(intents()).await.unwrap();
    aws.fault("PutObject", Fault::Refused(503, "SlowDown"));
    session.record(put(1));
    sleep(Duration::from_millis(120)).await;
    assert_eq!(aws.writes().len(), 2, "the refused attempt");
    advance(20 * SECOND).await;
    sleep(20 * SECOND).await;
    assert_eq!(aws.writes().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn failed_write_ends_the_run_and_is_retried_at_its_end() {
    let aws = FakeAws::default();
    let session = open(&aws).await;
    session.begin(intents()).await.unwrap();
    for _ in 0..6 {
        aws.fault("PutObject", Fault::Refused(503, "SlowDown"));
    }
    session.record(put(1));
    sleep(60 * SECOND).await;
    assert_eq!(session.lost().unwrap().class, Class::Throttled);
    session.end(false).await.unwrap();
    assert_eq!(session.lost().unwrap().class, Class::Throttled, "the failure stays");
    assert_eq!(aws.snapshot().unwrap().resources.len(), 1);
    session.close().await.unwrap();
}

/// A write without a response, after which S3 cannot be read either, is not mistaken for a write of another run.
#[tokio::test(start_paused = true)]
async fn abandoned_write_that_arrived_is_recognised_as_own() {
    for begun in [true, false] {
        let aws = FakeAws::default();
        let session = open(&aws).await;
        if begun {
            session.begin(intents()).await.unwrap();
        }
        aws.fault("PutObject", Fault::AnswerLost);
        aws.fault("GetObject", Fault::Refused(403, "AccessDenied"));
        session.record(put(1));
        sleep(SECOND).await;
        assert_eq!(session.lost().unwrap().class, Class::Denied, "the run ends");
        let written = aws.snapshot().unwrap();
        session.record(put(2));
        session.end(false).await.unwrap();
        session.close().await.unwrap();
        let after = aws.snapshot().unwrap();
        assert_eq!((after.resources.len(), after.serial), (2, written.serial + 1));
        assert_eq!(after.lineage, written.lineage);
        assert!(!aws.item().unwrap().contains_key("holder"));
    }
}

#[tokio::test(start_paused = true)]
async fn intents_that_could_not_be_stored_are_withdrawn() {
    let aws = FakeAws::default();
    aws.fault_containing("PutObject", "checksum", Fault::Refused(403, "AccessDenied"));
    let session = open(&aws).await;
    assert_eq!(session.begin(intents()).await.unwrap_err().class, Class::Denied);
    session.close().await.unwrap();
    assert_eq!(aws.snapshot(), None);
    assert!(!aws.item().unwrap().contains_key("holder"));
}

#[tokio::test(start_paused = true)]
async fn corrupt_snapshot_is_refused_and_not_overwritten() {
    let aws = FakeAws::default();
    aws.put(Some(b"{\"format\": 1".to_vec()));
    assert!(try_open(&aws).await.unwrap_err().message.contains("corrupt"));
    assert_eq!(aws.item(), None, "the lease was acquired");
    assert!(Session::read_only(&aws.store()).await.is_err());
    assert!(aws.writes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn read_only_acquires_no_lease() {
    let aws = FakeAws::default();
    let snapshot = Snapshot { serial: 3, ..Snapshot::default() };
    aws.put_snapshot(&snapshot);
    assert_eq!(Session::read_only(&aws.store()).await.unwrap(), snapshot);
    assert!(aws.item().is_none() && aws.calls("UpdateItem").is_empty());
}
