use super::{Claim, Lease, LeaseTable};
use crate::simulated::{What, World};
use pb_engine::{Cancel, Class, Failure, Stop};
use serde_json::json;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, advance, sleep};

const SECOND: Duration = Duration::from_secs(1);

async fn take(table: &LeaseTable) -> Lease {
    table.acquire(&Claim::new("ana@laptop, pid 1", "deploy")).await.unwrap()
}

async fn refused(table: &LeaseTable) -> Failure {
    table.acquire(&Claim::new("ben@build", "destroy")).await.unwrap_err()
}

/// Another process that holds the lease and never beats.
fn dead(fence: u64) -> serde_json::Value {
    json!({
        "LockID": {"S": "pb-deploy:states/api/staging/state.json"}, "fence": {"N": fence.to_string()},
        "holder": {"S": "d"}, "who": {"S": "eve"}, "operation": {"S": "deploy"}, "since": {"S": "then"},
        "beat": {"N": "3"},
    })
}

#[tokio::test(start_paused = true)]
async fn a_free_lease_is_taken_by_one_request_with_a_condition() {
    let world = World::default();
    let lease = take(&world.leases()).await;
    assert_eq!(lease.fence(), 1);
    assert!(lease.lost().is_none());
    let calls = world.calls("UpdateItem");
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].json()["ConditionExpression"], "attribute_not_exists(#holder)");
    let item = world.item().unwrap();
    assert_eq!(item["LockID"]["S"], "pb-deploy:states/api/staging/state.json");
    assert_eq!(item["holder"]["S"], lease.id());
    assert_eq!((&item["who"]["S"], &item["operation"]["S"]), (&json!("ana@laptop, pid 1"), &json!("deploy")));
    assert_eq!((&item["fence"]["N"], &item["beat"]["N"]), (&json!("1"), &json!("0")));
    let since = item["since"]["S"].as_str().unwrap();
    assert!(since.len() == 20 && since.ends_with('Z'), "{since}");
}

