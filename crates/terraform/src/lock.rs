//! Both locks that Terraform can hold on a state in S3: the object `<key>.tflock` next to the state (`use_lockfile`),
//! and the item `<bucket>/<key>` in a DynamoDB table (`dynamodb_table`). Both are acquired, so that Terraform is locked
//! out whichever of them its backend uses. Both contain the same JSON, in Terraform's format. (Terraform, S3 backend:
//! State Locking)

mod digest;
mod file;
mod holder;
mod table;
#[cfg(test)]
mod tests;

pub use self::digest::{DigestItem, StateDigest};

use self::file::LockFile;
use self::holder::Info;
use self::table::LockItem;
use crate::source::{Source, client};
use aws_sdk_dynamodb::Client;
use aws_types::SdkConfig;
use pb_engine::{Class, Failure};

/// Name of the operation in failures to acquire the lock.
const ACQUIRE: &str = "take Terraform's lock";

/// Maximum number of attempts to acquire a lock that other holders acquire and release between attempts.
const TRIES: usize = 3;

/// Terraform's lock on one state. It does not expire, so [`release`](Lock::release) must be called.
#[derive(Debug)]
pub struct Lock {
    file: LockFile,
    item: LockItem,
}

impl Lock {
    /// Acquires both locks of `source`, the lock file first, as Terraform does. For a state in a local file, returns
    /// `None` without a lock. Terraform shows `operation` to users who wait for the lock. A lock with the same
    /// `operation` was left by an interrupted run and is taken over: that run cannot still be active, because the lease
    /// of the workspace admits only one run at a time.
    ///
    /// # Errors
    /// `Locked` if another holder has one of the locks, and the AWS errors. After a failure, no acquired lock
    /// remains.
    pub async fn acquire(
        config: &SdkConfig,
        table: &str,
        source: &Source,
        who: &str,
        operation: &str,
    ) -> Result<Option<Self>, Failure> {
        let Source::S3 { bucket, key } = source else { return Ok(None) };
        let info = Info::new(who, operation, format!("{bucket}/{key}"));
        let text =
            serde_json::to_string(&info).map_err(|error| Failure::new(Class::Bug, ACQUIRE, error.to_string()))?;
        let file = LockFile::new(client(config), bucket, key, text.clone());
        let lock = Self {
            file: file.encrypted_like_state().await?,
            item: LockItem::new(Client::new(config), table, info.path, text),
        };
        lock.acquire_both(operation).await.map(Some)
    }

    async fn acquire_both(self, operation: &str) -> Result<Self, Failure> {
        if let Err(failure) = self.file.acquire(operation).await {
            let released = if had_no_effect(&failure) { Ok(()) } else { self.file.release().await };
            return Err(with_unreleased(failure, released));
        }
        if let Err(failure) = self.item.acquire(operation).await {
            let released = if had_no_effect(&failure) { self.file.release().await } else { self.release_both().await };
            return Err(with_unreleased(failure, released));
        }
        Ok(self)
    }

    async fn release_both(&self) -> Result<(), Failure> {
        let item = self.item.release().await;
        let file = self.file.release().await;
        item.and(file)
    }

    /// Compares `bytes` with the digest of the state that Terraform wrote last, if the lock table has its digest.
    ///
    /// # Errors
    /// `Refused` if the digest is neither that of `bytes` nor that of an earlier version of the state.
    pub async fn compare_digest(&self, bytes: &[u8]) -> Result<StateDigest, Failure> {
        let noted = self.item.digest().await?;
        digest::compare(bytes, noted, self.item.digest_item(), &self.file.state_versions()).await
    }

    /// Releases both locks, except a lock that another holder has acquired. If the release of one lock fails, the other
    /// lock is still released.
    ///
    /// # Errors
    /// The AWS errors; the lock then remains until it is removed with `terraform force-unlock`.
    pub async fn release(self) -> Result<(), Failure> {
        self.release_both().await
    }
}

/// Returns whether the failure proves that no lock was acquired. Only then is there nothing to release. A search for
/// the lock of a request that was denied would fail, too: without s3:ListBucket, S3 denies the read of an absent
/// object.
fn had_no_effect(failure: &Failure) -> bool {
    use Class::{Credentials, Denied, Locked, Refused, Throttled, Unreachable};
    matches!(failure.class, Locked | Denied | Credentials | Refused | Throttled | Unreachable)
}

/// Returns the failure to acquire a lock. If the locks could not be released afterwards, its message also says how to
/// remove them.
fn with_unreleased(failure: Failure, released: Result<(), Failure>) -> Failure {
    match released {
        Ok(()) => failure,
        Err(left) => {
            let message = format!("{}; {}", failure.message, left.hint.unwrap_or_default());
            Failure { message, ..failure }
        }
    }
}
