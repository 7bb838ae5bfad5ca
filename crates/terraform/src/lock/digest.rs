//! The MD5 digest of the state that Terraform's S3 backend keeps in the lock table, in the item `<bucket>/<key>-md5`.
//! Only `dynamodb_table` uses it: when a backend has changed to `use_lockfile`, the item remains and is never updated.
//! (Terraform, S3 backend: State Locking)

use aws_sdk_s3::Client;
use aws_sdk_s3::types::ObjectVersion;
use aws_types::region::Region;
use md5::{Digest as _, Md5};
use pb_aws::{ForOperation, in_region};
use pb_engine::{Class, Failure, Refusal};
use std::fmt;

/// Maximum number of pages of versions that are listed, with up to 1000 versions each.
const MAX_PAGES: usize = 10;

/// Maximum number of earlier versions that are read if their entity tags are not digests.
const MAX_READS: usize = 20;

/// Result of comparing a state with the digest in the lock table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateDigest {
    /// The digest is that of the state, or there is none.
    Current,
    /// The digest is that of an earlier version of the state.
    Earlier(DigestItem),
}

/// Item of a lock table that contains a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigestItem {
    /// Name of the table.
    pub table: String,
    /// Value of the hash key `LockID`.
    pub lock_id: String,
    /// Region of the table.
    pub region: Option<Region>,
}

impl DigestItem {
    /// Returns the command that deletes the item.
    fn delete_command(&self) -> String {
        let Self { table, lock_id, region } = self;
        let key = format!(r#"'{{"LockID": {{"S": "{lock_id}"}}}}'"#);
        in_region(&format!("aws dynamodb delete-item --table-name {table} --key {key}"), region.as_ref())
    }
}

/// Returns a warning about the item.
impl fmt::Display for DigestItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, lock_id, .. } = self;
        write!(
            f,
            "the item {lock_id} in the table {table} contains the digest of an earlier version of the state. Terraform \
             leaves it when a backend changes from `dynamodb_table` to `use_lockfile`. If yours has changed, delete \
             the item: {}",
            self.delete_command()
        )
    }
}

/// Object of a state, with its versions.
pub(super) struct StateVersions<'a> {
    pub client: &'a Client,
    pub bucket: &'a str,
    pub key: &'a str,
}

impl StateVersions<'_> {
    /// Returns whether an earlier version of the state has the digest `noted`. The entity tag of an object is its MD5
    /// digest, unless it is encrypted with a KMS key or was uploaded in parts; earlier versions are then read. (S3 API:
    /// Object)
    async fn contains(&self, noted: &str, current: &str) -> Result<bool, Failure> {
        let versions = self.list().await?;
        let tag = |version: &ObjectVersion| version.e_tag().unwrap_or_default().trim_matches('"').to_owned();
        let (latest, earlier): (Vec<_>, Vec<_>) =
            versions.iter().partition(|version| version.is_latest().unwrap_or_default());
        if latest.iter().any(|version| tag(version) == current) {
            return Ok(earlier.into_iter().any(|version| tag(version) == noted));
        }
        for version in earlier.into_iter().take(MAX_READS) {
            if digest(&self.read(version.version_id().unwrap_or_default()).await?) == noted {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn list(&self) -> Result<Vec<ObjectVersion>, Failure> {
        let mut found = Vec::new();
        let (mut key, mut version) = (None, None);
        for _ in 0..MAX_PAGES {
            let call = self.client.list_object_versions().bucket(self.bucket).prefix(self.key);
            let call = call.set_key_marker(key).set_version_id_marker(version);
            let page = call.send().await.for_operation("s3:ListObjectVersions")?;
            found.extend(page.versions().iter().filter(|version| version.key() == Some(self.key)).cloned());
            if !page.is_truncated().unwrap_or_default() {
                break;
            }
            (key, version) = (page.next_key_marker, page.next_version_id_marker);
        }
        Ok(found)
    }

    async fn read(&self, version: &str) -> Result<Vec<u8>, Failure> {
        let call = self.client.get_object().bucket(self.bucket).key(self.key).version_id(version);
        let output = call.send().await.for_operation("s3:GetObject")?;
        let broken =
            |error| Failure::new(Class::Ambiguous, "s3:GetObject", format!("the response was incomplete: {error}"));
        Ok(output.body.collect().await.map_err(broken)?.to_vec())
    }
}

/// Compares the state `bytes` with the digest `noted` in `item`.
///
/// # Errors
/// `Refused` if no earlier version of the state with this digest can be found.
pub(super) async fn compare(
    bytes: &[u8],
    noted: Option<String>,
    item: DigestItem,
    versions: &StateVersions<'_>,
) -> Result<StateDigest, Failure> {
    let current = digest(bytes);
    let Some(noted) = noted.filter(|noted| *noted != current) else { return Ok(StateDigest::Current) };
    // The permission to list versions may be missing, and the bucket may keep no versions.
    if versions.contains(&noted, &current).await.unwrap_or_default() {
        return Ok(StateDigest::Earlier(item));
    }
    let message = format!(
        "the state has the MD5 digest {current}, but Terraform stored the digest {noted} in the item {} of the table \
         {}",
        item.lock_id, item.table
    );
    let hint = format!(
        "nothing was changed. If Terraform's backend uses `dynamodb_table`, run `terraform plan`, which explains how \
         to fix this. If it uses only `use_lockfile`, the item is left over; delete it: {}",
        item.delete_command()
    );
    Err(Failure::refused(Refusal::TerraformState, "check the Terraform state", message).hint(hint))
}

/// Returns the MD5 digest in hexadecimal digits.
fn digest(bytes: &[u8]) -> String {
    Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
