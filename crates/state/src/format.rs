//! Encoding of a snapshot as a JSON object with a checksum.
//!
//! ```json
//! {
//!   "format": 1,
//!   "checksum": "64 hexadecimal digits",
//!   "stack": "api",
//!   "workspace": "production",
//!   "snapshot": {
//!     "lineage": "…", "serial": 7, "fence": 3, "account": "123456789012", "region": "us-east-2", "resources": {}
//!   }
//! }
//! ```
//!
//! `account` and `region` are those of the resources. Snapshots that were written by a version that did not record them
//! lack both fields; the next write adds them.
//!
//! The checksum is the SHA-256 of exactly the stored bytes, with zeros in place of the checksum. It therefore detects a
//! change of any byte, including white space, and a later version can verify a snapshot without encoding it as an
//! earlier version did.

use crate::probe;
use pb_engine::{Class, Failure, Ownership, Refusal, Snapshot};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// Number of the format in which snapshots are written.
const FORMAT: u64 = 1;
/// Text with which every snapshot starts, up to the checksum.
const HEAD: &str = "{\n  \"format\": 1,\n  \"checksum\": \"";
/// Placeholder for the checksum while it is computed.
const ZEROS: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// Name of the operation in decoding failures.
const READ: &str = "read the snapshot";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<S> {
    format: u64,
    checksum: String,
    stack: String,
    workspace: String,
    snapshot: S,
}

/// Encodes `snapshot`, which belongs to the workspace `owner`.
///
/// # Errors
/// `Bug` if the snapshot cannot be represented in JSON.
pub fn encode(snapshot: &Snapshot, owner: &Ownership) -> Result<Vec<u8>, Failure> {
    let envelope = Envelope {
        format: FORMAT,
        checksum: ZEROS.to_owned(),
        stack: owner.stack.clone(),
        workspace: owner.workspace.clone(),
        snapshot,
    };
    let bug = |what: String| Failure::new(Class::Bug, "write the snapshot", what);
    let mut text = serde_json::to_string_pretty(&envelope).map_err(|error| bug(error.to_string()))?;
    text.push('\n');
    let checksum = checksum(text.as_bytes());
    match text.strip_prefix(HEAD).and_then(|rest| rest.strip_prefix(ZEROS)) {
        Some(rest) => Ok(format!("{HEAD}{checksum}{rest}").into_bytes()),
        None => Err(bug("it does not start with the expected header".to_owned())),
    }
}

/// Decodes `bytes`, which must contain a snapshot of the workspace `owner`.
///
/// # Errors
/// `Refused`, with a hint, if the bytes are not JSON, are truncated, were modified by another program, have a newer
/// format, belong to another stack or workspace, or are a Terraform state file.
pub fn decode(bytes: &[u8], owner: &Ownership) -> Result<Snapshot, Failure> {
    let value = parse(bytes)?;
    check_checksum(bytes)?;
    parse_envelope(value, owner)
}

/// Decodes `bytes` like [`decode`], but ignores the checksum, because a person may have edited the bytes.
///
/// # Errors
/// The same as for [`decode`], except that a wrong checksum is accepted.
pub fn decode_edited(bytes: &[u8], owner: &Ownership) -> Result<Snapshot, Failure> {
    parse_envelope(parse(bytes)?, owner)
}

fn parse(bytes: &[u8]) -> Result<Value, Failure> {
    let value: Value = serde_json::from_slice(bytes).map_err(|error| invalid_json(bytes, &error))?;
    check_format(&value)?;
    Ok(value)
}

fn parse_envelope(value: Value, owner: &Ownership) -> Result<Snapshot, Failure> {
    let envelope: Envelope<Value> = serde_json::from_value(value).map_err(|error| incompatible(&error))?;
    if envelope.stack != owner.stack || envelope.workspace != owner.workspace {
        return Err(other_owner(&envelope, owner));
    }
    serde_json::from_value(envelope.snapshot).map_err(|error| incompatible(&error))
}

