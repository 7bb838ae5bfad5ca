use super::{FargateInputs, FargateSpec, FargateStack, Image, ServiceTargetInputs, Workload, WorkloadSpec};
use aws_types::SdkConfig;
use aws_types::region::Region;
use pb_engine::{Address, Graph, Input, is_unknown};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

fn spec() -> FargateSpec {
    FargateSpec {
        region: "us-east-2".to_owned(),
        log_group: "staging-pb_workers".to_owned(),
        log_retention_days: Some(30),
        log_mode: "non-blocking".to_owned(),
        repository: "staging-celeryflask".to_owned(),
        scan_on_push: true,
        untagged_images: None,
        delete_images: false,
        has_images: None,
        cluster: "staging-ecs-cluster".to_owned(),
        container_insights: None,
        execution_role_arn: "arn:aws:iam::1:role/ecsTaskExecutionRole".to_owned(),
        task_role_arn: None,
        redis_port: 6400,
        tags: [("team".to_owned(), "a".to_owned())].into(),
        release_command: None,
        keep_revisions: 10,
        rollout_timeout: Some(Duration::from_secs(1800)),
    }
}

fn inputs() -> FargateInputs {
    let known = |text: &str| Input::known(text.to_owned());
    let target = ServiceTargetInputs {
        group_arn: known("arn:tg"),
        listener: Input::known(()),
        port: 5050,
        health_check_grace_seconds: 60,
    };
    let tag = |tag: &str| Image::Tag(tag.to_owned());
    let mut celery = WorkloadSpec::workers("celery", "staging-celery", tag("celery"));
    celery.environment.insert("LEVEL".to_owned(), "info".to_owned());
    let flask = WorkloadSpec::new("flask", "staging-flask", tag("flask"));
    FargateInputs {
        subnet_id: known("subnet-1"),
        routes: Input::known(()),
        redis_address: known("queue.example"),
        workloads: vec![
            Workload { spec: flask, group_id: known("sg-flask"), target: Some(target) },
            Workload { spec: celery, group_id: known("sg-celery"), target: None },
        ],
    }
}

fn graph() -> Graph {
    let version = aws_sdk_ecs::config::BehaviorVersion::latest();
    let config = SdkConfig::builder().region(Region::new("us-east-2")).behavior_version(version).build();
    let mut graph = Graph::new();
    FargateStack::add(&mut graph, &config, &spec(), inputs()).unwrap();
    graph
}

fn specs() -> BTreeMap<String, Value> {
    graph().specs().unwrap().into_iter().map(|(address, spec)| (address.as_str().to_owned(), spec)).collect()
}

#[test]
fn stack_has_one_address_per_resource() {
    let graph = graph();
    let addresses: Vec<&str> = graph.addresses().map(Address::as_str).collect();
    assert_eq!(
        addresses,
        [
            "fargate/logs",
            "fargate/repository",
            "fargate/cluster",
            "fargate/flask_task",
            "fargate/celery_task",
            "fargate/flask",
            "fargate/celery"
        ]
    );
    assert_eq!(graph.kinds().count(), 6);
    assert!(graph.validate().unwrap().is_empty(), "{:?}", graph.validate());
}

#[test]
fn container_gets_image_log_and_queue() {
    let specs = specs();
    let container = &specs["fargate/celery_task"]["containers"]["celery"];
    let queue = "redis://queue.example:6400/0";
    let environment = json!({"CELERY_BROKER_URL": queue, "CELERY_RESULT_BACKEND": queue, "LEVEL": "info"});
    assert_eq!(container["environment"], environment);
    let image = container["image"].as_str().unwrap();
    assert!(is_unknown(image) && image.ends_with("/staging-celeryflask:celery"), "{image}");
    let log = json!({
        "group": "staging-pb_workers", "region": "us-east-2", "stream_prefix": "staging-celery",
        "mode": "non-blocking", "max_buffer_size": "25m",
    });
    assert_eq!(container["log"], log);
    assert_eq!((&container["stop_timeout"], &container["init_process"]), (&json!(120), &json!(true)));
    assert_eq!(specs["fargate/flask_task"]["containers"]["flask"]["ports"], json!([5050]));
}

#[test]
fn only_web_service_is_registered_with_a_target_group() {
    let specs = specs();
    let (flask, celery) = (&specs["fargate/flask"], &specs["fargate/celery"]);
    let target = json!([{"target_group_arn": "arn:tg", "container": "flask", "port": 5050}]);
    assert_eq!((&flask["load_balancers"], &flask["health_check_grace_seconds"]), (&target, &json!(60)));
    assert_eq!((&celery["load_balancers"], &celery["health_check_grace_seconds"]), (&json!([]), &json!(0)));
    assert_eq!((&flask["desired_count"], &celery["desired_count"]), (&json!(1), &json!(4)));
    assert_eq!(celery["security_groups"], json!(["sg-celery"]));
    assert_eq!(celery["tags"], json!({"Name": "staging-celery", "team": "a"}));
}
