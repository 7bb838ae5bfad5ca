//! Both locks that Terraform can hold on a state in S3: the object `<key>.tflock` next to the state (`use_lockfile`),
//! and the item `<bucket>/<key>` in a DynamoDB table (`dynamodb_table`). Both are acquired, so that Terraform is locked
//! out whichever of them its backend uses. Both contain the same JSON, in Terraform's format. (Terraform, S3 backend:
//! State Locking)

mod file;
mod holder;
mod table;
#[cfg(test)]
mod tests;

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
        let lock = Self {
            file: LockFile::new(client(config), bucket, key, text.clone()),
            item: LockItem::new(Client::new(config), table, info.path, text),
        };
        lock.acquire_both(operation).await.map(Some)
    }

    async fn acquire_both(self, operation: &str) -> Result<Self, Failure> {
        // A request that failed may have been executed, so its lock is released, unless another holder has the lock.
        if let Err(failure) = self.file.acquire(operation).await {
            let released = if failure.class == Class::Locked { Ok(()) } else { self.file.release().await };
            return Err(with_unreleased(failure, released));
        }
        if let Err(failure) = self.item.acquire(operation).await {
            let released =
                if failure.class == Class::Locked { self.file.release().await } else { self.release_both().await };
            return Err(with_unreleased(failure, released));
        }
        Ok(self)
    }

    async fn release_both(&self) -> Result<(), Failure> {
        let item = self.item.release().await;
        let file = self.file.release().await;
        item.and(file)
    }

    /// Checks that `bytes` are the state that Terraform wrote last, if the lock table has its digest.
    ///
    /// # Errors
    /// `Refused` if the digest differs.
    pub async fn check(&self, bytes: &[u8]) -> Result<(), Failure> {
        self.item.check(bytes).await
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
