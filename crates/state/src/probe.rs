//! Probe for conditional writes: a write whose condition cannot hold. A store that accepts it ignores conditions.

use crate::store::Store;
use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_runtime_api::client::result::SdkError;
use pb_engine::{Class, Failure};

/// Body that a store ends up with if it ignores the condition. It is recognisably not a snapshot.
pub(crate) const BODY: &str = "{\"pb-deploy-probe\": \"a conditional write that this store should have refused\"}\n";
/// Field that identifies [`BODY`].
pub(crate) const FIELD: &str = "pb-deploy-probe";
/// Entity tag that no object has: in the format of S3, but not the MD5 of any known content.
const UNMATCHED_ETAG: &str = "\"00000000000000000000000000000000\"";
/// Suffix of the key of the state for a probe beside it.
const PROBE_SUFFIX: &str = ".probe";
/// Operation named by failures of this module.
const OPERATION: &str = "check conditional writes";

/// Response of a store to a write whose condition does not hold.
#[derive(Debug, Clone)]
pub enum ConditionalWrites {
    /// The store rejects the write, as Amazon S3 does.
    Enforced,
    /// The store accepts the write or does not support conditions. Two runs could overwrite each other's state in it.
    Ignored(Failure),
}

impl Store {
    /// Probes the store beside the state with one write that must be rejected. A store that enforces conditions keeps
    /// nothing of it; in one that does not, the written object is deleted again.
    ///
    /// # Errors
    /// Any error of S3 that is unrelated to conditions; the result is then unknown.
    pub async fn probe_conditional_writes(&self) -> Result<ConditionalWrites, Failure> {
        self.probe(&format!("{}{PROBE_SUFFIX}", self.location().key)).await
    }

    /// Probes the store at the key of the state, which must not exist yet; this needs no further permission. Must be
    /// called under the lease: in a store that ignores conditions, the probe would overwrite what another run has just
    /// written.
    ///
    /// # Errors
    /// An explanation if conditions are ignored, and any error of S3.
    pub(crate) async fn require_conditional_writes(&self) -> Result<(), Failure> {
        match self.probe(&self.location().key).await? {
            ConditionalWrites::Enforced => Ok(()),
            ConditionalWrites::Ignored(failure) => Err(failure),
        }
    }

    /// Sends the probe with `If-Match`, the newer of the two conditions in use: a store that supports it also supports
    /// `If-None-Match`.
    async fn probe(&self, key: &str) -> Result<ConditionalWrites, Failure> {
        let request = self.put_request(key, ByteStream::from_static(BODY.as_bytes()));
        let answer = request.if_match(UNMATCHED_ETAG).send().await;
        let status = answer.as_ref().err().and_then(SdkError::raw_response).map(|raw| raw.status().as_u16());
        match self.convert_response(answer, "s3:PutObject") {
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
            format!("; delete the object {key}, which this check wrote and could not delete: {failure}")
        });
        refused(format!(
            "the store of bucket {bucket} ignores conditional writes: it accepted a write whose If-Match does not \
             hold, so two runs could overwrite each other's state{}",
            left.unwrap_or_default()
        ))
    }

    fn unsupported_failure(&self, failure: &Failure) -> Failure {
        let bucket = &self.location().bucket;
        refused(format!(
            "the store of bucket {bucket} does not support conditional writes (If-Match, If-None-Match), so two runs \
             could overwrite each other's state: {failure}"
        ))
    }
}

/// Returns whether the response shows that the store evaluated the condition. Amazon S3 responds with 412 if the object
/// does not match `If-Match`, with 404 NoSuchKey if there is no object, and with 409 if the object was deleted in the
/// meantime. (Amazon S3 User Guide: How to prevent object overwrites with conditional writes)
fn is_enforced(failure: &Failure, status: Option<u16>) -> bool {
    status == Some(412) || failure.is("NoSuchKey") || failure.is("ConditionalRequestConflict")
}

fn refused(message: String) -> Failure {
    Failure::new(Class::Refused, OPERATION, message).hint(
        "keep the state in Amazon S3 or in a store that honours If-Match and If-None-Match on PutObject: change \
         `state.bucket` or the endpoint of S3 (AWS_ENDPOINT_URL_S3)",
    )
}
