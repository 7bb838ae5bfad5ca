//! The state of a certificate: its names, its expiry, and its renewal by AWS.

use super::{issuing, names};
use crate::CertificateClient as Client;
use crate::certificates::{describe, list};
use crate::tls_settings;
use aws_sdk_acm::primitives::{DateTime, DateTimeFormat};
use aws_sdk_acm::types::{
    CertificateDetail, CertificateType, DomainStatus, DomainValidation, RenewalEligibility, RenewalStatus,
};
use pb_engine::{Class, Failure};
use serde::Serialize;
use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds of a day.
const DAY: i64 = 24 * 60 * 60;

/// The state of a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CertificateStatus {
    /// Status in AWS, such as `ISSUED` or `PENDING_VALIDATION`.
    pub status: String,
    /// Reason why the certificate cannot be used or issued any more.
    pub failure: Option<String>,
    /// Certificate authority; absent until the certificate is issued.
    pub issuer: Option<String>,
    /// All names, the first name of the certificate first.
    pub names: Vec<String>,
    /// Time at which the certificate expires, such as `2027-01-31T23:59:59Z`; absent until it is issued.
    pub expires: Option<String>,
    /// Number of whole days until then; negative for an expired certificate.
    pub days_left: Option<i64>,
    /// `true` if the certificate was imported. AWS does not renew it.
    pub imported: bool,
    /// `true` if a load balancer or another resource uses the certificate.
    pub in_use: bool,
    /// `true` if AWS would renew the certificate, which includes that it is in use.
    pub renewable: bool,
    /// State of the last renewal, such as `PENDING_VALIDATION`; absent before the first one.
    pub renewal: Option<String>,
    /// Reason why a renewal did not succeed.
    pub renewal_reason: Option<String>,
    /// Names that AWS has yet to validate, for the first time or for a renewal.
    pub unvalidated: Vec<UnvalidatedName>,
}

/// A name of a certificate that AWS has yet to validate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnvalidatedName {
    /// The name.
    pub name: String,
    /// Name of the CNAME record that AWS looks for; absent until AWS has chosen it.
    pub record: Option<String>,
    /// Value of this record.
    pub value: Option<String>,
}

impl CertificateStatus {
    /// Reads the state of a certificate.
    ///
    /// # Errors
    /// `NotFound` if there is no such certificate; the error of the call.
    pub async fn read(client: &Client, arn: &str) -> Result<Self, Failure> {
        Ok(Self::of(&existing(client, arn).await?, SystemTime::now()))
    }

    /// Reads the state of a certificate that has to serve these names, and the reason why it cannot.
    ///
    /// # Errors
    /// The same as those of [`CertificateStatus::read`].
    pub async fn read_for(client: &Client, arn: &str, names: &[String]) -> Result<(Self, Option<String>), Failure> {
        let (detail, now) = (existing(client, arn).await?, SystemTime::now());
        Ok((Self::of(&detail, now), tls_settings::problem(arn, &detail, names, now)))
    }

    fn of(detail: &CertificateDetail, now: SystemTime) -> Self {
        let first = detail.domain_name().unwrap_or_default();
        let others = names(detail).into_iter().filter(|name| name != first);
        let renewal = detail.renewal_summary();
        let state = renewal.map(|renewal| renewal.renewal_status().as_str().to_owned());
        let reason = renewal.and_then(|renewal| renewal.renewal_status_reason());
        Self {
            status: detail.status().map_or("UNKNOWN", |status| status.as_str()).to_owned(),
            failure: issuing::failure(detail),
            issuer: detail.issuer().filter(|_| detail.not_after().is_some()).map(str::to_owned),
            names: std::iter::once(first.to_owned()).chain(others).collect(),
            expires: detail.not_after().and_then(text),
            days_left: detail.not_after().map(|at| (at.secs() - seconds(now)).div_euclid(DAY)),
            imported: detail.r#type() == Some(&CertificateType::Imported),
            in_use: !detail.in_use_by().is_empty(),
            renewable: detail.renewal_eligibility() == Some(&RenewalEligibility::Eligible),
            renewal: state,
            renewal_reason: reason.map(|reason| reason.as_str().to_owned()),
            unvalidated: unvalidated(detail),
        }
    }

    /// Returns whether the last renewal waits for something or has failed.
    #[must_use]
    pub fn renewal_needs_attention(&self) -> bool {
        let states = [RenewalStatus::PendingValidation, RenewalStatus::Failed];
        self.renewal.as_ref().is_some_and(|renewal| states.iter().any(|state| state.as_str() == renewal))
    }
}

