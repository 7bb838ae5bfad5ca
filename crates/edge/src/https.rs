//! HTTPS in a graph: certificates, validation records, the HTTPS listener with its rules, and the redirect.

use crate::names;
use crate::routes::add_record;
use crate::stack::{EdgeSpec, EdgeStack, with_name_tag};
use crate::{
    CertificateAttrs, CertificateSpec, ListenerAttrs, ListenerCertificateSpec, ListenerRuleSpec, ListenerSpec,
    Redirect, ValidationAttrs, ValidationSpec, Zone,
};
use pb_engine::{Failure, Graph, Handle, Input};
use pb_rules::https::{NAMES_PER_CERTIFICATE, REDIRECT_PRIORITY, base_name};
use std::collections::{BTreeMap, BTreeSet};

/// Settings of HTTPS.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpsSpec {
    /// Port of the HTTPS listener.
    pub port: i32,
    /// Certificate of the listener.
    pub certificate: CertificateSource,
    /// TLS policy of the listener.
    pub ssl_policy: String,
    /// Value of the header `Strict-Transport-Security`. If absent, it is not managed.
    pub hsts: Option<String>,
    /// Redirects all requests of the HTTP listener to HTTPS.
    pub redirect: bool,
    /// Further hostnames for which a DNS record is created, each with its zone.
    pub records: BTreeMap<String, Zone>,
}

/// Certificate of the HTTPS listener.
#[derive(Debug, Clone, PartialEq)]
pub enum CertificateSource {
    /// An existing certificate, by its ARN.
    Existing(String),
    /// Certificates that the stack requests, for these names, each with its zone. The first name is the common name of
    /// the first certificate. A certificate has at most ten names, so more names need several certificates.
    Requested(Vec<(String, Zone)>),
}

/// Handles of the resources in a graph.
#[derive(Clone)]
pub struct HttpsStack {
    /// `edge/listener_https`
    pub listener: Handle<ListenerAttrs>,
    /// `edge/certificate` and, for more than ten names, `edge/certificate_2` and so on.
    pub certificates: Vec<Handle<CertificateAttrs>>,
    /// `edge/validation_NAME`, by name.
    pub validations: BTreeMap<String, Handle<ValidationAttrs>>,
}

impl HttpsStack {
    /// Adds all resources to `graph`. `services` contains, for each web service with a rule, an input that is ready when
    /// the service can handle requests; without one, the HTTPS listener has no rule for the service.
    ///
    /// Only the HTTPS listener waits for the certificates. The HTTP listener forwards requests until the HTTPS listener
    /// and its rules exist, and redirects them from then on.
    ///
    /// # Errors
    /// `Bug` if an address is already in use.
    pub fn add(
        graph: &mut Graph,
        edge: &EdgeStack,
        spec: &EdgeSpec,
        https: &HttpsSpec,
        services: &BTreeMap<String, Input<()>>,
    ) -> Result<Self, Failure> {
        let requested = match &https.certificate {
            CertificateSource::Existing(_) => Vec::new(),
            CertificateSource::Requested(names) => add_certificates(graph, edge, spec, names)?,
        };
        let certificates: Vec<_> = requested.iter().map(|(handle, _)| *handle).collect();
        let validations = add_validations(graph, edge, &requested)?;
        let listener = add_listener(graph, edge, spec, https, certificates.first().copied())?;
        for (index, certificate) in certificates.iter().enumerate().skip(1) {
            let address = names::listener_certificate(index + 1);
            graph.add(
                &address,
                &edge.kinds.listener_certificates,
                (listener, *certificate),
                |(listener, certificate)| ListenerCertificateSpec {
                    listener_arn: listener.arn,
                    certificate_arn: certificate.arn,
                },
            )?;
        }
        add_rules(graph, edge, spec, listener, services)?;
        if https.redirect {
            add_redirect(graph, edge, spec, https.port, listener)?;
        }
        for (host, zone) in &https.records {
            add_record(graph, &edge.kinds, edge.load_balancer, host, &zone.id)?;
        }
        Ok(Self { listener, certificates, validations })
    }
}

/// A certificate with its names and their zones.
type Requested<'a> = (Handle<CertificateAttrs>, &'a [(String, Zone)]);

fn add_certificates<'a>(
    graph: &mut Graph,
    edge: &EdgeStack,
    spec: &EdgeSpec,
    names: &'a [(String, Zone)],
) -> Result<Vec<Requested<'a>>, Failure> {
    let mut added = Vec::new();
    for (index, part) in names.chunks(NAMES_PER_CERTIFICATE).enumerate() {
        let domain_name = part.first().map(|(name, _)| name.clone()).unwrap_or_default();
        let names: BTreeSet<String> = part.iter().map(|(name, _)| name.clone()).collect();
        let tags = with_name_tag(&spec.tags, &domain_name);
        let address = names::certificate(index + 1);
        let handle = graph.add(&address, &edge.kinds.certificates, (), move |()| CertificateSpec {
            domain_name: domain_name.clone(),
            names: names.clone(),
            failed: None,
            tags: tags.clone(),
        })?;
        added.push((handle, part));
    }
    Ok(added)
}

