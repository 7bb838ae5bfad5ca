//! Refusals when a session is opened, which trying again does not get through.

use super::Session;
use crate::home::Home;
use crate::lease::Claim;
use crate::simulated::{What, World};
use pb_engine::{Class, Events, Failure, Intents, Ledger, Record, Snapshot};
use serde_json::{Value, json};

async fn try_open(world: &World) -> Result<Session, Failure> {
    Session::open(world.store(), &world.leases(), &Claim::new("ana", "deploy"), Events::none()).await
}

fn fence(world: &World) -> Option<Value> {
    world.item().map(|item| item["fence"]["N"].clone())
}

fn item(fence: u64) -> Value {
    json!({"LockID": {"S": "pb-deploy:states/api/staging/state.json"}, "fence": {"N": fence.to_string()}})
}

fn written(fence: u64) -> Snapshot {
    Snapshot { lineage: "l".into(), serial: 3, fence, ..Snapshot::default() }
}

#[tokio::test(start_paused = true)]
async fn fence_behind_the_snapshot_is_refused_fifty_times() {
    for start in [None, Some(30)] {
        let world = World::default();
        world.put_snapshot(&written(31));
        if let Some(fence) = start {
            world.set_item(item(fence));
        }
        for _ in 0..50 {
            let failure = try_open(&world).await.unwrap_err();
            assert_eq!(failure.class, Class::Refused);
            let come = format!("under fence 31, and the lock table locks has come to {} only", start.unwrap_or(0));
            assert!(failure.message.contains(&come), "{failure}");
            assert!(failure.hint.unwrap().contains("state restore"));
        }
        assert_eq!(fence(&world), start.map(|fence| json!(fence.to_string())));
        assert!(world.calls("PutObject").is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn fence_that_the_snapshot_has_is_followed_by_the_next() {
    let world = World::default();
    world.put_snapshot(&written(31));
    world.set_item(item(31));
    assert_eq!(try_open(&world).await.unwrap().lease().fence(), 32);
}

#[tokio::test(start_paused = true)]
async fn fence_of_a_dead_holder_behind_the_snapshot_is_not_taken_over() {
    let world = World::default();
    world.put_snapshot(&written(31));
    let dead = json!({
        "LockID": {"S": "pb-deploy:states/api/staging/state.json"}, "fence": {"N": "4"}, "holder": {"S": "d"},
        "who": {"S": "eve"}, "operation": {"S": "deploy"}, "since": {"S": "then"}, "beat": {"N": "3"},
    });
    world.set_item(dead.clone());
    for _ in 0..3 {
        assert_eq!(try_open(&world).await.unwrap_err().class, Class::Refused);
        assert_eq!(Value::from(world.item().unwrap()), dead);
    }
}

/// Two people with two lock tables: the snapshot that is read under the lease is of a later fence than the one before it.
#[tokio::test(start_paused = true)]
async fn fence_of_another_table_is_refused_under_the_lease_too() {
    let world = World::default();
    let later = crate::encode(&written(9), &World::place().owner).unwrap();
    world.put_snapshot(&written(0));
    world.fault("UpdateItem", What::Late(std::time::Duration::from_millis(1)));
    let opening = try_open(&world);
    let other = async {
        tokio::time::sleep(std::time::Duration::from_micros(500)).await;
        world.put(Some(later));
    };
    let failure = tokio::join!(opening, other).0.unwrap_err();
    assert!(failure.message.contains("under fence 9, and this lease has fence 1"), "{failure}");
    assert!(!world.item().unwrap().contains_key("holder"), "the lease was kept");
}

#[tokio::test(start_paused = true)]
async fn restore_that_fails_leaves_the_fence_as_it_is() {
    let claim = Claim::new("ana", "restore");
    let world = World::default();
    world.put_snapshot(&written(31));
    world.put(Some(b"garbage".to_vec()));
    for _ in 0..50 {
        for version in ["v9", "v1"] {
            crate::restore(&world.store(), &world.leases(), &claim, version).await.unwrap_err();
            let calls = world.calls("UpdateItem").len();
            assert_eq!(calls % 2, 0, "the lease was taken for what cannot be restored, and kept");
        }
        world.fault("PutObject", What::Refused(403, "AccessDenied"));
        let failure = crate::restore(&world.store(), &world.leases(), &claim, "v0").await.unwrap_err();
        assert_eq!(failure.class, Class::Denied);
        assert_eq!(fence(&world), Some(json!("0")));
        assert!(!world.item().unwrap().contains_key("holder"), "the lease was kept");
    }
    let restored = crate::restore(&world.store(), &world.leases(), &claim, "v0").await.unwrap();
    assert_eq!((restored.fence, fence(&world)), (33, Some(json!("33"))));
    assert_eq!(try_open(&world).await.unwrap().lease().fence(), 34);
}

#[tokio::test(start_paused = true)]
async fn restore_in_a_table_that_is_ahead_takes_the_next_fence() {
    let world = World::default();
    world.put_snapshot(&written(31));
    world.set_item(item(40));
    let claim = Claim::new("ana", "restore");
    let restored = crate::restore(&world.store(), &world.leases(), &claim, "v0").await.unwrap();
    assert_eq!((restored.fence, fence(&world)), (41, Some(json!("41"))));
}

#[tokio::test(start_paused = true)]
async fn store_that_ignores_conditions_is_refused_before_the_first_write() {
    let world = World::default();
    world.ignore_conditions();
    for _ in 0..2 {
        let failure = try_open(&world).await.unwrap_err();
        assert_eq!(failure.class, Class::Refused);
        assert!(failure.message.contains("the store of bucket states ignores the conditions of writes"), "{failure}");
        assert!(failure.hint.unwrap().contains("If-Match"));
        assert_eq!(world.object(), None, "what was written is deleted again");
        assert!(!world.item().unwrap().contains_key("holder"), "the lease was kept");
    }
    // It cannot be deleted: then it is named, and never taken for a state.
    world.fault("DeleteObject", What::Refused(403, "AccessDenied"));
    let failure = try_open(&world).await.unwrap_err();
    assert!(failure.message.contains("api/staging/state.json that this check wrote could not be deleted"), "{failure}");
    let failure = try_open(&world).await.unwrap_err();
    assert!(failure.message.contains("this is what a check of the store wrote"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn store_is_probed_before_the_first_write_alone() {
    let world = World::default();
    let session = try_open(&world).await.unwrap();
    let probe = &world.calls("PutObject")[0];
    assert!(probe.headers.contains_key("if-match") && world.object().is_none());
    assert_eq!(probe.headers["x-amz-server-side-encryption"], "AES256", "as a policy may ask for");
    session
        .begin(Intents { plan: "p".into(), operation: "deploy".into(), steps: Vec::new(), written: false })
        .await
        .unwrap();
    session.close().await.unwrap();
    assert_eq!(world.calls("PutObject").len(), 2);
    try_open(&world).await.unwrap().close().await.unwrap();
    assert_eq!(world.calls("PutObject").len(), 2);
}

fn home(account: &str, region: &str) -> Home {
    Home { account: Some(account.to_owned()), region: region.to_owned() }
}

async fn open_at(world: &World, home: Home) -> Result<Session, Failure> {
    Session::open(world.store().at(home), &world.leases(), &Claim::new("ana", "deploy"), Events::none()).await
}

fn deployed() -> Snapshot {
    let record = Record { kind: "k".into(), spec: json!({}), attrs: json!({}), ready: true };
    Snapshot { resources: [(pb_engine::Address::new("net/vpc").unwrap(), record)].into(), ..written(0) }
}

#[tokio::test(start_paused = true)]
async fn home_is_recorded_by_the_next_write_and_by_no_write_of_its_own() {
    let world = World::default();
    world.put_snapshot(&deployed());
    let here = || home("111111111111", "us-east-2");
    open_at(&world, here()).await.unwrap().close().await.unwrap();
    assert_eq!(world.calls("PutObject").len(), 0, "a snapshot of an older version is not written for that alone");
    let session = open_at(&world, here()).await.unwrap();
    session
        .begin(Intents { plan: "p".into(), operation: "deploy".into(), steps: Vec::new(), written: false })
        .await
        .unwrap();
    session.end(false).await.unwrap();
    session.close().await.unwrap();
    let stored = world.snapshot().unwrap();
    assert_eq!((stored.account.as_deref(), stored.region.as_deref()), (Some("111111111111"), Some("us-east-2")));
    assert_eq!(world.calls("PutObject").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn home_that_differs_is_refused_before_the_lease() {
    let world = World::default();
    world.put_snapshot(&Snapshot {
        account: Some("111111111111".into()),
        region: Some("us-east-2".into()),
        ..deployed()
    });
    for elsewhere in [home("222222222222", "us-east-2"), home("111111111111", "eu-west-1")] {
        let failure = open_at(&world, elsewhere.clone()).await.unwrap_err();
        assert!(failure.message.contains("account 111111111111 in us-east-2"), "{failure}");
        let claim = Claim::new("ana", "restore");
        let store = world.store().at(elsewhere);
        assert_eq!(crate::restore(&store, &world.leases(), &claim, "v0").await.unwrap_err().class, Class::Refused);
    }
    assert_eq!(world.item(), None);
}
