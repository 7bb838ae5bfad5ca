//! Certificates, which are read once per read pass for several resource kinds.

use crate::CertificateClient as Client;
use crate::certificate::Certificate;
use aws_sdk_acm::types::{CertificateDetail, CertificateSummary, Filters, KeyAlgorithm, Tag};
use pb_aws::{ForOperation, tag_map};
use pb_engine::{Class, Context, Failure, Ownership, ReadScope, Resource, fetch_each, is_unknown};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Number of certificates in the region up to which the tags of each are read, so that one is found that has no name of
/// the workspace any more.
const MAX_READ: usize = 100;

/// Tags by key.
pub(crate) type Tags = BTreeMap<String, String>;

/// Certificates of this workspace, and those that are recorded, used or to be imported, with their tags.
pub(crate) struct Certificates(pub Vec<(CertificateDetail, Tags)>);

impl Certificates {
    /// Returns the certificates of this read pass, which are read once for all resource kinds.
    pub(crate) async fn cached<R: Resource>(scope: &ReadScope<R>, client: &Client) -> Result<Arc<Self>, Failure> {
        scope.shared(Self::read(&scope.for_kind(), client)).await
    }

    async fn read(scope: &ReadScope<Certificate>, client: &Client) -> Result<Self, Failure> {
        let recorded = scope.recorded.iter().map(|(_, attrs)| attrs.arn.clone());
        let imports = scope.imports().map(|(_, arn)| arn.to_owned());
        let mut arns: BTreeSet<String> = recorded.chain(imports).filter(|arn| !is_unknown(arn)).collect();
        let mut likely = arns.clone();
        if !scope.index_is_complete(|arn| arn.contains(":acm:")) {
            let listed = list(client).await;
            // A workspace without HTTPS must need neither permissions for certificates nor access to their endpoint.
            let without_https = scope.desired.is_empty() && scope.recorded.is_empty();
            match listed {
                Err(Failure { class: Class::Denied | Class::Refused | Class::Unreachable, .. }) if without_https => {}
                listed => {
                    let (listed, names) = (listed?, names_of_workspace(scope));
                    let arn = |summary: &CertificateSummary| summary.certificate_arn().map(str::to_owned);
                    let all = !without_https && listed.len() <= MAX_READ;
                    likely.extend(listed.iter().filter(|summary| all || has_name(summary, &names)).filter_map(arn));
                    arns.extend(listed.iter().filter_map(arn));
                }
            }
        }
        // Each certificate needs a call of its own, and an account can have thousands of them. So without HTTPS, or with
        // very many certificates, only the tag index is asked for those that have no name of this workspace.
        let ask = |mut arns: Vec<String>| {
            arns.retain(|arn| likely.contains(arn));
            fetch_each(arns, |arn| async move { tags(client, &arn).await })
        };
        let tags: HashMap<String, Tags> = scope.tags_of(arns.into_iter().collect(), ask).await?;
        let relevant = |arn: &String, tags: &Tags| {
            scope.managed_address(tags, &[arn]).is_some() || scope.find_recorded(|attrs| attrs.arn == *arn).is_some()
        };
        let wanted = tags.iter().filter(|(arn, tags)| relevant(arn, tags)).map(|(arn, _)| arn.clone()).collect();
        let details = fetch_each(wanted, |arn| async move { describe(client, &arn).await }).await?;
        let with_tags = details.into_iter().map(|(arn, detail)| (detail, tags.get(&arn).cloned().unwrap_or_default()));
        let mut all: Vec<_> = with_tags.collect();
        all.sort_by(|(one, _), (other, _)| one.certificate_arn().cmp(&other.certificate_arn()));
        Ok(Self(all))
    }
}

/// Returns the names that certificates of the workspace have: those of the desired certificates and, because an
/// abandoned certificate may no longer be desired, those of the records of the workspace.
fn names_of_workspace(scope: &ReadScope<Certificate>) -> BTreeSet<String> {
    let records = scope.for_kind::<crate::Record>();
    let desired = scope.desired.iter().flat_map(|(_, spec)| spec.names.iter().cloned());
    let of_records = records.desired.into_iter().map(|(_, spec)| spec.name);
    let of_recorded = records.recorded.into_iter().map(|(_, attrs)| attrs.name);
    desired.chain(of_records).chain(of_recorded).collect()
}

