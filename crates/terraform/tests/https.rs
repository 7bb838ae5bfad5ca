//! Tests of mapping certificates, HTTPS listeners, their rules and the records that prove names.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use pb_engine::Address;
use pb_terraform::{
    CertificateReason, DesiredResource, HttpsSettings, Location, Mapping, Reason, Removal, Stack, State,
};
use pb_terraform::{differences, map_resources};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const CERTIFICATE: &str = "arn:aws:acm:us-east-2:123456789012:certificate/1";
const HOST: &str = "staging.ospcapi.org";

fn desired() -> Vec<DesiredResource> {
    let one = |address: &str, kind: &str, spec: Value| DesiredResource {
        address: Address::new(address).unwrap(),
        kind: kind.to_owned(),
        spec,
    };
    let rule = |address: &str, paths: &[&str]| {
        one(address, "elbv2.listener_rule", json!({ "hosts": [], "paths": paths, "priority": 10 }))
    };
    vec![
        one("edge/listener", "elbv2.listener", json!({ "port": 80, "protocol": "HTTP" })),
        one("edge/listener_https", "elbv2.listener", json!({ "port": 443, "protocol": "HTTPS" })),
        one("edge/targets", "elbv2.target_group", json!({ "name": "staging-flask-5050" })),
        one("edge/api_targets", "elbv2.target_group", json!({ "name": "staging-api-8080" })),
        one("edge/certificate", "acm.certificate", json!({ "names": [HOST] })),
        one("edge/certificate_2", "acm.certificate", json!({ "names": ["www.ospcapi.org"] })),
        one("edge/listener_certificate_2", "elbv2.listener_certificate", json!({})),
        one("edge/validation_staging_ospcapi_org", "acm.validation", json!({ "zone_id": "Z1", "hostname": HOST })),
        rule("edge/api_rule", &["/v1/*"]),
        rule("edge/api_rule_https", &["/v1/*"]),
        rule("edge/redirect", &["/*"]),
    ]
}

fn resource(kind: &str, name: &str, attributes: Value) -> Value {
    json!({"mode": "managed", "type": kind, "name": name, "instances": [{ "attributes": attributes }]})
}

fn redirect() -> Value {
    json!([{ "type": "redirect", "redirect": [{ "protocol": "HTTPS", "port": "443", "host": "#{host}" }] }])
}

fn certificate(id: &str, names: &[&str]) -> Value {
    let attributes = json!({
        "id": id, "domain_name": names[0], "subject_alternative_names": names, "type": "AMAZON_ISSUED",
        "validation_method": "DNS",
    });
    resource("aws_acm_certificate", "main", attributes)
}

fn stack() -> Vec<Value> {
    let listener = |port: u16, protocol: &str, action: Value| {
        let id = format!("l{port}");
        let attributes = json!({ "id": id, "port": port, "protocol": protocol, "certificate_arn": CERTIFICATE,
            "ssl_policy": "policy", "default_action": action });
        resource("aws_lb_listener", &format!("on_{port}"), attributes)
    };
    let forward = json!([{ "type": "forward", "target_group_arn": "tg-web" }]);
    let group = |name: &str| resource("aws_lb_target_group", name, json!({ "id": format!("tg-{name}"), "name": name }));
    let rule = |name: &str, listener: &str, path: &str, action: Value| {
        let condition = json!([{ "path_pattern": [{ "values": [path] }], "host_header": [] }]);
        let attributes =
            json!({ "id": name, "listener_arn": listener, "priority": 1, "condition": condition, "action": action });
        resource("aws_lb_listener_rule", name, attributes)
    };
    let to_api = json!([{ "type": "forward", "target_group_arn": "tg-api" }]);
    vec![
        certificate(CERTIFICATE, &[HOST]),
        resource("aws_acm_certificate_validation", "main", json!({ "id": "x", "certificate_arn": CERTIFICATE })),
        listener(80, "HTTP", redirect()),
        listener(443, "HTTPS", forward),
        group("web"),
        group("api"),
        rule("api", "l443", "/v1/*", to_api.clone()),
        rule("other", "l443", "/v2/*", to_api),
    ]
}

fn record(names: &[&str], of: &str) -> Value {
    let fqdn = format!("_0a1b.{of}");
    let attributes = json!({ "id": format!("Z1_{fqdn}_CNAME"), "zone_id": "Z1", "fqdn": fqdn, "type": "CNAME",
        "records": ["_2c3d.abcdefghij.acm-validations.aws."] });
    let instances: Vec<Value> =
        names.iter().map(|name| json!({ "index_key": name, "attributes": attributes })).collect();
    json!({"mode": "managed", "type": "aws_route53_record", "name": "proof", "instances": instances})
}

fn mapped(resources: &[Value], desired: &[DesiredResource], https: bool) -> (State, Mapping) {
    let state = json!({ "version": 4, "resources": resources });
    let state = State::parse(&serde_json::to_vec(&state).unwrap()).unwrap();
    let here = Location { account: Some("123456789012".to_owned()), region: Some("us-east-2".to_owned()) };
    let mapping = map_resources(&state.resources, &Stack { desired, location: &here, https, without_images: &[] });
    (state, mapping)
}

fn imports(mapping: &Mapping) -> Vec<String> {
    mapping.imports.iter().map(|(address, import)| format!("{address} {}", import.id)).collect()
}

fn reason<'a>(mapping: &'a Mapping, terraform: &str) -> &'a Reason {
    &mapping.unmapped.iter().find(|left| left.terraform == terraform).unwrap().reason
}

