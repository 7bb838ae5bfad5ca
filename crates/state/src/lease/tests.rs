use super::{AcquireOptions, Lease, LeaseTable};
use crate::fake::{FakeAws, Fault};
use pb_engine::{Cancel, Class, Failure, Stop};
use serde_json::json;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, advance, sleep};

const SECOND: Duration = Duration::from_secs(1);

async fn take(table: &LeaseTable) -> Lease {
    table.acquire(&AcquireOptions::new("ana@laptop, pid 1", "deploy")).await.unwrap()
}

async fn refused(table: &LeaseTable) -> Failure {
    table.acquire(&AcquireOptions::new("ben@build", "destroy")).await.unwrap_err()
}

/// Returns the item of another process, which holds the lease and sends no heartbeats.
fn dead(fence: u64) -> serde_json::Value {
    json!({
        "LockID": {"S": "pb-deploy:states/api/staging/state.json"}, "fence": {"N": fence.to_string()},
        "holder": {"S": "d"}, "who": {"S": "eve"}, "operation": {"S": "deploy"}, "since": {"S": "then"},
        "beat": {"N": "3"},
    })
}

#[tokio::test(start_paused = true)]
async fn free_lease_is_acquired_by_one_conditional_update() {
    let aws = FakeAws::default();
    let lease = take(&aws.leases()).await;
    assert_eq!(lease.fence(), 1);
    assert!(lease.lost().is_none());
    let calls = aws.calls("UpdateItem");
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].json()["ConditionExpression"], "attribute_not_exists(#holder)");
    let item = aws.item().unwrap();
    assert_eq!(item["LockID"]["S"], "pb-deploy:states/api/staging/state.json");
    assert_eq!(item["holder"]["S"], lease.id());
    assert_eq!((&item["who"]["S"], &item["operation"]["S"]), (&json!("ana@laptop, pid 1"), &json!("deploy")));
    assert_eq!((&item["fence"]["N"], &item["beat"]["N"]), (&json!("1"), &json!("0")));
    let since = item["since"]["S"].as_str().unwrap();
    assert!(since.len() == 20 && since.ends_with('Z'), "{since}");
}

#[tokio::test(start_paused = true)]
async fn released_lease_keeps_only_its_fencing_token() {
    let aws = FakeAws::default();
    let table = aws.leases();
    let lease = take(&table).await;
    let id = lease.id().to_owned();
    lease.release().await.unwrap();
    let request = aws.calls("UpdateItem")[1].json();
    assert_eq!(request["ConditionExpression"], "#holder = :me");
    assert_eq!(request["ExpressionAttributeValues"], json!({":me": {"S": id}}));
    assert_eq!(aws.item().unwrap().keys().collect::<Vec<_>>(), ["LockID", "fence"]);
    assert_eq!(table.peek().await.unwrap(), None);
    assert_eq!(take(&table).await.fence(), 2);
}

#[tokio::test(start_paused = true)]
async fn held_lease_is_reported_within_one_heartbeat() {
    let aws = FakeAws::default();
    let table = aws.leases();
    let lease = take(&table).await;
    let start = Instant::now();
    let failure = refused(&table).await;
    assert!(start.elapsed() <= 7 * SECOND, "{:?}", start.elapsed());
    assert_eq!(failure.class, Class::Locked);
    for part in ["staging is locked by ana@laptop, pid 1", "deploy", "since 20", lease.id(), "nothing was changed"] {
        assert!(failure.message.contains(part), "{failure}");
    }
    assert!(failure.hint.unwrap().contains(&format!("`pb-deploy unlock staging {}`", lease.id())));
    assert_eq!(lease.fence(), 1);
    assert_eq!(table.peek().await.unwrap().unwrap().id, lease.id());
}