/// Returns the SHA-256 of `bytes` in hexadecimal digits.
fn checksum(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(ZEROS.len());
    for byte in Sha256::digest(bytes) {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn check_checksum(bytes: &[u8]) -> Result<(), Failure> {
    let parts = bytes.strip_prefix(HEAD.as_bytes()).and_then(|rest| rest.split_at_checked(ZEROS.len()));
    let Some((written, rest)) = parts else {
        return Err(corrupt("it was rewritten by another program"));
    };
    let checked = checksum(&[HEAD.as_bytes(), ZEROS.as_bytes(), rest].concat());
    if written == checked.as_bytes() { Ok(()) } else { Err(corrupt("its checksum is wrong")) }
}

fn check_format(value: &Value) -> Result<(), Failure> {
    if value.get("terraform_version").is_some() {
        let hint = "pb-deploy keeps a state of its own: choose another key for it with `state.key_prefix`";
        return Err(refused("this is a Terraform state file").hint(hint));
    }
    if value.get(probe::FIELD).is_some() {
        let message = "this object was written by a check of the store, because the store ignores conditional writes";
        return Err(refused(message).hint(
            "delete this object, and keep the state in Amazon S3 or in a store that honours If-Match and If-None-Match",
        ));
    }
    match value.get("format").and_then(Value::as_u64) {
        Some(FORMAT) => Ok(()),
        Some(newer) if newer > FORMAT => {
            let message = format!("it has format {newer} of a newer pb-deploy; this version reads format {FORMAT}");
            Err(refused(&message).hint("update pb-deploy"))
        }
        _ => Err(refused("this is not a pb-deploy snapshot")
            .hint("move this object away, or choose another key for the state with `state.key_prefix`")),
    }
}

fn invalid_json(bytes: &[u8], error: &serde_json::Error) -> Failure {
    match error.classify() {
        _ if bytes.is_empty() => corrupt("it is empty"),
        serde_json::error::Category::Eof => corrupt("it is truncated"),
        _ => corrupt(&format!("it is not JSON: {error}")),
    }
}

fn other_owner(envelope: &Envelope<Value>, owner: &Ownership) -> Failure {
    let message = format!(
        "it belongs to stack {:?}, workspace {:?}; expected stack {:?}, workspace {:?}",
        envelope.stack, envelope.workspace, owner.stack, owner.workspace
    );
    refused(&message)
        .hint("each stack and workspace has its own snapshot: correct the stack name or the key of the state")
}

fn incompatible(error: &serde_json::Error) -> Failure {
    refused(&format!("it is intact, but this version cannot read it: {error}"))
        .hint("it was written by another version of pb-deploy: use that version or a later one")
}

fn corrupt(what: &str) -> Failure {
    refused(&format!("it is corrupt: {what}")).hint(
        "restore an earlier version with `pb-deploy state restore`; if there is none, move the object away: resources \
         are found again by their ownership tags",
    )
}

fn refused(message: &str) -> Failure {
    Failure::refused(Refusal::StateUnreadable, READ, message)
}

#[cfg(test)]
mod tests {
    use super::{checksum, decode, encode};
    use pb_engine::{
        Action, Address, Class, Intent, Intents, Operation, Order, Ownership, Record, ReleaseOutcome, Snapshot,
    };
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn owner() -> Ownership {
        Ownership { stack: "api".into(), workspace: "staging".into() }
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<i32>().prop_map(|quarters| Value::from(f64::from(quarters) / 4.0)),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..4).prop_map(|map| json!(map)),
            ]
        })
    }

    fn actions() -> impl Strategy<Value = Action> {
        prop_oneof![
            Just(Action::NoOp),
            Just(Action::Create),
            Just(Action::Update),
            Just(Action::Delete),
            Just(Action::Wait),
            Just(Action::Replace { order: Order::CreateBeforeDestroy }),
            Just(Action::Replace { order: Order::DestroyBeforeCreate }),
        ]
    }

    fn operations() -> impl Strategy<Value = Operation> {
        prop_oneof![Just(Operation::Deploy), Just(Operation::Destroy), Just(Operation::Scale)]
    }

    prop_compose! {
        fn records()(kind in any::<String>(), spec in values(), attrs in values(), ready: bool) -> Record {
            Record { kind, spec, attrs, ready }
        }
    }

    fn addresses() -> impl Strategy<Value = Address> {
        "[a-z0-9_-]{1,6}/[a-z0-9_-]{1,6}".prop_map(|text| Address::new(text).unwrap())
    }

    prop_compose! {
        fn intents()(
            plan in any::<String>(),
            operation in operations(),
            steps in prop::collection::vec((addresses(), any::<String>(), actions(), prop::option::of(values())), 0..4),
            written: bool,
        ) -> Intents {
            let steps = steps.into_iter().map(|(address, kind, action, was)| {
                // JSON does not distinguish a missing value from null.
                Intent { address, kind, action, was: was.filter(|was| !was.is_null()) }
            });
            Intents { plan, operation, steps: steps.collect(), written }
        }
    }

    prop_compose! {
        fn snapshots()(
            lineage in any::<String>(),
            serial: u64,
            fence: u64,
            account in prop::option::of(any::<String>()),
            region in prop::option::of(any::<String>()),
            resources in prop::collection::btree_map(addresses(), records(), 0..4),
            intents in prop::option::of(intents()),
            outputs in prop::collection::btree_map(any::<String>(), values(), 0..3),
            applied in prop::collection::vec(any::<String>(), 0..3),
        ) -> Snapshot {
            Snapshot {
                lineage, serial, fence, account, region, resources, intents, outputs, applied, ..Snapshot::default()
            }
        }
    }

    proptest! {
        #[test]
        fn snapshot_round_trips(snapshot in snapshots()) {
            let bytes = encode(&snapshot, &owner()).unwrap();
            prop_assert_eq!(decode(&bytes, &owner()).unwrap(), snapshot);
        }

        #[test]
        fn snapshot_with_a_changed_byte_is_refused(snapshot in snapshots(), at: prop::sample::Index, flip in 1_u8..) {
            let mut bytes = encode(&snapshot, &owner()).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            prop_assert_eq!(decode(&bytes, &owner()).unwrap_err().class, Class::Refused);
        }

        #[test]
        fn truncated_snapshot_is_refused_as_corrupt(snapshot in snapshots(), len: prop::sample::Index) {
            let bytes = encode(&snapshot, &owner()).unwrap();
            let failure = decode(&bytes[..len.index(bytes.len())], &owner()).unwrap_err();
            prop_assert!(failure.message.contains("corrupt"), "{}", failure);
        }
    }

    #[test]
    fn every_byte_of_a_snapshot_is_checked() {
        let bytes = include_bytes!("../tests/fixtures/format-1.json");
        for at in 0..bytes.len() {
            for flip in [1, 2, 0x20, 0x80] {
                let mut changed = bytes.to_vec();
                changed[at] ^= flip;
                assert!(decode(&changed, &owner()).is_err(), "the change of byte {at} was not detected");
            }
            assert!(decode(&bytes[..at], &owner()).is_err(), "the first {at} bytes were accepted as a snapshot");
        }
    }

    #[test]
    fn format_1_still_loads() {
        let snapshot = decode(include_bytes!("../tests/fixtures/format-1.json"), &owner()).unwrap();
        assert_eq!((snapshot.serial, snapshot.fence, snapshot.resources.len()), (7, 3, 2));
        let vpc = &snapshot.resources[&Address::new("net/vpc").unwrap()];
        assert_eq!((vpc.kind.as_str(), vpc.ready), ("ec2.vpc", true));
        assert_eq!(vpc.attrs["id"], "vpc-0123456789abcdef0");
        let steps = snapshot.intents.unwrap().steps;
        assert_eq!((steps.len(), &steps[2].was), (6, &Some(json!({"arn": "arn:aws:tg/1"}))));
        assert_eq!(snapshot.outputs["url"], "http://staging.example.org");
        assert_eq!(snapshot.applied, ["0b0e2a52-2f39-4b0e-9b0f-3f1d7b1a9c11"]);
    }

    /// A snapshot with later additions to the format: releases, manually set counts, more actions.
    #[test]
    fn format_1_with_releases_still_loads() {
        let snapshot = decode(include_bytes!("../tests/fixtures/format-1-releases.json"), &owner()).unwrap();
        assert_eq!((snapshot.serial, snapshot.fence, snapshot.resources.len()), (42, 9, 1));
        let celery = Address::new("fargate/celery").unwrap();
        let actions: Vec<Action> = snapshot.intents.unwrap().steps.iter().map(|step| step.action).collect();
        assert_eq!(actions, [Action::Adopt, Action::Forget, Action::Untargeted, Action::NoOp]);
        let releases: Vec<_> = snapshot.releases.iter().map(|release| &release.services[&celery]).collect();
        assert_eq!((&releases[0].from, releases[0].image.as_deref()), (&None, Some("v1")));
        assert_eq!(
            (releases[1].from.as_deref(), releases[1].to.as_str()),
            (Some("staging-celery:2"), "staging-celery:3")
        );
        assert_eq!(snapshot.releases[1].operation, Operation::Rollback);
        assert_eq!(releases[1].outcome, ReleaseOutcome::NotWaited);
        assert_eq!((snapshot.scaled[&celery].count, snapshot.scaled[&celery].configured), (8, 4));
    }

    /// A snapshot written by a version that recorded the outcome of a release only as text.
    #[test]
    fn format_1_with_an_interrupted_rollout_still_loads() {
        let snapshot = decode(include_bytes!("../tests/fixtures/format-1-interrupted.json"), &owner()).unwrap();
        let flask = Address::new("fargate/flask").unwrap();
        let outcomes = snapshot.releases.iter().map(|release| &release.services[&flask].outcome);
        let [failed, gave_up, interrupted] = outcomes.collect::<Vec<_>>()[..] else { panic!("three releases") };
        assert!(matches!(failed, ReleaseOutcome::Failed(why) if why.starts_with("ECS deployment circuit breaker")));
        assert!(matches!(gave_up, ReleaseOutcome::GaveUp(why) if why.starts_with("gave up after 1800 s")));
        assert_eq!(interrupted, &ReleaseOutcome::Interrupted);
        assert!(!snapshot.intents.unwrap().written);
    }

    #[test]
    fn format_1_with_account_and_region_still_loads() {
        let bytes = include_bytes!("../tests/fixtures/format-1-home.json");
        let snapshot = decode(bytes, &owner()).unwrap();
        assert_eq!(
            (snapshot.account.as_deref(), snapshot.region.as_deref()),
            (Some("123456789012"), Some("us-east-2"))
        );
        assert_eq!(decode(&encode(&snapshot, &owner()).unwrap(), &owner()).unwrap(), snapshot);
        let older = decode(include_bytes!("../tests/fixtures/format-1-releases.json"), &owner()).unwrap();
        assert_eq!((&older.account, &older.region), (&None, &None));
    }

    #[test]
    fn invalid_content_has_a_specific_message() {
        let sealed = |text: &str| {
            let zeros = "0".repeat(64);
            let zeroed = text.replace("SUM", &zeros);
            text.replace("SUM", &checksum(zeroed.as_bytes())).into_bytes()
        };
        let head = "{\n  \"format\": 1,\n  \"checksum\": \"SUM\",\n";
        let other = encode(&Snapshot::default(), &Ownership { workspace: "production".into(), ..owner() }).unwrap();
        let compact = format!(r#"{{"format":1,"checksum":"{}","stack":"api"}}"#, "0".repeat(64));
        for (bytes, expected) in [
            (Vec::new(), "it is corrupt: it is empty"),
            (b"hello".to_vec(), "it is corrupt: it is not JSON"),
            (br#"{"format": 1, "#.to_vec(), "it is corrupt: it is truncated"),
            (br#"{"format": 2}"#.to_vec(), "it has format 2 of a newer pb-deploy"),
            (br#"{"version": 4, "terraform_version": "1.9.0"}"#.to_vec(), "this is a Terraform state file"),
            (b"[]".to_vec(), "this is not a pb-deploy snapshot"),
            (crate::probe::BODY.as_bytes().to_vec(), "this object was written by a check of the store"),
            (br#"{"format": "1"}"#.to_vec(), "this is not a pb-deploy snapshot"),
            (compact.into_bytes(), "it is corrupt: it was rewritten by another program"),
            (other, r#"it belongs to stack "api", workspace "production""#),
            (sealed(&format!("{head}  \"stack\": \"api\"\n}}\n")), "it is intact, but this version cannot read it"),
        ] {
            let failure = decode(&bytes, &owner()).unwrap_err();
            assert!(failure.message.starts_with(expected), "{failure}");
            assert_eq!(failure.class, Class::Refused);
            assert!(failure.hint.is_some(), "{failure}");
        }
    }
}
