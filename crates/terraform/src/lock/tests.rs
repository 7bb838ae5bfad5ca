//! Tests of the locks with typed mocks: both locks are acquired, and an acquired lock is released whatever fails later.

use super::digest::{DigestItem, StateDigest};
use super::file::LockFile;
use super::holder::Info;
use super::table::LockItem;
use super::{Class, Lock};
use aws_sdk_dynamodb::operation::delete_item::DeleteItemOutput;
use aws_sdk_dynamodb::operation::get_item::GetItemOutput;
use aws_sdk_dynamodb::operation::put_item::{PutItemError, PutItemOutput};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_s3::operation::delete_object::DeleteObjectOutput;
use aws_sdk_s3::operation::get_object::{GetObjectError, GetObjectOutput};
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::operation::list_object_versions::ListObjectVersionsOutput;
use aws_sdk_s3::operation::put_object::{PutObjectError, PutObjectOutput};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ObjectVersion, ServerSideEncryption};
use aws_smithy_mocks::{Rule, mock};
use aws_types::region::Region;

const OPERATION: &str = "pb-deploy adopt s/w";

fn text(operation: &str, id: &str) -> String {
    let info = Info { id: id.to_owned(), ..Info::new("ana@build", operation, "b/k".to_owned()) };
    serde_json::to_string(&info).unwrap()
}

fn lock(files: &[&Rule], items: &[&Rule], ours: &str) -> Lock {
    let s3 = pb_aws::mock_client!(aws_sdk_s3, files.iter().copied());
    let dynamodb = pb_aws::mock_client!(aws_sdk_dynamodb, items.iter().copied());
    Lock {
        file: LockFile::new(s3, "b", "k", ours.to_owned()),
        item: LockItem::new(dynamodb, "locks", "b/k".to_owned(), ours.to_owned()),
    }
}

fn refused_put(code: &'static str) -> Rule {
    let meta = move || aws_sdk_s3::error::ErrorMetadata::builder().code(code).message("no").build();
    mock!(aws_sdk_s3::Client::put_object)
        .match_requests(|call| call.if_none_match() == Some("*"))
        .then_error(move || PutObjectError::generic(meta()))
}

fn put() -> Rule {
    mock!(aws_sdk_s3::Client::put_object)
        .match_requests(|call| call.key() == Some("k.tflock") && call.if_none_match() == Some("*"))
        .then_output(|| PutObjectOutput::builder().build())
}

fn get(text: String) -> Rule {
    mock!(aws_sdk_s3::Client::get_object).match_requests(|call| call.key() == Some("k.tflock")).then_output(move || {
        GetObjectOutput::builder().e_tag("\"e\"").body(ByteStream::from(text.clone().into_bytes())).build()
    })
}

fn delete() -> Rule {
    mock!(aws_sdk_s3::Client::delete_object)
        .match_requests(|call| call.key() == Some("k.tflock"))
        .then_output(|| DeleteObjectOutput::builder().build())
}

fn put_item() -> Rule {
    mock!(aws_sdk_dynamodb::Client::put_item).then_output(|| PutItemOutput::builder().build())
}

fn held_item(info: String) -> [Rule; 2] {
    let code = "ConditionalCheckFailedException";
    let meta = move || aws_sdk_dynamodb::error::ErrorMetadata::builder().code(code).message("no").build();
    let held = move || PutItemError::generic(meta());
    let get = mock!(aws_sdk_dynamodb::Client::get_item)
        .then_output(move || GetItemOutput::builder().item("Info", AttributeValue::S(info.clone())).build());
    [mock!(aws_sdk_dynamodb::Client::put_item).then_error(held), get]
}

#[tokio::test]
async fn both_locks_are_acquired_and_released() {
    let ours = text(OPERATION, "1");
    let (put, get, delete, put_item) = (put(), get(ours.clone()), delete(), put_item());
    let delete_item = mock!(aws_sdk_dynamodb::Client::delete_item).then_output(|| DeleteItemOutput::builder().build());
    let lock = lock(&[&put, &get, &delete], &[&put_item, &delete_item], &ours);
    lock.acquire_both(OPERATION).await.unwrap().release().await.unwrap();
    assert_eq!((put.num_calls(), put_item.num_calls()), (1, 1));
    assert_eq!((delete.num_calls(), delete_item.num_calls()), (1, 1));
}

