//! `acm.validation`: the DNS record that proves control of a hostname to AWS.
//!
//! The record of a name is the same for all certificates of an account that contain the name, in every region and
//! workspace. It is therefore written with UPSERT, and deleted only if no other certificate needs it. AWS renews a
//! certificate only as long as its records exist. (ACM user guide: DNS validation)

mod needed;
#[cfg(test)]
mod tests;

use crate::certificates::{Certificates, describe};
use crate::names;
use crate::record::{plain_name, wait_insync, write_record};
use crate::zone::public_zones_of;
use crate::{CertificateClient, DnsClient};
use aws_sdk_acm::types::{CertificateDetail, RecordType};
use aws_sdk_route53::types::{ChangeAction, ResourceRecord, ResourceRecordSet, RrType};
use aws_types::SdkConfig;
use futures_util::future::try_join_all;
use pb_aws::ForOperation;
use pb_engine::{Address, Backoff, Change, Class, Context, Failure, Found, Progress, ReadScope, Resource};
use pb_engine::{is_unknown, unknown};
use pb_rules::https::base_name;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;

/// Seconds for which resolvers may cache a validation record.
const TTL: i64 = 300;

/// Backoff for waiting until AWS has chosen the record of a certificate, some seconds after the request.
const CHOOSING: Backoff = Backoff::seconds(Duration::from_secs(5 * 60));

/// Resource kind for validation records.
pub struct Validation {
    certificates: CertificateClient,
    /// Client for the region in which CloudFront uses certificates.
    certificates_of_cloudfront: CertificateClient,
    dns: DnsClient,
}

impl Validation {
    /// Creates the resource kind.
    #[must_use]
    pub fn new(config: &SdkConfig) -> Self {
        Self {
            certificates: CertificateClient::new(config),
            certificates_of_cloudfront: needed::client_of_cloudfront(config),
            dns: DnsClient::new(config),
        }
    }

    /// Creates the resource kind with the given clients.
    #[must_use]
    pub fn from_clients(certificates: CertificateClient, dns: DnsClient) -> Self {
        Self { certificates_of_cloudfront: certificates.clone(), certificates, dns }
    }
}

/// Spec of a validation record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ValidationSpec {
    /// Id of the hosted zone, without `/hostedzone/`.
    pub zone_id: String,
    /// Name that is validated, without `*.`.
    pub hostname: String,
    /// ARN of the certificate.
    pub certificate_arn: String,
}

/// Attributes of a validation record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ValidationAttrs {
    /// Id of the hosted zone that contains the record.
    pub zone_id: String,
    /// Name that is validated.
    pub hostname: String,
    /// Name of the record.
    pub name: String,
    /// Value of the record.
    pub value: String,
    /// Id of the last change that this run made; empty once that change is complete.
    pub change_id: String,
}

/// Name and value of a CNAME record.
pub(crate) type Cname = (String, String);

impl Resource for Validation {
    const KIND: &'static str = "acm.validation";
    const TAGGED: bool = false;
    type Spec = ValidationSpec;
    type Attrs = ValidationAttrs;

    fn validate(spec: &ValidationSpec) -> Result<(), String> {
        pb_rules::dns::hostname(&spec.hostname).map_err(|violation| violation.to_string())
    }

    fn planned_attrs(spec: &ValidationSpec) -> ValidationAttrs {
        attrs(spec, (unknown(), unknown()), unknown())
    }

    fn requires_replacement(field: &str) -> bool {
        matches!(field, "zone_id" | "hostname")
    }

    fn can_coexist(old: &ValidationSpec, new: &ValidationSpec) -> bool {
        (&old.zone_id, &old.hostname) != (&new.zone_id, &new.hostname)
    }

    fn id(attrs: &ValidationAttrs) -> Option<String> {
        (!is_unknown(&attrs.name)).then(|| format!("{} CNAME", attrs.name))
    }

    async fn read(&self, scope: &ReadScope<Self>) -> Result<Vec<Found<Self>>, Failure> {
        let mut candidates = candidates(scope);
        let certificates = Certificates::cached(scope, &self.certificates).await?;
        let abandoned = self.abandoned(scope, &candidates, &certificates).await?;
        candidates.extend(abandoned);
        let found = try_join_all(candidates.iter().map(|candidate| self.find(candidate, &certificates)));
        let wanted = found.await?.into_iter().flatten().filter(|found| is_not_another(scope, found));
        Ok(wanted.collect())
    }

