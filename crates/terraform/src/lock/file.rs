//! The lock file next to the state, which Terraform 1.10 and later use with `use_lockfile`: an object that is written
//! only if it does not exist yet.

use super::TRIES;
use super::digest::StateVersions;
use super::holder::{check_abandoned, contended, unreleased_hint};
use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ServerSideEncryption;
use pb_aws::ForOperation;
use pb_engine::{Class, Failure};

#[derive(Debug)]
pub(super) struct LockFile {
    client: Client,
    bucket: String,
    /// Key of the state.
    state: String,
    /// Key of the lock file.
    key: String,
    text: String,
    encryption: Encryption,
}

/// Encryption of an object that is written.
#[derive(Debug, PartialEq, Eq)]
struct Encryption {
    algorithm: ServerSideEncryption,
    /// KMS key, if `algorithm` uses one.
    key: Option<String>,
}

impl LockFile {
    /// Returns the lock file of the state at `key`, with the content `text`, without writing it.
    pub fn new(client: Client, bucket: &str, key: &str, text: String) -> Self {
        let encryption = Encryption { algorithm: ServerSideEncryption::Aes256, key: None };
        let (bucket, state, key) = (bucket.to_owned(), key.to_owned(), format!("{key}.tflock"));
        Self { client, bucket, state, key, text, encryption }
    }

    /// Returns the file with the encryption of the state: the policy of the bucket can require a KMS key.
    pub async fn encrypted_like_state(self) -> Result<Self, Failure> {
        let call = self.client.head_object().bucket(&self.bucket).key(&self.state).send();
        let output = match call.await.for_operation("s3:HeadObject") {
            // The state is read again while the lock is held, which reports its absence.
            Err(failure) if failure.class == Class::NotFound => return Ok(self),
            answer => answer?,
        };
        // Other stores than Amazon's may not report an encryption.
        let Some(algorithm) = output.server_side_encryption else { return Ok(self) };
        Ok(Self { encryption: Encryption { algorithm, key: output.ssekms_key_id }, ..self })
    }

    /// Returns the versions of the state next to which the file is.
    pub fn state_versions(&self) -> StateVersions<'_> {
        StateVersions { client: &self.client, bucket: &self.bucket, key: &self.state }
    }

    fn description(&self) -> String {
        format!("Terraform's lock file s3://{}/{}", self.bucket, self.key)
    }

    /// Writes the file if it does not exist or an interrupted run has left it.
    pub async fn acquire(&self, operation: &str) -> Result<(), Failure> {
        let mut dead: Option<String> = None;
        for _ in 0..TRIES {
            match self.put(dead.as_deref()).await {
                Err(failure) if is_taken(&failure) => {}
                answer => return answer,
            }
            dead = match self.holder().await? {
                // An earlier request wrote the file, but its response was lost.
                Some((text, _)) if text == self.text => return Ok(()),
                Some((text, etag)) => {
                    check_abandoned(&text, &self.description(), operation)?;
                    Some(etag)
                }
                None => None,
            };
        }
        Err(contended(&self.description()))
    }

    async fn put(&self, over: Option<&str>) -> Result<(), Failure> {
        let body = ByteStream::from(self.text.clone().into_bytes());
        let call = self.client.put_object().bucket(&self.bucket).key(&self.key).body(body);
        let Encryption { algorithm, key } = &self.encryption;
        let call = call.content_type("application/json").server_side_encryption(algorithm.clone());
        let call = call.set_ssekms_key_id(key.clone());
        let call = match over {
            None => call.if_none_match("*"),
            Some(etag) => call.if_match(etag),
        };
        call.send().await.for_operation("s3:PutObject").map(drop)
    }

    /// Returns the content of the file and its entity tag; `None` if there is no file.
    async fn holder(&self) -> Result<Option<(String, String)>, Failure> {
        let output = match self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(&self.key)
            .send()
            .await
            .for_operation("s3:GetObject")
        {
            Err(failure) if failure.is("NoSuchKey") => return Ok(None),
            // Without s3:ListBucket, S3 does not tell whether the object exists. (S3 API: GetObject)
            Err(failure) if failure.class == Class::Denied => {
                return Err(failure.hint(format!(
                    "grant s3:GetObject on {}, and s3:ListBucket on the bucket, without which S3 gives the \
                     same answer for a lock file that does not exist",
                    self.description()
                )));
            }
            answer => answer?,
        };
        let etag = output.e_tag.clone().unwrap_or_default();
        let broken =
            |error| Failure::new(Class::Ambiguous, "s3:GetObject", format!("the response was incomplete: {error}"));
        let bytes = output.body.collect().await.map_err(broken)?.to_vec();
        Ok(Some((String::from_utf8_lossy(&bytes).into_owned(), etag)))
    }

    /// Deletes the file if its content is unchanged. Compares the content before the delete, as Terraform does, because
    /// not every store supports conditional deletes.
    pub async fn release(&self) -> Result<(), Failure> {
        let released = match self.holder().await {
            Ok(Some((text, _))) if text == self.text => {
                let call = self.client.delete_object().bucket(&self.bucket).key(&self.key).send();
                call.await.for_operation("s3:DeleteObject").map(drop)
            }
            answer => answer.map(drop),
        };
        released.map_err(|failure| failure.hint(unreleased_hint(&self.text)))
    }
}

/// Returns whether the write failed because a lock file existed, or was written or deleted at the same time.
fn is_taken(failure: &Failure) -> bool {
    ["PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey"].iter().any(|code| failure.is(code))
}