#[tokio::test]
async fn held_item_refuses_and_releases_the_file() {
    let ours = text(OPERATION, "1");
    let (put, get, delete) = (put(), get(ours.clone()), delete());
    let [put_item, get_item] = held_item(text("OperationTypeApply", "2"));
    let failure =
        lock(&[&put, &get, &delete], &[&put_item, &get_item], &ours).acquire_both(OPERATION).await.unwrap_err();
    assert_eq!(failure.class, Class::Locked);
    assert!(failure.message.contains("ana@build") && failure.message.contains("id 2"), "{failure}");
    assert_eq!(delete.num_calls(), 1);
}

#[tokio::test]
async fn held_file_refuses_before_the_item_is_tried() {
    let ours = text(OPERATION, "1");
    for code in ["PreconditionFailed", "ConditionalRequestConflict"] {
        let (put, get) = (refused_put(code), get(text("OperationTypePlan", "2")));
        let failure = lock(&[&put, &get], &[], &ours).acquire_both(OPERATION).await.unwrap_err();
        assert_eq!(failure.class, Class::Locked);
        assert!(failure.message.contains("s3://b/k.tflock") && failure.message.contains("ana@build"), "{failure}");
        assert!(failure.hint.unwrap().contains("terraform force-unlock 2"));
    }
}

#[tokio::test]
async fn file_of_an_interrupted_run_is_replaced_by_its_etag() {
    let ours = text(OPERATION, "1");
    let (held, get) = (refused_put("PreconditionFailed"), get(text(OPERATION, "0")));
    let over = mock!(aws_sdk_s3::Client::put_object)
        .match_requests(|call| call.if_match() == Some("\"e\""))
        .then_output(|| PutObjectOutput::builder().build());
    lock(&[&held, &get, &over], &[&put_item()], &ours).acquire_both(OPERATION).await.unwrap();
    assert_eq!(over.num_calls(), 1);
}

#[tokio::test]
async fn file_with_a_lost_put_response_is_held() {
    let ours = text(OPERATION, "1");
    let (held, get) = (refused_put("PreconditionFailed"), get(ours.clone()));
    lock(&[&held, &get], &[&put_item()], &ours).acquire_both(OPERATION).await.unwrap();
    assert_eq!(held.num_calls(), 1);
}

#[tokio::test]
async fn file_has_the_encryption_of_the_state() {
    let key = "arn:aws:kms:us-east-2:1:key/k";
    let cases = [
        (Some(ServerSideEncryption::AwsKms), Some(key), ServerSideEncryption::AwsKms),
        (Some(ServerSideEncryption::AwsKmsDsse), Some(key), ServerSideEncryption::AwsKmsDsse),
        (Some(ServerSideEncryption::Aes256), None, ServerSideEncryption::Aes256),
        (None, None, ServerSideEncryption::Aes256),
    ];
    for (state, key, expected) in cases {
        let head = mock!(aws_sdk_s3::Client::head_object).match_requests(|call| call.key() == Some("k")).then_output(
            move || {
                let output = HeadObjectOutput::builder().set_server_side_encryption(state.clone());
                output.set_ssekms_key_id(key.map(str::to_owned)).build()
            },
        );
        let put = mock!(aws_sdk_s3::Client::put_object)
            .match_requests(move |call| call.server_side_encryption() == Some(&expected) && call.ssekms_key_id() == key)
            .then_output(|| PutObjectOutput::builder().build());
        let client = pb_aws::mock_client!(aws_sdk_s3, [&head, &put]);
        let file = LockFile::new(client, "b", "k", text(OPERATION, "1")).encrypted_like_state().await.unwrap();
        file.acquire(OPERATION).await.unwrap();
        assert_eq!(put.num_calls(), 1);
    }
}

#[tokio::test]
async fn file_of_another_holder_is_not_deleted_on_release() {
    let ours = text(OPERATION, "1");
    let get = get(text("OperationTypeApply", "2"));
    let delete_item = mock!(aws_sdk_dynamodb::Client::delete_item).then_output(|| DeleteItemOutput::builder().build());
    lock(&[&get], &[&delete_item], &ours).release().await.unwrap();
    assert_eq!((get.num_calls(), delete_item.num_calls()), (1, 1));
}

#[tokio::test]
async fn denied_lock_file_names_only_the_denied_call() {
    let ours = text(OPERATION, "1");
    let (put, get) = (refused_put("AccessDenied"), denied_get());
    let failure = lock(&[&put, &get], &[], &ours).acquire_both(OPERATION).await.unwrap_err();
    assert_eq!((failure.class, failure.operation.as_str()), (Class::Denied, "s3:PutObject"));
    assert!(!failure.message.contains("force-unlock"), "no lock was acquired: {failure}");
    assert_eq!(get.num_calls(), 0);
}

