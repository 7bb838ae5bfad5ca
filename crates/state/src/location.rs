//! Where the state of one workspace is kept.

use pb_engine::Ownership;

/// Where the state of one workspace is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateLocation {
    /// The S3 bucket.
    pub bucket: String,
    /// The key of the snapshot in it.
    pub key: String,
    /// The DynamoDB table of the leases. Its hash key is `LockID`, a string; it may be the one that Terraform locks in.
    pub table: String,
    /// Whose state it is.
    pub owner: Ownership,
}

impl StateLocation {
    /// The name of the lease in the table. Terraform's begin with the name of a bucket, and no bucket has a colon in its name.
    #[must_use]
    pub fn lock_id(&self) -> String {
        format!("pb-deploy:{}/{}", self.bucket, self.key)
    }

    /// The address of the snapshot, for people.
    #[must_use]
    pub fn url(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.key)
    }
}
