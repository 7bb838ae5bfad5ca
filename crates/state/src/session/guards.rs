//! Tests of the cases in which opening a session is refused and repeating the attempt does not bypass the refusal.

use super::Session;
use crate::account_region::AccountRegion;
use crate::fake::{FakeAws, Fault};
use crate::lease::AcquireOptions;
use pb_engine::{Class, Events, Failure, Intents, Ledger, Record, Snapshot};
use serde_json::{Value, json};

async fn try_open(aws: &FakeAws) -> Result<Session, Failure> {
    Session::open(aws.store(), &aws.leases(), &AcquireOptions::new("ana", "deploy"), Events::none()).await
}

fn fence(aws: &FakeAws) -> Option<Value> {
    aws.item().map(|item| item["fence"]["N"].clone())
}

fn item(fence: u64) -> Value {
    json!({"LockID": {"S": "pb-deploy:states/api/staging/state.json"}, "fence": {"N": fence.to_string()}})
}

fn written(fence: u64) -> Snapshot {
    Snapshot { lineage: "l".into(), serial: 3, fence, ..Snapshot::default() }
}

#[tokio::test(start_paused = true)]
async fn table_behind_the_snapshot_is_refused_fifty_times() {
    for start in [None, Some(30)] {
        let aws = FakeAws::default();
        aws.put_snapshot(&written(31));
        if let Some(fence) = start {
            aws.set_item(item(fence));
        }
        for _ in 0..50 {
            let failure = try_open(&aws).await.unwrap_err();
            assert_eq!(failure.class, Class::Refused);
            let expected = format!("its lock number is {}, but", start.unwrap_or(0));
            assert!(failure.message.contains(&expected) && failure.message.contains("lock number 31"), "{failure}");
            assert!(failure.hint.unwrap().contains("state restore"));
        }
        assert_eq!(fence(&aws), start.map(|fence| json!(fence.to_string())));
        assert!(aws.calls("PutObject").is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn token_of_the_snapshot_is_followed_by_the_next() {
    let aws = FakeAws::default();
    aws.put_snapshot(&written(31));
    aws.set_item(item(31));
    assert_eq!(try_open(&aws).await.unwrap().lease().fence(), 32);
}

#[tokio::test(start_paused = true)]
async fn expired_lease_behind_the_snapshot_is_not_taken_over() {
    let aws = FakeAws::default();
    aws.put_snapshot(&written(31));
    let dead = json!({
        "LockID": {"S": "pb-deploy:states/api/staging/state.json"}, "fence": {"N": "4"}, "holder": {"S": "d"},
        "who": {"S": "eve"}, "operation": {"S": "deploy"}, "since": {"S": "then"}, "beat": {"N": "3"},
    });
    aws.set_item(dead.clone());
    for _ in 0..3 {
        assert_eq!(try_open(&aws).await.unwrap_err().class, Class::Refused);
        assert_eq!(Value::from(aws.item().unwrap()), dead);
    }
}

/// If two lock tables are in use, the snapshot that is read under the lease can have a later token than the snapshot
/// that was read before.
#[tokio::test(start_paused = true)]
async fn token_of_another_table_is_refused_under_the_lease() {
    let aws = FakeAws::default();
    let later = crate::encode(&written(9), &FakeAws::location().owner).unwrap();
    aws.put_snapshot(&written(0));
    aws.fault("UpdateItem", Fault::Delayed(std::time::Duration::from_millis(1)));
    let opening = try_open(&aws);
    let other = async {
        tokio::time::sleep(std::time::Duration::from_micros(500)).await;
        aws.put(Some(later));
    };
    let failure = tokio::join!(opening, other).0.unwrap_err();
    assert!(failure.message.contains("under lock number 9, but this run has lock number 1"), "{failure}");
    assert!(!aws.item().unwrap().contains_key("holder"), "the lease was not released");
}

#[tokio::test(start_paused = true)]
async fn failed_restore_leaves_the_fencing_token_unchanged() {
    let options = AcquireOptions::new("ana", "restore");
    let aws = FakeAws::default();
    aws.put_snapshot(&written(31));
    aws.put(Some(b"garbage".to_vec()));
    for _ in 0..50 {
        for version in ["v9", "v1"] {
            crate::restore(&aws.store(), &aws.leases(), &options, version).await.unwrap_err();
            let calls = aws.calls("UpdateItem").len();
            assert_eq!(calls % 2, 0, "the lease was acquired for a version that cannot be restored, and not released");
        }
        aws.fault("PutObject", Fault::Refused(403, "AccessDenied"));
        let failure = crate::restore(&aws.store(), &aws.leases(), &options, "v0").await.unwrap_err();
        assert_eq!(failure.class, Class::Denied);
        assert_eq!(fence(&aws), Some(json!("0")));
        assert!(!aws.item().unwrap().contains_key("holder"), "the lease was not released");
    }
    let restored = crate::restore(&aws.store(), &aws.leases(), &options, "v0").await.unwrap();
    assert_eq!((restored.fence, fence(&aws)), (33, Some(json!("33"))));
    assert_eq!(try_open(&aws).await.unwrap().lease().fence(), 34);
}

#[tokio::test(start_paused = true)]
async fn restore_with_the_table_ahead_takes_the_next_token() {
    let aws = FakeAws::default();
    aws.put_snapshot(&written(31));
    aws.set_item(item(40));
    let options = AcquireOptions::new("ana", "restore");
    let restored = crate::restore(&aws.store(), &aws.leases(), &options, "v0").await.unwrap();
    assert_eq!((restored.fence, fence(&aws)), (41, Some(json!("41"))));
}

#[tokio::test(start_paused = true)]
async fn store_that_ignores_conditions_is_refused_before_writing() {
    let aws = FakeAws::default();
    aws.ignore_conditions();
    for _ in 0..2 {
        let failure = try_open(&aws).await.unwrap_err();
        assert_eq!(failure.class, Class::Refused);
        assert!(failure.message.contains("the store of bucket states ignores conditional writes"), "{failure}");
        assert!(failure.hint.unwrap().contains("If-Match"));
        assert_eq!(aws.object(), None, "the probe was not deleted");
        assert!(!aws.item().unwrap().contains_key("holder"), "the lease was not released");
    }
    // The failure names a probe object that cannot be deleted, and the object is never mistaken for a snapshot.
    aws.fault("DeleteObject", Fault::Refused(403, "AccessDenied"));
    let failure = try_open(&aws).await.unwrap_err();
    assert!(failure.message.contains("delete the object api/staging/state.json, which this check wrote"), "{failure}");
    let failure = try_open(&aws).await.unwrap_err();
    assert!(failure.message.contains("this object was written by a check of the store"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn store_is_probed_only_before_the_first_write() {
    let aws = FakeAws::default();
    let session = try_open(&aws).await.unwrap();
    let probe = &aws.calls("PutObject")[0];
    assert!(probe.headers.contains_key("if-match") && aws.object().is_none());
    assert_eq!(probe.headers["x-amz-server-side-encryption"], "AES256", "a bucket policy may require it");
    session
        .begin(Intents { plan: "p".into(), operation: pb_engine::Operation::Deploy, steps: Vec::new(), written: false })
        .await
        .unwrap();
    session.close().await.unwrap();
    assert_eq!(aws.calls("PutObject").len(), 2);
    try_open(&aws).await.unwrap().close().await.unwrap();
    assert_eq!(aws.calls("PutObject").len(), 2);
}

fn account_region(account: &str, region: &str) -> AccountRegion {
    AccountRegion { account: Some(account.to_owned()), region: region.to_owned() }
}

async fn open_at(aws: &FakeAws, account_region: AccountRegion) -> Result<Session, Failure> {
    Session::open(aws.store().at(account_region), &aws.leases(), &AcquireOptions::new("ana", "deploy"), Events::none())
        .await
}

fn deployed() -> Snapshot {
    let record = Record { kind: "k".into(), spec: json!({}), attrs: json!({}), ready: true };
    Snapshot { resources: [(pb_engine::Address::new("net/vpc").unwrap(), record)].into(), ..written(0) }
}

#[tokio::test(start_paused = true)]
async fn account_and_region_are_recorded_with_the_next_write() {
    let aws = FakeAws::default();
    aws.put_snapshot(&deployed());
    let here = || account_region("111111111111", "us-east-2");
    open_at(&aws, here()).await.unwrap().close().await.unwrap();
    assert_eq!(aws.calls("PutObject").len(), 0, "a snapshot was written only to record the account and region");
    let session = open_at(&aws, here()).await.unwrap();
    session
        .begin(Intents { plan: "p".into(), operation: pb_engine::Operation::Deploy, steps: Vec::new(), written: false })
        .await
        .unwrap();
    session.end(false).await.unwrap();
    session.close().await.unwrap();
    let stored = aws.snapshot().unwrap();
    assert_eq!((stored.account.as_deref(), stored.region.as_deref()), (Some("111111111111"), Some("us-east-2")));
    assert_eq!(aws.calls("PutObject").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn other_account_or_region_is_refused_before_the_lease() {
    let aws = FakeAws::default();
    aws.put_snapshot(&Snapshot {
        account: Some("111111111111".into()),
        region: Some("us-east-2".into()),
        ..deployed()
    });
    for elsewhere in [account_region("222222222222", "us-east-2"), account_region("111111111111", "eu-west-1")] {
        let failure = open_at(&aws, elsewhere.clone()).await.unwrap_err();
        assert!(failure.message.contains("account 111111111111 in us-east-2"), "{failure}");
        let options = AcquireOptions::new("ana", "restore");
        let store = aws.store().at(elsewhere);
        assert_eq!(crate::restore(&store, &aws.leases(), &options, "v0").await.unwrap_err().class, Class::Refused);
    }
    assert_eq!(aws.item(), None);
}
