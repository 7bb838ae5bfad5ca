//! ECS services.

use crate::cluster::{Prefixed, prefixed};
use crate::poller::{Poller, describe};
use crate::revisions;
use crate::rollout::{self, Rollout, Wanted};
use crate::service_spec::{self, ACTIVE, ServiceSpec, primary};
use crate::tags::{of_ecs, retag, to_ecs};
use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::{Deployment, DeploymentRolloutState, LaunchType, PropagateTags, Service};
use futures_util::{StreamExt, TryStreamExt, stream};
use pb_aws::Answer;
use pb_engine::{Change, Class, Context, Failure, Found, Limits, Progress, Resource, Scope, is_unknown, unknown};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long a rollout is waited for unless something else is said.
const ROLLOUT: Duration = Duration::from_secs(30 * 60);

/// How long a service may drain: tasks get up to 120 s to stop, and targets their deregistration delay.
const DRAIN: Duration = Duration::from_secs(20 * 60);

/// Clusters that are asked for their services at a time.
const AT_A_TIME: usize = 4;

/// A service, as AWS names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceAttrs {
    /// Its ARN.
    pub arn: String,
    /// Its name.
    pub name: String,
    /// Name of its cluster.
    pub cluster: String,
    /// Id of the deployment that we started last; absent as long as there is none.
    pub deployment: Option<String>,
    /// ARN of the revision that the deployment is to bring.
    pub task_definition: String,
}

/// ECS services on Fargate (`ecs.service`).
#[derive(Debug, Clone)]
pub struct Services {
    client: Client,
    poller: Poller,
    rollout: Duration,
}

impl Services {
    /// Services behind `client`; a rollout is waited for 30 minutes.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { poller: Poller::new(client.clone()), client, rollout: ROLLOUT }
    }

    /// The same, with another time that a rollout is waited for.
    #[must_use]
    pub fn rollout_within(self, rollout: Duration) -> Self {
        Self { rollout, ..self }
    }

    /// The names to look for in each cluster: what is wanted and what is remembered, and the clusters of the workspace,
    /// where orphans may be.
    async fn places(&self, scope: &Scope<Self>) -> Result<BTreeMap<String, BTreeSet<String>>, Failure> {
        let mut places: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let wanted = scope.wanted.iter().map(|(_, spec)| (&spec.cluster, &spec.name));
        let remembered = scope.remembered.iter().map(|(_, attrs)| (&attrs.cluster, &attrs.name));
        for (cluster, name) in wanted.chain(remembered).filter(|(cluster, _)| !is_unknown(cluster)) {
            places.entry(cluster.clone()).or_default().insert(name.clone());
        }
        let prefix = crate::prefix(scope.owner());
        let clusters = scope.shared::<Prefixed, _>(prefixed(&self.client, &prefix)).await?;
        for cluster in clusters.0.iter().filter(|cluster| scope.owned(&of_ecs(cluster.tags())).is_some()) {
            places.entry(cluster.cluster_name().unwrap_or_default().to_owned()).or_default();
        }
        Ok(places)
    }

    async fn in_cluster(&self, cluster: String, mut names: BTreeSet<String>) -> Result<Vec<Service>, Failure> {
        let pages = self.client.list_services().cluster(&cluster).into_paginator().page_size(100);
        let arns: Result<Vec<String>, _> = pages.items().send().collect().await;
        match arns.answer("ecs:ListServices") {
            Ok(arns) => names.extend(arns.iter().map(|arn| crate::last_part(arn).to_owned())),
            Err(failure) if failure.is("ClusterNotFoundException") => return Ok(Vec::new()),
            Err(failure) => return Err(failure),
        }
        let names: Vec<String> = names.into_iter().collect();
        describe(&self.client, &cluster, &names, true).await
    }

    /// Waits until our deployment serves our revision.
    async fn rolled_out(&self, cx: &Context, attrs: &ServiceAttrs) -> Result<ServiceAttrs, Failure> {
        let watch = self.poller.watch(&attrs.cluster, &attrs.name);
        let last: Mutex<(Option<Service>, ServiceAttrs)> = Mutex::new((None, attrs.clone()));
        let limits = Limits { first: Duration::from_millis(300), longest: Duration::from_secs(3), within: self.rollout };
        let waited = cx
            .wait("ecs:DescribeServices", limits, || async {
                let look = watch.look_patiently().await?;
                let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                let service = match look {
                    Ok(Some(service)) => service,
                    Ok(None) if last.0.is_some() => return Ok(Progress::Ready(Some("the service is gone".to_owned()))),
                    Ok(None) => return Ok(Progress::Pending("service not visible yet".to_owned())),
                    Err(words) => return Ok(Progress::Pending(words)),
                };
                if last.1.deployment.is_none() {
                    last.1.deployment = primary(&service).and_then(Deployment::id).map(str::to_owned);
                }
                let progress = match rollout::judge(&service, &wanted(&last.1)) {
                    Rollout::Done => Progress::Ready(None),
                    Rollout::Going(words) => Progress::Pending(words),
                    Rollout::Failed(reason) => Progress::Ready(Some(reason)),
                };
                last.0 = Some(service);
                Ok(progress)
            })
            .await;
        let (service, attrs) = last.into_inner().unwrap_or_else(PoisonError::into_inner);
        let (class, reason) = match waited {
            Ok(None) => return Ok(attrs),
            Ok(Some(reason)) => (Class::Failed, reason),
            Err(failure) if failure.class == Class::TimedOut => (Class::TimedOut, failure.message),
            Err(failure) => return Err(failure),
        };
        Err(rollout::failed(&self.client, &wanted(&attrs), service.as_ref(), class, &reason).await)
    }
}