#[tokio::test(start_paused = true)]
async fn a_released_lease_keeps_its_fence_and_nothing_else() {
    let world = World::default();
    let table = world.leases();
    let lease = take(&table).await;
    let id = lease.id().to_owned();
    lease.release().await.unwrap();
    let request = world.calls("UpdateItem")[1].json();
    assert_eq!(request["ConditionExpression"], "#holder = :me");
    assert_eq!(request["ExpressionAttributeValues"], json!({":me": {"S": id}}));
    assert_eq!(world.item().unwrap().keys().collect::<Vec<_>>(), ["LockID", "fence"]);
    assert_eq!(table.peek().await.unwrap(), None);
    assert_eq!(take(&table).await.fence(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_lives_is_told_within_about_one_heartbeat() {
    let world = World::default();
    let table = world.leases();
    let lease = take(&table).await;
    let start = Instant::now();
    let failure = refused(&table).await;
    assert!(start.elapsed() <= 7 * SECOND, "{:?}", start.elapsed());
    assert_eq!(failure.class, Class::Locked);
    for said in ["ana@laptop, pid 1", "deploy", "since 20", "fence 1", lease.id(), "nothing was changed"] {
        assert!(failure.message.contains(said), "{failure}");
    }
    assert_eq!(lease.fence(), 1);
    assert_eq!(table.peek().await.unwrap().unwrap().id, lease.id());
}

#[tokio::test(start_paused = true)]
async fn a_dead_holder_is_followed_after_one_lease_time() {
    let world = World::default();
    world.set_item(dead(7));
    let start = Instant::now();
    let lease = take(&world.leases()).await;
    let elapsed = start.elapsed();
    assert!(elapsed >= 20 * SECOND && elapsed <= 22 * SECOND, "{elapsed:?}");
    assert_eq!(lease.fence(), 8);
    let request = world.calls("UpdateItem").last().unwrap().json();
    assert_eq!(request["ConditionExpression"], "#holder = :dead AND #fence = :fence AND #beat = :beat");
    let values = &request["ExpressionAttributeValues"];
    assert_eq!(
        (&values[":dead"]["S"], &values[":fence"]["N"], &values[":beat"]["N"]),
        (&json!("d"), &json!("7"), &json!("3"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_process_that_died_is_followed_though_its_lease_was_just_taken() {
    let world = World::default();
    drop(take(&world.leases()).await);
    assert_eq!(take(&world.leases()).await.fence(), 2);
}

#[tokio::test(start_paused = true)]
async fn of_two_that_wait_for_a_dead_one_a_single_one_follows() {
    let world = World::default();
    world.set_item(dead(1));
    let (a, b) = (world.leases(), world.leases());
    let (claim, other) = (Claim::new("a", "deploy"), Claim::new("b", "deploy"));
    let (a, b) = tokio::join!(a.acquire(&claim), b.acquire(&other));
    assert!(a.is_ok() != b.is_ok(), "{a:?} {b:?}");
    assert_eq!(a.as_ref().or(b.as_ref()).unwrap().fence(), 2);
}

#[tokio::test(start_paused = true)]
async fn with_patience_a_living_holder_is_waited_for() {
    let world = World::default();
    let table = world.leases();
    let lease = take(&table).await;
    let holder = lease.id().to_owned();
    tokio::spawn(async move {
        sleep(42 * SECOND).await;
        lease.release().await.unwrap();
    });
    let told = Arc::new(Mutex::new(Vec::new()));
    let mut claim = Claim::new("ben", "deploy");
    claim.lock_timeout = 60 * SECOND;
    let heard = Arc::clone(&told);
    claim.waiting = Arc::new(move |holder| heard.lock().unwrap().push(holder.id.clone()));
    let start = Instant::now();
    assert_eq!(table.acquire(&claim).await.unwrap().fence(), 2);
    assert!(start.elapsed() >= 42 * SECOND && start.elapsed() <= 44 * SECOND);
    assert_eq!(*told.lock().unwrap(), [holder], "told once");
}

#[tokio::test(start_paused = true)]
async fn patience_has_an_end() {
    let world = World::default();
    let table = world.leases();
    let _lease = take(&table).await;
    let mut claim = Claim::new("ben", "deploy");
    claim.lock_timeout = 30 * SECOND;
    let start = Instant::now();
    assert_eq!(table.acquire(&claim).await.unwrap_err().class, Class::Locked);
    assert!(start.elapsed() >= 30 * SECOND && start.elapsed() <= 37 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn waiting_can_be_stopped() {
    let world = World::default();
    world.set_item(dead(1));
    let (stop, cancel) = Cancel::new();
    let mut claim = Claim::new("ben", "deploy");
    claim.cancel = cancel;
    tokio::spawn(async move {
        sleep(3 * SECOND).await;
        stop.send(Stop::Gently).unwrap();
        sleep(60 * SECOND).await;
    });
    let start = Instant::now();
    assert_eq!(world.leases().acquire(&claim).await.unwrap_err().class, Class::Interrupted);
    assert_eq!(start.elapsed().as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_holder_beats_every_five_seconds_and_keeps_its_lease() {
    let world = World::default();
    world.delay("UpdateItem", SECOND);
    let lease = take(&world.leases()).await;
    sleep(60 * SECOND).await;
    assert!(lease.lost().is_none());
    let beats = world.calls("UpdateItem").len() - 1;
    assert!((11..=12).contains(&beats), "{beats} beats in a minute");
    let request = world.calls("UpdateItem")[1].json();
    assert_eq!(request["ConditionExpression"], "#holder = :me AND #fence = :fence");
    assert_eq!(request["ExpressionAttributeValues"][":fence"]["N"], "1");
    assert_eq!(request["UpdateExpression"], "SET #beat = #beat + :one");
    assert_eq!(request["ExpressionAttributeValues"][":me"]["S"], lease.id());
}

#[tokio::test(start_paused = true)]
async fn a_holder_whose_beats_fail_gives_up_one_margin_before_the_end() {
    for what in [What::Broken, What::Late(100 * SECOND)] {
        let world = World::default();
        let lease = take(&world.leases()).await;
        for _ in 0..100 {
            world.fault("UpdateItem", what.clone());
        }
        sleep(14 * SECOND).await;
        assert!(lease.lost().is_none(), "{what:?}");
        let lost = lease.until_lost().await;
        assert_eq!(lost.class, Class::Locked);
        assert!(lost.message.contains("no heartbeat got through"), "{lost}");
        let calls = world.calls("UpdateItem").len();
        sleep(60 * SECOND).await;
        lease.release().await.unwrap();
        assert_eq!(world.calls("UpdateItem").len(), calls, "a lost lease is left alone");
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_of_a_beat_is_when_it_was_sent() {
    let world = World::default();
    world.delay("UpdateItem", 4 * SECOND);
    let start = Instant::now();
    let lease = take(&world.leases()).await;
    sleep(SECOND).await;
    for _ in 0..100 {
        world.fault("UpdateItem", What::Broken);
    }
    lease.until_lost().await;
    assert_eq!(start.elapsed().as_secs(), 15, "counted from the request, not from the answer");
    let start = Instant::now();
    let world = World::default();
    let lease = take(&world.leases()).await;
    world.delay("UpdateItem", 4 * SECOND);
    sleep(6 * SECOND).await;
    for _ in 0..100 {
        world.fault("UpdateItem", What::Broken);
    }
    lease.until_lost().await;
    assert_eq!(start.elapsed().as_secs(), 20, "the beat was sent after 5 s, and answered after 9");
}

#[tokio::test(start_paused = true)]
async fn a_single_failed_beat_is_made_good() {
    let world = World::default();
    let lease = take(&world.leases()).await;
    for _ in 0..2 {
        world.fault("UpdateItem", What::Refused(500, "InternalServerError"));
    }
    sleep(30 * SECOND).await;
    assert!(lease.lost().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_process_that_stood_still_knows_it_before_it_does_anything() {
    let world = World::default();
    let lease = take(&world.leases()).await;
    advance(14 * SECOND).await;
    assert!(lease.lost().is_none());
    let lease = {
        lease.release().await.unwrap();
        take(&world.leases()).await
    };
    let calls = world.calls("UpdateItem").len();
    // Nothing runs in between: the clock jumps, and the holder looks.
    advance(16 * SECOND).await;
    let lost = lease.lost().unwrap();
    assert!(lost.message.contains("stood still"), "{lost}");
    sleep(SECOND).await;
    assert_eq!(world.calls("UpdateItem").len(), calls, "no beat is sent any more");
}

#[tokio::test(start_paused = true)]
async fn a_holder_whose_lease_was_taken_over_knows_by_whom() {
    let world = World::default();
    let lease = take(&world.leases()).await;
    world.set_item(dead(2));
    let start = Instant::now();
    let lost = lease.until_lost().await;
    assert!(start.elapsed() <= 6 * SECOND);
    assert!(lost.message.contains("taken over by eve"), "{lost}");
    assert_eq!(lease.lost().unwrap().message, lost.message);
    lease.release().await.unwrap();
    assert_eq!(world.item().unwrap()["holder"]["S"], "d", "the other's lease is left alone");
}

/// Another took over and gave back; then a request of ours to take the lease arrived that was sent long ago.
#[tokio::test(start_paused = true)]
async fn a_late_request_to_take_the_lease_does_not_prolong_one_that_ended() {
    let world = World::default();
    let lease = take(&world.leases()).await;
    let item = world.item().unwrap();
    let again = json!({"holder": item["holder"], "who": item["who"], "operation": item["operation"],
        "since": item["since"], "fence": {"N": "3"}, "beat": {"N": "0"}});
    world.set_item(again);
    let start = Instant::now();
    let lost = lease.until_lost().await;
    assert!(start.elapsed() <= 6 * SECOND && lost.message.contains("nothing more is written"), "{lost}");
    assert_eq!(world.item().unwrap()["beat"]["N"], "0", "the holding that ended has beaten for another");
}

#[tokio::test(start_paused = true)]
async fn unlock_takes_the_lease_from_the_one_that_is_named() {
    let world = World::default();
    let table = world.leases();
    assert_eq!(table.unlock("x").await.unwrap_err().class, Class::NotFound);
    let lease = take(&table).await;
    let failure = table.unlock("x").await.unwrap_err();
    assert!(failure.class == Class::Refused && failure.message.contains(lease.id()), "{failure}");
    table.unlock(lease.id()).await.unwrap();
    assert_eq!(take(&table).await.fence(), 2);
    assert!(lease.until_lost().await.message.contains("taken over by ana"));
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_was_granted_without_an_answer_is_ours() {
    for times in [1, 2] {
        let world = World::default();
        for _ in 0..times {
            world.fault("UpdateItem", What::AnswerLost);
        }
        let start = Instant::now();
        let lease = take(&world.leases()).await;
        assert_eq!(lease.fence(), 1, "{times}");
        assert_eq!(world.item().unwrap()["holder"]["S"], lease.id());
        assert!(start.elapsed() < 20 * SECOND, "it did not wait for itself");
        assert_eq!(world.item().unwrap()["beat"]["N"], "1", "others have watched since it was granted");
    }
}

#[tokio::test(start_paused = true)]
async fn a_takeover_without_an_answer_is_ours() {
    let world = World::default();
    world.set_item(dead(1));
    world.fault_with("UpdateItem", ":dead", What::AnswerLost);
    let lease = take(&world.leases()).await;
    assert_eq!((lease.fence(), world.item().unwrap()["fence"]["N"].as_str()), (2, Some("2")));
    let takeovers = world.calls("UpdateItem").into_iter().filter(|call| call.json().to_string().contains(":dead"));
    assert_eq!(takeovers.count(), 2, "the one without an answer, and the one that learned it");
}

#[tokio::test(start_paused = true)]
async fn a_table_that_does_not_tell_the_old_item_is_asked_for_it() {
    let world = World::default();
    world.without_old_item();
    let _lease = take(&world.leases()).await;
    assert!(refused(&world.leases()).await.message.contains("ana@laptop"));
    assert!(!world.calls("GetItem").is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_the_table_is_said_in_words() {
    for (code, class, said) in [
        ("ResourceNotFoundException", Class::NotFound, "there is no lock table locks"),
        ("ValidationException", Class::Refused, "locks has not the hash key LockID"),
        ("AccessDeniedException", Class::Denied, "refused"),
    ] {
        let world = World::default();
        world.fault("UpdateItem", What::Refused(400, code));
        world.fault("GetItem", What::Refused(400, code));
        for failure in [refused(&world.leases()).await, world.leases().peek().await.unwrap_err()] {
            assert!(failure.message.starts_with(said) && failure.class == class, "{failure}");
            assert!(failure.hint.unwrap().contains("locks"));
        }
    }
    let world = World::default();
    world.set_item(json!({"holder": {"S": "x"}, "fence": {"S": "many"}}));
    assert!(refused(&world.leases()).await.message.contains("no number `fence`"));
}
