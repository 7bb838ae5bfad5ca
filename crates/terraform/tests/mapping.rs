//! Tests of mapping the resources of a state, in either format, to the addresses of a stack. `format-4.json` was
//! written by Terraform 1.11 for the stack in `tests/integration/terraform`; `format-3.json` has the structure that
//! Terraform 0.11 wrote, with `@ADDRESS@` in place of ids.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use pb_engine::Address;
use pb_terraform::{DesiredResource, Location, Mapping, Stack, State, map_resources};
use serde_json::{Value, json};

fn targets() -> Vec<DesiredResource> {
    let target = |address: &str, kind: &str, spec: Value| DesiredResource {
        address: Address::new(address).unwrap(),
        kind: kind.to_owned(),
        spec,
    };
    let group =
        |role: &str, name: &str| target(&format!("net/{role}_group"), "ec2.security_group", json!({ "name": name }));
    let service = |key: &str, targets: Value| {
        target(
            &format!("fargate/{key}"),
            "ecs.service",
            json!({ "name": format!("staging-{key}"), "load_balancers": targets }),
        )
    };
    let task = |key: &str| {
        let spec = json!({ "family": format!("staging-{key}") });
        target(&format!("fargate/{key}_task"), "ecs.task_definition", spec)
    };
    vec![
        target("net/vpc", "ec2.vpc", json!({})),
        target("net/igw", "ec2.internet_gateway", json!({})),
        target("net/tasks_subnet", "ec2.subnet", json!({ "cidr": "10.0.1.0/24" })),
        target("net/balancer_subnet", "ec2.subnet", json!({ "cidr": "10.0.2.0/24" })),
        target("net/routes", "ec2.route_table", json!({})),
        group("lb", "staging-lb-public"),
        group("flask", "staging-ecs-flask-sg"),
        group("celery", "staging-ecs-celery-sg"),
        group("redis", "staging-elasticache-jobqr-sg"),
        target("redis/subnets", "elasticache.subnet_group", json!({ "name": "staging-jobqr" })),
        target("redis/parameters", "elasticache.parameter_group", json!({ "name": "staging-jobqr-redis7" })),
        target("redis/jobqr", "elasticache.replication_group", json!({ "id": "staging-jobqr" })),
        target("edge/balancer", "elbv2.load_balancer", json!({ "name": "staging-public" })),
        target("edge/targets", "elbv2.target_group", json!({ "name": "staging-flask-5050" })),
        target("edge/listener", "elbv2.listener", json!({ "port": 80 })),
        target("edge/record", "route53.record", json!({ "name": "staging.ospcapi.org", "type": "A" })),
        target("fargate/logs", "logs.log_group", json!({ "name": "staging-pb_workers" })),
        target("fargate/repository", "ecr.repository", json!({ "name": "staging-celeryflask" })),
        target("fargate/cluster", "ecs.cluster", json!({ "name": "staging-ecs-cluster" })),
        task("flask"),
        service("flask", json!([{}])),
        task("celery"),
        service("celery", json!([])),
    ]
}

fn mapped(bytes: &[u8]) -> (State, Mapping) {
    let state = State::parse(bytes).unwrap();
    let here = Location { account: Some("123456789012".to_owned()), region: Some("us-east-2".to_owned()) };
    let stack = Stack { desired: &targets(), location: &here, https: false, without_images: &[] };
    let mapping = map_resources(&state.resources, &stack);
    (state, mapping)
}