/// Adds the validation records. A name and its wildcard name have the same record.
fn add_validations(
    graph: &mut Graph,
    edge: &EdgeStack,
    requested: &[Requested<'_>],
) -> Result<BTreeMap<String, Handle<ValidationAttrs>>, Failure> {
    let mut added = BTreeMap::new();
    for (certificate, names) in requested {
        for (name, zone) in *names {
            let (hostname, zone_id) = (base_name(name).to_owned(), zone.id.clone());
            if added.contains_key(&hostname) {
                continue;
            }
            let (address, key) = (names::validation(&hostname), hostname.clone());
            let handle = graph.add(&address, &edge.kinds.validations, certificate.created(), move |certificate| {
                ValidationSpec {
                    zone_id: zone_id.clone(),
                    hostname: hostname.clone(),
                    certificate_arn: certificate.arn,
                }
            })?;
            added.insert(key, handle);
        }
    }
    Ok(added)
}

fn add_listener(
    graph: &mut Graph,
    edge: &EdgeStack,
    spec: &EdgeSpec,
    https: &HttpsSpec,
    requested: Option<Handle<CertificateAttrs>>,
) -> Result<Handle<ListenerAttrs>, Failure> {
    let certificate = match (&https.certificate, requested) {
        (CertificateSource::Requested(_), Some(handle)) => handle.map(|certificate| certificate.arn),
        (CertificateSource::Existing(arn), _) => Input::known(arn.clone()),
        (CertificateSource::Requested(_), None) => Input::known(String::new()),
    };
    let tags = with_name_tag(&spec.tags, &format!("{}-{}", spec.load_balancer, https.port));
    let (port, policy, hsts) = (https.port, https.ssl_policy.clone(), https.hsts.clone());
    let needs = (edge.load_balancer.created(), edge.targets, certificate);
    graph.add(names::LISTENER_HTTPS, &edge.kinds.listeners, needs, move |(load_balancer, targets, certificate)| {
        ListenerSpec {
            load_balancer_arn: load_balancer.arn,
            port,
            protocol: crate::listener::HTTPS.to_owned(),
            target_group_arn: targets.arn,
            certificate_arn: Some(certificate),
            ssl_policy: Some(policy.clone()),
            hsts: hsts.clone(),
            tags: tags.clone(),
        }
    })
}

/// Adds the rules of the HTTPS listener, which are those of the HTTP listener. A rule is created only when its service
/// can handle requests, because the HTTPS listener may already serve clients.
fn add_rules(
    graph: &mut Graph,
    edge: &EdgeStack,
    spec: &EdgeSpec,
    listener: Handle<ListenerAttrs>,
    services: &BTreeMap<String, Input<()>>,
) -> Result<(), Failure> {
    for route in &spec.routes {
        let (Some(http), Some(service)) = (edge.routes.get(&route.key), services.get(&route.key)) else { continue };
        let (wanted, tags) = (route.clone(), with_name_tag(&spec.tags, &route.target_group));
        let needs = (listener, http.targets, http.rule, service.clone());
        let address = names::route_rule_https(&route.key);
        graph.add(&address, &edge.kinds.rules, needs, move |(listener, targets, _, ())| {
            wanted.rule(listener.arn, targets.arn, tags.clone())
        })?;
    }
    Ok(())
}

/// Adds the redirect. It is a rule before all others and not the default action of the HTTP listener, so that a single
/// change moves the requests of all hosts and paths, and a single change moves them back.
fn add_redirect(
    graph: &mut Graph,
    edge: &EdgeStack,
    spec: &EdgeSpec,
    port: i32,
    https: Handle<ListenerAttrs>,
) -> Result<(), Failure> {
    let tags = with_name_tag(&spec.tags, &format!("{}-redirect", spec.load_balancer));
    let added =
        graph.add(names::REDIRECT, &edge.kinds.rules, (edge.listener, https), move |(listener, _)| ListenerRuleSpec {
            listener_arn: listener.arn,
            priority: REDIRECT_PRIORITY,
            hosts: BTreeSet::new(),
            paths: ["/*".to_owned()].into(),
            other_conditions: BTreeSet::new(),
            target_group_arn: String::new(),
            redirect: Some(Redirect::to_https(port)),
            tags: tags.clone(),
        });
    added.map(drop)
}
