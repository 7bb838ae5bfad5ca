//! The snapshot as an object in S3, and its conditional writes.

use crate::account_region::AccountRegion;
use crate::format::{decode, encode};
use crate::location::StateLocation;
use aws_sdk_s3::Client;
use aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder;
use aws_sdk_s3::primitives::{ByteStream, DateTimeFormat};
use aws_sdk_s3::types::ServerSideEncryption;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::http::Response;
use aws_types::SdkConfig;
use pb_aws::{ForOperation, no_retry};
use pb_engine::{Cause, Class, Failure, Refusal, Snapshot};
use std::time::Duration;
use tokio::time::sleep;

/// Maximum number of attempts to write the snapshot.
const WRITE_ATTEMPTS: u32 = 6;
/// Pause after the first failed attempt; each later pause is twice as long as the previous one.
const INITIAL_PAUSE: Duration = Duration::from_millis(200);
/// Maximum number of pages that are read of the list of versions; each page has up to a thousand versions.
const MAX_PAGES: usize = 20;

/// The stored snapshot of one workspace. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    client: Client,
    location: StateLocation,
    account_region: Option<AccountRegion>,
}

/// A snapshot and its entity tag.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// Snapshot; empty if there is none yet.
    pub snapshot: Snapshot,
    /// Entity tag of the object; `None` if there is no object. No two snapshots have the same entity tag, because their
    /// serials or fencing tokens differ.
    pub etag: Option<String>,
}

/// Version of the snapshot in a versioned bucket.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Version {
    /// Version id of S3; `null` in a bucket without versioning.
    pub id: String,
    /// Time of the write, in RFC 3339.
    pub written: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Set for the current version. No version is current if the object was deleted.
    pub latest: bool,
}

/// Bytes and entity tag of an object.
pub(crate) struct Object {
    pub(crate) bytes: Vec<u8>,
    pub(crate) etag: String,
}

impl Store {
    /// Creates a client for the snapshot at `location`, without a call to AWS. For endpoints other than AWS, the URL
    /// has the bucket name in its path.
    #[must_use]
    pub fn new(config: &SdkConfig, location: &StateLocation) -> Self {
        let custom = pb_aws::endpoint_url(config, "S3").is_some();
        let config = aws_sdk_s3::config::Builder::from(config).force_path_style(custom).build();
        Self { client: Client::from_conf(config), location: location.clone(), account_region: None }
    }

    /// Returns the store for a run with `account_region`: snapshots of another account or region are refused, and
    /// written snapshots record `account_region`.
    #[must_use]
    pub fn at(self, account_region: AccountRegion) -> Self {
        Self { account_region: Some(account_region), ..self }
    }

    /// Records the account and region of the run in `snapshot`.
    pub(crate) fn record_account_region(&self, snapshot: &mut Snapshot) {
        if let Some(account_region) = &self.account_region {
            account_region.record(snapshot);
        }
    }

    /// Returns the location of the state.
    #[must_use]
    pub fn location(&self) -> &StateLocation {
        &self.location
    }

    /// Reads the snapshot. If there is none yet, returns an empty snapshot without an entity tag.
    ///
    /// # Errors
    /// `Refused` if the object is not an intact snapshot of this workspace or belongs to another account or region, and
    /// any error of S3.
    pub async fn load(&self) -> Result<Loaded, Failure> {
        match self.get(None).await? {
            None => Ok(Loaded { snapshot: Snapshot::default(), etag: None }),
            Some(object) => Ok(Loaded { snapshot: self.decode_checked(&object.bytes)?, etag: Some(object.etag) }),
        }
    }