#[test]
fn format_4_state_is_mapped_by_cidr_port_and_use() {
    let (state, mapping) = mapped(include_bytes!("fixtures/format-4.json"));
    assert_eq!((state.version, state.terraform_version.as_str()), (4, "1.11.4"));
    let found: Vec<String> =
        mapping.imports.iter().map(|(address, claim)| format!("{address} {}", claim.terraform)).collect();
    assert_eq!(
        found,
        [
            "edge/balancer aws_lb.public",
            "edge/listener aws_lb_listener.http",
            "edge/record aws_route53_record.public",
            "edge/targets aws_lb_target_group.web",
            "fargate/celery aws_ecs_service.workers",
            "fargate/celery_task aws_ecs_task_definition.app[\"celery\"]",
            "fargate/cluster aws_ecs_cluster.app",
            "fargate/flask aws_ecs_service.web",
            "fargate/flask_task aws_ecs_task_definition.app[\"flask\"]",
            "fargate/logs aws_cloudwatch_log_group.app",
            "fargate/repository aws_ecr_repository.app",
            "net/balancer_subnet aws_subnet.public[\"b\"]",
            "net/celery_group aws_security_group.workers",
            "net/flask_group aws_security_group.web",
            "net/igw aws_internet_gateway.main",
            "net/lb_group aws_security_group.balancer",
            "net/redis_group aws_security_group.queue",
            "net/routes aws_route_table.public",
            "net/tasks_subnet aws_subnet.public[\"a\"]",
            "net/vpc aws_vpc.main",
            "redis/jobqr aws_elasticache_replication_group.queue[0]",
            "redis/subnets aws_elasticache_subnet_group.queue",
        ]
    );
    assert!(mapping.unmapped.is_empty(), "{:?}", mapping.unmapped);
    assert!(mapping.parts.iter().any(|part| part.terraform == "aws_route.internet"));
}

#[test]
fn format_3_state_is_mapped_without_unrelated_resources() {
    let (state, mapping) = mapped(include_bytes!("fixtures/format-3.json"));
    assert_eq!((state.version, state.serial), (3, 21));
    let (found, wanted): (Vec<&Address>, usize) = (mapping.imports.keys().collect(), targets().len());
    assert_eq!(found.len(), wanted, "{found:?}");
    for (address, claim) in &mapping.imports {
        let named = ["ecs.", "fargate/", "redis/", "edge/record"].iter().any(|part| address.as_str().starts_with(part));
        assert!(named || claim.id == format!("@{address}@"), "{address} {}", claim.id);
    }
    let id = |address: &str| mapping.imports[&Address::new(address).unwrap()].id.as_str();
    assert_eq!(id("fargate/flask"), "staging-ecs-cluster/staging-flask");
    assert_eq!(id("edge/record"), "staging.ospcapi.org A");
    let left: Vec<&str> = mapping.unmapped.iter().map(|left| left.terraform.as_str()).collect();
    assert_eq!(left, ["aws_s3_bucket.assets"]);
    assert!(!serde_json::to_string(&mapping).unwrap().contains("secret"));
}

#[test]
fn ambiguous_resources_are_not_mapped() {
    let vpc = |name: &str, id: &str| json!({"mode": "managed", "type": "aws_vpc", "name": name, "instances": [{"attributes": {"id": id}}]});
    let state = json!({"version": 4, "resources": [vpc("one", "vpc-1"), vpc("other", "vpc-2")]});
    let (_, mapping) = mapped(&serde_json::to_vec(&state).unwrap());
    assert!(mapping.imports.is_empty());
    assert!(
        mapping.unmapped.len() == 2
            && mapping.unmapped[0].reason.to_string().contains("net/vpc; choose with ADDRESS=ID")
    );
}

#[test]
fn standalone_cache_node_is_kept_and_its_group_mapped() {
    let resource = |kind: &str, attributes: Value| json!({"mode": "managed", "type": kind, "name": "q", "instances": [{ "attributes": attributes }]});
    let mapped =
        |resources: Value| mapped(&serde_json::to_vec(&json!({"version": 4, "resources": resources})).unwrap()).1;
    let node = resource("aws_elasticache_cluster", json!({ "id": "old-node", "security_group_ids": ["sg-1"] }));
    let group = resource("aws_security_group", json!({ "id": "sg-1", "name": "whatever" }));
    let mapping = mapped(json!([node, group]));
    assert_eq!(mapping.imports.keys().map(Address::as_str).collect::<Vec<_>>(), ["net/redis_group"]);
    assert!(
        mapping.unmapped.len() == 1 && mapping.unmapped[0].reason.to_string().contains("are left as they are"),
        "{:?}",
        mapping.unmapped
    );
    let member = resource("aws_elasticache_cluster", json!({ "id": "m", "replication_group_id": "g" }));
    assert_eq!(mapped(json!([member])).parts.len(), 1);
}
