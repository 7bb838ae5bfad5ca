//! `acm.certificate`: the certificate of the hostnames, which AWS issues once DNS records prove control of them.

mod diagnosis;
mod issuing;
pub(crate) mod prospects;
pub(crate) mod status;
#[cfg(test)]
mod tests;

use self::diagnosis::Diagnosis;
use crate::CertificateClient as Client;
use crate::DnsClient;
use crate::certificates::{self, Certificates, Tags};
use aws_sdk_acm::types::{CertificateDetail, CertificateStatus, ValidationMethod};
use pb_aws::ForOperation;
use pb_dns::Resolver;
use pb_engine::{Change, Class, Context, Failure, Found, Ownership, ReadScope, Resource, is_unknown, unknown};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Resource kind for certificates.
pub struct Certificate {
    client: Client,
    diagnosis: Option<Diagnosis>,
}

impl Certificate {
    /// Creates the resource kind.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client, diagnosis: None }
    }

    /// Sets the client and the resolver with which a certificate that cannot be issued is reported within a minute: for
    /// a validation record that is missing and, if there is a resolver, for the answers of public DNS.
    #[must_use]
    pub fn with_dns(self, dns: DnsClient, resolver: Option<Resolver>) -> Self {
        Self { diagnosis: Some(Diagnosis { dns, resolver }), ..self }
    }
}

/// Spec of a certificate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CertificateSpec {
    /// First name, which is also the common name.
    pub domain_name: String,
    /// All names, including the first one.
    pub names: BTreeSet<String>,
    /// Reason why the certificate can no longer be issued or used; absent in a configured spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// Tags, without the ownership tags.
    pub tags: BTreeMap<String, String>,
}

/// Attributes of a certificate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CertificateAttrs {
    /// ARN of the certificate.
    pub arn: String,
}

impl Resource for Certificate {
    const KIND: &'static str = "acm.certificate";
    /// AWS renews a certificate only as long as the validation records exist.
    const RELIES_ON: &'static [&'static str] = &["acm.validation"];
    const UNIQUE_NAME: bool = false;
    const TAG_INDEXED: bool = true;
    /// The order of the names does not matter to clients.
    const RETAINED_FIELDS: &'static [&'static str] = &["domain_name"];
    type Spec = CertificateSpec;
    type Attrs = CertificateAttrs;

    fn validate(spec: &CertificateSpec) -> Result<(), String> {
        let all = || {
            pb_rules::https::first_certificate_name(&spec.domain_name)?;
            spec.names.iter().try_for_each(|name| pb_rules::https::certificate_name(name))
        };
        all().map_err(|violation| violation.to_string())
    }

    fn planned_attrs(_spec: &CertificateSpec) -> CertificateAttrs {
        CertificateAttrs { arn: unknown() }
    }

    /// The names of a certificate cannot be changed.
    fn requires_replacement(field: &str) -> bool {
        matches!(field, "domain_name" | "names" | "failed")
    }

    fn can_coexist(_old: &CertificateSpec, _new: &CertificateSpec) -> bool {
        true
    }

    fn id(attrs: &CertificateAttrs) -> Option<String> {
        (!is_unknown(&attrs.arn)).then(|| attrs.arn.clone())
    }

    async fn read(&self, scope: &ReadScope<Self>) -> Result<Vec<Found<Self>>, Failure> {
        let all = Certificates::cached(scope, &self.client).await?;
        let found = all.0.iter().filter_map(|(detail, tags)| classify(scope, detail, tags));
        let untagged = all.0.iter().filter_map(|(detail, tags)| scope.untagged(tags, &attrs_of(detail)));
        Ok(found.chain(untagged).collect())
    }

    async fn create(&self, cx: &Context, spec: &CertificateSpec) -> Result<CertificateAttrs, Failure> {
        let others: Vec<String> = spec.names.iter().filter(|name| **name != spec.domain_name).cloned().collect();
        let call = self
            .client
            .request_certificate()
            .domain_name(&spec.domain_name)
            .set_subject_alternative_names(Some(others).filter(|others| !others.is_empty()))
            .validation_method(ValidationMethod::Dns)
            .idempotency_token(cx.client_token())
            .set_tags(Some(certificates::tags_to_sdk(&cx.tags(&spec.tags))?));
        let output = call.send().await.for_operation("acm:RequestCertificate").map_err(with_quota_hint)?;
        Ok(CertificateAttrs { arn: output.certificate_arn.unwrap_or_else(unknown) })
    }

    async fn update(
        &self,
        _cx: &Context,
        attrs: &CertificateAttrs,
        spec: &CertificateSpec,
        changes: &[Change],
    ) -> Result<CertificateAttrs, Failure> {
        let (set, gone) = crate::tags::changed(&spec.tags, changes);
        certificates::update_tags(&self.client, &attrs.arn, &set, &gone).await?;
        Ok(attrs.clone())
    }

    async fn wait_ready(&self, cx: &Context, attrs: CertificateAttrs) -> Result<CertificateAttrs, Failure> {
        self.wait_issued(cx, &attrs.arn).await?;
        Ok(attrs)
    }

    /// AWS answers ResourceInUseException until the load balancer has dropped the certificate, some time after its
    /// listener was changed; the engine repeats the call.
    async fn delete(&self, _cx: &Context, attrs: &CertificateAttrs) -> Result<(), Failure> {
        let call = self.client.delete_certificate().certificate_arn(&attrs.arn).send();
        call.await.for_operation("acm:DeleteCertificate").map(drop)
    }

    async fn adopt(&self, cx: &Context, attrs: &Self::Attrs) -> Result<(), Failure> {
        certificates::adopt(&self.client, cx, &attrs.arn).await
    }

    async fn forget(&self, _cx: &Context, attrs: &Self::Attrs) -> Result<(), Failure> {
        certificates::forget(&self.client, &attrs.arn).await
    }
}

fn classify(scope: &ReadScope<Certificate>, detail: &CertificateDetail, tags: &Tags) -> Option<Found<Certificate>> {
    let attrs = attrs_of(detail);
    let address = scope.managed_address(tags, &[&attrs.arn])?;
    let ready = detail.status() == Some(&CertificateStatus::Issued);
    Some(Found::Managed { address, spec: spec_of(detail, tags), attrs, ready })
}

fn attrs_of(detail: &CertificateDetail) -> CertificateAttrs {
    CertificateAttrs { arn: detail.certificate_arn().unwrap_or_default().to_owned() }
}

fn spec_of(detail: &CertificateDetail, tags: &Tags) -> CertificateSpec {
    let domain_name = detail.domain_name().unwrap_or_default().to_owned();
    CertificateSpec {
        names: names(detail),
        domain_name,
        failed: issuing::failure(detail),
        tags: Ownership::user_tags(tags),
    }
}

/// Returns all names of a certificate.
pub(crate) fn names(detail: &CertificateDetail) -> BTreeSet<String> {
    let names = detail.subject_alternative_names().iter().map(String::as_str).chain(detail.domain_name());
    names.map(str::to_owned).collect()
}

/// Adds the names of the quotas to the failure of a request that exceeds one of them.
fn with_quota_hint(failure: Failure) -> Failure {
    if !failure.is("LimitExceededException") {
        return failure;
    }
    failure.class(Class::Refused).hint(
        "a quota of AWS Certificate Manager is used up; delete certificates that nothing uses, or request an increase of \
         the quota L-F141DD1D (ACM certificates) or L-FB94F0B0 (names per certificate) in Service Quotas",
    )
}
