//! `elbv2.listener_certificate`: a further certificate of an HTTPS listener, from which the listener chooses by the name
//! that a client asks for.

use crate::LoadBalancerClient as Client;
use aws_sdk_elasticloadbalancingv2::types::Certificate;
use futures_util::future::try_join_all;
use pb_aws::ForOperation;
use pb_engine::{Address, Change, Class, Context, Failure, Found, ReadScope, Resource, is_unknown};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Resource kind for further certificates of listeners.
///
/// They have no tags. A certificate of a listener is managed if it is desired, recorded or to be imported.
pub struct ListenerCertificate {
    client: Client,
}

impl ListenerCertificate {
    /// Creates the resource kind.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }
}

/// Spec of a further certificate of a listener; also its attributes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ListenerCertificateSpec {
    /// ARN of the listener.
    pub listener_arn: String,
    /// ARN of the certificate, which must not be the default certificate of the listener.
    pub certificate_arn: String,
}

impl Resource for ListenerCertificate {
    const KIND: &'static str = "elbv2.listener_certificate";
    const BLOCKS_DELETION_OF: &'static [&'static str] = &["acm.certificate"];
    const TAGGED: bool = false;
    type Spec = ListenerCertificateSpec;
    type Attrs = ListenerCertificateSpec;

    fn planned_attrs(spec: &ListenerCertificateSpec) -> ListenerCertificateSpec {
        spec.clone()
    }

    fn requires_replacement(_field: &str) -> bool {
        true
    }

    /// A listener keeps both certificates until the old one is removed, so that it always has one for each name.
    fn can_coexist(old: &ListenerCertificateSpec, new: &ListenerCertificateSpec) -> bool {
        old != new
    }

    fn id(attrs: &ListenerCertificateSpec) -> Option<String> {
        let ListenerCertificateSpec { listener_arn, certificate_arn } = attrs;
        let known = !is_unknown(listener_arn) && !is_unknown(certificate_arn);
        known.then(|| format!("{certificate_arn} of {listener_arn}"))
    }

    async fn read(&self, scope: &ReadScope<Self>) -> Result<Vec<Found<Self>>, Failure> {
        let parsed = |(address, id): (&Address, &str)| Some((address.clone(), parse_id(id)?));
        let imports: Vec<(Address, ListenerCertificateSpec)> = scope.imports().filter_map(parsed).collect();
        let all = scope.desired.iter().chain(&scope.recorded).chain(&imports);
        let known = all.filter(|(_, one)| Self::id(one).is_some());
        let all: BTreeMap<_, _> = known.map(|(address, spec)| (spec, address)).collect();
        let listeners: BTreeSet<&str> = all.keys().map(|spec| spec.listener_arn.as_str()).collect();
        let live = try_join_all(listeners.into_iter().map(|listener| self.certificates(listener))).await?;
        let live: BTreeSet<ListenerCertificateSpec> = live.into_iter().flatten().collect();
        let found = all.into_iter().filter(|(spec, _)| live.contains(*spec)).map(|(spec, address)| Found::Managed {
            address: address.clone(),
            spec: spec.clone(),
            attrs: spec.clone(),
            ready: true,
        });
        Ok(found.collect())
    }

    /// Adds the certificate; AWS accepts one that the listener has already.
    async fn create(&self, _cx: &Context, spec: &ListenerCertificateSpec) -> Result<ListenerCertificateSpec, Failure> {
        let call = self.client.add_listener_certificates().listener_arn(&spec.listener_arn).certificates(one(spec));
        call.send().await.for_operation("elasticloadbalancing:AddListenerCertificates")?;
        Ok(spec.clone())
    }

    async fn update(
        &self,
        cx: &Context,
        _attrs: &ListenerCertificateSpec,
        spec: &ListenerCertificateSpec,
        _changes: &[Change],
    ) -> Result<ListenerCertificateSpec, Failure> {
        self.create(cx, spec).await
    }

    async fn delete(&self, _cx: &Context, attrs: &ListenerCertificateSpec) -> Result<(), Failure> {
        let call =
            self.client.remove_listener_certificates().listener_arn(&attrs.listener_arn).certificates(one(attrs));
        call.send().await.for_operation("elasticloadbalancing:RemoveListenerCertificates").map(drop)
    }
}

impl ListenerCertificate {
    /// Returns the further certificates of a listener; none if the listener does not exist.
    async fn certificates(&self, listener_arn: &str) -> Result<Vec<ListenerCertificateSpec>, Failure> {
        let mut found = Vec::new();
        let mut marker = None;
        loop {
            let call = self.client.describe_listener_certificates().listener_arn(listener_arn).set_marker(marker);
            let output = match call.send().await.for_operation("elasticloadbalancing:DescribeListenerCertificates") {
                Err(failure) if failure.class == Class::NotFound => return Ok(Vec::new()),
                answer => answer?,
            };
            let others = output.certificates().iter().filter(|one| one.is_default() != Some(true));
            found.extend(others.filter_map(Certificate::certificate_arn).map(|arn| ListenerCertificateSpec {
                listener_arn: listener_arn.to_owned(),
                certificate_arn: arn.to_owned(),
            }));
            match output.next_marker.filter(|next| !next.is_empty()) {
                Some(next) => marker = Some(next),
                None => return Ok(found),
            }
        }
    }
}

/// Parses an id, `CERTIFICATE of LISTENER`.
fn parse_id(id: &str) -> Option<ListenerCertificateSpec> {
    let (certificate, listener) = id.split_once(" of ")?;
    Some(ListenerCertificateSpec { listener_arn: listener.to_owned(), certificate_arn: certificate.to_owned() })
}

/// Returns the certificate in the form of a request.
fn one(spec: &ListenerCertificateSpec) -> Certificate {
    Certificate::builder().certificate_arn(&spec.certificate_arn).build()
}
