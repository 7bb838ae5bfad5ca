//! Terraform's own lock on a state in S3, of both kinds: the object `<key>.tflock` beside the state (`use_lockfile`), and the
//! item `<bucket>/<key>` in a DynamoDB table (`dynamodb_table`). A Terraform that uses either one is kept out, whichever its
//! backend is configured for. Both hold the same JSON, as Terraform writes it. (Terraform, S3 backend: State Locking)

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

/// The operation that is named in each failure.
const ACQUIRE: &str = "take Terraform's lock";

/// The number of tries for a lock whose holder releases it meanwhile.
const TRIES: usize = 3;

/// Terraform's lock on one state. It does not expire: [`release`](Lock::release) it.
#[derive(Debug)]
pub struct Lock {
    file: LockFile,
    item: LockItem,
}

impl Lock {
    /// Takes both locks of `source`, the lock file first, as Terraform does; none for a state in a local file. `operation` is
    /// what Terraform shows to those who wait. A lock with this very operation was left by a run of ours that died: our own
    /// lease admits one run at a time, so it is taken over.
    ///
    /// # Errors
    /// `Locked` when another holds either lock, and whatever AWS answers. No lock is left behind then.
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
        // A request that failed may have been done all the same; a lock that is not ours is not touched.
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

    /// Checks that `bytes` are the state that Terraform wrote last, as far as the lock table says so.
    ///
    /// # Errors
    /// `Refused` when it wrote another.
    pub async fn check(&self, bytes: &[u8]) -> Result<(), Failure> {
        self.item.check(bytes).await
    }

    /// Releases both locks, unless another has taken them meanwhile. One that cannot be released does not keep the other.
    ///
    /// # Errors
    /// Whatever AWS answers; the lock then stays until `terraform force-unlock`.
    pub async fn release(self) -> Result<(), Failure> {
        self.release_both().await
    }
}

/// The failure to take a lock, with what is known of one that could not be released afterwards.
fn with_unreleased(failure: Failure, released: Result<(), Failure>) -> Failure {
    match released {
        Ok(()) => failure,
        Err(left) => {
            let message = format!("{}; {}", failure.message, left.hint.unwrap_or_default());
            Failure { message, ..failure }
        }
    }
}
