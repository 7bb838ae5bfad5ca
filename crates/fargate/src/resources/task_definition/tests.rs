mod logs;
use super::{CONTENT_TAG, Client, TaskDefinition, TaskDefinitionSpec, TaskDefinitions};
use crate::resources::container::{ContainerSpec, LogSpec};
use crate::testing::{Fake, answered, attrs_of, name_tag, owned_ecs, owned_tags, owner, refused, standalone};
use aws_sdk_ecs::operation::deregister_task_definition::DeregisterTaskDefinitionOutput;
use aws_sdk_ecs::operation::describe_services::DescribeServicesOutput;
use aws_sdk_ecs::operation::describe_task_definition::DescribeTaskDefinitionOutput;
use aws_sdk_ecs::operation::list_task_definition_families::ListTaskDefinitionFamiliesOutput;
use aws_sdk_ecs::operation::list_task_definitions::ListTaskDefinitionsOutput;
use aws_sdk_ecs::operation::register_task_definition::{RegisterTaskDefinitionInput, RegisterTaskDefinitionOutput};
use aws_sdk_ecs::operation::tag_resource::TagResourceOutput;
use aws_sdk_ecs::types::{
    ContainerDefinition, KeyValuePair, NetworkMode, Service, Tag, TaskDefinitionStatus as Status, Volume,
};
use aws_smithy_mocks::{MockResponse, Rule, mock};
use pb_engine::{
    Action, Address, Cancel, Class, Events, Goal, Graph, MemoryLedger, Observed, Operation, Plan, PlanScope, Record,
    Resource, Run, Snapshot, Standalone, apply_plan, compute_plan, drift, observe,
};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const PARAMETER: &str = "arn:aws:ssm:us-east-2:123456789012:parameter/app/key";
const ARN: &str = "arn:aws:ecs:us-east-2:1:task-definition/staging-web";

#[derive(Default)]
struct Ecs {
    /// Revisions with their tags and whether they are ACTIVE; the first is revision 1.
    revisions: Vec<(TaskDefinition, Vec<Tag>, bool)>,
    registered: usize,
    /// Number of registrations whose responses are lost.
    lost: usize,
    tagged: Vec<String>,
    /// Revision that the service uses; `described` contains the names in DescribeTaskDefinition calls.
    service: Option<usize>,
    described: Vec<String>,
}

impl Ecs {
    fn named(&self, name: &str) -> Option<&(TaskDefinition, Vec<Tag>, bool)> {
        match name.rsplit_once(':') {
            Some((_, number)) if name.contains('/') => self.revisions.get(number.parse::<usize>().unwrap() - 1),
            _ => self.revisions.iter().rev().find(|(_, _, is_active)| *is_active),
        }
    }

    /// Registers a revision with the defaults that ECS fills in.
    fn register(&mut self, input: &RegisterTaskDefinitionInput) -> TaskDefinition {
        self.registered += 1;
        let number = self.revisions.len() + 1;
        let containers = input.container_definitions().iter().map(filled).collect();
        let made = TaskDefinition::builder()
            .task_definition_arn(format!("{ARN}:{number}"))
            .revision(i32::try_from(number).unwrap())
            .family(input.family().unwrap())
            .set_network_mode(input.network_mode().cloned())
            .set_cpu(input.cpu.clone())
            .set_memory(input.memory.clone())
            .set_execution_role_arn(input.execution_role_arn.clone())
            .set_task_role_arn(input.task_role_arn.clone())
            .set_container_definitions(Some(containers))
            .set_volumes(Some(Vec::new()))
            .set_placement_constraints(Some(Vec::new()))
            .enable_fault_injection(false)
            .build();
        self.revisions.push((made.clone(), input.tags().to_vec(), true));
        made
    }
}

fn filled(container: &ContainerDefinition) -> ContainerDefinition {
    let mut container = container.clone();
    container.mount_points = Some(Vec::new());
    container.volumes_from = Some(Vec::new());
    container.system_controls = Some(Vec::new());
    for port in container.port_mappings.get_or_insert_default() {
        port.host_port = port.container_port;
    }
    container.environment.get_or_insert_default().reverse();
    container
}

