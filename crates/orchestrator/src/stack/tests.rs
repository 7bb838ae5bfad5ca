use super::build;
use crate::workspace::prerequisites::Prerequisites;
use aws_config::{BehaviorVersion, SdkConfig};
use pb_config::{Config, Workspace};
use pb_engine::Graph;
use std::collections::{BTreeMap, BTreeSet};

/// One more service of each type: web, worker and scheduler.
const OTHERS: &str = r#"
[services.api]
kind = "web"
port = 8000
paths = ["/v1/*"]

[services.mail]
kind = "worker"

[services.beat]
kind = "scheduler"
command = ["celery", "beat"]
"#;

/// Release command that the rollouts wait for.
const BEFORE: &str = "[deploy.before]\nservice = \"flask\"\ncommand = [\"true\"]\n";

fn workspace(more: &str) -> Workspace {
    let text = format!("{}{OTHERS}{more}", include_str!("../../../../pb_deploy.toml"));
    Config::parse(&text, "pb_deploy.toml").unwrap().workspace("staging").unwrap()
}

fn graph(workspace: &Workspace) -> Graph {
    let aws = SdkConfig::builder().behavior_version(BehaviorVersion::latest()).build();
    build(&aws, workspace, &Prerequisites::unknown(workspace)).unwrap()
}

/// Returns the direct and indirect dependencies of each resource and check.
fn dependencies(graph: &Graph) -> BTreeMap<String, BTreeSet<String>> {
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (address, needed) in graph.edges().chain(graph.check_edges()) {
        let mut reached = BTreeSet::new();
        for needed in needed {
            reached.extend(all[needed.as_str()].iter().cloned());
            reached.insert(needed.as_str().to_owned());
        }
        all.insert(address.as_str().to_owned(), reached);
    }
    all
}

/// Resources that a task of any service needs.
const TASK: &[&str] = &[
    // ECS starts the task in the cluster, with an image from the repository, and gives it a stream in the log group.
    "fargate/cluster",
    "fargate/repository",
    "fargate/logs",
    // The task has a public address in a subnet of the VPC, whose resolver answers its DNS queries. The route table is
    // associated with the subnet and leads to the internet through the gateway; the task reaches images, logs and
    // secrets through the internet.
    "net/vpc",
    "net/tasks_subnet",
    "net/balancer_subnet",
    "net/igw",
    "net/routes",
    // The queue is available, and its address is in the task's environment.
    "net/redis_group",
    "redis/subnets",
    "redis/parameters",
    "redis/jobqr",
];

/// Connections of a web task: to the queue (rules at both ends), to the internet, and from the load balancer.
const WEB: &[&str] = &[
    "net/flask_group",
    "net/flask_out_redis",
    "net/redis_in_flask",
    "net/flask_out_tcp_443_any",
    "net/lb_group",
    "net/lb_in_80_any",
    "net/lb_out_flask",
    "net/flask_in_lb",
    "net/lb_out_web_8000",
    "net/flask_in_lb_8000",
    "edge/balancer",
    "edge/listener",
];

/// Connections of a worker: to the queue (rules at both ends) and to the internet.
const WORKER: &[&str] =
    &["net/celery_group", "net/celery_out_redis", "net/redis_in_celery", "net/celery_out_tcp_443_any"];

/// Further dependencies of each service.
const OWN: [(&str, &[&str], &[&str]); 5] = [
    ("flask", WEB, &["fargate/flask_task", "edge/targets"]),
    // The rule of `api` belongs to the listener, whose default target is Flask.
    ("api", WEB, &["fargate/api_task", "edge/api_targets", "edge/api_rule", "edge/targets"]),
    ("celery", WORKER, &["fargate/celery_task"]),
    ("mail", WORKER, &["fargate/mail_task"]),
    ("beat", WORKER, &["fargate/beat_task"]),
];

fn set(lists: &[&[&str]]) -> BTreeSet<String> {
    lists.iter().flat_map(|list| list.iter().map(|address| (*address).to_owned())).collect()
}

#[test]
fn service_waits_for_everything_its_tasks_need() {
    let dependencies = dependencies(&graph(&workspace("")));
    for (key, kind, own) in OWN {
        let needed = set(&[TASK, kind, own]);
        let found = &dependencies[&format!("fargate/{key}")];
        let missing: Vec<&String> = needed.difference(found).collect();
        let besides: Vec<&String> = found.difference(&needed).collect();
        assert!(missing.is_empty() && besides.is_empty(), "{key}: missing {missing:?}, besides {besides:?}");
    }
}

#[test]
fn release_command_waits_like_its_service() {
    let dependencies = dependencies(&graph(&workspace(BEFORE)));
    let needed = set(&[TASK, WEB, &["fargate/flask_task"]]);
    // The release command serves no requests, so it does not need the load balancer.
    let is_needed = |address: &&String| !address.starts_with("edge/") && *address != "net/lb_in_80_any";
    let found = &dependencies["fargate/before"];
    let missing: Vec<&String> = needed.iter().filter(is_needed).filter(|address| !found.contains(*address)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    for (key, ..) in OWN {
        assert!(dependencies[&format!("fargate/{key}")].contains("fargate/before"), "{key}");
    }
}

#[test]
fn health_check_waits_for_service_and_blocks_nothing() {
    let graph = graph(&workspace(""));
    let checks: Vec<String> = graph.check_edges().map(|(address, _)| address.as_str().to_owned()).collect();
    assert_eq!(checks, ["edge/flask_health", "edge/api_health"]);
    let dependencies = dependencies(&graph);
    assert!(dependencies["edge/flask_health"].contains("fargate/flask"));
    assert!(dependencies["edge/api_health"].contains("fargate/api"));
    assert!(dependencies.values().all(|needed| !needed.iter().any(|address| checks.contains(address))));
}

#[test]
fn queue_rule_blocks_only_its_own_services() {
    let dependencies = dependencies(&graph(&workspace("")));
    assert!(!dependencies["fargate/celery"].contains("net/redis_in_flask"));
    assert!(!dependencies["fargate/flask"].contains("net/redis_in_celery"));
    // Creating the queue takes minutes, so it does not wait for its security group rules.
    assert!(!dependencies["redis/jobqr"].iter().any(|address| address.starts_with("net/redis_in_")));
}
