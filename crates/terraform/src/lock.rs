//! Both kinds of Terraform's lock on a state in S3: the object `<key>.tflock` next to the state (`use_lockfile`), and
//! the item `<bucket>/<key>` in a DynamoDB table (`dynamodb_table`). Terraform is locked out whichever its backend
//! uses. Both contain the same JSON, as Terraform writes it. (Terraform, S3 backend: State Locking)

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

/// Operation of a failure to acquire the lock.
const ACQUIRE: &str = "take Terraform's lock";

/// Number of attempts to acquire a lock whose holder releases it in the meantime.
const TRIES: usize = 3;

/// Terraform's lock on one state. It does not expire: [`release`](Lock::release) it.
#[derive(Debug)]
pub struct Lock {
    file: LockFile,
    item: LockItem,
}

impl Lock {
    /// Acquires both locks of `source`, the lock file first, as Terraform does; none for a state in a local file.
    /// Terraform shows `operation` to users who wait. A lock with the same operation belongs to an interrupted run and
    /// is taken over: the lease of the workspace admits one run at a time.
    ///
    /// # Errors
    /// `Locked` if another holder has either lock, and the errors of AWS. No lock remains then.
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
        // A failed request may have been executed, so the lock is released; a lock of another holder is not touched.
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

    /// Releases both locks, unless another holder has acquired them. A failure to release one does not prevent the
    /// release of the other.
    ///
    /// # Errors
    /// The errors of AWS; the lock then remains until `terraform force-unlock`.
    pub async fn release(self) -> Result<(), Failure> {
        self.release_both().await
    }
}

/// Returns the failure to acquire a lock, with the advice for a lock that could not be released afterwards.
fn with_unreleased(failure: Failure, released: Result<(), Failure>) -> Failure {
    match released {
        Ok(()) => failure,
        Err(left) => {
            let message = format!("{}; {}", failure.message, left.hint.unwrap_or_default());
            Failure { message, ..failure }
        }
    }
}
