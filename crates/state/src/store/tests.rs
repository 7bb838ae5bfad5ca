use super::TRIES;
use crate::Conditions;
use crate::simulated::{What, World};
use pb_engine::{Class, Failure, Ownership, Snapshot};
use std::sync::atomic::{AtomicUsize, Ordering};

fn snapshot(serial: u64) -> Snapshot {
    Snapshot { lineage: "l".into(), serial, fence: 1, ..Snapshot::default() }
}

fn always() -> Result<(), Failure> {
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_first_write_is_made_only_if_nothing_is_there() {
    let world = World::default();
    let loaded = world.store().load().await.unwrap();
    assert_eq!((loaded.snapshot, loaded.etag), (Snapshot::default(), None));
    let etag = world.store().save(&snapshot(1), None, &always).await.unwrap();
    let put = &world.calls("PutObject")[0];
    assert_eq!(put.headers["if-none-match"], "*");
    assert_eq!(put.headers.get("if-match"), None);
    assert_eq!(put.headers["x-amz-server-side-encryption"], "AES256");
    assert_eq!(put.headers["content-type"], "application/json");
    assert!(put.uri.starts_with("https://states.s3.us-east-2.amazonaws.com/api/staging/state.json"), "{}", put.uri);
    let loaded = world.store().load().await.unwrap();
    assert_eq!((loaded.snapshot, loaded.etag), (snapshot(1), Some(etag)));
}

#[tokio::test(start_paused = true)]
async fn each_later_write_names_what_it_follows() {
    let world = World::default();
    let etag = world.store().save(&snapshot(1), None, &always).await.unwrap();
    world.store().save(&snapshot(2), Some(&etag), &always).await.unwrap();
    let put = &world.calls("PutObject")[1];
    assert_eq!(put.headers["if-match"], etag);
    assert_eq!(put.headers.get("if-none-match"), None);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_of_ones_own_has_the_bucket_in_the_path() {
    let world = World::default();
    let config = world.config().into_builder().endpoint_url("http://endpoint.test:5000").build();
    super::Store::new(&config, &World::place()).save(&snapshot(1), None, &always).await.unwrap();
    let uri = &world.calls("PutObject")[0].uri;
    assert!(uri.starts_with("http://endpoint.test:5000/states/api/staging/state.json"), "{uri}");
}

#[tokio::test(start_paused = true)]
async fn what_another_wrote_is_not_overwritten() {
    let changes: [fn(&World); 2] = [|world| world.put_snapshot(&snapshot(9)), |world| world.put(None)];
    for change in changes {
        let world = World::default();
        let etag = world.store().save(&snapshot(1), None, &always).await.unwrap();
        change(&world);
        let there = world.object();
        let failure = world.store().save(&snapshot(2), Some(&etag), &always).await.unwrap_err();
        assert_eq!(failure.class, Class::Locked);
        assert!(failure.message.contains("was changed by another"), "{failure}");
        assert_eq!(world.object(), there);
        assert_eq!(world.calls("PutObject").len(), 2, "it was tried again");
    }
    let world = World::default();
    world.put_snapshot(&snapshot(9));
    let failure = world.store().save(&snapshot(1), None, &always).await.unwrap_err();
    assert_eq!(failure.class, Class::Locked);
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_was_lost_is_found() {
    for (first, puts) in [(What::AnswerLost, 1), (What::Broken, 2), (What::Refused(500, "InternalError"), 2)] {
        let world = World::default();
        world.fault("PutObject", first);
        let etag = world.store().save(&snapshot(1), None, &always).await.unwrap();
        assert_eq!(world.calls("PutObject").len(), puts);
        let loaded = world.store().load().await.unwrap();
        assert_eq!((loaded.snapshot, loaded.etag), (snapshot(1), Some(etag)));
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_lost_answer_another_ones_write_is_seen() {
    let world = World::default();
    let etag = world.store().save(&snapshot(1), None, &always).await.unwrap();
    world.fault("PutObject", What::Broken);
    let other = crate::encode(&snapshot(9), &World::place().owner).unwrap();
    world.fault("GetObject", What::After(other));
    let failure = world.store().save(&snapshot(2), Some(&etag), &always).await.unwrap_err();
    assert_eq!(failure.class, Class::Locked);
    assert_eq!(world.calls("PutObject").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_race_is_looked_into() {
    let world = World::default();
    let etag = world.store().save(&snapshot(1), None, &always).await.unwrap();
    world.fault("PutObject", What::Refused(409, "ConditionalRequestConflict"));
    world.store().save(&snapshot(2), Some(&etag), &always).await.unwrap();
    assert_eq!((world.calls("PutObject").len(), world.calls("GetObject").len()), (3, 1));
    assert_eq!(world.snapshot().unwrap().serial, 2);
}

#[tokio::test(start_paused = true)]
async fn each_try_is_allowed_and_the_sdk_repeats_none() {
    let world = World::default();
    world.fault("PutObject", What::Refused(503, "SlowDown"));
    let asked = AtomicUsize::new(0);
    let once = || match asked.fetch_add(1, Ordering::Relaxed) {
        0 => Ok(()),
        _ => Err(Failure::new(Class::Locked, "keep the lease", "gone")),
    };
    let failure = world.store().save(&snapshot(1), None, &once).await.unwrap_err();
    assert_eq!(failure.message, "gone");
    assert_eq!(world.calls("PutObject").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn tries_have_an_end() {
    let world = World::default();
    for _ in 0..20 {
        world.fault("PutObject", What::Refused(503, "SlowDown"));
    }
    let failure = world.store().save(&snapshot(1), None, &always).await.unwrap_err();
    assert_eq!(failure.class, Class::Throttled);
    assert_eq!(world.calls("PutObject").len(), usize::try_from(TRIES).unwrap());
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_the_bucket_is_said_in_words() {
    for (status, code, class, said) in [
        (404, "NoSuchBucket", Class::NotFound, "there is no bucket states"),
        (301, "PermanentRedirect", Class::Refused, "bucket states is in region eu-west-1"),
        (400, "AuthorizationHeaderMalformed", Class::Refused, "bucket states is in region eu-west-1"),
        (403, "AccessDenied", Class::Denied, "refused"),
    ] {
        let world = World::default();
        for operation in ["GetObject", "PutObject", "ListObjectVersions"] {
            world.fault(operation, What::Refused(status, code));
        }
        let store = world.store();
        let load = store.load().await.unwrap_err();
        let save = store.save(&snapshot(1), None, &always).await.unwrap_err();
        let list = store.versions().await.unwrap_err();
        for failure in [load, save, list] {
            assert!(failure.message.starts_with(said), "{failure}");
            assert_eq!(failure.class, class);
            assert!(failure.hint.is_some(), "{failure}");
        }
        assert_eq!(world.calls("PutObject").len(), 1, "{code} was tried again");
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_names_its_place() {
    let world = World::default();
    world.put(Some(b"{}".to_vec()));
    let failure = world.store().load().await.unwrap_err();
    assert_eq!(failure.to_string(), "read s3://states/api/staging/state.json: this is no snapshot of pb-deploy");
}

#[tokio::test(start_paused = true)]
async fn versions_are_listed_and_read() {
    let world = World::default();
    for serial in 1..=4 {
        world.put_snapshot(&snapshot(serial));
    }
    let store = world.store();
    let versions = store.versions().await.unwrap();
    let ids: Vec<&str> = versions.iter().map(|version| version.id.as_str()).collect();
    assert_eq!(ids, ["v3", "v2", "v1", "v0"], "all pages, and our key only");
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
async fn a_restored_version_has_a_serial_and_a_fence_above_all() {
    let world = World::default();
    let write = |serial, fence| world.put_snapshot(&Snapshot { fence, ..snapshot(serial) });
    write(4, 7);
    write(5, 8);
    world.put(Some(b"garbage".to_vec()));
    world.put(Some(b"more".to_vec()));
    let claim = crate::Claim::new("ana", "state restore");
    let restored = crate::restore(&world.store(), &world.leases(), &claim, "v0").await.unwrap();
    assert_eq!((restored.serial, restored.fence), (5 + 2 + 1, 8 + 2 + 1));
    assert_eq!(world.snapshot().unwrap(), restored);
    assert_eq!(world.calls("PutObject")[0].headers["if-match"], "\"etag-4\"");
    let item = world.item().unwrap();
    assert_eq!(item["fence"]["N"], "11", "the next holder has a higher one");
    assert!(!item.contains_key("holder"), "the lease was released");
    world.put(None);
    crate::restore(&world.store(), &world.leases(), &claim, "v4").await.unwrap();
    assert_eq!(world.snapshot().unwrap().serial, 9);
    let failure = crate::restore(&world.store(), &world.leases(), &claim, "v2").await.unwrap_err();
    assert!(failure.message.contains("corrupt"), "{failure}");
    assert!(!world.item().unwrap().contains_key("holder"), "the lease was released");
}

#[tokio::test(start_paused = true)]
async fn conditions_are_probed_beside_the_state() {
    let world = World::default();
    world.put_snapshot(&snapshot(1));
    let there = world.object();
    assert!(matches!(world.store().conditions().await.unwrap(), Conditions::Obeyed));
    for (status, code) in [(412, "PreconditionFailed"), (409, "ConditionalRequestConflict"), (412, "")] {
        world.fault("PutObject", What::Refused(status, code));
        assert!(matches!(world.store().conditions().await.unwrap(), Conditions::Obeyed), "{code}");
    }
    world.fault("PutObject", What::Refused(501, "NotImplemented"));
    let Conditions::Ignored(failure) = world.store().conditions().await.unwrap() else { panic!("not known is obeyed") };
    assert!(failure.message.contains("bucket states does not support the conditions"), "{failure}");
    for (status, code) in [(403, "AccessDenied"), (404, "NoSuchBucket"), (301, "PermanentRedirect")] {
        world.fault("PutObject", What::Refused(status, code));
        world.store().conditions().await.unwrap_err();
    }
    assert_eq!((world.object(), world.beside()), (there.clone(), Vec::new()));
    world.ignore_conditions();
    let Conditions::Ignored(failure) = world.store().conditions().await.unwrap() else { panic!("ignored is obeyed") };
    assert!(failure.message.contains("ignores the conditions of writes"), "{failure}");
    assert_eq!((world.object(), world.beside()), (there, Vec::new()), "what was written is deleted again");
    world.fault("DeleteObject", What::Refused(403, "AccessDenied"));
    let Conditions::Ignored(failure) = world.store().conditions().await.unwrap() else { panic!("ignored is obeyed") };
    assert!(failure.message.contains("state.json.probe that this check wrote could not be deleted"), "{failure}");
}

#[test]
fn the_name_of_a_lease_is_never_that_of_a_lock_of_terraform() {
    let place = World::place();
    let id = place.lock_id();
    // Terraform's are `BUCKET/KEY` and `BUCKET/KEY-md5`; the name of a bucket has no colon.
    assert!(id.split('/').next().unwrap().contains(':'), "{id}");
    let other = crate::Place { owner: Ownership { workspace: "production".into(), ..place.owner.clone() }, ..place };
    assert_eq!(other.lock_id(), id, "one object, one lease");
}
