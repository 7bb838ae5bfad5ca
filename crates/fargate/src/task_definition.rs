//! ECS task definitions. A change makes another revision; the old ones stay, so that a rollout can go back.

use crate::checks;
use crate::container::{self, ContainerSpec};
use crate::revisions::{self, Revision};
use crate::tags::{Tags, retag, to_ecs};
use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::{Compatibility, NetworkMode, TaskDefinition, TaskDefinitionFamilyStatus};
use futures_util::{StreamExt, TryStreamExt, stream};
use pb_aws::{Answer, no_retry};
use pb_engine::{Change, Context, Failure, Found, Ownership, Resource, Scope, unknown};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// The tag with the hash of a revision's content, by which a registration whose answer was lost is found.
pub const CONTENT_TAG: &str = "pb-deploy:content";

/// How many families are described at a time.
const AT_A_TIME: usize = 8;

/// How far back a revision of ours is looked for behind revisions that somebody else has registered.
const LOOK_BACK: usize = 10;

/// A task definition for Fargate, as it is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskDefinitionSpec {
    /// The family: the name that all revisions share.
    pub family: String,
    /// CPU units; 1024 are one virtual CPU.
    pub cpu: i32,
    /// Memory in MiB.
    pub memory: i32,
    /// ARN of the role with which ECS starts tasks: pulls images, writes logs.
    pub execution_role_arn: String,
    /// ARN of the role that the application itself has.
    pub task_role_arn: Option<String>,
    /// The containers by name.
    pub containers: BTreeMap<String, ContainerSpec>,
    /// Fields that are set and that a spec does not speak of: `volumes`, `containers.web.secrets`. None are wanted.
    pub other: BTreeSet<String>,
    /// Tags beside those that say whose it is.
    pub tags: Tags,
}

/// A revision, as AWS names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskDefinitionAttrs {
    /// The family.
    pub family: String,
    /// The ARN, with the revision.
    pub arn: String,
    /// The revision; absent as long as it is not known.
    pub revision: Option<i32>,
    /// Hash of the content: all but the tags.
    pub content: String,
}

/// ECS task definitions for Fargate (`ecs.task_definition`).
#[derive(Debug, Clone)]
pub struct TaskDefinitions {
    client: Client,
}

impl TaskDefinitions {
    /// Task definitions behind `client`.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Makes another revision. AWS does that for each call, so the SDK must not repeat it.
    async fn register(&self, cx: &Context, spec: &TaskDefinitionSpec) -> Result<TaskDefinitionAttrs, Failure> {
        let mut tags = cx.tags(&spec.tags);
        tags.insert(CONTENT_TAG.to_owned(), content(spec));
        let containers = spec.containers.iter().map(|(name, container)| container::to_ecs(name, container));
        let call = self
            .client
            .register_task_definition()
            .family(&spec.family)
            .requires_compatibilities(Compatibility::Fargate)
            .network_mode(NetworkMode::Awsvpc)
            .cpu(spec.cpu.to_string())
            .memory(spec.memory.to_string())
            .execution_role_arn(&spec.execution_role_arn)
            .set_task_role_arn(spec.task_role_arn.clone())
            .set_container_definitions(Some(containers.collect::<Result<_, _>>()?))
            .set_tags(Some(to_ecs(tags)));
        let once = aws_sdk_ecs::config::Builder::new().retry_config(no_retry());
        let answer = call.customize().config_override(once).send().await.answer("ecs:RegisterTaskDefinition")?;
        let definition = answer.task_definition();
        Ok(TaskDefinitionAttrs {
            family: spec.family.clone(),
            arn: definition.and_then(TaskDefinition::task_definition_arn).unwrap_or_default().to_owned(),
            revision: definition.map(TaskDefinition::revision),
            content: content(spec),
        })
    }

    /// The latest ACTIVE revision of a family that is ours, or else the latest. Revisions that somebody registered on top of
    /// ours change nothing until a service uses them, and that is seen at the service.
    async fn latest(&self, scope: &Scope<Self>, family: &str) -> Result<Option<Revision>, Failure> {
        let Some(latest) = revisions::describe(&self.client, family).await? else {
            return Ok(None);
        };
        if scope.owned(&latest.tags).is_some() {
            return Ok(Some(latest));
        }
        for arn in revisions::active(&self.client, family).await?.iter().skip(1).take(LOOK_BACK) {
            let earlier = revisions::describe(&self.client, arn).await?;
            if let Some(earlier) = earlier.filter(|earlier| scope.owned(&earlier.tags).is_some()) {
                return Ok(Some(earlier));
            }
        }
        Ok(Some(latest))
    }