/// Returns the number of certificates that count toward the quota of the region, which are those that AWS issues.
///
/// # Errors
/// The error of the call.
pub async fn certificate_count(client: &Client) -> Result<usize, Failure> {
    let all = list(client).await?;
    Ok(all.iter().filter(|summary| summary.r#type() != Some(&CertificateType::Imported)).count())
}

async fn existing(client: &Client, arn: &str) -> Result<CertificateDetail, Failure> {
    let none = || {
        let what = format!("there is no certificate {arn} in this account and region");
        Failure::new(Class::NotFound, "acm:DescribeCertificate", what)
    };
    describe(client, arn).await?.ok_or_else(none)
}

/// Returns the names that AWS has yet to validate: for a renewal, if there was one.
fn unvalidated(detail: &CertificateDetail) -> Vec<UnvalidatedName> {
    let options = match detail.renewal_summary() {
        Some(renewal) => renewal.domain_validation_options(),
        None => detail.domain_validation_options(),
    };
    let open = options.iter().filter(|option| option.validation_status() != Some(&DomainStatus::Success));
    open.map(unvalidated_name).collect()
}

fn unvalidated_name(option: &DomainValidation) -> UnvalidatedName {
    let record = option.resource_record();
    UnvalidatedName {
        name: option.domain_name().to_owned(),
        record: record.map(|record| record.name().trim_end_matches('.').to_owned()),
        value: record.map(|record| record.value().trim_end_matches('.').to_owned()),
    }
}

fn text(at: &DateTime) -> Option<String> {
    DateTime::from_secs(at.secs()).fmt(DateTimeFormat::DateTime).ok()
}

fn seconds(at: SystemTime) -> i64 {
    let since = at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    i64::try_from(since).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{CertificateStatus, DAY, UnvalidatedName};
    use aws_sdk_acm::primitives::DateTime;
    use aws_sdk_acm::types::{
        CertificateDetail, CertificateStatus as Status, DomainStatus, DomainValidation, RecordType, RenewalEligibility,
        RenewalStatus, RenewalSummary, ResourceRecord,
    };
    use std::time::{Duration, UNIX_EPOCH};

    fn option(name: &str, status: DomainStatus) -> DomainValidation {
        let record =
            ResourceRecord::builder().name(format!("_x.{name}.")).r#type(RecordType::Cname).value("_y.aws.").build();
        let option = DomainValidation::builder().domain_name(name).validation_status(status);
        option.resource_record(record.unwrap()).build().unwrap()
    }

    fn at(detail: &CertificateDetail, seconds: u64) -> CertificateStatus {
        CertificateStatus::of(detail, UNIX_EPOCH + Duration::from_secs(seconds))
    }

    fn issued() -> CertificateDetail {
        let names = ["a.example.org", "b.example.org"].map(str::to_owned).to_vec();
        let detail = CertificateDetail::builder().domain_name("b.example.org").status(Status::Issued).issuer("Amazon");
        let detail = detail.in_use_by("arn").renewal_eligibility(RenewalEligibility::Eligible);
        let option = option("b.example.org", DomainStatus::Success);
        let detail = detail.domain_validation_options(option).set_subject_alternative_names(Some(names));
        detail.not_after(DateTime::from_secs_f64(30.0 * 86_400.0 + 0.5)).build()
    }

    #[test]
    fn issued_certificate_has_expiry_and_first_name_first() {
        let state = at(&issued(), 0);
        assert_eq!((state.expires.as_deref(), state.days_left), (Some("1970-01-31T00:00:00Z"), Some(30)));
        assert_eq!(state.names, ["b.example.org", "a.example.org"]);
        assert!(state.in_use && state.renewable && !state.renewal_needs_attention(), "{state:?}");
        assert_eq!((state.unvalidated.len(), state.failure), (0, None));
        let late = u64::try_from(DAY).unwrap() * 30;
        assert_eq!([late - 1, late, late + 1].map(|now| at(&issued(), now).days_left.unwrap()), [0, 0, -1]);
    }

    #[test]
    fn renewal_names_the_record_that_it_lacks() {
        let summary = RenewalSummary::builder().renewal_status(RenewalStatus::PendingValidation);
        let options = [option("b.example.org", DomainStatus::PendingValidation), option("a", DomainStatus::Success)];
        let summary = summary.set_domain_validation_options(Some(options.to_vec())).updated_at(DateTime::from_secs(0));
        let mut detail = issued();
        detail.renewal_summary = Some(summary.build().unwrap());
        let state = at(&detail, 0);
        assert!(state.renewal_needs_attention(), "{state:?}");
        let lacks = UnvalidatedName {
            name: "b.example.org".to_owned(),
            record: Some("_x.b.example.org".to_owned()),
            value: Some("_y.aws".to_owned()),
        };
        assert_eq!(state.unvalidated, [lacks]);
    }
}