    async fn create(&self, cx: &Context, spec: &ValidationSpec) -> Result<ValidationAttrs, Failure> {
        let cname = cx.wait("acm:DescribeCertificate", CHOOSING, || self.chosen(spec)).await?;
        let change_id = write_record(&self.dns, &spec.zone_id, ChangeAction::Upsert, record(&cname)?).await?;
        Ok(attrs(spec, cname, change_id))
    }

    async fn update(
        &self,
        cx: &Context,
        _attrs: &ValidationAttrs,
        spec: &ValidationSpec,
        _changes: &[Change],
    ) -> Result<ValidationAttrs, Failure> {
        self.create(cx, spec).await
    }

    async fn wait_ready(&self, cx: &Context, attrs: ValidationAttrs) -> Result<ValidationAttrs, Failure> {
        wait_insync(&self.dns, cx, &attrs.name, &attrs.change_id).await?;
        Ok(ValidationAttrs { change_id: String::new(), ..attrs })
    }

    async fn delete(&self, _cx: &Context, attrs: &ValidationAttrs) -> Result<(), Failure> {
        if is_unknown(&attrs.name) || self.is_needed(&attrs.hostname).await? {
            return Ok(());
        }
        let cname = (attrs.name.clone(), attrs.value.clone());
        let Some(set) = find_record(&self.dns, &attrs.zone_id, &cname).await? else { return Ok(()) };
        write_record(&self.dns, &attrs.zone_id, ChangeAction::Delete, set).await.map(drop)
    }
}

/// Returns whether a record is the one that is to be imported at its address, or none is to be imported there.
fn is_not_another(scope: &ReadScope<Validation>, found: &Found<Validation>) -> bool {
    let Found::Managed { address, attrs, .. } = found else { return true };
    let (id, mut imports) = (Validation::id(attrs), scope.imports());
    imports.all(|(at, wanted)| at != address || id.as_deref() == Some(wanted) || attrs.name == wanted)
}

/// A name that is desired or recorded.
struct Candidate {
    address: Address,
    zone_id: String,
    hostname: String,
    /// ARN of the desired certificate, if it is known.
    wanted: Option<String>,
    /// The recorded record.
    recorded: Option<Cname>,
}

fn candidates(scope: &ReadScope<Validation>) -> Vec<Candidate> {
    let recorded = |zone_id: &str, hostname: &str| {
        let mut all = scope.recorded.iter().map(|(_, attrs)| attrs);
        let attrs = all.find(|attrs| (attrs.zone_id.as_str(), attrs.hostname.as_str()) == (zone_id, hostname))?;
        (!is_unknown(&attrs.name)).then(|| (attrs.name.clone(), attrs.value.clone()))
    };
    let desired = scope.desired.iter().filter(|(_, spec)| !is_unknown(&spec.zone_id));
    let mut all: Vec<Candidate> = desired
        .map(|(address, spec)| Candidate {
            address: address.clone(),
            zone_id: spec.zone_id.clone(),
            hostname: spec.hostname.clone(),
            wanted: Some(spec.certificate_arn.clone()).filter(|arn| !is_unknown(arn)),
            recorded: recorded(&spec.zone_id, &spec.hostname),
        })
        .collect();
    for (address, attrs) in &scope.recorded {
        let known = |one: &Candidate| (&one.zone_id, &one.hostname) == (&attrs.zone_id, &attrs.hostname);
        if !all.iter().any(known) {
            let (zone_id, hostname) = (attrs.zone_id.clone(), attrs.hostname.clone());
            let recorded = recorded(&zone_id, &hostname);
            all.push(Candidate { address: address.clone(), zone_id, hostname, wanted: None, recorded });
        }
    }
    all
}

impl Validation {
    /// Returns the names of the managed certificates that are neither desired nor recorded: those of a run that ended
    /// before it could record their validation records.
    async fn abandoned(
        &self,
        scope: &ReadScope<Self>,
        known: &[Candidate],
        certificates: &Certificates,
    ) -> Result<Vec<Candidate>, Failure> {
        let managed = certificates.0.iter().filter(|(_, tags)| scope.address_from_tags(tags).is_some());
        let options = managed.flat_map(|(detail, _)| detail.domain_validation_options());
        let names: BTreeSet<&str> = options.map(|option| base_name(option.domain_name())).collect();
        let mut found = Vec::new();
        for hostname in names.into_iter().filter(|name| !known.iter().any(|candidate| candidate.hostname == **name)) {
            let Ok(address) = Address::new(names::validation(hostname)) else { continue };
            let zones = public_zones_of(&self.dns, hostname).await?.map(|(_, ids)| ids).unwrap_or_default();
            found.extend(zones.into_iter().map(|zone_id| Candidate {
                address: address.clone(),
                zone_id,
                hostname: hostname.to_owned(),
                wanted: None,
                recorded: None,
            }));
        }
        Ok(found)
    }

