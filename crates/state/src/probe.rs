//! Probe for conditional writes: a write whose condition cannot be met. A store that accepts the write ignores
//! conditions.

use crate::store::Store;
use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_runtime_api::client::result::SdkError;
use pb_engine::{Failure, Refusal};

/// Body of the probe, which a store keeps if it ignores the condition. The body cannot be mistaken for a snapshot.
pub(crate) const BODY: &str = "{\"pb-deploy-probe\": \"a conditional write that this store should have refused\"}\n";
/// Field that identifies [`BODY`].
pub(crate) const FIELD: &str = "pb-deploy-probe";
/// Entity tag that no object has: in the format of S3, but not the MD5 of any known content.
const UNMATCHED_ETAG: &str = "\"00000000000000000000000000000000\"";
/// Suffix that is appended to the key of the state to form the key of a probe without the lease.
const PROBE_SUFFIX: &str = ".probe";
/// Name of the operation in the failures of this module.
const OPERATION: &str = "check conditional writes";

/// Response of a store to a write whose condition is not met.
#[derive(Debug, Clone)]
pub enum ConditionalWrites {
    /// The store rejects the write, as Amazon S3 does.
    Enforced,
    /// The store accepts the write or does not support conditions. In such a store, two runs could overwrite each
    /// other's state.
    Ignored(Failure),
}

impl Store {
    /// Probes the store with one write that it must reject, at a key other than that of the state. A store that
    /// enforces conditions stores nothing. If the store accepts the write, the written object is deleted again.
    ///
    /// # Errors
    /// Any error of S3 that is unrelated to conditions; it is then unknown whether the store enforces conditions.
    pub async fn probe_conditional_writes(&self) -> Result<ConditionalWrites, Failure> {
        self.probe(&format!("{}{PROBE_SUFFIX}", self.location().key)).await
    }

    /// Probes the store at the key of the state, which needs no further permission. The caller must hold the lease, and
    /// the object must not exist yet: in a store that ignores conditions, the probe would overwrite what another run
    /// has just written.
    ///
    /// # Errors
    /// `Refused` if the store ignores or does not support conditions, and any error of S3.
    pub(crate) async fn require_conditional_writes(&self) -> Result<(), Failure> {
        match self.probe(&self.location().key).await? {
            ConditionalWrites::Enforced => Ok(()),
            ConditionalWrites::Ignored(failure) => Err(failure),
        }
    }

    /// Sends the probe with `If-Match`. Of the two conditions in use, it is the newer: a store that supports it also
    /// supports `If-None-Match`.
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
            "the store of bucket {bucket} ignores conditional writes: it accepted a write whose If-Match was not \
             met, so two runs could overwrite each other's state{}",
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
    Failure::refused(Refusal::NoConditionalWrites, OPERATION, message).hint(
        "keep the state in Amazon S3 or in a store that honours If-Match and If-None-Match on PutObject: change \
         `state.bucket` or the endpoint of S3 (AWS_ENDPOINT_URL_S3)",
    )
}