    async fn found(&self, scope: &Scope<Self>, family: String) -> Result<Option<Found<Self>>, Failure> {
        let Some(revision) = self.latest(scope, &family).await? else {
            return Ok(None);
        };
        if let Some(address) = scope.owned(&revision.tags) {
            let spec = spec(&revision);
            let attrs = attrs(&revision.definition, &spec);
            return Ok(Some(Found::Ours { address, spec, attrs, settled: true }));
        }
        let foreign = scope.wants(|spec| spec.family == family);
        let what = format!("task definition family {family}");
        Ok(foreign.map(|address| Found::Foreign { address: address.clone(), what }))
    }
}

/// Hash of all that makes a revision; tags can be changed without another one.
fn content(spec: &TaskDefinitionSpec) -> String {
    let bare = TaskDefinitionSpec { tags: Tags::new(), ..spec.clone() };
    let text = serde_json::to_string(&bare).unwrap_or_default();
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn attrs(definition: &TaskDefinition, spec: &TaskDefinitionSpec) -> TaskDefinitionAttrs {
    TaskDefinitionAttrs {
        family: spec.family.clone(),
        arn: definition.task_definition_arn().unwrap_or_default().to_owned(),
        revision: Some(definition.revision()),
        content: content(spec),
    }
}

fn spec(Revision { definition, tags }: &Revision) -> TaskDefinitionSpec {
    // ECS gives back numbers as texts, also for sizes that were given as `1 vCPU`.
    let number = |text: Option<&str>| text.and_then(|text| text.parse().ok()).unwrap_or_default();
    let containers = definition.container_definitions();
    let name = |name: Option<&str>| name.unwrap_or_default().to_owned();
    TaskDefinitionSpec {
        family: name(definition.family()),
        cpu: number(definition.cpu()),
        memory: number(definition.memory()),
        execution_role_arn: name(definition.execution_role_arn()),
        task_role_arn: definition.task_role_arn().map(str::to_owned),
        containers: containers.iter().map(|found| (name(found.name()), container::of_ecs(found))).collect(),
        other: others(definition),
        tags: Ownership::plain(tags),
    }
}

fn others(definition: &TaskDefinition) -> BTreeSet<String> {
    let network = definition.network_mode();
    let fields = [
        ("network_mode", network != Some(&NetworkMode::Awsvpc)),
        ("volumes", !definition.volumes().is_empty()),
        ("placement_constraints", !definition.placement_constraints().is_empty()),
        ("runtime_platform", definition.runtime_platform().is_some_and(is_unusual)),
        ("pid_mode", definition.pid_mode().is_some()),
        ("ipc_mode", definition.ipc_mode().is_some()),
        ("proxy_configuration", definition.proxy_configuration().is_some()),
        ("ephemeral_storage", definition.ephemeral_storage().is_some()),
        ("enable_fault_injection", definition.enable_fault_injection().unwrap_or_default()),
    ];
    let mut found: BTreeSet<String> =
        fields.into_iter().filter(|(_, is_set)| *is_set).map(|(field, _)| field.to_owned()).collect();
    for container in definition.container_definitions() {
        let name = container.name().unwrap_or_default();
        found.extend(container::others(container).map(|field| format!("containers.{name}.{field}")));
    }
    found
}

/// Whether the platform is another than the one that tasks have by themselves.
fn is_unusual(platform: &aws_sdk_ecs::types::RuntimePlatform) -> bool {
    platform.cpu_architecture().is_some_and(|cpu| cpu.as_str() != "X86_64")
        || platform.operating_system_family().is_some_and(|system| system.as_str() != "LINUX")
}

impl Resource for TaskDefinitions {
    const KIND: &'static str = "ecs.task_definition";
    /// RegisterTaskDefinition makes another revision each time.
    const UNIQUE: bool = false;
    type Spec = TaskDefinitionSpec;
    type Attrs = TaskDefinitionAttrs;

    fn check(spec: &TaskDefinitionSpec) -> Result<(), String> {
        checks::text("family", &spec.family, pb_rules::names::family)?;
        checks::verdict("size", pb_rules::fargate::size(spec.cpu.into(), spec.memory.into()))?;
        checks::role("execution_role_arn", &spec.execution_role_arn)?;
        if let Some(role) = &spec.task_role_arn {
            checks::role("task_role_arn", role)?;
        }
        for (name, container) in &spec.containers {
            container::check(name, container)?;
        }
        if !spec.containers.values().any(|container| container.essential) {
            return Err("invalid containers: at least one must be essential".to_owned());
        }
        if !spec.other.is_empty() {
            return Err("invalid other: fields that a spec does not speak of cannot be wanted".to_owned());
        }
        checks::tags(&spec.tags)
    }

    fn pending(spec: &TaskDefinitionSpec) -> TaskDefinitionAttrs {
        let content = content(spec);
        TaskDefinitionAttrs { family: spec.family.clone(), arn: unknown(), revision: None, content }
    }

    /// Other tags leave the revision; all else makes another one.
    fn updated(attrs: &TaskDefinitionAttrs, spec: &TaskDefinitionSpec) -> TaskDefinitionAttrs {
        if attrs.content == content(spec) { attrs.clone() } else { Self::pending(spec) }
    }

    fn replaces(field: &str) -> bool {
        field == "family"
    }

    fn beside(old: &TaskDefinitionSpec, new: &TaskDefinitionSpec) -> bool {
        old.family != new.family
    }

    fn id(attrs: &TaskDefinitionAttrs) -> Option<String> {
        Some(crate::last_part(&attrs.arn).to_owned())
    }

    async fn read(&self, scope: &Scope<Self>) -> Result<Vec<Found<Self>>, Failure> {
        let call = self.client.list_task_definition_families().family_prefix(crate::prefix(scope.owner()));
        let pages = call.status(TaskDefinitionFamilyStatus::Active).into_paginator();
        let listed: Result<Vec<String>, _> = pages.items().send().collect().await;
        let mut families: BTreeSet<String> = listed.answer("ecs:ListTaskDefinitionFamilies")?.into_iter().collect();
        families.extend(scope.wanted.iter().map(|(_, spec)| spec.family.clone()));
        families.extend(scope.remembered.iter().map(|(_, attrs)| attrs.family.clone()));
        let found = stream::iter(families).map(|family| self.found(scope, family)).buffer_unordered(AT_A_TIME);
        let found: Vec<Option<Found<Self>>> = found.try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn create(&self, cx: &Context, spec: &TaskDefinitionSpec) -> Result<TaskDefinitionAttrs, Failure> {
        self.register(cx, spec).await
    }

    /// Registers another revision, unless an earlier try, whose answer was lost, has done so.
    async fn update(
        &self,
        cx: &Context,
        attrs: &TaskDefinitionAttrs,
        spec: &TaskDefinitionSpec,
        changes: &[Change],
    ) -> Result<TaskDefinitionAttrs, Failure> {
        let wanted = content(spec);
        if attrs.content == wanted {
            retag(&self.client, &attrs.arn, &spec.tags, changes).await?;
            return Ok(attrs.clone());
        }
        let latest = revisions::describe(&self.client, &spec.family).await?;
        let made = latest.filter(|latest| {
            Some(latest.definition.revision()) > attrs.revision
                && latest.tags.get(CONTENT_TAG) == Some(&wanted)
                && crate::tags::same_owner(cx, &latest.tags)
        });
        match made {
            Some(made) => Ok(TaskDefinitionAttrs { content: wanted, ..self::attrs(&made.definition, spec) }),
            None => self.register(cx, spec).await,
        }
    }

    /// Deregisters every ACTIVE revision of the family that is ours. They stay as INACTIVE, and cost nothing.
    async fn delete(&self, cx: &Context, attrs: &TaskDefinitionAttrs) -> Result<(), Failure> {
        revisions::deregister_all(&self.client, cx, &attrs.family).await
    }
}

#[cfg(test)]
mod tests {
    use super::{CONTENT_TAG, Client, TaskDefinition, TaskDefinitionSpec, TaskDefinitions};
    use crate::container::{ContainerSpec, LogSpec};
    use crate::testing::{World, alone, answered, attrs_of, named, owned, refused};
    use aws_sdk_ecs::operation::deregister_task_definition::DeregisterTaskDefinitionOutput;
    use aws_sdk_ecs::operation::describe_task_definition::DescribeTaskDefinitionOutput;
    use aws_sdk_ecs::operation::list_task_definition_families::ListTaskDefinitionFamiliesOutput;
    use aws_sdk_ecs::operation::list_task_definitions::ListTaskDefinitionsOutput;
    use aws_sdk_ecs::operation::register_task_definition::{RegisterTaskDefinitionInput, RegisterTaskDefinitionOutput};
    use aws_sdk_ecs::operation::tag_resource::TagResourceOutput;
    use aws_sdk_ecs::types::{ContainerDefinition, NetworkMode, Tag, Volume};
    use aws_smithy_mocks::{MockResponse, Rule, mock};
    use pb_engine::{Action, Alone, Class, Graph, Resource};
    use std::collections::{BTreeMap, BTreeSet};

    const ARN: &str = "arn:aws:ecs:us-east-2:1:task-definition/staging-web";

    #[derive(Default)]
    struct Ecs {
        /// Each with its tags, and whether it is ACTIVE; the first is revision 1.
        revisions: Vec<(TaskDefinition, Vec<Tag>, bool)>,
        registered: usize,
        /// The answers of so many registrations are lost.
        lost: usize,
        tagged: Vec<String>,
    }

    impl Ecs {
        fn named(&self, name: &str) -> Option<&(TaskDefinition, Vec<Tag>, bool)> {
            match name.rsplit_once(':') {
                Some((_, number)) if name.contains('/') => self.revisions.get(number.parse::<usize>().unwrap() - 1),
                _ => self.revisions.iter().rev().find(|(_, _, is_active)| *is_active),
            }
        }

        /// As ECS does it: with the defaults that it fills in.
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

    fn rules(world: &World<Ecs>) -> Vec<Rule> {
        let [families, describe, list, register, deregister, tag] = [(); 6].map(|()| world.clone());
        vec![
            mock!(Client::list_task_definition_families).then_compute_output(move |_| {
                let is_there = families.get().named("staging-web").is_some();
                let found = is_there.then(|| vec!["staging-web".to_owned()]);
                ListTaskDefinitionFamiliesOutput::builder().set_families(found).build()
            }),
            mock!(Client::describe_task_definition).match_requests(|input| input.include().len() == 1).then_compute_response(
                move |input| match describe.get().named(input.task_definition().unwrap()) {
                    Some((found, tags, _)) => {
                        let answer = DescribeTaskDefinitionOutput::builder().task_definition(found.clone());
                        MockResponse::Output(answer.set_tags(Some(tags.clone())).build())
                    }
                    None => MockResponse::Http(refused("ClientException", "Unable to describe task definition.")),
                },
            ),
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
                ecs.revisions.last_mut().unwrap().1.extend(input.tags().to_vec());
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
            ports: BTreeSet::from([5050]),
            log: Some(LogSpec { group: text("g"), region: text("us-east-2"), stream_prefix: text("web") }),
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
            tags: named(),
        }
    }

    /// The SDK would repeat calls here, as it does outside of tests.
    fn wanted(world: &World<Ecs>, spec: TaskDefinitionSpec) -> Alone {
        let plain = pb_aws::mock_client!(aws_sdk_ecs, &rules(world));
        let retrying = plain.config().to_builder().retry_config(aws_sdk_ecs::config::retry::RetryConfig::standard());
        let mut graph = Graph::new();
        let kind = graph.kind(TaskDefinitions::new(Client::from_conf(retrying.build())));
        graph.add("fargate/web_task", &kind, (), move |()| spec.clone()).unwrap();
        alone(graph)
    }

    #[tokio::test(start_paused = true)]
    async fn what_ecs_fills_in_is_no_difference() {
        let world = World::<Ecs>::new();
        let made = wanted(&world, spec("1")).deploy().await.unwrap();
        assert_eq!(attrs_of(&made, "fargate/web_task")["arn"], format!("{ARN}:1"));
        assert!(wanted(&world, spec("1")).plan().await.unwrap().is_empty());
        let mut tags = crate::tags::of_ecs(&world.get().revisions[0].1);
        assert_eq!(tags.remove(CONTENT_TAG).unwrap().len(), 64);
        assert_eq!(tags, owned("fargate/web_task"));
        assert_eq!(world.get().revisions[0].0.network_mode(), Some(&NetworkMode::Awsvpc));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_answer_makes_no_second_revision() {
        let world = World::<Ecs>::new();
        world.get().lost = 1;
        let made = wanted(&world, spec("1")).deploy().await.unwrap();
        assert_eq!((world.get().registered, attrs_of(&made, "fargate/web_task")["revision"].clone()), (1, 1.into()));
        world.get().lost = 1;
        let made = wanted(&world, spec("2")).deploy().await.unwrap();
        assert_eq!((world.get().registered, attrs_of(&made, "fargate/web_task")["revision"].clone()), (2, 2.into()));
        // The content of an earlier revision is no reason to take that one.
        wanted(&world, spec("1")).deploy().await.unwrap();
        assert_eq!(world.get().registered, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn other_tags_leave_the_revision() {
        let world = World::<Ecs>::new();
        wanted(&world, spec("1")).deploy().await.unwrap();
        let mut other = spec("1");
        other.tags.insert("team".to_owned(), "a".to_owned());
        let made = wanted(&world, other.clone()).deploy().await.unwrap();
        assert_eq!(world.get().tagged, [format!("{ARN}:1")]);
        assert_eq!((world.get().registered, attrs_of(&made, "fargate/web_task")["revision"].clone()), (1, 1.into()));
        assert!(wanted(&world, other).plan().await.unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn fields_that_no_spec_speaks_of_are_drift() {
        let world = World::<Ecs>::new();
        wanted(&world, spec("1")).deploy().await.unwrap();
        world.get().revisions[0].0.volumes = Some(vec![Volume::builder().name("v").build()]);
        world.get().revisions[0].0.container_definitions.as_mut().unwrap()[0].privileged = Some(true);
        let plan = wanted(&world, spec("1")).plan().await.unwrap();
        let step = plan.changes().next().unwrap();
        assert_eq!((step.action, step.changes[0].path.as_str()), (Action::Update, "other"));
        let seen = serde_json::json!(["containers.web.privileged", "volumes"]);
        assert_eq!(step.changes[0].before.as_ref().unwrap(), &seen);
    }

    #[tokio::test(start_paused = true)]
    async fn what_somebody_registered_on_top_is_passed_over_and_left() {
        let world = World::<Ecs>::new();
        wanted(&world, spec("1")).deploy().await.unwrap();
        let mut other = world.get().revisions[0].clone();
        other.0.task_definition_arn = Some(format!("{ARN}:2"));
        other.0.revision = 2;
        other.1 = Vec::new();
        world.get().revisions.push(other);
        assert!(wanted(&world, spec("1")).plan().await.unwrap().is_empty());
        wanted(&world, spec("1")).destroy().await.unwrap();
        let active: Vec<bool> = world.get().revisions.iter().map(|(_, _, is_active)| *is_active).collect();
        assert_eq!(active, [false, true]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_family_that_is_not_ours_is_refused() {
        let world = World::<Ecs>::new();
        let theirs = TaskDefinition::builder().family("staging-web").task_definition_arn(format!("{ARN}:1")).build();
        world.get().revisions.push((theirs, Vec::new(), true));
        let failure = wanted(&world, spec("1")).deploy().await.unwrap_err();
        assert_eq!(failure.class, Class::Refused);
        assert!(failure.message.contains("task definition family staging-web"), "{failure}");
    }

    #[test]
    fn what_fargate_does_not_take_is_refused() {
        type Change = fn(&mut TaskDefinitionSpec);
        let table: [(Change, &str); 6] = [
            (|spec| spec.memory = 1024, "size"),
            (|spec| spec.execution_role_arn = "role".to_owned(), "ARN of a role"),
            (|spec| spec.containers.get_mut("web").unwrap().stop_timeout = Some(121), "stop_timeout"),
            (|spec| spec.containers.get_mut("web").unwrap().essential = false, "essential"),
            (|spec| spec.containers.get_mut("web").unwrap().image = "a b".to_owned(), "image"),
            (|spec| drop(spec.tags.insert("aws:x".to_owned(), String::new())), "tag"),
        ];
        assert_eq!(TaskDefinitions::check(&spec("1")), Ok(()));
        for (change, word) in table {
            let mut spec = spec("1");
            change(&mut spec);
            let why = TaskDefinitions::check(&spec).unwrap_err();
            assert!(why.contains(word), "{why}");
        }
    }
}