fn rules(fake: &Fake<Ecs>) -> Vec<Rule> {
    let [families, describe, list, register, deregister, tag, services] = [(); 7].map(|()| fake.clone());
    vec![
        mock!(Client::list_task_definition_families).then_compute_output(move |_| {
            let is_there = families.get().named("staging-web").is_some();
            let found = is_there.then(|| vec!["staging-web".to_owned()]);
            ListTaskDefinitionFamiliesOutput::builder().set_families(found).build()
        }),
        mock!(Client::describe_task_definition)
            .match_requests(|input| input.include().len() == 1)
            .then_compute_response(move |input| {
                let name = input.task_definition().unwrap();
                let mut ecs = describe.get();
                ecs.described.push(crate::names::last_part(name).to_owned());
                let Some((found, tags, is_active)) = ecs.named(name) else {
                    return MockResponse::Http(refused("ClientException", "Unable to describe task definition."));
                };
                let mut found = found.clone();
                found.status = Some(if *is_active { Status::Active } else { Status::Inactive });
                let answer = DescribeTaskDefinitionOutput::builder().task_definition(found);
                MockResponse::Output(answer.set_tags(Some(tags.clone())).build())
            }),
        mock!(Client::describe_services).then_compute_output(move |input| {
            assert_eq!((input.cluster(), input.services()), (Some("c"), &["staging-web".to_owned()][..]));
            let service = services.get().service.map(|revision| {
                let service = Service::builder().status("ACTIVE").task_definition(format!("{ARN}:{revision}"));
                service.set_tags(Some(owned_ecs("fargate/web"))).build()
            });
            DescribeServicesOutput::builder().set_services(service.map(|service| vec![service])).build()
        }),
        mock!(Client::list_task_definitions).then_compute_output(move |_| {
            let ecs = list.get();
            let active = ecs.revisions.iter().rev().filter(|(_, _, is_active)| *is_active);
            let arns = active.filter_map(|(found, _, _)| found.task_definition_arn.clone()).collect();
            ListTaskDefinitionsOutput::builder().set_task_definition_arns(Some(arns)).build()
        }),
        mock!(Client::register_task_definition).then_compute_response(move |input| {
            let mut ecs = register.get();
            let made = ecs.register(input);
            if ecs.lost > 0 {
                ecs.lost -= 1;
                return MockResponse::Http(answered(500, "{}"));
            }
            MockResponse::Output(RegisterTaskDefinitionOutput::builder().task_definition(made).build())
        }),
        mock!(Client::deregister_task_definition).then_compute_output(move |input| {
            let number = input.task_definition().unwrap().rsplit(':').next().unwrap().parse::<usize>().unwrap();
            deregister.get().revisions[number - 1].2 = false;
            DeregisterTaskDefinitionOutput::builder().build()
        }),
        mock!(Client::tag_resource).then_compute_output(move |input| {
            let mut ecs = tag.get();
            ecs.tagged.push(input.resource_arn().unwrap().to_owned());
            let number = input.resource_arn().unwrap().rsplit(':').next().unwrap().parse::<usize>().unwrap();
            ecs.revisions[number - 1].1.extend(input.tags().to_vec());
            TagResourceOutput::builder().build()
        }),
    ]
}

fn spec(tag: &str) -> TaskDefinitionSpec {
    let text = |text: &str| text.to_owned();
    let container = ContainerSpec {
        image: format!("registry/app:{tag}"),
        command: vec![text("serve")],
        environment: [("B", "2"), ("A", "1")].map(|(key, value)| (text(key), text(value))).into(),
        secrets: BTreeMap::from([(text("KEY"), text(PARAMETER))]),
        ports: BTreeSet::from([5050]),
        log: Some(LogSpec::new("g", "us-east-2", "web", "non-blocking")),
        stop_timeout: Some(120),
        init_process: true,
        essential: true,
    };
    TaskDefinitionSpec {
        family: text("staging-web"),
        cpu: 1024,
        memory: 4096,
        execution_role_arn: text("arn:aws:iam::1:role/execution"),
        task_role_arn: None,
        containers: BTreeMap::from([(text("web"), container)]),
        other: BTreeSet::new(),
        tags: name_tag(),
    }
}

fn web(spec: &mut TaskDefinitionSpec) -> &mut ContainerSpec {
    spec.containers.get_mut("web").unwrap()
}

/// Returns the stack with a client that retries calls, as it does outside of tests.
fn stack(fake: &Fake<Ecs>, spec: TaskDefinitionSpec) -> Standalone {
    stack_ignoring(fake, spec, &[])
}

