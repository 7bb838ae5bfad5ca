//! The wait until AWS has issued a certificate, and the reasons why it never will.

use super::Certificate;
use crate::certificates::describe;
use aws_sdk_acm::types::{CertificateDetail, CertificateStatus, DomainStatus, FailureReason};
use pb_engine::{Backoff, Cause, Class, Context, Failure, Progress};
use std::time::Duration;

const DESCRIBE: &str = "acm:DescribeCertificate";

/// Backoff for waiting until a certificate is issued, which usually takes some minutes and can take half an hour. (ACM
/// user guide: DNS validation)
const ISSUING: Backoff = Backoff::minutes(Duration::from_secs(60 * 60));

impl Certificate {
    /// Waits until a certificate is issued.
    pub(super) async fn wait_issued(&self, cx: &Context, arn: &str) -> Result<(), Failure> {
        let waited = cx.wait(DESCRIBE, ISSUING, || async {
            let Some(detail) = describe(&self.client, arn).await? else {
                return Err(Failure::new(Class::NotFound, DESCRIBE, format!("certificate {arn} not found")));
            };
            match detail.status() {
                Some(CertificateStatus::Issued) => return Ok(Progress::Ready(())),
                Some(CertificateStatus::PendingValidation) => {}
                _ => return Err(not_issued(&detail)),
            }
            Ok(Progress::Pending(pending(&detail)))
        });
        waited.await.map_err(|failure| match failure.class {
            Class::TimedOut => failure.hint(
                "AWS can take half an hour; run the same command again, which goes on from here (the site is served with \
                 HTTP meanwhile)",
            ),
            _ => failure,
        })
    }
}

/// Returns the reason why a certificate cannot be used or issued any more; `None` if it can.
pub(super) fn failure(detail: &CertificateDetail) -> Option<String> {
    match detail.status() {
        Some(CertificateStatus::Issued | CertificateStatus::PendingValidation) | None => None,
        Some(CertificateStatus::Failed) => {
            Some(detail.failure_reason().map_or("FAILED", FailureReason::as_str).to_owned())
        }
        Some(status) => Some(status.as_str().to_owned()),
    }
}

/// Returns a text such as `waiting for AWS to issue the certificate (validated: 1 of 3 names)`.
fn pending(detail: &CertificateDetail) -> String {
    let options = detail.domain_validation_options();
    let open: Vec<&str> = options
        .iter()
        .filter(|option| option.validation_status() != Some(&DomainStatus::Success))
        .map(|option| option.domain_name())
        .collect();
    match open.as_slice() {
        [] => "waiting for AWS to issue the certificate".to_owned(),
        open => format!("waiting for AWS to validate {} (minutes, at most half an hour)", open.join(", ")),
    }
}

/// Returns the failure of a certificate that will never be issued.
fn not_issued(detail: &CertificateDetail) -> Failure {
    let reason = failure(detail).unwrap_or_default();
    let names = super::names(detail).into_iter().collect::<Vec<_>>().join(", ");
    let hint = match detail.failure_reason() {
        Some(FailureReason::CaaError) => {
            "a CAA record of one of the names or of a parent domain does not allow Amazon; add a CAA record `0 issue \
             \"amazon.com\"` there, then run the same command again"
        }
        Some(FailureReason::AdditionalVerificationRequired) => {
            "AWS has to verify a name first; open a case with AWS Support, then run the same command again"
        }
        Some(FailureReason::InvalidPublicDomain | FailureReason::DomainNotAllowed) => {
            "AWS issues no certificate for one of the names; change `hostname` or `https.names`"
        }
        _ => "run the same command again, which requests a new certificate",
    };
    let message = format!("AWS did not issue the certificate for {names}: {reason}");
    Failure::new(Class::Failed, DESCRIBE, message).cause(Cause::Prerequisite).hint(hint)
}