    /// Returns the bytes of the object, intact or not, or `None` if there is no object.
    ///
    /// # Errors
    /// Any error of S3.
    pub async fn bytes(&self) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self.get(None).await?.map(|object| object.bytes))
    }

    /// Writes `snapshot` if the object still has the entity tag `expected`, or, if `expected` is `None`, if there is no
    /// object. Returns the new entity tag. Calls `allowed` before each request that writes.
    ///
    /// # Errors
    /// `Locked` if another run changed the object, the error of `allowed`, and any error of S3. After any error other
    /// than `Locked` or that of `allowed`, the snapshot may have been written.
    pub async fn save(
        &self,
        snapshot: &Snapshot,
        expected: Option<&str>,
        allowed: &(dyn Fn() -> Result<(), Failure> + Sync),
    ) -> Result<String, Failure> {
        let bytes = encode(snapshot, &self.location.owner)?;
        let mut pause = INITIAL_PAUSE;
        let mut left = WRITE_ATTEMPTS;
        loop {
            allowed()?;
            let failure = match self.put(&bytes, expected).await {
                Ok(etag) => return Ok(etag),
                Err(failure) => failure,
            };
            left -= 1;
            let outcome = self.classify_failed_write(failure, &bytes, expected).await?;
            match outcome {
                FailedWrite::Written(etag) => return Ok(etag),
                FailedWrite::Retry(failure) if left == 0 => return Err(failure),
                FailedWrite::Retry(_) => sleep(pause).await,
            }
            pause *= 2;
        }
    }

    /// Lists the versions of the snapshot, the latest first.
    ///
    /// # Errors
    /// Any error of S3.
    pub async fn versions(&self) -> Result<Vec<Version>, Failure> {
        let mut versions = Vec::new();
        let mut markers = (None, None);
        for _ in 0..MAX_PAGES {
            let request = self.client.list_object_versions().bucket(&self.location.bucket).prefix(&self.location.key);
            let request = request.set_key_marker(markers.0).set_version_id_marker(markers.1);
            let page = self.convert_response(request.send().await, "s3:ListBucketVersions")?;
            let ours = page.versions().iter().filter(|version| version.key() == Some(&self.location.key));
            versions.extend(
                ours.map(|version| Version {
                    id: version.version_id().unwrap_or("null").to_owned(),
                    written: version
                        .last_modified()
                        .and_then(|time| time.fmt(DateTimeFormat::DateTime).ok())
                        .unwrap_or_default(),
                    bytes: version.size().and_then(|size| u64::try_from(size).ok()).unwrap_or_default(),
                    latest: version.is_latest().unwrap_or_default(),
                }),
            );
            if !page.is_truncated().unwrap_or_default() {
                break;
            }
            markers = (page.next_key_marker, page.next_version_id_marker);
        }
        Ok(versions)
    }

    /// Reads version `id` of the snapshot.
    ///
    /// # Errors
    /// `NotFound` if there is no such version, `Refused` if it is not an intact snapshot of this workspace or belongs
    /// to another account or region, and any error of S3.
    pub async fn version(&self, id: &str) -> Result<Snapshot, Failure> {
        let found = self.get(Some(id)).await.map_err(|failure| failure.when(&["InvalidArgument"], Class::NotFound));
        match found {
            Ok(Some(object)) => self.decode_checked(&object.bytes),
            Ok(None) => Err(self.no_version(id)),
            Err(failure) if failure.class == Class::NotFound && !failure.is("NoSuchBucket") => Err(self.no_version(id)),
            Err(failure) => Err(failure),
        }
    }

    /// Reads the object, or the given version of it. Returns `None` if there is no object.
    pub(crate) async fn get(&self, version: Option<&str>) -> Result<Option<Object>, Failure> {
        let request = self.client.get_object().bucket(&self.location.bucket).key(&self.location.key);
        let answer = request.set_version_id(version.map(str::to_owned)).send().await;
        let output = match self.convert_response(answer, "s3:GetObject") {
            Err(failure) if failure.is("NoSuchKey") => return Ok(None),
            answer => answer?,
        };
        let broken = |what: String| Failure::new(Class::Ambiguous, "s3:GetObject", what);
        let etag = output.e_tag.ok_or_else(|| broken("the response has no entity tag".to_owned()))?;
        let body =
            output.body.collect().await.map_err(|error| broken(format!("the response was truncated: {error}")))?;
        Ok(Some(Object { bytes: body.to_vec(), etag }))
    }

    fn decode_checked(&self, bytes: &[u8]) -> Result<Snapshot, Failure> {
        let snapshot = decode(bytes, &self.location.owner)
            .map_err(|failure| Failure { operation: format!("read {}", self.location.url()), ..failure })?;
        match &self.account_region {
            Some(account_region) => account_region.check(&snapshot, &self.location.owner.workspace).map(|()| snapshot),
            None => Ok(snapshot),
        }
    }

    /// Builds a request that writes `body` to `key`, with the settings that all writes have.
    pub(crate) fn put_request(&self, key: &str, body: ByteStream) -> PutObjectFluentBuilder {
        let request = self.client.put_object().bucket(&self.location.bucket).key(key).body(body);
        let request = request.content_type("application/json");
        match &self.location.kms_key {
            Some(key) => request.server_side_encryption(ServerSideEncryption::AwsKms).ssekms_key_id(key),
            None => request.server_side_encryption(ServerSideEncryption::Aes256),
        }
    }

    /// Deletes the object at `key`, or only the given version of it.
    pub(crate) async fn delete(&self, key: &str, version: Option<&str>) -> Result<(), Failure> {
        let request = self.client.delete_object().bucket(&self.location.bucket).key(key);
        let answer = request.set_version_id(version.map(str::to_owned)).send().await;
        self.convert_response(answer, "s3:DeleteObject").map(drop)
    }

    /// Sends one write request, which the SDK never repeats: the caller must check that it may still write before it
    /// repeats the request.
    async fn put(&self, bytes: &[u8], expected: Option<&str>) -> Result<String, Failure> {
        let request = self.put_request(&self.location.key, ByteStream::from(bytes.to_vec()));
        let request = match expected {
            Some(etag) => request.if_match(etag),
            None => request.if_none_match("*"),
        };
        let once = aws_sdk_s3::config::Builder::new().retry_config(no_retry());
        let answer = request.customize().config_override(once).send().await;
        let output = self.convert_response(answer, "s3:PutObject")?;
        let missing = || Failure::new(Class::Ambiguous, "s3:PutObject", "the response has no entity tag");
        output.e_tag.ok_or_else(missing)
    }

    /// Determines whether a failed write has changed the object.
    ///
    /// # Errors
    /// The failure to report, if another attempt would be useless.
    async fn classify_failed_write(
        &self,
        failure: Failure,
        bytes: &[u8],
        expected: Option<&str>,
    ) -> Result<FailedWrite, Failure> {
        if matches!(failure.class, Class::Throttled | Class::Unreachable) {
            return Ok(FailedWrite::Retry(failure));
        }
        // S3 responds with 412 if the condition is not met, 404 if the object to match was deleted, and 409 if two
        // writes raced.
        let lost =
            ["PreconditionFailed", "NoSuchKey", "ConditionalRequestConflict"].iter().any(|code| failure.is(code));
        if !lost && !matches!(failure.class, Class::Ambiguous | Class::NotReady) {
            return Err(failure);
        }
        match self.get(None).await? {
            // An earlier attempt wrote the object, and its response was lost. No other run writes these bytes, because
            // they contain the fencing token of this run.
            Some(object) if object.bytes == bytes => Ok(FailedWrite::Written(object.etag)),
            found if found.as_ref().map(|object| object.etag.as_str()) == expected => Ok(FailedWrite::Retry(failure)),
            _ => Err(self.conflict(failure)),
        }
    }

    fn conflict(&self, failure: Failure) -> Failure {
        let message =
            format!("{} was changed by another run after it was read; nothing was overwritten", self.location.url());
        Failure { message, ..failure }
            .class(Class::Locked)
            .reason(Refusal::StateChanged)
            .hint("run the same command again: it starts from the current state")
    }

    fn no_version(&self, id: &str) -> Failure {
        let message = format!("{} has no version {id}", self.location.url());
        Failure::new(Class::NotFound, "s3:GetObject", message)
            .hint("list the versions with `pb-deploy state versions`; a bucket without versioning keeps none")
    }

    /// Converts a response of S3 into a result. A failure that concerns the bucket or its permissions has a hint.
    pub(crate) fn convert_response<T, E>(
        &self,
        answer: Result<T, SdkError<E, Response>>,
        operation: &str,
    ) -> Result<T, Failure>
    where
        Result<T, SdkError<E, Response>>: ForOperation<T>,
    {
        let raw = answer.as_ref().err().and_then(SdkError::raw_response);
        let status = raw.map(|raw| raw.status().as_u16());
        let region = raw.and_then(|raw| raw.headers().get("x-amz-bucket-region")).map(str::to_owned);
        answer.for_operation(operation).map_err(|failure| self.explain(failure, status, region.as_deref()))
    }

    fn explain(&self, failure: Failure, status: Option<u16>, region: Option<&str>) -> Failure {
        let bucket = &self.location.bucket;
        let code = failure.code.clone().unwrap_or_default();
        match code.as_str() {
            "NoSuchBucket" => {
                let hint = format!(
                    "run `pb-deploy bootstrap {}`, which creates the bucket, or correct `state.bucket`",
                    self.location.owner.workspace
                );
                Failure { message: format!("bucket {bucket} not found"), ..failure }
                    .cause(Cause::Prerequisite)
                    .hint(hint)
            }
            "AccessDenied" if is_upload_denied_by_policy(&failure) => failure.hint(format!(
                "the policy of bucket {bucket} refuses the upload; if it requires SSE-KMS, set `state.kms_key` to the \
                 key that it names"
            )),
            "AccessDenied" if failure.message.contains(" kms:") => failure.hint(format!(
                "your AWS identity needs kms:GenerateDataKey and kms:Decrypt on the KMS key that encrypts {bucket}, in \
                 its own policy and in the policy of the key"
            )),
            code if code.starts_with("KMS.") => failure.hint(format!(
                "bucket {bucket} is encrypted with a KMS key that cannot be used; find the key with `aws s3api \
                 get-bucket-encryption --bucket {bucket}`, and enable it"
            )),
            "AccessDenied" | "AllAccessDisabled" => failure.hint(format!(
                "your AWS identity needs s3:GetObject and s3:PutObject on {}, and s3:ListBucket on {bucket}, without \
                 which S3 refuses to report that there is no snapshot yet",
                self.location.url()
            )),
            "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException" => {
                self.wrong_region(failure, region)
            }
            _ if status == Some(301) => self.wrong_region(failure, region),
            _ => failure,
        }
    }

    fn wrong_region(&self, failure: Failure, region: Option<&str>) -> Failure {
        let bucket = &self.location.bucket;
        let hint = "the state must be in the region of the deployment: correct `region` or `state.bucket`";
        let message = match region {
            Some(region) => format!("bucket {bucket} is in region {region}, not in the configured region"),
            None => format!("bucket {bucket} is in another region: {}", failure.message),
        };
        Failure { message, ..failure }.reason(Refusal::WrongAccount).hint(hint)
    }
}

/// Returns whether the bucket policy denied an upload, which it can do because of the encryption of the object.
fn is_upload_denied_by_policy(failure: &Failure) -> bool {
    failure.operation == "s3:PutObject" && failure.message.contains("explicit deny in a resource-based policy")
}

/// Effect of a failed write.
enum FailedWrite {
    /// The snapshot was written after all.
    Written(String),
    /// The snapshot was not written, or not yet; another attempt is safe.
    Retry(Failure),
}

#[cfg(test)]
mod tests;
