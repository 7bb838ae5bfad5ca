//! A write with a condition that cannot hold: a store that accepts it ignores conditions.

use crate::store::Store;
use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_runtime_api::client::result::SdkError;
use pb_engine::{Class, Failure};

/// The text that is written where the condition is ignored. It is no snapshot, and says so.
pub(crate) const BODY: &str = "{\"pb-deploy-probe\": \"a conditional write that this store should have refused\"}\n";
/// The field of [`BODY`] by which it is known.
pub(crate) const FIELD: &str = "pb-deploy-probe";
/// An entity tag that no object has: of the form that S3 gives, and the MD5 of nothing known.
const UNMATCHED_ETAG: &str = "\"00000000000000000000000000000000\"";
/// The suffix of the state's key for a probe beside it.
const PROBE_SUFFIX: &str = ".probe";
/// The operation of each failure.
const OPERATION: &str = "check conditional writes";

/// The answer of a store to a write whose condition does not hold.
#[derive(Debug, Clone)]
pub enum ConditionalWrites {
    /// It refuses the write, as Amazon S3 does.
    Enforced,
    /// It accepts the write, or does not know conditions. Two runs could overwrite each other's state in it.
    Ignored(Failure),
}

impl Store {
    /// Probes the store beside the state, with one write that must be refused. A store that obeys keeps nothing of it; in one
    /// that does not, what was written is deleted again.
    ///
    /// # Errors
    /// Whatever S3 answers that says nothing about conditions: then it is not known.
    pub async fn probe_conditional_writes(&self) -> Result<ConditionalWrites, Failure> {
        self.probe(&format!("{}{PROBE_SUFFIX}", self.location().key)).await
    }

    /// Probes the store at the key of the state, where there is none yet, which needs no further permission. Call it under the
    /// lease: in a store that ignores conditions it would overwrite what another has just written there.
    ///
    /// # Errors
    /// The explanation when conditions are ignored, and whatever S3 answers.
    pub(crate) async fn require_conditional_writes(&self) -> Result<(), Failure> {
        match self.probe(&self.location().key).await? {
            ConditionalWrites::Enforced => Ok(()),
            ConditionalWrites::Ignored(failure) => Err(failure),
        }
    }

    /// `If-Match` is the newer of the two conditions that are used: a store that knows it knows `If-None-Match` as well.
    async fn probe(&self, key: &str) -> Result<ConditionalWrites, Failure> {
        let request = self.put_request(key, ByteStream::from_static(BODY.as_bytes()));
        let answer = request.if_match(UNMATCHED_ETAG).send().await;
        let status = answer.as_ref().err().and_then(SdkError::raw_response).map(|raw| raw.status().as_u16());
        match self.answer(answer, "s3:PutObject") {
            Ok(written) => {
                let left = self.delete(key, written.version_id.as_deref()).await.err();
                Ok(ConditionalWrites::Ignored(self.ignored_failure(key, left.as_ref())))
            }
            Err(failure) if is_enforced(&failure, status) => Ok(ConditionalWrites::Enforced),
            Err(failure) if status == Some(501) || failure.is("NotImplemented") => {
                Ok(ConditionalWrites::Ignored(self.unsupported_failure(&failure)))
            }
            Err(failure) => Err(failure),
        }
    }

    fn ignored_failure(&self, key: &str, left: Option<&Failure>) -> Failure {
        let bucket = &self.location().bucket;
        let left = left.map(|failure| {
            format!("; the object {key} that this check wrote could not be deleted, delete it yourself: {failure}")
        });
        refused(format!(
            "the store of bucket {bucket} ignores the conditions of writes: it accepted a write with an If-Match that does \
             not hold, so two people could overwrite each other's state{}",
            left.unwrap_or_default()
        ))
    }

    fn unsupported_failure(&self, failure: &Failure) -> Failure {
        let bucket = &self.location().bucket;
        refused(format!(
            "the store of bucket {bucket} does not support the conditions of writes (If-Match, If-None-Match), so two people \
             could overwrite each other's state: {failure}"
        ))
    }
}

/// Returns whether the answer shows that the condition was looked at. Amazon S3 answers 412 to an `If-Match` that does not
/// fit the object, 404 NoSuchKey where there is no object, and 409 when the object was deleted meanwhile. (Amazon S3 User
/// Guide: How to prevent object overwrites with conditional writes)
fn is_enforced(failure: &Failure, status: Option<u16>) -> bool {
    status == Some(412) || failure.is("NoSuchKey") || failure.is("ConditionalRequestConflict")
}

fn refused(message: String) -> Failure {
    Failure::new(Class::Refused, OPERATION, message).hint(
        "keep the state in Amazon S3, or in a store that honours If-Match and If-None-Match on PutObject: change \
         `state.bucket`, or the endpoint for S3 (AWS_ENDPOINT_URL_S3)",
    )
}
