//! Tests of the differences in architecture. `modules.json` has the structure of a state of the modules
//! terraform-aws-modules/vpc, alb and ecs, with `@ADDRESS@` in place of ids.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use pb_engine::Address;
use pb_terraform::{DesiredResource, Difference, DifferenceKind, Location, Mapping, Reason, Stack, State};
use pb_terraform::{differences, locations_elsewhere, map_resources};
use serde_json::{Value, json};

fn desired() -> Vec<DesiredResource> {
    let one = |address: &str, kind: &str, spec: Value| DesiredResource {
        address: Address::new(address).unwrap(),
        kind: kind.to_owned(),
        spec,
    };
    vec![
        one("net/vpc", "ec2.vpc", json!({})),
        one("edge/balancer", "elbv2.load_balancer", json!({ "name": "staging-public" })),
        one("edge/listener", "elbv2.listener", json!({ "port": 80 })),
        one("fargate/flask", "ecs.service", json!({ "name": "staging-flask", "load_balancers": [{}] })),
        one("fargate/celery", "ecs.service", json!({ "name": "staging-celery", "load_balancers": [] })),
        one("fargate/logs", "logs.log_group", json!({ "name": "staging-pb_workers" })),
    ]
}

fn here() -> Location {
    Location { account: Some("123456789012".to_owned()), region: Some("us-east-2".to_owned()) }
}

fn modules() -> Value {
    serde_json::from_slice(include_bytes!("fixtures/modules.json")).unwrap()
}

fn read(state: &Value) -> (State, Mapping, Vec<Difference>) {
    read_without_images(state, &desired(), &[])
}

fn read_without_images(
    state: &Value,
    desired: &[DesiredResource],
    without_images: &[String],
) -> (State, Mapping, Vec<Difference>) {
    let state = State::parse(&serde_json::to_vec(state).unwrap()).unwrap();
    let mapping = map_resources(&state.resources, &Stack { desired, location: &here(), https: false, without_images });
    let found = differences(&state.resources, &mapping);
    (state, mapping, found)
}

fn kinds(found: &[Difference]) -> Vec<DifferenceKind> {
    found.iter().map(|difference| difference.what).collect()
}

/// Returns the attributes of the instances of a type.
fn attributes<'a>(state: &'a mut Value, kind: &'a str) -> impl Iterator<Item = &'a mut Value> {
    let resources = state["resources"].as_array_mut().unwrap().iter_mut().filter(move |found| found["type"] == kind);
    resources.flat_map(|found| found["instances"].as_array_mut().unwrap()).map(|found| &mut found["attributes"])
}

fn without(state: &mut Value, kind: &str) {
    state["resources"].as_array_mut().unwrap().retain(|found| found["type"] != kind);
}

fn state_of(kind: &str, attributes: &[Value]) -> Value {
    let instances: Vec<Value> = attributes.iter().map(|one| json!({ "attributes": one })).collect();
    json!({"version": 4, "resources": [{"mode": "managed", "type": kind, "name": "it", "instances": instances}]})
}

#[test]
fn stack_of_modules_has_private_subnets_and_a_redirect() {
    let (_, mapping, found) = read(&modules());
    assert_eq!(
        kinds(&found),
        [DifferenceKind::PrivateSubnets, DifferenceKind::HttpsRedirect, DifferenceKind::Autoscaling]
    );
    let nat = &found[0].terraform;
    assert!(nat.contains(&"module.vpc.aws_nat_gateway.this[0]".to_owned()), "{nat:?}");
    assert!(nat.contains(&"module.ecs.module.service[\"web\"].aws_ecs_service.this[0]".to_owned()), "{nat:?}");
    assert_eq!(found[1].terraform.len(), 2, "the redirect and the HTTPS listener: {found:?}");
    let services: Vec<&str> = found[2].services.iter().map(Address::as_str).collect();
    assert_eq!(services, ["fargate/flask", "fargate/celery"]);
    assert!(!mapping.imports.contains_key("edge/listener"), "a redirect is not the listener of the configuration");
    let redirect = mapping.unmapped.iter().find(|left| left.reason == Reason::Redirect).unwrap();
    assert_eq!(redirect.terraform, "module.alb.aws_lb_listener.this[\"http-https-redirect\"]");
}

#[test]
fn private_tasks_without_nat_are_tasks_without_addresses() {
    let mut state = modules();
    without(&mut state, "aws_nat_gateway");
    assert_eq!(kinds(&read(&state).2)[0], DifferenceKind::NoPublicAddresses);
    attributes(&mut state, "aws_ecs_service")
        .for_each(|service| service["network_configuration"][0]["assign_public_ip"] = json!(true));
    assert_eq!(kinds(&read(&state).2), [DifferenceKind::HttpsRedirect, DifferenceKind::Autoscaling]);
}