#[tokio::test(start_paused = true)]
async fn lease_of_a_dead_holder_is_acquired_after_it_expires() {
    let aws = FakeAws::default();
    aws.set_item(dead(7));
    let start = Instant::now();
    let lease = take(&aws.leases()).await;
    let elapsed = start.elapsed();
    assert!(elapsed >= 20 * SECOND && elapsed <= 22 * SECOND, "{elapsed:?}");
    assert_eq!(lease.fence(), 8);
    let request = aws.calls("UpdateItem").last().unwrap().json();
    assert_eq!(request["ConditionExpression"], "#holder = :expired AND #fence = :fence AND #beat = :beat");
    let values = &request["ExpressionAttributeValues"];
    assert_eq!(
        (&values[":expired"]["S"], &values[":fence"]["N"], &values[":beat"]["N"]),
        (&json!("d"), &json!("7"), &json!("3"))
    );
}

#[tokio::test(start_paused = true)]
async fn lease_of_a_process_that_just_died_is_acquired() {
    let aws = FakeAws::default();
    drop(take(&aws.leases()).await);
    assert_eq!(take(&aws.leases()).await.fence(), 2);
}

#[tokio::test(start_paused = true)]
async fn expired_lease_is_acquired_by_only_one_of_two_waiters() {
    let aws = FakeAws::default();
    aws.set_item(dead(1));
    let (a, b) = (aws.leases(), aws.leases());
    let (options, other) = (AcquireOptions::new("a", "deploy"), AcquireOptions::new("b", "deploy"));
    let (a, b) = tokio::join!(a.acquire(&options), b.acquire(&other));
    assert!(a.is_ok() != b.is_ok(), "{a:?} {b:?}");
    assert_eq!(a.as_ref().or(b.as_ref()).unwrap().fence(), 2);
}

#[tokio::test(start_paused = true)]
async fn acquire_waits_for_a_live_holder_within_its_timeout() {
    let aws = FakeAws::default();
    let table = aws.leases();
    let lease = take(&table).await;
    let holder = lease.id().to_owned();
    tokio::spawn(async move {
        sleep(42 * SECOND).await;
        lease.release().await.unwrap();
    });
    let reported = Arc::new(Mutex::new(Vec::new()));
    let mut options = AcquireOptions::new("ben", "deploy");
    options.lock_timeout = 60 * SECOND;
    let heard = Arc::clone(&reported);
    options.on_wait = Arc::new(move |holder| heard.lock().unwrap().push(holder.id.clone()));
    let start = Instant::now();
    assert_eq!(table.acquire(&options).await.unwrap().fence(), 2);
    assert!(start.elapsed() >= 42 * SECOND && start.elapsed() <= 44 * SECOND);
    assert_eq!(*reported.lock().unwrap(), [holder], "reported once");
}