#[tokio::test]
async fn denied_read_of_an_absent_lock_file_is_explained() {
    let ours = text(OPERATION, "1");
    let (put, get) = (refused_put("PreconditionFailed"), denied_get());
    let failure = lock(&[&put, &get], &[], &ours).acquire_both(OPERATION).await.unwrap_err();
    assert_eq!(failure.class, Class::Denied);
    assert!(failure.hint.unwrap().contains("s3:ListBucket"));
}

fn denied_get() -> Rule {
    let meta = || aws_sdk_s3::error::ErrorMetadata::builder().code("AccessDenied").message("Access Denied").build();
    mock!(aws_sdk_s3::Client::get_object).then_error(move || GetObjectError::generic(meta()))
}

/// Returns the lock of a state `NEW`, with the versions `versions` (entity tag, whether it is the latest) and the
/// digest `noted` in the lock table.
fn digest_lock(noted: &str, versions: &'static [(&str, bool)], get: &Rule) -> Lock {
    let list = mock!(aws_sdk_s3::Client::list_object_versions)
        .match_requests(|call| call.prefix() == Some("k"))
        .then_output(move || {
            let version = |(tag, latest): &(&str, bool)| {
                let version = ObjectVersion::builder().key("k").version_id("v").e_tag(format!("\"{tag}\""));
                version.is_latest(*latest).build()
            };
            ListObjectVersionsOutput::builder().set_versions(Some(versions.iter().map(version).collect())).build()
        });
    let noted = noted.to_owned();
    let item = mock!(aws_sdk_dynamodb::Client::get_item)
        .match_requests(|call| call.key().unwrap()["LockID"] == AttributeValue::S("b/k-md5".to_owned()))
        .then_output(move || GetItemOutput::builder().item("Digest", AttributeValue::S(noted.clone())).build());
    lock(&[&list, get], &[&item], "")
}

const NEW: &[u8] = b"new";
const NEW_DIGEST: &str = "22af645d1859cb5ca6da0c484f1f37ea";
const OLD_DIGEST: &str = "149603e6c03516362a8da23f624db945";

fn get_version(body: &'static [u8]) -> Rule {
    mock!(aws_sdk_s3::Client::get_object)
        .match_requests(|call| call.version_id() == Some("v"))
        .then_output(move || GetObjectOutput::builder().body(ByteStream::from_static(body)).build())
}

#[tokio::test]
async fn digest_of_an_earlier_version_is_a_warning() {
    let earlier = StateDigest::Earlier(DigestItem {
        table: "locks".to_owned(),
        lock_id: "b/k-md5".to_owned(),
        region: Some(Region::new("us-east-2")),
    });
    let get = get_version(b"old");
    let tagged = digest_lock(OLD_DIGEST, &[(NEW_DIGEST, true), (OLD_DIGEST, false)], &get);
    assert_eq!(tagged.compare_digest(NEW).await.unwrap(), earlier);
    assert_eq!(get.num_calls(), 0);
    let encrypted = digest_lock(OLD_DIGEST, &[("kms-2", true), ("kms-1", false)], &get);
    assert_eq!(encrypted.compare_digest(NEW).await.unwrap(), earlier);
    let StateDigest::Earlier(item) = earlier else { panic!("an item") };
    assert!(item.to_string().contains("the item b/k-md5 in the table locks"), "{item}");
    assert!(item.to_string().contains(r#"--table-name locks --key '{"LockID": {"S": "b/k-md5"}}'"#), "{item}");
}

#[tokio::test]
async fn digest_of_no_known_version_is_refused() {
    let get = get_version(b"another");
    for versions in [&[(NEW_DIGEST, true), ("x", false)][..], &[("kms-2", true), ("kms-1", false)], &[]] {
        let failure = digest_lock(OLD_DIGEST, versions, &get).compare_digest(NEW).await.unwrap_err();
        assert!(failure.message.contains(OLD_DIGEST) && failure.message.contains("b/k-md5"), "{failure}");
        assert!(failure.hint.unwrap().contains("aws dynamodb delete-item --table-name locks"));
    }
    let current = digest_lock(NEW_DIGEST, &[], &get).compare_digest(NEW).await.unwrap();
    assert_eq!(current, StateDigest::Current);
}