/// Returns whether a certificate has one of these names. A summary contains at most 100 names.
fn has_name(summary: &CertificateSummary, names: &BTreeSet<String>) -> bool {
    let own = summary.subject_alternative_name_summaries().iter().map(String::as_str);
    own.chain(summary.domain_name()).any(|name| names.contains(name))
}

/// Returns a certificate; `None` if it does not exist.
pub(crate) async fn describe(client: &Client, arn: &str) -> Result<Option<CertificateDetail>, Failure> {
    let answer = client.describe_certificate().certificate_arn(arn).send().await;
    match answer.for_operation("acm:DescribeCertificate") {
        Err(failure) if failure.class == Class::NotFound => Ok(None),
        answer => answer.map(|output| output.certificate),
    }
}

/// Returns all certificates of the region. Without a filter, AWS lists only those with RSA keys of 1024 and 2048 bits.
/// (ACM API: ListCertificates, `Includes`)
pub(crate) async fn list(client: &Client) -> Result<Vec<CertificateSummary>, Failure> {
    let all_keys = KeyAlgorithm::values().iter().map(|key| KeyAlgorithm::from(*key)).collect();
    let filters = Filters::builder().set_key_types(Some(all_keys)).build();
    let pages = client.list_certificates().includes(filters).into_paginator().items().send();
    pages.collect::<Result<Vec<_>, _>>().await.for_operation("acm:ListCertificates")
}

/// Returns the tags of a certificate; `None` if it does not exist.
async fn tags(client: &Client, arn: &str) -> Result<Option<Tags>, Failure> {
    let answer = client.list_tags_for_certificate().certificate_arn(arn).send().await;
    match answer.for_operation("acm:ListTagsForCertificate") {
        Err(failure) if failure.class == Class::NotFound => Ok(None),
        answer => Ok(Some(tag_map(answer?.tags().iter().map(|tag| (Some(tag.key()), tag.value()))))),
    }
}

/// Returns tags in the form of a request.
pub(crate) fn tags_to_sdk(tags: &Tags) -> Result<Vec<Tag>, Failure> {
    tags.iter().map(|(key, value)| tag(key, Some(value))).collect()
}

fn tag(key: &str, value: Option<&str>) -> Result<Tag, Failure> {
    let built = Tag::builder().key(key).set_value(value.map(str::to_owned)).build();
    built.map_err(|error| Failure::new(Class::Bug, "write a tag", error.to_string()))
}

/// Sets the tags in `set` and removes those in `gone`.
pub(crate) async fn update_tags(client: &Client, arn: &str, set: &Tags, gone: &[String]) -> Result<(), Failure> {
    if !set.is_empty() {
        let call = client.add_tags_to_certificate().certificate_arn(arn).set_tags(Some(tags_to_sdk(set)?)).send();
        call.await.for_operation("acm:AddTagsToCertificate")?;
    }
    if !gone.is_empty() {
        let tags: Result<Vec<Tag>, Failure> = gone.iter().map(|key| tag(key, None)).collect();
        let call = client.remove_tags_from_certificate().certificate_arn(arn).set_tags(Some(tags?)).send();
        call.await.for_operation("acm:RemoveTagsFromCertificate")?;
    }
    Ok(())
}

/// Adds the ownership tags to a certificate.
pub(crate) async fn adopt(client: &Client, cx: &Context, arn: &str) -> Result<(), Failure> {
    update_tags(client, arn, &cx.tags(&Tags::new()), &[]).await
}

/// Removes the ownership tags from a certificate.
pub(crate) async fn forget(client: &Client, arn: &str) -> Result<(), Failure> {
    update_tags(client, arn, &Tags::new(), &Ownership::KEYS.map(str::to_owned)).await
}