fn stack_ignoring(fake: &Fake<Ecs>, spec: TaskDefinitionSpec, ignored: &[&str]) -> Standalone {
    standalone(graph(fake, spec, ignored))
}

fn graph(fake: &Fake<Ecs>, spec: TaskDefinitionSpec, ignored: &[&str]) -> Graph {
    let plain = pb_aws::mock_client!(aws_sdk_ecs, &rules(fake));
    let retrying = plain.config().to_builder().retry_config(aws_sdk_ecs::config::retry::RetryConfig::standard());
    let mut graph = Graph::new();
    let kind = graph.kind(TaskDefinitions::new(Client::from_conf(retrying.build())));
    graph.add("fargate/web_task", &kind, (), move |()| spec.clone()).unwrap();
    for path in ignored {
        assert!(graph.ignore(&Address::new("fargate/web_task").unwrap(), *path));
    }
    graph
}

/// Registers two revisions, of which the service uses the first, and returns the snapshot of the second run.
async fn rolled_back(fake: &Fake<Ecs>) -> Snapshot {
    stack(fake, spec("1")).deploy().await.unwrap();
    let mut snapshot = stack(fake, spec("2")).deploy().await.unwrap();
    let attrs = json!({
        "arn": "arn:aws:ecs:us-east-2:1:service/c/staging-web", "name": "staging-web", "cluster": "c",
        "deployment": null, "task_definition": format!("{ARN}:1"),
    });
    let service = Record { kind: "ecs.service".to_owned(), spec: json!({}), attrs, ready: true };
    snapshot.resources.insert(Address::new("fargate/web").unwrap(), service);
    let mut ecs = fake.get();
    (ecs.service, ecs.described) = (Some(1), Vec::new());
    snapshot
}

async fn planned(graph: &Graph, snapshot: &Snapshot) -> (Plan, Observed) {
    let observed = observe(graph, snapshot, &Arc::new(owner()), &Cancel::never()).await.unwrap();
    (compute_plan(graph, &observed, snapshot, Goal::Deploy, &PlanScope::default()).unwrap().unwrap(), observed)
}

#[tokio::test(start_paused = true)]
async fn task_definition_defaults_of_ecs_are_not_drift() {
    let fake = Fake::<Ecs>::new();
    let made = stack(&fake, spec("1")).deploy().await.unwrap();
    assert_eq!(attrs_of(&made, "fargate/web_task")["arn"], format!("{ARN}:1"));
    assert!(stack(&fake, spec("1")).plan().await.unwrap().is_empty());
    let mut tags = crate::tags::from_ecs(&fake.get().revisions[0].1);
    assert_eq!(tags.remove(CONTENT_TAG).unwrap().len(), 64);
    assert_eq!(tags, owned_tags("fargate/web_task"));
    assert_eq!(fake.get().revisions[0].0.network_mode(), Some(&NetworkMode::Awsvpc));
}

#[tokio::test(start_paused = true)]
async fn revision_is_not_registered_again_after_a_lost_answer() {
    let fake = Fake::<Ecs>::new();
    fake.get().lost = 1;
    let made = stack(&fake, spec("1")).deploy().await.unwrap();
    assert_eq!((fake.get().registered, attrs_of(&made, "fargate/web_task")["revision"].clone()), (1, 1.into()));
    fake.get().lost = 1;
    let made = stack(&fake, spec("2")).deploy().await.unwrap();
    assert_eq!((fake.get().registered, attrs_of(&made, "fargate/web_task")["revision"].clone()), (2, 2.into()));
    // An earlier revision with the same content is not reused.
    stack(&fake, spec("1")).deploy().await.unwrap();
    assert_eq!(fake.get().registered, 3);
}

#[tokio::test(start_paused = true)]
async fn plan_compares_with_the_revision_in_use() {
    let fake = Fake::<Ecs>::new();
    let snapshot = rolled_back(&fake).await;
    let graph = graph(&fake, spec("1"), &[]);
    let (plan, observed) = planned(&graph, &snapshot).await;
    assert!(plan.is_empty(), "{plan:?}");
    let own: Vec<_> = drift(&graph, &observed, &snapshot).into_iter().filter(|one| one.id.is_some()).collect();
    assert_eq!(own, [], "the record is about the other revision");
    assert_eq!(fake.get().described, ["staging-web", "staging-web:1"]);
    // If the service uses the latest revision, no other call is needed; a deregistered revision is not in use.
    for (service, deregistered) in [(2, None), (1, Some(0))] {
        fake.get().service = Some(service);
        fake.get().described.clear();
        deregistered.into_iter().for_each(|index: usize| fake.get().revisions[index].2 = false);
        let (plan, _) = planned(&graph, &snapshot).await;
        assert_eq!(plan.changes().next().unwrap().id.as_deref(), Some("staging-web:2"));
        assert_eq!(fake.get().described.len(), service.abs_diff(3), "{:?}", fake.get().described);
    }
}