#[tokio::test(start_paused = true)]
async fn acquire_fails_after_its_timeout() {
    let aws = FakeAws::default();
    let table = aws.leases();
    let _lease = take(&table).await;
    let mut options = AcquireOptions::new("ben", "deploy");
    options.lock_timeout = 30 * SECOND;
    let start = Instant::now();
    assert_eq!(table.acquire(&options).await.unwrap_err().class, Class::Locked);
    assert!(start.elapsed() >= 30 * SECOND && start.elapsed() <= 37 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn acquire_can_be_cancelled() {
    let aws = FakeAws::default();
    aws.set_item(dead(1));
    let (stop, cancel) = Cancel::new();
    let mut options = AcquireOptions::new("ben", "deploy");
    options.cancel = cancel;
    tokio::spawn(async move {
        sleep(3 * SECOND).await;
        stop.send(Stop::Gently).unwrap();
        sleep(60 * SECOND).await;
    });
    let start = Instant::now();
    assert_eq!(aws.leases().acquire(&options).await.unwrap_err().class, Class::Interrupted);
    assert_eq!(start.elapsed().as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn lease_is_renewed_every_five_seconds() {
    let aws = FakeAws::default();
    aws.delay("UpdateItem", SECOND);
    let lease = take(&aws.leases()).await;
    sleep(60 * SECOND).await;
    assert!(lease.lost().is_none());
    let beats = aws.calls("UpdateItem").len() - 1;
    assert!((11..=12).contains(&beats), "{beats} heartbeats in a minute");
    let request = aws.calls("UpdateItem")[1].json();
    assert_eq!(request["ConditionExpression"], "#holder = :me AND #fence = :fence");
    assert_eq!(request["ExpressionAttributeValues"][":fence"]["N"], "1");
    assert_eq!(request["UpdateExpression"], "SET #beat = #beat + :one");
    assert_eq!(request["ExpressionAttributeValues"][":me"]["S"], lease.id());
}

#[tokio::test(start_paused = true)]
async fn lease_is_lost_one_margin_before_expiry_if_heartbeats_fail() {
    for what in [Fault::ConnectionBroken, Fault::Delayed(100 * SECOND)] {
        let aws = FakeAws::default();
        let lease = take(&aws.leases()).await;
        for _ in 0..100 {
            aws.fault("UpdateItem", what.clone());
        }
        sleep(14 * SECOND).await;
        assert!(lease.lost().is_none(), "{what:?}");
        let lost = lease.until_lost().await;
        assert_eq!(lost.class, Class::Locked);
        assert!(lost.message.contains("no heartbeat succeeded"), "{lost}");
        let calls = aws.calls("UpdateItem").len();
        sleep(60 * SECOND).await;
        lease.release().await.unwrap();
        assert_eq!(aws.calls("UpdateItem").len(), calls, "a lost lease was changed");
    }
}

#[tokio::test(start_paused = true)]
async fn heartbeat_counts_from_the_time_it_was_sent() {
    let aws = FakeAws::default();
    aws.delay("UpdateItem", 4 * SECOND);
    let start = Instant::now();
    let lease = take(&aws.leases()).await;
    sleep(SECOND).await;
    for _ in 0..100 {
        aws.fault("UpdateItem", Fault::ConnectionBroken);
    }
    lease.until_lost().await;
    assert_eq!(start.elapsed().as_secs(), 15, "counted from the request, not from the response");
    let start = Instant::now();
    let aws = FakeAws::default();
    let lease = take(&aws.leases()).await;
    aws.delay("UpdateItem", 4 * SECOND);
    sleep(6 * SECOND).await;
    for _ in 0..100 {
        aws.fault("UpdateItem", Fault::ConnectionBroken);
    }
    lease.until_lost().await;
    assert_eq!(start.elapsed().as_secs(), 20, "the heartbeat was sent after 5 s and answered after 9 s");
}

#[tokio::test(start_paused = true)]
async fn failed_heartbeat_is_retried() {
    let aws = FakeAws::default();
    let lease = take(&aws.leases()).await;
    for _ in 0..2 {
        aws.fault("UpdateItem", Fault::Refused(500, "InternalServerError"));
    }
    sleep(30 * SECOND).await;
    assert!(lease.lost().is_none());
}

#[tokio::test(start_paused = true)]
async fn suspended_process_detects_its_lost_lease_first() {
    let aws = FakeAws::default();
    let lease = take(&aws.leases()).await;
    advance(14 * SECOND).await;
    assert!(lease.lost().is_none());
    let lease = {
        lease.release().await.unwrap();
        take(&aws.leases()).await
    };
    let calls = aws.calls("UpdateItem").len();
    // The clock jumps, and the holder checks its lease before any other task runs.
    advance(16 * SECOND).await;
    let lost = lease.lost().unwrap();
    assert!(lost.message.contains("was suspended for too long"), "{lost}");
    sleep(SECOND).await;
    assert_eq!(aws.calls("UpdateItem").len(), calls, "another heartbeat was sent");
}

#[tokio::test(start_paused = true)]
async fn lost_lease_names_the_new_holder() {
    let aws = FakeAws::default();
    let lease = take(&aws.leases()).await;
    aws.set_item(dead(2));
    let start = Instant::now();
    let lost = lease.until_lost().await;
    assert!(start.elapsed() <= 6 * SECOND);
    assert!(lost.message.contains("taken over by eve"), "{lost}");
    assert_eq!(lease.lost().unwrap().message, lost.message);
    lease.release().await.unwrap();
    assert_eq!(aws.item().unwrap()["holder"]["S"], "d", "the lease of the other run was changed");
}

/// Another run took the lease over and released it. Then an old, delayed request of this run to take the lease arrived.
#[tokio::test(start_paused = true)]
async fn delayed_acquire_does_not_extend_an_expired_lease() {
    let aws = FakeAws::default();
    let lease = take(&aws.leases()).await;
    let item = aws.item().unwrap();
    let again = json!({"holder": item["holder"], "who": item["who"], "operation": item["operation"],
        "since": item["since"], "fence": {"N": "3"}, "beat": {"N": "0"}});
    aws.set_item(again);
    let start = Instant::now();
    let lost = lease.until_lost().await;
    assert!(start.elapsed() <= 6 * SECOND && lost.message.contains("writes nothing more"), "{lost}");
    assert_eq!(aws.item().unwrap()["beat"]["N"], "0", "a heartbeat of the expired lease extended another lease");
}

#[tokio::test(start_paused = true)]
async fn unlock_breaks_the_lease_of_the_named_holder() {
    let aws = FakeAws::default();
    let table = aws.leases();
    assert_eq!(table.unlock("x").await.unwrap_err().class, Class::NotFound);
    let lease = take(&table).await;
    let failure = table.unlock("x").await.unwrap_err();
    assert!(failure.class == Class::Refused && failure.message.contains(lease.id()), "{failure}");
    table.unlock(lease.id()).await.unwrap();
    assert_eq!(take(&table).await.fence(), 2);
    assert!(lease.until_lost().await.message.contains("taken over by ana"));
}

#[tokio::test(start_paused = true)]
async fn lease_granted_without_a_response_is_recognised() {
    for times in [1, 2] {
        let aws = FakeAws::default();
        for _ in 0..times {
            aws.fault("UpdateItem", Fault::AnswerLost);
        }
        let start = Instant::now();
        let lease = take(&aws.leases()).await;
        assert_eq!(lease.fence(), 1, "{times}");
        assert_eq!(aws.item().unwrap()["holder"]["S"], lease.id());
        assert!(start.elapsed() < 20 * SECOND, "it waited for itself");
        assert_eq!(
            aws.item().unwrap()["beat"]["N"],
            "1",
            "no heartbeat was sent, though other runs may have observed the lease since it was granted"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn takeover_without_a_response_is_recognised() {
    let aws = FakeAws::default();
    aws.set_item(dead(1));
    aws.fault_containing("UpdateItem", ":expired", Fault::AnswerLost);
    let lease = take(&aws.leases()).await;
    assert_eq!((lease.fence(), aws.item().unwrap()["fence"]["N"].as_str()), (2, Some("2")));
    let takeovers = aws.calls("UpdateItem").into_iter().filter(|call| call.json().to_string().contains(":expired"));
    assert_eq!(takeovers.count(), 2, "one without a response, and one that detected the first");
}

#[tokio::test(start_paused = true)]
async fn old_item_is_read_if_the_table_does_not_return_it() {
    let aws = FakeAws::default();
    aws.omit_old_item();
    let _lease = take(&aws.leases()).await;
    assert!(refused(&aws.leases()).await.message.contains("ana@laptop"));
    assert!(!aws.calls("GetItem").is_empty());
}

#[tokio::test(start_paused = true)]
async fn table_errors_are_explained() {
    for (code, class, expected) in [
        ("ResourceNotFoundException", Class::NotFound, "lock table locks not found"),
        ("ValidationException", Class::Refused, "the only key of table locks must be LockID"),
        ("AccessDeniedException", Class::Denied, "refused"),
    ] {
        let aws = FakeAws::default();
        aws.fault("UpdateItem", Fault::Refused(400, code));
        aws.fault("GetItem", Fault::Refused(400, code));
        for failure in [refused(&aws.leases()).await, aws.leases().peek().await.unwrap_err()] {
            assert!(failure.message.starts_with(expected) && failure.class == class, "{failure}");
            let hint = failure.hint.unwrap();
            assert!(hint.contains("locks") || hint.contains("`state.lock_table`"), "{hint}");
        }
    }
    let aws = FakeAws::default();
    aws.set_item(json!({"holder": {"S": "x"}, "fence": {"S": "many"}}));
    assert!(refused(&aws.leases()).await.message.contains("no numeric attribute `fence`"));
}