#[test]
fn nat_for_other_tasks_is_no_difference() {
    let mut state = modules();
    attributes(&mut state, "aws_ecs_service")
        .for_each(|service| service["network_configuration"][0]["assign_public_ip"] = json!(true));
    without(&mut state, "aws_lb_listener");
    without(&mut state, "aws_appautoscaling_target");
    assert_eq!(read(&state).2, []);
}

#[test]
fn https_listener_without_a_redirect_is_a_difference() {
    let mut state = modules();
    let forward = json!([{ "type": "forward", "target_group_arn": "tg", "redirect": [] }]);
    attributes(&mut state, "aws_lb_listener").for_each(|listener| listener["default_action"] = forward.clone());
    let (_, mapping, found) = read(&state);
    let https = found.iter().find(|found| found.what == DifferenceKind::HttpsListener).unwrap();
    assert_eq!(https.terraform, ["module.alb.aws_lb_listener.this[\"https\"]"]);
    assert!(https.what.is_https() && mapping.imports.contains_key("edge/listener"));
    let other = mapping.unmapped.iter().find(|left| left.terraform == https.terraform[0]).unwrap();
    assert_eq!(other.reason, Reason::NoCounterpart, "it cannot be chosen as the listener on port 80");
}

#[test]
fn other_compute_and_load_balancers_are_named() {
    let mut state = modules();
    for service in attributes(&mut state, "aws_ecs_service") {
        service["network_configuration"][0]["assign_public_ip"] = json!(true);
        service["launch_type"] = json!("EC2");
        service["deployment_controller"] = json!([{ "type": "CODE_DEPLOY" }]);
    }
    for balancer in attributes(&mut state, "aws_lb") {
        balancer["load_balancer_type"] = json!("network");
        balancer["internal"] = json!(true);
    }
    let expected = [
        DifferenceKind::Ec2Instances,
        DifferenceKind::OtherDeployments,
        DifferenceKind::OtherLoadBalancer,
        DifferenceKind::InternalLoadBalancer,
    ];
    assert_eq!(kinds(&read(&state).2)[..4], expected);
    for (launch, provider) in [("", "FARGATE_SPOT"), ("EC2", "FARGATE")] {
        for service in attributes(&mut state, "aws_ecs_service") {
            service["launch_type"] = json!(launch);
            service["capacity_provider_strategy"] = json!([{ "capacity_provider": provider }]);
        }
        assert!(!kinds(&read(&state).2).contains(&DifferenceKind::Ec2Instances), "{provider} runs on Fargate");
    }
}

#[test]
fn resources_of_another_region_are_left_out() {
    let group = |name: &str, region: &str| json!({ "id": name, "name": name, "region": region });
    let state = state_of(
        "aws_cloudwatch_log_group",
        &[group("staging-pb_workers", "eu-west-1"), group("staging-pb_workers", "us-east-2")],
    );
    let (parsed, mapping, _) = read(&state);
    assert_eq!(mapping.imports.len(), 1);
    assert_eq!(mapping.unmapped.len(), 1);
    assert_eq!(mapping.unmapped[0].reason.to_string(), "it is in region eu-west-1");
    assert!(locations_elsewhere(&parsed.resources, &here()).is_empty(), "one of them is here");
}

#[test]
fn state_of_another_account_has_one_location() {
    let arn = |id: &str| format!("arn:aws:elasticloadbalancing:us-east-1:210987654321:loadbalancer/app/a/{id}");
    let state = state_of("aws_lb", &[json!({ "id": arn("1"), "name": "a" }), json!({ "id": arn("2"), "name": "b" })]);
    let (parsed, mapping, _) = read(&state);
    let elsewhere: Vec<String> =
        locations_elsewhere(&parsed.resources, &here()).iter().map(ToString::to_string).collect();
    assert_eq!(elsewhere, ["account 210987654321, region us-east-1"]);
    assert!(mapping.imports.is_empty());
    let unknown = read(&state_of("aws_lb", &[json!({ "id": "a" })])).0;
    assert!(locations_elsewhere(&unknown.resources, &here()).is_empty());
}

#[test]
fn services_without_images_are_named_as_such() {
    let without_services: Vec<DesiredResource> =
        desired().into_iter().filter(|desired| desired.kind != "ecs.service").collect();
    let missing = ["flask".to_owned(), "celery".to_owned()];
    let (_, mapping, _) = read_without_images(&modules(), &without_services, &missing);
    let services: Vec<_> = mapping.unmapped.iter().filter(|left| left.terraform.contains("aws_ecs_service")).collect();
    assert!(services.len() == 2 && services.iter().all(|left| left.reason == Reason::ImagesMissing(missing.to_vec())));
}

#[test]
fn tainted_resource_is_imported_and_marked() {
    let mut state = state_of("aws_vpc", &[json!({ "id": "vpc-1" })]);
    state["resources"][0]["instances"][0]["status"] = json!("tainted");
    let mapping = read(&state).1;
    assert!(mapping.imports["net/vpc"].tainted);
    assert_eq!(serde_json::to_value(&mapping).unwrap()["claims"]["net/vpc"]["tainted"], true);
}
