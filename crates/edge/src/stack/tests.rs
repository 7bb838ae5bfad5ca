//! Tests of the stack.

use super::{EdgeClients, EdgeInputs, EdgeSpec, EdgeStack};
use crate::{
    CertificateClient, CertificateSource, DnsClient, HttpsSpec, HttpsStack, LoadBalancerClient, RouteSpec, Zone,
};
use pb_engine::{Address, Failure, Graph, Input};

/// Adds a stack with the service `api`.
fn add(graph: &mut Graph, hostname: &str) -> Result<(EdgeSpec, EdgeStack), Failure> {
    let known = |id: &str| Input::known(id.to_owned());
    let inputs = EdgeInputs {
        vpc_id: known("vpc-1"),
        subnet_ids: vec![known("subnet-1"), known("subnet-2")],
        security_group_ids: vec![known("sg-1")],
        internet: Input::known(()),
        zone: Zone { id: "Z1".to_owned(), name: "example.org".to_owned() },
        public_dns: None,
    };
    let load_balancing = LoadBalancerClient::from_conf(
        aws_sdk_elasticloadbalancingv2::Config::builder()
            .behavior_version(aws_sdk_elasticloadbalancingv2::config::BehaviorVersion::latest())
            .build(),
    );
    let dns = DnsClient::from_conf(
        aws_sdk_route53::Config::builder().behavior_version(aws_sdk_route53::config::BehaviorVersion::latest()).build(),
    );
    let mut spec = EdgeSpec::named("staging-public", hostname, 5050);
    spec.routes.push(RouteSpec {
        key: "api".to_owned(),
        target_group: "staging-api-8000".to_owned(),
        target_port: 8000,
        health: spec.health.clone(),
        priority: 1001,
        hosts: ["api.staging.example.org".to_owned()].into(),
        paths: ["/v1/*".to_owned()].into(),
        records: ["api.staging.example.org".to_owned()].into(),
    });
    let certificates = CertificateClient::from_conf(
        aws_sdk_acm::Config::builder().behavior_version(aws_sdk_acm::config::BehaviorVersion::latest()).build(),
    );
    let clients = EdgeClients { load_balancing, dns, certificates };
    EdgeStack::add_with(graph, &clients, &spec, inputs).map(|stack| (spec, stack))
}

#[test]
fn stack_graph_has_all_resources_with_their_specs() {
    let mut graph = Graph::new();
    add(&mut graph, "staging.example.org").unwrap();
    assert!(graph.validate().unwrap().is_empty());
    let specs: Vec<String> = graph.specs().unwrap().iter().map(|(at, spec)| format!("{at} {spec}")).collect();
    assert!(specs[1].contains(r#""name":"staging-public-5050""#), "{}", specs[1]);
    assert!(specs[2].contains(r#""target_group_arn":"(known after apply)""#), "{}", specs[2]);
    assert!(specs[3].contains(r#""type":"A""#), "{}", specs[3]);
    let addresses: Vec<&str> = specs[4..].iter().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(addresses, ["edge/api_targets", "edge/api_rule", "edge/record_api_staging_example_org"]);
    assert!(specs[5].contains(r#""paths":["/v1/*"]"#) && specs[5].contains(r#""priority":1001"#), "{}", specs[5]);
}

#[test]
fn hostname_outside_the_zone_is_refused() {
    let failure = add(&mut Graph::new(), "staging.example.net").map(drop).unwrap_err();
    assert!(failure.message.contains("is not in the hosted zone"), "{failure}");
}

fn https(names: &[&str]) -> HttpsSpec {
    let zone = Zone { id: "Z1".to_owned(), name: "example.org".to_owned() };
    let names = names.iter().map(|name| ((*name).to_owned(), zone.clone())).collect();
    HttpsSpec {
        port: 443,
        certificate: CertificateSource::Requested(names),
        ssl_policy: pb_rules::https::DEFAULT_POLICY.to_owned(),
        hsts: Some("max-age=31536000".to_owned()),
        redirect: true,
        records: [("www.example.org".to_owned(), zone)].into(),
    }
}

#[test]
fn https_adds_certificate_records_listener_and_redirect() {
    let mut graph = Graph::new();
    let (spec, edge) = add(&mut graph, "staging.example.org").unwrap();
    let before = graph.addresses().count();
    let services = [("api".to_owned(), Input::known(()))].into();
    let names = ["staging.example.org", "*.staging.example.org", "www.example.org"];
    HttpsStack::add(&mut graph, &edge, &spec, &https(&names), &services).unwrap();
    assert!(graph.validate().unwrap().is_empty());
    let specs = graph.specs().unwrap();
    let of = |at: &str| specs.iter().find(|(address, _)| address.as_str() == at).map(|(_, spec)| spec.clone()).unwrap();
    let added: Vec<&str> = graph.addresses().skip(before).map(Address::as_str).collect();
    assert_eq!(
        added,
        [
            "edge/certificate",
            "edge/validation_staging_example_org",
            "edge/validation_www_example_org",
            "edge/listener_https",
            "edge/api_rule_https",
            "edge/redirect",
            "edge/record_www_example_org",
        ]
    );
    assert_eq!(of("edge/certificate")["names"].as_array().unwrap().len(), 3);
    assert_eq!(of("edge/listener_https")["protocol"], "HTTPS");
    let [http, https] = ["edge/api_rule", "edge/api_rule_https"].map(|at| of(at)["paths"].clone());
    assert_eq!(http, https);
    assert_eq!(of("edge/redirect")["redirect"]["status_code"], "HTTP_301");
    assert_eq!(of("edge/redirect")["priority"], 1);
}

#[test]
fn https_with_many_names_has_several_certificates() {
    let mut graph = Graph::new();
    let (spec, edge) = add(&mut graph, "staging.example.org").unwrap();
    let names: Vec<String> = (0..21).map(|number| format!("n{number}.example.org")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let stack = HttpsStack::add(&mut graph, &edge, &spec, &https(&names), &[].into()).unwrap();
    assert_eq!((stack.certificates.len(), stack.validations.len()), (3, 21));
    let specs = graph.specs().unwrap();
    let further =
        specs.iter().filter(|(address, _)| address.as_str().starts_with("edge/listener_certificate_")).count();
    assert_eq!(further, 2);
    // A service that is not deployed yet has no rule.
    assert!(!specs.iter().any(|(address, _)| address.as_str() == "edge/api_rule_https"));
}