#[test]
fn https_stack_is_mapped_with_its_redirect() {
    let mut state = stack();
    state.push(record(&[HOST, "*.staging.ospcapi.org"], HOST));
    let (_, mapping) = mapped(&state, &desired(), true);
    assert_eq!(
        imports(&mapping),
        [
            "edge/api_rule_https api",
            "edge/api_targets tg-api",
            &format!("edge/certificate {CERTIFICATE}"),
            "edge/listener l80",
            "edge/listener_https l443",
            "edge/targets tg-web",
            "edge/validation_staging_ospcapi_org _0a1b.staging.ospcapi.org CNAME",
        ]
    );
    assert!(matches!(reason(&mapping, "aws_lb_listener_rule.other"), Reason::NoFurther));
    let everything: BTreeSet<&Address> = mapping.imports.keys().collect();
    let removed = Removal::of(&mapping, &everything).addresses;
    for part in ["aws_acm_certificate_validation.main", "aws_route53_record.proof[\"*.staging.ospcapi.org\"]"] {
        assert!(removed.contains(&part.to_owned()), "{removed:?}");
    }
}

#[test]
fn certificate_that_differs_is_explained_and_not_mapped() {
    let mut state = stack();
    state[0] = certificate(CERTIFICATE, &["ospcapi.org", "*.ospcapi.org"]);
    state.push(record(&[HOST], HOST));
    let (_, mapping) = mapped(&state, &desired(), true);
    let found = reason(&mapping, "aws_acm_certificate.main");
    assert!(matches!(found, Reason::Certificate(CertificateReason::OtherNames(_))), "{found}");
    assert!(found.to_string().contains("(*.ospcapi.org, ospcapi.org)"), "{found}");
    assert_eq!(*reason(&mapping, "aws_route53_record.proof[\"staging.ospcapi.org\"]"), Reason::ValidationRecord);
    for (field, value) in
        [("type", "IMPORTED"), ("validation_method", "EMAIL"), ("certificate_authority_arn", "arn:aws:acm-pca")]
    {
        state[0] = certificate(CERTIFICATE, &[HOST]);
        state[0]["instances"][0]["attributes"][field] = json!(value);
        let (_, mapping) = mapped(&state, &desired(), true);
        let not_requested = Reason::Certificate(CertificateReason::NotRequested);
        assert_eq!(*reason(&mapping, "aws_acm_certificate.main"), not_requested, "{field}");
    }
}

#[test]
fn certificate_that_the_configuration_names_stays_as_it_is() {
    let mut desired = desired();
    desired.retain(|one| !one.kind.starts_with("acm."));
    desired[1].spec["certificate_arn"] = json!(CERTIFICATE);
    let (_, mapping) = mapped(&stack(), &desired, true);
    let configured = Reason::Certificate(CertificateReason::Configured);
    assert_eq!(*reason(&mapping, "aws_acm_certificate.main"), configured);
    assert!(imports(&mapping).contains(&"edge/listener_https l443".to_owned()));
}

#[test]
fn further_certificate_is_mapped_with_its_certificate() {
    let mut state = stack();
    let more = |name: &str, arn: &str| {
        let attributes = json!({ "id": format!("l443_{arn}"), "listener_arn": "l443", "certificate_arn": arn });
        resource("aws_lb_listener_certificate", name, attributes)
    };
    let second = CERTIFICATE.replace("/1", "/2");
    state.extend([certificate(&second, &["www.ospcapi.org"]), more("www", &second), more("other", "arn:other")]);
    let (_, mapping) = mapped(&state, &desired(), true);
    let wanted = format!("edge/listener_certificate_2 {second} of l443");
    assert!(imports(&mapping).contains(&wanted), "{:?}", imports(&mapping));
    assert_eq!(*reason(&mapping, "aws_lb_listener_certificate.other"), Reason::ListenerCertificate);
}

#[test]
fn rule_that_redirects_all_requests_is_the_redirect() {
    let mut state = stack();
    let rule = |name: &str, path: &str, host: &str| {
        let mut action = redirect();
        action[0]["redirect"][0]["host"] = json!(host);
        let condition = json!([{ "path_pattern": [{ "values": [path] }] }]);
        let attributes = json!({ "id": name, "listener_arn": "l80", "condition": condition, "action": action });
        resource("aws_lb_listener_rule", name, attributes)
    };
    state.extend([rule("secure", "/*", "#{host}"), rule("some", "/a", "#{host}"), rule("moved", "/*", "other.org")]);
    let (_, mapping) = mapped(&state, &desired(), true);
    assert!(imports(&mapping).contains(&"edge/redirect secure".to_owned()), "{:?}", imports(&mapping));
}

#[test]
fn stack_with_https_is_described_if_the_configuration_has_none() {
    let plain: Vec<DesiredResource> = desired().into_iter().take(1).collect();
    let (state, mapping) = mapped(&stack(), &plain, false);
    let [found] = differences(&state.resources, &mapping).try_into().unwrap();
    assert!(found.what.is_https());
    let names = Some([HOST.to_owned()].into());
    let certificate_arn = Some(CERTIFICATE.to_owned());
    assert_eq!(
        found.https,
        Some(HttpsSettings { certificate_arn, names, policy: Some("policy".to_owned()), redirects: true })
    );
    let others: Vec<Value> = stack().split_off(1);
    let (state, mapping) = mapped(&others, &plain, false);
    assert_eq!(differences(&state.resources, &mapping)[0].https.as_ref().unwrap().names, None);
}
