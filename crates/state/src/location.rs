//! Location of the state of one workspace.

use pb_engine::Ownership;

/// Location of the state of one workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateLocation {
    /// S3 bucket that contains the snapshot.
    pub bucket: String,
    /// Key of the snapshot in the bucket.
    pub key: String,
    /// DynamoDB table of the leases. Its hash key is the string attribute `LockID`; Terraform may use the same table
    /// for its locks.
    pub table: String,
    /// KMS key with which S3 encrypts the snapshot: its id, its alias, or the ARN of either. With `None`, S3 encrypts
    /// the snapshot with its own keys (SSE-S3).
    pub kms_key: Option<String>,
    /// Stack and workspace that own the state.
    pub owner: Ownership,
}

impl StateLocation {
    /// Returns the key of the lease in the table. No lock of Terraform has this key, because the keys of Terraform's
    /// locks start with a bucket name, and bucket names contain no colon.
    #[must_use]
    pub fn lock_id(&self) -> String {
        format!("pb-deploy:{}/{}", self.bucket, self.key)
    }

    /// Returns the URL of the snapshot, for messages.
    #[must_use]
    pub fn url(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.key)
    }
}