    /// Returns the record of a candidate if it exists. The certificate in its spec is the desired one if the record
    /// proves the name for it, otherwise another one of the workspace, or none.
    async fn find(&self, candidate: &Candidate, certificates: &Certificates) -> Result<Option<Found<Self>>, Failure> {
        let mut proven = certificates.0.iter().filter_map(|(detail, _)| {
            let cname = cname_of(detail, &candidate.hostname)?;
            Some((detail.certificate_arn().unwrap_or_default().to_owned(), cname))
        });
        let wanted = proven.clone().find(|(arn, _)| Some(arn) == candidate.wanted.as_ref());
        let (certificate_arn, cname) = match (wanted.or_else(|| proven.next()), &candidate.recorded) {
            (Some(found), _) => found,
            (None, Some(recorded)) => (String::new(), recorded.clone()),
            (None, None) => return Ok(None),
        };
        if find_record(&self.dns, &candidate.zone_id, &cname).await?.is_none() {
            return Ok(None);
        }
        let (zone_id, hostname) = (candidate.zone_id.clone(), candidate.hostname.clone());
        let spec = ValidationSpec { zone_id, hostname, certificate_arn };
        let attrs = attrs(&spec, cname, String::new());
        Ok(Some(Found::Managed { address: candidate.address.clone(), spec, attrs, ready: true }))
    }

    /// Returns the record that AWS has chosen for a name of a certificate, once it has.
    async fn chosen(&self, spec: &ValidationSpec) -> Result<Progress<Cname>, Failure> {
        let Some(detail) = describe(&self.certificates, &spec.certificate_arn).await? else {
            let what = format!("certificate {} not found", spec.certificate_arn);
            return Err(Failure::new(Class::NotReady, "acm:DescribeCertificate", what));
        };
        Ok(cname_of(&detail, &spec.hostname).map_or_else(
            || Progress::Pending(format!("waiting for the validation record of {}", spec.hostname)),
            Progress::Ready,
        ))
    }
}

/// Returns the live record set with this name and value, if it exists.
pub(crate) async fn find_record(
    dns: &DnsClient,
    zone_id: &str,
    (name, value): &Cname,
) -> Result<Option<ResourceRecordSet>, Failure> {
    let call = dns.list_resource_record_sets().hosted_zone_id(zone_id).start_record_name(name);
    let answer = call.start_record_type(RrType::Cname).max_items(1).send().await;
    let output = match answer.for_operation("route53:ListResourceRecordSets") {
        Err(failure) if failure.is("NoSuchHostedZone") => return Ok(None),
        answer => answer?,
    };
    let same = |one: &str, other: &str| plain_name(one) == plain_name(other);
    Ok(output.resource_record_sets.into_iter().find(|set| {
        let values = set.resource_records();
        set.r#type == RrType::Cname && same(&set.name, name) && values.iter().any(|one| same(&one.value, value))
    }))
}

/// Returns the record that proves a name for a certificate, if AWS has chosen it. A wildcard name has the same record.
pub(crate) fn cname_of(detail: &CertificateDetail, hostname: &str) -> Option<Cname> {
    let mut options = detail.domain_validation_options().iter();
    let option = options.find(|option| base_name(option.domain_name()) == hostname)?;
    let record = option.resource_record().filter(|record| *record.r#type() == RecordType::Cname)?;
    Some((plain_name(record.name()), plain_name(record.value())))
}

fn record((name, value): &Cname) -> Result<ResourceRecordSet, Failure> {
    let incomplete = |error: aws_sdk_route53::error::BuildError| {
        Failure::new(Class::Bug, "write a validation record", error.to_string())
    };
    let value = ResourceRecord::builder().value(format!("{value}.")).build().map_err(incomplete)?;
    let set = ResourceRecordSet::builder().name(name).r#type(RrType::Cname).ttl(TTL).resource_records(value);
    set.build().map_err(incomplete)
}

fn attrs(spec: &ValidationSpec, (name, value): Cname, change_id: String) -> ValidationAttrs {
    ValidationAttrs { zone_id: spec.zone_id.clone(), hostname: spec.hostname.clone(), name, value, change_id }
}