fn wanted(attrs: &ServiceAttrs) -> Wanted<'_> {
    Wanted {
        cluster: &attrs.cluster,
        service: &attrs.name,
        deployment: attrs.deployment.as_deref().unwrap_or_default(),
        task_definition: &attrs.task_definition,
    }
}

fn attrs(service: &Service) -> ServiceAttrs {
    ServiceAttrs {
        arn: service.service_arn().unwrap_or_default().to_owned(),
        name: service.service_name().unwrap_or_default().to_owned(),
        cluster: crate::last_part(service.cluster_arn().unwrap_or_default()).to_owned(),
        deployment: primary(service).and_then(Deployment::id).map(str::to_owned),
        task_definition: service.task_definition().unwrap_or_default().to_owned(),
    }
}

/// Whether nothing is left to wait for.
fn is_settled(service: &Service) -> bool {
    service.status() == Some(ACTIVE)
        && primary(service).is_some_and(|primary| match primary.rollout_state() {
            Some(state) => *state == DeploymentRolloutState::Completed,
            None => primary.running_count() == service.desired_count() && service.deployments().len() == 1,
        })
}

/// The class of a refusal that ECS tells only in words. (ECS developer guide: API failure reasons)
fn refine(failure: Failure) -> Failure {
    let says = |words: &str| failure.message.contains(words);
    let class = if says("not idempotent") {
        Class::Exists
    } else if says("still Draining") || says("does not have an associated load balancer") {
        Class::NotReady
    } else if says("InvalidGroup.NotFound") || says("InvalidSubnetID.NotFound") {
        // Made a moment ago, and not visible to ECS yet.
        Class::NotFound
    } else {
        failure.class
    };
    failure.class(class)
}

