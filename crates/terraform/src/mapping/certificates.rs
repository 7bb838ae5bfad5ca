//! Certificates, the records that prove their names, and their use by listeners.

use super::{ImportCandidate, Reason};
use crate::state::Resource;
use pb_engine::Address;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Part of the value of every validation record. (ACM user guide: DNS validation)
const VALIDATION_DOMAIN: &str = ".acm-validations.";

/// Reason why a certificate is not imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateReason {
    /// The configuration uses it as an existing certificate.
    Configured,
    /// AWS did not issue it, or not by DNS validation.
    NotRequested,
    /// It has other names than the certificates that pb-deploy requests.
    OtherNames(BTreeSet<String>),
}

/// Returns all names of a certificate.
pub(crate) fn names(certificate: &Resource) -> BTreeSet<String> {
    let others = certificate.list_items("subject_alternative_names");
    others.chain(certificate.attribute("domain_name")).map(str::to_lowercase).collect()
}

/// Returns whether AWS has issued a certificate after DNS validation, like those that pb-deploy requests.
pub(crate) fn is_requested(certificate: &Resource) -> bool {
    let usual = |name: &str, value: &str| certificate.attribute(name).is_none_or(|found| found == value);
    let private = certificate.attribute("certificate_authority_arn").is_some();
    usual("type", "AMAZON_ISSUED") && usual("validation_method", "DNS") && !private
}

/// Returns whether a certificate could be the desired one. The names of a certificate cannot be changed, so it would
/// have to be replaced if they differed.
pub(super) fn matches(certificate: &Resource, spec: &Value) -> bool {
    let wanted = spec["names"].as_array().into_iter().flatten().filter_map(Value::as_str);
    is_requested(certificate) && names(certificate) == wanted.map(str::to_owned).collect()
}

/// Returns the reason why a certificate is not imported. `used` is the certificate that the configuration uses by its
/// ARN, instead of certificates that pb-deploy requests.
pub(super) fn reason(certificate: &Resource, used: Option<&str>) -> Reason {
    match used {
        Some(arn) if arn == certificate.id => Reason::Certificate(CertificateReason::Configured),
        Some(_) => Reason::NoCounterpart,
        None if is_requested(certificate) => Reason::Certificate(CertificateReason::OtherNames(names(certificate))),
        None => Reason::Certificate(CertificateReason::NotRequested),
    }
}

/// Returns whether a DNS record proves a name of a certificate.
pub(super) fn is_validation(record: &Resource) -> bool {
    let mut values = record.list_items("records");
    record.attribute("type") == Some("CNAME") && values.any(|value| value.contains(VALIDATION_DOMAIN))
}

/// Returns whether a validation record is the desired one. Its name is a label that AWS has chosen, and the name that it
/// proves. `imported` are the imported certificates: the record of another certificate cannot be found in AWS.
pub(super) fn proves(record: &Resource, spec: &Value, imported: &[&Resource]) -> bool {
    let fqdn = record.attribute("fqdn").or(record.attribute("name")).unwrap_or_default();
    let proven = fqdn.trim_end_matches('.').split_once('.').map(|(_, name)| name.to_lowercase());
    let same_zone = record.attribute("zone_id").is_none_or(|zone| spec["zone_id"] == zone);
    let Some(proven) = proven.filter(|name| same_zone && spec["hostname"] == name.as_str()) else { return false };
    let is_of = |name: &String| name.strip_prefix("*.").unwrap_or(name) == proven;
    imported.iter().any(|certificate| names(certificate).iter().any(is_of))
}

/// Returns whether a further certificate of a listener is that of `target`, given the resources that are imported:
/// `edge/listener_certificate_2` is the use of `edge/certificate_2` by `edge/listener_https`.
pub(super) fn is_further_certificate(
    resource: &Resource,
    target: &Address,
    imports: &BTreeMap<Address, ImportCandidate>,
) -> bool {
    let is_at = |attribute: &str, address: &str| {
        let import = imports.get(address).map(|import| import.id.as_str());
        import.is_some() && resource.attribute(attribute) == import
    };
    is_at("certificate_arn", &target.as_str().replace("/listener_", "/"))
        && is_at("listener_arn", "edge/listener_https")
}
