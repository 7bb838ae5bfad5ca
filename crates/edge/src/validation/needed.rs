//! The certificates of the account that need a validation record.

use super::Validation;
use crate::CertificateClient;
use crate::certificates::{describe, list};
use aws_sdk_acm::config::{Builder, Region};
use aws_sdk_acm::types::{CertificateStatus, CertificateSummary, ValidationMethod};
use aws_types::SdkConfig;
use pb_engine::{Class, Failure};
use pb_rules::https::base_name;

/// Region of the certificates that CloudFront uses. (CloudFront developer guide: Requirements for using SSL/TLS
/// certificates with CloudFront)
const CLOUDFRONT: &str = "us-east-1";

/// Returns a client for the certificates that CloudFront uses.
pub(super) fn client_of_cloudfront(config: &SdkConfig) -> CertificateClient {
    CertificateClient::from_conf(Builder::from(config).region(Region::new(CLOUDFRONT)).build())
}

impl Validation {
    /// Returns whether a certificate of the account, in this region or for CloudFront, needs the record of a name. If
    /// the credentials may not list the certificates of the other region, the record is assumed to be needed: a record
    /// that is left over does no harm, and a missing one ends the renewal of a certificate.
    pub(super) async fn is_needed(&self, hostname: &str) -> Result<bool, Failure> {
        if contain(&self.certificates, hostname).await? {
            return Ok(true);
        }
        let region = |client: &CertificateClient| client.config().region().map(|region| region.as_ref().to_owned());
        if region(&self.certificates) == region(&self.certificates_of_cloudfront) {
            return Ok(false);
        }
        match contain(&self.certificates_of_cloudfront, hostname).await {
            Err(failure) if matches!(failure.class, Class::Denied | Class::Refused | Class::Unreachable) => Ok(true),
            answer => answer,
        }
    }
}

/// Returns whether a certificate that is issued, or will be, contains a name that is validated with the record of
/// `hostname`.
async fn contain(client: &CertificateClient, hostname: &str) -> Result<bool, Failure> {
    let is_in_use = |summary: &CertificateSummary| {
        matches!(summary.status(), Some(CertificateStatus::Issued | CertificateStatus::PendingValidation))
    };
    // A summary contains at most 100 names.
    let may_contain = |summary: &CertificateSummary| {
        let names = summary.subject_alternative_name_summaries().iter().map(String::as_str);
        let mut names = names.chain(summary.domain_name());
        summary.has_additional_subject_alternative_names() == Some(true)
            || names.any(|name| base_name(name) == hostname)
    };
    let all = list(client).await?;
    for summary in all.iter().filter(|summary| is_in_use(summary) && may_contain(summary)) {
        let Some(detail) = describe(client, summary.certificate_arn().unwrap_or_default()).await? else { continue };
        let mut options = detail.domain_validation_options().iter();
        let is_needed = options.any(|option| {
            base_name(option.domain_name()) == hostname && option.validation_method() == Some(&ValidationMethod::Dns)
        });
        if is_needed {
            return Ok(true);
        }
    }
    Ok(false)
}