impl Resource for Services {
    const KIND: &'static str = "ecs.service";
    /// Its tasks have interfaces with groups and public addresses in a subnet. A target group or a listener can go first.
    const HOLDS: &'static [&'static str] =
        &["ecs.cluster", "ec2.security_group", "ec2.subnet", "ec2.internet_gateway"];
    type Spec = ServiceSpec;
    type Attrs = ServiceAttrs;

    fn check(spec: &ServiceSpec) -> Result<(), String> {
        service_spec::check(spec)
    }

    fn pending(spec: &ServiceSpec) -> ServiceAttrs {
        ServiceAttrs {
            arn: unknown(),
            name: spec.name.clone(),
            cluster: spec.cluster.clone(),
            deployment: None,
            task_definition: spec.task_definition.clone(),
        }
    }

    fn updated(attrs: &ServiceAttrs, spec: &ServiceSpec) -> ServiceAttrs {
        ServiceAttrs { arn: attrs.arn.clone(), ..Self::pending(spec) }
    }

    fn replaces(field: &str) -> bool {
        ["name", "cluster", "launch_type", "status"].contains(&field)
    }

    fn beside(old: &ServiceSpec, new: &ServiceSpec) -> bool {
        (&old.cluster, &old.name) != (&new.cluster, &new.name)
    }

    fn id(attrs: &ServiceAttrs) -> Option<String> {
        Some(attrs.name.clone())
    }

    async fn read(&self, scope: &Scope<Self>) -> Result<Vec<Found<Self>>, Failure> {
        let places = self.places(scope).await?;
        let services = stream::iter(places).map(|(cluster, names)| self.in_cluster(cluster, names));
        let services: Vec<Vec<Service>> = services.buffer_unordered(AT_A_TIME).try_collect().await?;
        let mut found = Vec::new();
        for service in services.iter().flatten() {
            let attrs = attrs(service);
            if let Some(address) = scope.owned(&of_ecs(service.tags())) {
                let (spec, settled) = (service_spec::of_ecs(service), is_settled(service));
                found.push(Found::Ours { address, spec, attrs, settled });
            } else if let Some(address) =
                scope.wants(|spec| (&spec.cluster, &spec.name) == (&attrs.cluster, &attrs.name))
            {
                let what = format!("ECS service {} in {}", attrs.name, attrs.cluster);
                found.push(Found::Foreign { address: address.clone(), what });
            }
        }
        Ok(found)
    }

    async fn create(&self, cx: &Context, spec: &ServiceSpec) -> Result<ServiceAttrs, Failure> {
        let balanced = !spec.load_balancers.is_empty();
        let call = self
            .client
            .create_service()
            .client_token(cx.token())
            .cluster(&spec.cluster)
            .service_name(&spec.name)
            .task_definition(&spec.task_definition)
            .desired_count(spec.desired_count)
            .launch_type(LaunchType::from(spec.launch_type.as_str()))
            .platform_version("LATEST")
            .network_configuration(service_spec::network(spec)?)
            .deployment_configuration(service_spec::deployment(spec, false)?)
            .set_availability_zone_rebalancing(service_spec::rebalancing(spec))
            .set_load_balancers(balanced.then(|| service_spec::load_balancers(spec)))
            .set_health_check_grace_period_seconds(balanced.then_some(spec.health_check_grace_seconds))
            .propagate_tags(PropagateTags::from(spec.propagate_tags.as_str()))
            .enable_ecs_managed_tags(spec.managed_tags)
            .enable_execute_command(spec.execute_command)
            .set_tags(Some(to_ecs(cx.tags(&spec.tags))));
        let answer = call.send().await.answer("ecs:CreateService").map_err(refine)?;
        Ok(ServiceAttrs { task_definition: spec.task_definition.clone(), ..answer.service().map_or_else(|| Self::pending(spec), attrs) })
    }

    /// One UpdateService with what differs. Tags come first: the tasks of a new deployment get them.
    async fn update(
        &self,
        _cx: &Context,
        attrs: &ServiceAttrs,
        spec: &ServiceSpec,
        changes: &[Change],
    ) -> Result<ServiceAttrs, Failure> {
        retag(&self.client, &attrs.arn, &spec.tags, changes).await?;
        let differs = |fields: &[&str]| changes.iter().any(|change| fields.contains(&change.field()));
        if changes.iter().all(|change| change.field() == "tags") {
            return Ok(attrs.clone());
        }
        let mut call = self.client.update_service().cluster(&attrs.cluster).service(&attrs.name);
        if differs(&["desired_count"]) {
            call = call.desired_count(spec.desired_count);
        }
        if differs(&["task_definition"]) {
            call = call.task_definition(&spec.task_definition);
        }
        if differs(&["subnets", "security_groups", "assign_public_ip"]) {
            call = call.network_configuration(service_spec::network(spec)?);
        }
        if differs(&["min_healthy_percent", "max_percent", "circuit_breaker"]) {
            let explicit = changes.iter().any(|change| change.path.starts_with("circuit_breaker.threshold"));
            call = call.deployment_configuration(service_spec::deployment(spec, explicit)?);
            call = call.set_availability_zone_rebalancing(service_spec::rebalancing(spec));
        }
        if differs(&["load_balancers"]) {
            call = call.set_load_balancers(Some(service_spec::load_balancers(spec)));
        }
        if differs(&["load_balancers", "health_check_grace_seconds"]) && !spec.load_balancers.is_empty() {
            call = call.health_check_grace_period_seconds(spec.health_check_grace_seconds);
        }
        if differs(&["propagate_tags"]) {
            call = call.propagate_tags(PropagateTags::from(spec.propagate_tags.as_str()));
        }
        if differs(&["managed_tags"]) {
            call = call.enable_ecs_managed_tags(spec.managed_tags);
        }
        if differs(&["execute_command"]) {
            call = call.enable_execute_command(spec.execute_command);
        }
        if differs(&["failed"]) {
            call = call.force_new_deployment(true);
        }
        let answer = call.send().await.answer("ecs:UpdateService").map_err(refine)?;
        let made = answer.service().map_or_else(|| Self::updated(attrs, spec), self::attrs);
        Ok(ServiceAttrs { task_definition: spec.task_definition.clone(), ..made })
    }

    /// Waits until the rollout has succeeded; then revisions that are too old are no longer needed.
    async fn settle(&self, cx: &Context, attrs: ServiceAttrs) -> Result<ServiceAttrs, Failure> {
        let attrs = self.rolled_out(cx, &attrs).await?;
        // What is left over costs nothing, and the next rollout tries again.
        revisions::prune(&self.client, cx, &attrs.task_definition).await.ok();
        Ok(attrs)
    }

    async fn delete(&self, cx: &Context, attrs: &ServiceAttrs) -> Result<(), Failure> {
        let call = self.client.delete_service().cluster(&attrs.cluster).service(&attrs.name).force(true);
        match call.send().await.answer("ecs:DeleteService") {
            // It drains already.
            Err(failure) if failure.is("ServiceNotActiveException") => {}
            answer => drop(answer?),
        }
        let watch = self.poller.watch(&attrs.cluster, &attrs.name);
        let limits = Limits { first: Duration::from_millis(300), longest: Duration::from_secs(3), within: DRAIN };
        cx.wait("ecs:DeleteService", limits, || async {
            Ok(match watch.look_patiently().await? {
                Ok(None) => Progress::Ready(()),
                Ok(Some(service)) => {
                    let status = service.status().unwrap_or("there still");
                    let left = service.running_count() + service.pending_count();
                    Progress::Pending(format!("service {status}, {left} tasks left"))
                }
                Err(words) => Progress::Pending(words),
            })
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::{Client, Services, refine};
    use crate::service_spec::{BreakerSpec, ServiceSpec, TargetSpec, ThresholdSpec};
    use crate::testing::{World, alone, attrs_of, deployment, named, owned_ecs, refused, service_of};
    use aws_sdk_ecs::operation::create_service::{CreateServiceInput, CreateServiceOutput};
    use aws_sdk_ecs::operation::delete_service::DeleteServiceOutput;
    use aws_sdk_ecs::operation::describe_services::DescribeServicesOutput;
    use aws_sdk_ecs::operation::list_clusters::ListClustersOutput;
    use aws_sdk_ecs::operation::list_services::ListServicesOutput;
    use aws_sdk_ecs::operation::list_task_definitions::ListTaskDefinitionsOutput;
    use aws_sdk_ecs::operation::list_tasks::ListTasksOutput;
    use aws_sdk_ecs::operation::tag_resource::TagResourceOutput;
    use aws_sdk_ecs::operation::update_service::{UpdateServiceInput, UpdateServiceOutput};
    use aws_sdk_ecs::types::{AvailabilityZoneRebalancing, DeploymentRolloutState as State, PropagateTags, Service};
    use aws_smithy_mocks::{MockResponse, Rule, mock};
    use pb_engine::{Action, Alone, Class, Failure, Graph, Order, Resource};
    use std::collections::{BTreeSet, VecDeque};
    use std::time::Duration;

    const WEB_1: &str = "arn:aws:ecs:us-east-2:1:task-definition/staging-web:1";
    const WEB_2: &str = "arn:aws:ecs:us-east-2:1:task-definition/staging-web:2";

    #[derive(Default)]
    struct Ecs {
        service: Option<Service>,
        /// Refusals of the next creates.
        refusals: VecDeque<(&'static str, &'static str)>,
        created: Vec<CreateServiceInput>,
        updated: Vec<UpdateServiceInput>,
        /// What a rollout comes to, once it was looked at.
        ends: Option<State>,
        deleted: usize,
        /// Looks until a service that drains is gone.
        draining: usize,
    }

    impl Ecs {
        /// One look at the service; time passes by it.
        fn look(&mut self) -> Option<Service> {
            let seen = self.service.clone();
            let Some(service) = &mut self.service else { return None };
            if service.status() == Some("DRAINING") {
                self.draining = self.draining.saturating_sub(1);
                if self.draining == 0 {
                    service.status = Some("INACTIVE".to_owned());
                }
                return seen;
            }
            let desired = service.desired_count();
            if let Some(primary) = service.deployments.get_or_insert_default().first_mut()
                && let Some(end) = &self.ends
            {
                primary.rollout_state = Some(end.clone());
                primary.running_count = if *end == State::Completed { desired } else { 0 };
            }
            seen
        }

        fn update(&mut self, input: &UpdateServiceInput) -> Service {
            self.updated.push(input.clone());
            let service = self.service.as_mut().unwrap();
            service.desired_count = input.desired_count().unwrap_or(service.desired_count);
            let revision = input.task_definition().or(service.task_definition()).unwrap().to_owned();
            if input.task_definition().is_some() || input.force_new_deployment() == Some(true) {
                let id = format!("ecs-svc/{}", self.updated.len() + 1);
                service.deployments = Some(vec![deployment(&id, &revision, 0, State::InProgress)]);
            }
            service.task_definition = Some(revision);
            if let Some(given) = input.deployment_configuration() {
                service.deployment_configuration = Some(given.clone());
            }
            if let Some(given) = input.network_configuration() {
                service.network_configuration = Some(given.clone());
            }
            service.clone()
        }
    }

    fn reads(world: &World<Ecs>) -> Vec<Rule> {
        let [list, describe] = [(); 2].map(|()| world.clone());
        vec![
            mock!(Client::list_clusters).then_output(|| ListClustersOutput::builder().build()),
            mock!(Client::list_services).then_compute_output(move |_| {
                let ecs = list.get();
                let arns = ecs.service.iter().filter(|service| service.status() == Some("ACTIVE"));
                let arns = arns.filter_map(|service| service.service_arn.clone()).collect();
                ListServicesOutput::builder().set_service_arns(Some(arns)).build()
            }),
            mock!(Client::describe_services).then_compute_output(move |_| {
                let services = describe.get().look().into_iter().collect();
                DescribeServicesOutput::builder().set_services(Some(services)).build()
            }),
            mock!(Client::list_task_definitions).then_output(|| ListTaskDefinitionsOutput::builder().build()),
            mock!(Client::list_tasks).then_output(|| ListTasksOutput::builder().build()),
            mock!(Client::describe_task_definition).then_http_response(|| refused("ClientException", "Unable to describe")),
        ]
    }

    fn writes(world: &World<Ecs>) -> Vec<Rule> {
        let [create, update, delete] = [(); 3].map(|()| world.clone());
        vec![
            mock!(Client::create_service).then_compute_response(move |input| {
                let mut ecs = create.get();
                ecs.created.push(input.clone());
                if let Some((code, message)) = ecs.refusals.pop_front() {
                    return MockResponse::Http(refused(code, message));
                }
                ecs.service = Some(service_of(input));
                MockResponse::Output(CreateServiceOutput::builder().set_service(ecs.service.clone()).build())
            }),
            mock!(Client::update_service).then_compute_output(move |input| {
                UpdateServiceOutput::builder().service(update.get().update(input)).build()
            }),
            mock!(Client::delete_service).match_requests(|input| input.force() == Some(true)).then_compute_output(move |_| {
                let mut ecs = delete.get();
                ecs.deleted += 1;
                ecs.service.as_mut().unwrap().status = Some("DRAINING".to_owned());
                DeleteServiceOutput::builder().build()
            }),
            mock!(Client::tag_resource).then_output(|| TagResourceOutput::builder().build()),
        ]
    }

    fn spec() -> ServiceSpec {
        let text = |text: &str| text.to_owned();
        let target = TargetSpec { target_group_arn: text("arn:tg"), container: text("web"), port: 5050 };
        ServiceSpec {
            name: text("staging-web"),
            cluster: text("staging-main"),
            task_definition: text(WEB_1),
            desired_count: 2,
            launch_type: text("FARGATE"),
            subnets: [text("subnet-2"), text("subnet-1")].into(),
            security_groups: BTreeSet::from([text("sg-1")]),
            assign_public_ip: true,
            load_balancers: BTreeSet::from([target]),
            health_check_grace_seconds: 60,
            min_healthy_percent: 100,
            max_percent: 200,
            circuit_breaker: BreakerSpec { enable: true, rollback: true, threshold: Some(ThresholdSpec::count(3)) },
            propagate_tags: text("SERVICE"),
            managed_tags: true,
            execute_command: false,
            status: text("ACTIVE"),
            failed: false,
            tags: named(),
        }
    }

    fn wanted(world: &World<Ecs>, spec: ServiceSpec) -> Alone {
        let rules: Vec<Rule> = reads(world).into_iter().chain(writes(world)).collect();
        let client = pb_aws::mock_client!(aws_sdk_ecs, &rules);
        let mut graph = Graph::new();
        let kind = graph.kind(Services::new(client).rollout_within(Duration::from_secs(60)));
        graph.add("fargate/web", &kind, (), move |()| spec.clone()).unwrap();
        alone(graph)
    }

    async fn steady() -> World<Ecs> {
        let world = World::<Ecs>::new();
        world.get().ends = Some(State::Completed);
        wanted(&world, spec()).deploy().await.unwrap();
        world
    }

    #[tokio::test(start_paused = true)]
    async fn made_with_token_and_tags_and_then_left_alone() {
        let world = steady().await;
        {
            let ecs = world.get();
            let created = &ecs.created[0];
            let token = created.client_token().unwrap();
            assert!(!token.is_empty() && token.len() <= 36 && token.is_ascii(), "{token}");
            assert_eq!(created.tags(), owned_ecs("fargate/web"));
            assert_eq!(created.propagate_tags(), Some(&PropagateTags::Service));
            assert_eq!(created.health_check_grace_period_seconds(), Some(60));
            assert_eq!(created.availability_zone_rebalancing(), None);
        }
        assert!(wanted(&world, spec()).plan().await.unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_load_balancer_there_is_no_grace_and_one_at_a_time_no_rebalancing() {
        let world = World::<Ecs>::new();
        world.get().ends = Some(State::Completed);
        let scheduler = ServiceSpec {
            load_balancers: BTreeSet::new(),
            health_check_grace_seconds: 0,
            min_healthy_percent: 0,
            max_percent: 100,
            ..spec()
        };
        wanted(&world, scheduler.clone()).deploy().await.unwrap();
        let created = world.get().created[0].clone();
        assert_eq!((created.health_check_grace_period_seconds(), created.load_balancers().len()), (None, 0));
        assert_eq!(created.availability_zone_rebalancing(), Some(&AvailabilityZoneRebalancing::Disabled));
        assert!(wanted(&world, scheduler).plan().await.unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_create_waits_for_what_passes() {
        let world = World::<Ecs>::new();
        world.get().ends = Some(State::Completed);
        let refusals = [
            ("ClusterNotFoundException", "Cluster not found."),
            ("InvalidParameterException", "Unable to Start a service that is still Draining."),
            ("InvalidParameterException", "The target group arn:tg does not have an associated load balancer."),
        ];
        world.get().refusals = refusals.into();
        wanted(&world, spec()).deploy().await.unwrap();
        let tokens: BTreeSet<Option<String>> =
            world.get().created.iter().map(|created| created.client_token.clone()).collect();
        assert_eq!((world.get().created.len(), tokens.len()), (4, 1), "every try has the same token");
    }

    #[test]
    fn refusals_in_words_have_their_class() {
        let class = |message: &str| {
            let failure = Failure { code: None, ..Failure::new(Class::Refused, "ecs:CreateService", message) };
            refine(failure).class
        };
        assert_eq!(class("Creation of service was not idempotent."), Class::Exists);
        assert_eq!(class("Error retrieving security group information: (ErrorCode: InvalidGroup.NotFound)"), Class::NotFound);
        assert_eq!(class("Tasks may not be negative"), Class::Refused);
    }

    #[tokio::test(start_paused = true)]
    async fn another_count_starts_no_deployment_and_waits_for_the_tasks() {
        let world = steady().await;
        wanted(&world, ServiceSpec { desired_count: 5, ..spec() }).deploy().await.unwrap();
        let ecs = world.get();
        let expected = UpdateServiceInput::builder().cluster("staging-main").service("staging-web").desired_count(5);
        assert_eq!(ecs.updated, [expected.build().unwrap()], "nothing else is in the call");
    }

    #[tokio::test(start_paused = true)]
    async fn settings_are_changed_in_one_call() {
        let world = steady().await;
        let mut other = spec();
        other.circuit_breaker.threshold = None;
        other.max_percent = 150;
        other.assign_public_ip = false;
        wanted(&world, other.clone()).deploy().await.unwrap();
        assert_eq!(world.get().updated.len(), 1);
        let threshold = world.get().updated[0].deployment_configuration.clone().unwrap();
        let threshold = threshold.deployment_circuit_breaker.unwrap().threshold_configuration.unwrap();
        assert_eq!((threshold.r#type().as_str(), threshold.value()), ("BOUNDED_PERCENT", 50), "written out to go back to it");
        assert!(wanted(&world, other).plan().await.unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_rollout_that_fails_is_a_failure_and_is_started_again() {
        let world = steady().await;
        world.get().ends = Some(State::Failed);
        let next = ServiceSpec { task_definition: WEB_2.to_owned(), ..spec() };
        let failure = wanted(&world, next.clone()).deploy().await.unwrap_err();
        assert_eq!((failure.class, failure.operation.as_str()), (Class::Failed, "roll out staging-web"));
        world.get().ends = Some(State::Completed);
        world.get().service.as_mut().unwrap().deployments.as_mut().unwrap()[0].rollout_state = Some(State::Failed);
        wanted(&world, next).deploy().await.unwrap();
        assert_eq!(world.get().updated[1].force_new_deployment(), Some(true));
        assert_eq!(world.get().updated[1].task_definition(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_rollback_is_a_failure_though_all_tasks_run() {
        let world = steady().await;
        world.get().ends = None;
        let next = ServiceSpec { task_definition: WEB_2.to_owned(), ..spec() };
        let alone = wanted(&world, next);
        let deploying = alone.deploy();
        let rolled_back = async {
            while world.get().updated.is_empty() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            let mut ecs = world.get();
            let service = ecs.service.as_mut().unwrap();
            service.task_definition = Some(WEB_1.to_owned());
            service.deployments = Some(vec![deployment("ecs-svc/1", WEB_1, 2, State::Completed)]);
        };
        let (outcome, ()) = tokio::join!(deploying, rolled_back);
        let failure = outcome.unwrap_err();
        assert_eq!(failure.class, Class::Failed);
        assert!(failure.message.contains("staging-web:1 instead"), "{failure}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_rollout_that_does_not_end_is_given_up() {
        let world = World::<Ecs>::new();
        let failure = wanted(&world, spec()).deploy().await.unwrap_err();
        assert_eq!(failure.class, Class::TimedOut);
        assert!(failure.message.contains("gave up after 60 s: 0 of 2 running"), "{failure}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_rollout_that_another_run_left_is_waited_for() {
        let world = World::<Ecs>::new();
        wanted(&world, spec()).deploy().await.unwrap_err();
        let plan = wanted(&world, spec()).plan().await.unwrap();
        assert_eq!(plan.changes().map(|step| step.action).collect::<Vec<_>>(), [Action::Await]);
        world.get().ends = Some(State::Completed);
        let made = wanted(&world, spec()).deploy().await.unwrap();
        assert_eq!(attrs_of(&made, "fargate/web")["deployment"], "ecs-svc/1");
        assert!(world.get().updated.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_drains_is_gone_before_another_is_made() {
        let world = steady().await;
        {
            let mut ecs = world.get();
            ecs.draining = 6;
            let service = ecs.service.as_mut().unwrap();
            (service.status, service.desired_count) = (Some("DRAINING".to_owned()), 0);
        }
        let alone = wanted(&world, spec());
        let plan = alone.plan().await.unwrap();
        assert_eq!(plan.changes().next().unwrap().action, Action::Replace { order: Order::DeleteFirst });
        alone.deploy().await.unwrap();
        assert_eq!(world.get().created.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_delete_waits_until_it_is_gone() {
        let world = steady().await;
        world.get().draining = 4;
        wanted(&world, spec()).destroy().await.unwrap();
        assert_eq!((world.get().deleted, world.get().draining), (1, 0));
        assert!(wanted(&world, spec()).read().await.unwrap().ours.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_ours_is_refused() {
        let world = steady().await;
        world.get().service.as_mut().unwrap().tags = None;
        let failure = wanted(&world, spec()).deploy().await.unwrap_err();
        assert_eq!(failure.class, Class::Refused);
        assert!(failure.message.contains("ECS service staging-web in staging-main"), "{failure}");
    }

    #[test]
    fn what_ecs_does_not_take_is_refused() {
        type Change = fn(&mut ServiceSpec);
        let table: [(Change, &str); 6] = [
            (|spec| spec.load_balancers.clear(), "health_check_grace_seconds"),
            (|spec| spec.max_percent = 100, "rollout"),
            (|spec| spec.subnets.clear(), "subnets"),
            (|spec| spec.name = "a b".to_owned(), "name"),
            (|spec| spec.circuit_breaker.enable = false, "circuit_breaker"),
            (|spec| spec.launch_type = "EC2".to_owned(), "launch_type"),
        ];
        assert_eq!(Services::check(&spec()), Ok(()));
        for (change, word) in table {
            let mut spec = spec();
            change(&mut spec);
            let why = Services::check(&spec).unwrap_err();
            assert!(why.contains(word), "{why}");
        }
    }
}
