//! The wait until AWS has issued a certificate, and the reasons why it never will.

use super::Certificate;
use super::diagnosis::{Diagnosis, OpenName};
use crate::certificates::describe;
use crate::validation::cname_of;
use aws_sdk_acm::types::{CertificateDetail, CertificateStatus, DomainStatus, DomainValidation, FailureReason};
use pb_engine::{Backoff, Cause, Class, Context, Failure, Progress};
use pb_rules::https::base_name;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Time before public DNS is asked, between two questions, and after which its answer ends the wait.
const GRACE: Duration = Duration::from_secs(15);
const INTERVAL: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_secs(40);

const DESCRIBE: &str = "acm:DescribeCertificate";

/// Backoff for waiting until a certificate is issued, which usually takes some minutes and can take half an hour. (ACM
/// user guide: DNS validation)
const ISSUING: Backoff = Backoff::minutes(Duration::from_secs(60 * 60));

impl Certificate {
    /// Waits until a certificate is issued. Ends early if public DNS shows that it cannot be issued.
    pub(super) async fn wait_issued(&self, cx: &Context, arn: &str) -> Result<(), Failure> {
        let blocked = Blocked::default();
        let waited = cx.wait(DESCRIBE, ISSUING, || async {
            let Some(detail) = describe(&self.client, arn).await? else {
                return Err(Failure::new(Class::NotFound, DESCRIBE, format!("certificate {arn} not found")));
            };
            match detail.status() {
                Some(CertificateStatus::Issued) => return Ok(Progress::Ready(())),
                Some(CertificateStatus::PendingValidation) => {}
                _ => return Err(not_issued(&detail)),
            }
            match blocked.reasons(self.diagnosis.as_ref(), &open_names(&detail)).await {
                Ok(reasons) if reasons.is_empty() => Ok(Progress::Pending(pending(&detail))),
                Ok(reasons) => Ok(Progress::Pending(format!("{}: {}", pending(&detail), reasons.join("; ")))),
                Err(reasons) => Err(blocked_by_dns(&detail, &reasons)),
            }
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

/// The reasons that speak against a certificate, looked up from time to time.
struct Blocked {
    began: Instant,
    last: Mutex<Option<(Instant, Vec<String>)>>,
}

impl Default for Blocked {
    fn default() -> Self {
        Self { began: Instant::now(), last: Mutex::default() }
    }
}

impl Blocked {
    /// Returns what speaks against the certificate.
    ///
    /// # Errors
    /// The reasons, once they have persisted: resolvers may still cache answers from before a correction.
    async fn reasons(&self, diagnosis: Option<&Diagnosis>, names: &[OpenName]) -> Result<Vec<String>, Vec<String>> {
        let Some(diagnosis) = diagnosis.filter(|_| self.began.elapsed() >= GRACE) else { return Ok(Vec::new()) };
        let mut last = self.last.lock().await;
        let reasons = match last.as_ref() {
            Some((at, reasons)) if at.elapsed() < INTERVAL => reasons.clone(),
            _ => {
                let reasons = diagnosis.of(names).await;
                *last = Some((Instant::now(), reasons.clone()));
                reasons
            }
        };
        if reasons.is_empty() || self.began.elapsed() < PATIENCE { Ok(reasons) } else { Err(reasons) }
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

/// Returns what the run waits for, with the names that AWS has not validated yet.
fn pending(detail: &CertificateDetail) -> String {
    let open: Vec<String> = open_names(detail).into_iter().map(|open| open.name).collect();
    match open.as_slice() {
        [] => "waiting for AWS to issue the certificate".to_owned(),
        open => format!("waiting for AWS to validate {} (minutes, at most half an hour)", open.join(", ")),
    }
}

/// Returns the names that AWS has not validated yet.
fn open_names(detail: &CertificateDetail) -> Vec<OpenName> {
    let options = detail.domain_validation_options().iter();
    let open = options.filter(|option| option.validation_status() != Some(&DomainStatus::Success));
    let name = |option: &DomainValidation| OpenName {
        name: option.domain_name().to_owned(),
        record: cname_of(detail, base_name(option.domain_name())),
    };
    open.map(name).collect()
}

/// Returns the failure of a certificate that cannot be issued until DNS is changed.
fn blocked_by_dns(detail: &CertificateDetail, reasons: &[String]) -> Failure {
    let names = open_names(detail).into_iter().map(|open| open.name).collect::<Vec<_>>().join(", ");
    let message = format!("AWS cannot validate {names}: {}", reasons.join("; "));
    Failure::new(Class::Failed, "issue the certificate", message).cause(Cause::Prerequisite).hint(
        "correct this and run the same command again, which goes on from here; until then the site is served with HTTP",
    )
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