#[tokio::test(start_paused = true)]
async fn latest_revision_with_the_same_content_is_reused() {
    let fake = Fake::<Ecs>::new();
    let snapshot = rolled_back(&fake).await;
    let mut wanted = spec("2");
    wanted.tags.insert("team".to_owned(), "a".to_owned());
    let graph = graph(&fake, wanted, &[]);
    let (plan, _) = planned(&graph, &snapshot).await;
    let step = plan.changes().next().unwrap();
    let image = step.changes.iter().find(|change| change.path == "containers.web.image").unwrap();
    assert_eq!((step.action, image.before.as_ref().unwrap()), (Action::Update, &json!("registry/app:1")));
    assert_eq!(step.origin, Some(pb_engine::Origin::Configuration), "the tag is new; the revision did not drift");
    let ledger = MemoryLedger::new(snapshot);
    let (owner, events) = (Arc::new(owner()), Events::none());
    let run = Run { id: "r".to_owned(), operation: Operation::Deploy, owner, events, cancel: Cancel::never() };
    assert!(apply_plan(&graph, &plan, &ledger, &run).await.unwrap().is_complete());
    assert_eq!(attrs_of(&ledger.snapshot(), "fargate/web_task")["revision"], 2);
    let ecs = fake.get();
    assert_eq!((ecs.registered, ecs.tagged.as_slice()), (2, &[format!("{ARN}:2")][..]));
}

#[tokio::test(start_paused = true)]
async fn copied_content_tag_is_not_trusted() {
    let fake = Fake::<Ecs>::new();
    let snapshot = rolled_back(&fake).await;
    fake.get().revisions[1].0.cpu = Some("512".to_owned());
    let graph = graph(&fake, spec("2"), &[]);
    let (plan, _) = planned(&graph, &snapshot).await;
    let (owner, events) = (Arc::new(owner()), Events::none());
    let run = Run { id: "r".to_owned(), operation: Operation::Deploy, owner, events, cancel: Cancel::never() };
    assert!(apply_plan(&graph, &plan, &MemoryLedger::new(snapshot), &run).await.unwrap().is_complete());
    assert_eq!(fake.get().registered, 3);
}

