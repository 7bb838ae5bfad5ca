use super::WRITE_ATTEMPTS;
use crate::ConditionalWrites;
use crate::fake::{FakeAws, Fault};
use pb_engine::{Class, Failure, Ownership, Snapshot};
use std::sync::atomic::{AtomicUsize, Ordering};

fn snapshot(serial: u64) -> Snapshot {
    Snapshot { lineage: "l".into(), serial, fence: 1, ..Snapshot::default() }
}

fn always() -> Result<(), Failure> {
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn first_write_requires_that_no_object_exists() {
    let aws = FakeAws::default();
    let loaded = aws.store().load().await.unwrap();
    assert_eq!((loaded.snapshot, loaded.etag), (Snapshot::default(), None));
    let etag = aws.store().save(&snapshot(1), None, &always).await.unwrap();
    let put = &aws.calls("PutObject")[0];
    assert_eq!(put.headers["if-none-match"], "*");
    assert_eq!(put.headers.get("if-match"), None);
    assert_eq!(put.headers["x-amz-server-side-encryption"], "AES256");
    assert_eq!(put.headers["content-type"], "application/json");
    assert!(put.uri.starts_with("https://states.s3.us-east-2.amazonaws.com/api/staging/state.json"), "{}", put.uri);
    let loaded = aws.store().load().await.unwrap();
    assert_eq!((loaded.snapshot, loaded.etag), (snapshot(1), Some(etag)));
}

#[tokio::test(start_paused = true)]
async fn later_write_requires_the_previous_entity_tag() {
    let aws = FakeAws::default();
    let etag = aws.store().save(&snapshot(1), None, &always).await.unwrap();
    aws.store().save(&snapshot(2), Some(&etag), &always).await.unwrap();
    let put = &aws.calls("PutObject")[1];
    assert_eq!(put.headers["if-match"], etag);
    assert_eq!(put.headers.get("if-none-match"), None);
}

#[tokio::test(start_paused = true)]
async fn every_write_names_the_configured_kms_key() {
    let aws = FakeAws::default();
    let location = crate::StateLocation { kms_key: Some("alias/states".to_owned()), ..FakeAws::location() };
    let store = super::Store::new(&aws.config(), &location);
    store.save(&snapshot(1), None, &always).await.unwrap();
    store.probe_conditional_writes().await.unwrap();
    let puts = aws.calls("PutObject");
    assert_eq!(puts.len(), 2);
    for put in &puts {
        assert_eq!(put.headers["x-amz-server-side-encryption"], "aws:kms");
        assert_eq!(put.headers["x-amz-server-side-encryption-aws-kms-key-id"], "alias/states");
    }
}

#[tokio::test(start_paused = true)]
async fn custom_endpoint_has_the_bucket_in_the_path() {
    let aws = FakeAws::default();
    let config = aws.config().into_builder().endpoint_url("http://endpoint.test:5000").build();
    super::Store::new(&config, &FakeAws::location()).save(&snapshot(1), None, &always).await.unwrap();
    let uri = &aws.calls("PutObject")[0].uri;
    assert!(uri.starts_with("http://endpoint.test:5000/states/api/staging/state.json"), "{uri}");
}

#[tokio::test(start_paused = true)]
async fn write_of_another_run_is_not_overwritten() {
    let changes: [fn(&FakeAws); 2] = [|aws| aws.put_snapshot(&snapshot(9)), |aws| aws.put(None)];
    for change in changes {
        let aws = FakeAws::default();
        let etag = aws.store().save(&snapshot(1), None, &always).await.unwrap();
        change(&aws);
        let there = aws.object();
        let failure = aws.store().save(&snapshot(2), Some(&etag), &always).await.unwrap_err();
        assert_eq!(failure.class, Class::Locked);
        assert!(failure.message.contains("was changed by another run"), "{failure}");
        assert_eq!(aws.object(), there);
        assert_eq!(aws.calls("PutObject").len(), 2, "the write was repeated");
    }
    let aws = FakeAws::default();
    aws.put_snapshot(&snapshot(9));
    let failure = aws.store().save(&snapshot(1), None, &always).await.unwrap_err();
    assert_eq!(failure.class, Class::Locked);
}

#[tokio::test(start_paused = true)]
async fn write_whose_response_was_lost_is_recognised() {
    for (first, puts) in
        [(Fault::AnswerLost, 1), (Fault::ConnectionBroken, 2), (Fault::Refused(500, "InternalError"), 2)]
    {
        let aws = FakeAws::default();
        aws.fault("PutObject", first);
        let etag = aws.store().save(&snapshot(1), None, &always).await.unwrap();
        assert_eq!(aws.calls("PutObject").len(), puts);
        let loaded = aws.store().load().await.unwrap();
        assert_eq!((loaded.snapshot, loaded.etag), (snapshot(1), Some(etag)));
    }
}

#[tokio::test(start_paused = true)]
async fn conflicting_write_after_a_lost_response_is_detected() {
    let aws = FakeAws::default();
    let etag = aws.store().save(&snapshot(1), None, &always).await.unwrap();
    aws.fault("PutObject", Fault::ConnectionBroken);
    let other = crate::encode(&snapshot(9), &FakeAws::location().owner).unwrap();
    aws.fault("GetObject", Fault::AfterOtherWrite(other));
    let failure = aws.store().save(&snapshot(2), Some(&etag), &always).await.unwrap_err();
    assert_eq!(failure.class, Class::Locked);
    assert_eq!(aws.calls("PutObject").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn write_that_raced_is_checked_and_retried() {
    let aws = FakeAws::default();
    let etag = aws.store().save(&snapshot(1), None, &always).await.unwrap();
    aws.fault("PutObject", Fault::Refused(409, "ConditionalRequestConflict"));
    aws.store().save(&snapshot(2), Some(&etag), &always).await.unwrap();
    assert_eq!((aws.calls("PutObject").len(), aws.calls("GetObject").len()), (3, 1));
    assert_eq!(aws.snapshot().unwrap().serial, 2);
}

#[tokio::test(start_paused = true)]
async fn every_attempt_is_authorised_and_the_sdk_retries_none() {
    let aws = FakeAws::default();
    aws.fault("PutObject", Fault::Refused(503, "SlowDown"));
    let asked = AtomicUsize::new(0);
    let once = || match asked.fetch_add(1, Ordering::Relaxed) {
        0 => Ok(()),
        _ => Err(Failure::new(Class::Locked, "renew the lock", "lost")),
    };
    let failure = aws.store().save(&snapshot(1), None, &once).await.unwrap_err();
    assert_eq!(failure.message, "lost");
    assert_eq!(aws.calls("PutObject").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn write_attempts_are_limited() {
    let aws = FakeAws::default();
    for _ in 0..20 {
        aws.fault("PutObject", Fault::Refused(503, "SlowDown"));
    }
    let failure = aws.store().save(&snapshot(1), None, &always).await.unwrap_err();
    assert_eq!(failure.class, Class::Throttled);
    assert_eq!(aws.calls("PutObject").len(), usize::try_from(WRITE_ATTEMPTS).unwrap());
}

#[tokio::test(start_paused = true)]
async fn bucket_errors_are_explained() {
    for (status, code, class, expected) in [
        (404, "NoSuchBucket", Class::NotFound, "bucket states not found"),
        (301, "PermanentRedirect", Class::Refused, "bucket states is in region eu-west-1"),
        (400, "AuthorizationHeaderMalformed", Class::Refused, "bucket states is in region eu-west-1"),
        (403, "AccessDenied", Class::Denied, "refused"),
    ] {
        let aws = FakeAws::default();
        for operation in ["GetObject", "PutObject", "ListObjectVersions"] {
            aws.fault(operation, Fault::Refused(status, code));
        }
        let store = aws.store();
        let load = store.load().await.unwrap_err();
        let save = store.save(&snapshot(1), None, &always).await.unwrap_err();
        let list = store.versions().await.unwrap_err();
        for failure in [load, save, list] {
            assert!(failure.message.starts_with(expected), "{failure}");
            assert_eq!(failure.class, class);
            assert!(failure.hint.is_some(), "{failure}");
        }
        assert_eq!(aws.calls("PutObject").len(), 1, "{code} was retried");
    }
}

#[tokio::test(start_paused = true)]
async fn unreadable_snapshot_error_names_its_url() {
    let aws = FakeAws::default();
    aws.put(Some(b"{}".to_vec()));
    let failure = aws.store().load().await.unwrap_err();
    assert_eq!(failure.to_string(), "read s3://states/api/staging/state.json: this is not a pb-deploy snapshot");
}

#[tokio::test(start_paused = true)]
async fn versions_are_listed_and_loaded() {
    let aws = FakeAws::default();
    for serial in 1..=4 {
        aws.put_snapshot(&snapshot(serial));
    }
    let store = aws.store();
    let versions = store.versions().await.unwrap();
    let ids: Vec<&str> = versions.iter().map(|version| version.id.as_str()).collect();
    assert_eq!(ids, ["v3", "v2", "v1", "v0"], "pages are missing, or other keys are included");
    assert_eq!((versions[0].latest, versions[1].latest), (true, false));
    assert_eq!((versions[0].written.as_str(), versions[0].bytes), ("2026-01-02T03:04:05Z", 9));
    assert_eq!(store.version("v1").await.unwrap(), snapshot(2));
    for missing in ["v9", "nonsense"] {
        let failure = store.version(missing).await.unwrap_err();
        assert_eq!(failure.class, Class::NotFound);
        assert!(failure.message.ends_with(&format!("has no version {missing}")), "{failure}");
    }
}

#[tokio::test(start_paused = true)]
async fn restored_version_has_the_highest_serial_and_token() {
    let aws = FakeAws::default();
    let write = |serial, fence| aws.put_snapshot(&Snapshot { fence, ..snapshot(serial) });
    write(4, 7);
    write(5, 8);
    aws.put(Some(b"garbage".to_vec()));
    aws.put(Some(b"more".to_vec()));
    let options = crate::AcquireOptions::new("ana", "state restore");
    let restored = crate::restore(&aws.store(), &aws.leases(), &options, "v0").await.unwrap();
    assert_eq!((restored.serial, restored.fence), (5 + 2 + 1, 8 + 2 + 1));
    assert_eq!(aws.snapshot().unwrap(), restored);
    assert_eq!(aws.calls("PutObject")[0].headers["if-match"], "\"etag-4\"");
    let item = aws.item().unwrap();
    assert_eq!(item["fence"]["N"], "11", "the token in the table was not raised");
    assert!(!item.contains_key("holder"), "the lease was not released");
    aws.put(None);
    crate::restore(&aws.store(), &aws.leases(), &options, "v4").await.unwrap();
    assert_eq!(aws.snapshot().unwrap().serial, 9);
    let failure = crate::restore(&aws.store(), &aws.leases(), &options, "v2").await.unwrap_err();
    assert!(failure.message.contains("corrupt"), "{failure}");
    assert!(!aws.item().unwrap().contains_key("holder"), "the lease was not released");
}

#[tokio::test(start_paused = true)]
async fn conditional_writes_are_probed_beside_the_state() {
    let aws = FakeAws::default();
    aws.put_snapshot(&snapshot(1));
    let there = aws.object();
    assert!(matches!(aws.store().probe_conditional_writes().await.unwrap(), ConditionalWrites::Enforced));
    for (status, code) in [(412, "PreconditionFailed"), (409, "ConditionalRequestConflict"), (412, "")] {
        aws.fault("PutObject", Fault::Refused(status, code));
        assert!(matches!(aws.store().probe_conditional_writes().await.unwrap(), ConditionalWrites::Enforced), "{code}");
    }
    aws.fault("PutObject", Fault::Refused(501, "NotImplemented"));
    let ConditionalWrites::Ignored(failure) = aws.store().probe_conditional_writes().await.unwrap() else {
        panic!("unsupported conditions count as enforced")
    };
    assert!(failure.message.contains("bucket states does not support conditional writes"), "{failure}");
    for (status, code) in [(403, "AccessDenied"), (404, "NoSuchBucket"), (301, "PermanentRedirect")] {
        aws.fault("PutObject", Fault::Refused(status, code));
        aws.store().probe_conditional_writes().await.unwrap_err();
    }
    assert_eq!((aws.object(), aws.beside()), (there.clone(), Vec::new()));
    aws.ignore_conditions();
    let ConditionalWrites::Ignored(failure) = aws.store().probe_conditional_writes().await.unwrap() else {
        panic!("ignored conditions count as enforced")
    };
    assert!(failure.message.contains("ignores conditional writes"), "{failure}");
    assert_eq!((aws.object(), aws.beside()), (there, Vec::new()), "the probe was not deleted");
    aws.fault("DeleteObject", Fault::Refused(403, "AccessDenied"));
    let ConditionalWrites::Ignored(failure) = aws.store().probe_conditional_writes().await.unwrap() else {
        panic!("ignored conditions count as enforced")
    };
    assert!(failure.message.contains("state.json.probe, which this check wrote and could not delete"), "{failure}");
}

#[test]
fn lock_id_never_collides_with_a_terraform_lock() {
    let location = FakeAws::location();
    let id = location.lock_id();
    // Terraform's lock ids are `BUCKET/KEY` and `BUCKET/KEY-md5`, and bucket names contain no colon.
    assert!(id.split('/').next().unwrap().contains(':'), "{id}");
    let other = crate::StateLocation {
        owner: Ownership { workspace: "production".into(), ..location.owner.clone() },
        ..location
    };
    assert_eq!(other.lock_id(), id, "one object has two leases");
}