#[tokio::test(start_paused = true)]
async fn tag_change_registers_no_revision() {
    let fake = Fake::<Ecs>::new();
    stack(&fake, spec("1")).deploy().await.unwrap();
    let mut other = spec("1");
    other.tags.insert("team".to_owned(), "a".to_owned());
    let made = stack(&fake, other.clone()).deploy().await.unwrap();
    assert_eq!(fake.get().tagged, [format!("{ARN}:1")]);
    assert_eq!((fake.get().registered, attrs_of(&made, "fargate/web_task")["revision"].clone()), (1, 1.into()));
    assert!(stack(&fake, other).plan().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn unmanaged_task_definition_fields_are_drift() {
    let fake = Fake::<Ecs>::new();
    stack(&fake, spec("1")).deploy().await.unwrap();
    fake.get().revisions[0].0.volumes = Some(vec![Volume::builder().name("v").build()]);
    fake.get().revisions[0].0.container_definitions.as_mut().unwrap()[0].privileged = Some(true);
    let plan = stack(&fake, spec("1")).plan().await.unwrap();
    let step = plan.changes().next().unwrap();
    assert_eq!((step.action, step.changes[0].path.as_str()), (Action::Update, "other"));
    let seen = serde_json::json!(["containers.web.privileged", "volumes"]);
    assert_eq!(step.changes[0].before.as_ref().unwrap(), &seen);
    // The changed revision is not reused, although its tag contains the hash of the configured content.
    stack(&fake, spec("1")).deploy().await.unwrap();
    assert_eq!(fake.get().registered, 2);
    assert!(stack(&fake, spec("1")).plan().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn unmanaged_later_revision_is_ignored_and_kept() {
    let fake = Fake::<Ecs>::new();
    stack(&fake, spec("1")).deploy().await.unwrap();
    let mut other = fake.get().revisions[0].clone();
    other.0.task_definition_arn = Some(format!("{ARN}:2"));
    other.0.revision = 2;
    other.1 = Vec::new();
    fake.get().revisions.push(other);
    assert!(stack(&fake, spec("1")).plan().await.unwrap().is_empty());
    stack(&fake, spec("1")).destroy().await.unwrap();
    let active: Vec<bool> = fake.get().revisions.iter().map(|(_, _, is_active)| *is_active).collect();
    assert_eq!(active, [false, true]);
}

#[tokio::test(start_paused = true)]
async fn unmanaged_family_is_refused() {
    let fake = Fake::<Ecs>::new();
    let theirs = TaskDefinition::builder().family("staging-web").task_definition_arn(format!("{ARN}:1")).build();
    fake.get().revisions.push((theirs, Vec::new(), true));
    let failure = stack(&fake, spec("1")).deploy().await.unwrap_err();
    assert_eq!(failure.class, Class::Refused);
    assert!(failure.message.contains("task definition family staging-web"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn secret_in_live_revision_is_hidden_and_not_written() {
    let fake = Fake::<Ecs>::new();
    stack(&fake, spec("1")).deploy().await.unwrap();
    let pair = |name: &str, value: &str| KeyValuePair::builder().name(name).value(value).build();
    if let Some([leaky]) = fake.get().revisions[0].0.container_definitions.as_deref_mut() {
        leaky.command = Some(vec!["amqp://a:hunter2@c".to_owned()]);
        let addresses = [pair("DB_PASSWORD", "hunter2"), pair("DB", "postgres://app:hunter2@db/app")];
        leaky.environment = Some([vec![pair("A", "1")], addresses.to_vec()].concat());
    }
    let plan = stack(&fake, spec("1")).plan().await.unwrap();
    let text = format!("{plan:?} {}", serde_json::to_string(&plan).unwrap());
    assert!(text.contains("hidden") && !text.contains("hunter2"), "{text}");
    let step = plan.changes().next().unwrap();
    let paths: Vec<&str> = step.changes.iter().map(|change| change.path.as_str()).collect();
    let inside = ["command", "environment.B", "environment.DB", "environment.DB_PASSWORD"];
    assert_eq!(paths, inside.map(|path| format!("containers.web.{path}")));

    // With these fields ignored, a new revision would contain placeholders for hidden values, so none is registered.
    let kept = ["containers.web.environment", "containers.web.command"];
    assert!(stack_ignoring(&fake, spec("1"), &kept).plan().await.unwrap().is_empty());
    let failure = stack_ignoring(&fake, spec("2"), &kept).deploy().await.unwrap_err();
    assert!(failure.message.contains("hidden"), "{failure}");
    assert_eq!(fake.get().registered, 1);
}

#[test]
fn invalid_task_definition_spec_is_refused() {
    type Change = fn(&mut TaskDefinitionSpec);
    let table: [(Change, &str); 11] = [
        (|spec| spec.memory = 1024, "size"),
        (|spec| spec.execution_role_arn = "role".to_owned(), "ARN of a role"),
        (|spec| web(spec).stop_timeout = Some(121), "stop_timeout"),
        (|spec| web(spec).essential = false, "essential"),
        (|spec| web(spec).image = "a b".to_owned(), "image"),
        (|spec| drop(web(spec).environment.insert("KEY".to_owned(), "a".to_owned())), "already set in `environment`"),
        (|spec| drop(web(spec).environment.insert("A_TOKEN".to_owned(), "a".to_owned())), "name of a secret"),
        (|spec| web(spec).command[0] = "amqp://a:b@c".to_owned(), "with a password"),
        (|spec| drop(web(spec).secrets.insert("KEY".to_owned(), "hunter2".to_owned())), "neither the ARN"),
        (|spec| drop(web(spec).environment.insert("BIG".to_owned(), "x".repeat(65_000))), "ECS accepts 65536"),
        (|spec| drop(spec.tags.insert("aws:x".to_owned(), String::new())), "tag"),
    ];
    assert_eq!(TaskDefinitions::validate(&spec("1")), Ok(()));
    for (change, word) in table {
        let mut spec = spec("1");
        change(&mut spec);
        let why = TaskDefinitions::validate(&spec).unwrap_err();
        assert!(why.contains(word), "{why}");
    }
}
