//! A fake ECS with one service.

use crate::testing::{Fake, deployment, owned_ecs, refused, service_of};
use aws_sdk_ecs::Client;
use aws_sdk_ecs::operation::create_service::{CreateServiceInput, CreateServiceOutput};
use aws_sdk_ecs::operation::delete_service::DeleteServiceOutput;
use aws_sdk_ecs::operation::deregister_task_definition::DeregisterTaskDefinitionOutput;
use aws_sdk_ecs::operation::describe_service_revisions::DescribeServiceRevisionsOutput;
use aws_sdk_ecs::operation::describe_services::DescribeServicesOutput;
use aws_sdk_ecs::operation::describe_task_definition::DescribeTaskDefinitionOutput;
use aws_sdk_ecs::operation::describe_tasks::DescribeTasksOutput;
use aws_sdk_ecs::operation::list_clusters::ListClustersOutput;
use aws_sdk_ecs::operation::list_service_deployments::ListServiceDeploymentsOutput;
use aws_sdk_ecs::operation::list_services::ListServicesOutput;
use aws_sdk_ecs::operation::list_task_definitions::ListTaskDefinitionsOutput;
use aws_sdk_ecs::operation::list_tasks::ListTasksOutput;
use aws_sdk_ecs::operation::stop_service_deployment::StopServiceDeploymentOutput;
use aws_sdk_ecs::operation::tag_resource::TagResourceOutput;
use aws_sdk_ecs::operation::update_service::{UpdateServiceInput, UpdateServiceOutput};
use aws_sdk_ecs::primitives::DateTime;
use aws_sdk_ecs::types::{
    Container, DeploymentRolloutState as State, Service, ServiceDeploymentBrief, ServiceDeploymentStatus as Status,
    ServiceRevision, Task, TaskDefinition, TaskStopCode,
};
use aws_smithy_mocks::{MockResponse, Rule, mock};
use std::collections::VecDeque;

#[derive(Default)]
pub(super) struct Ecs {
    pub service: Option<Service>,
    /// Codes and messages with which the next CreateService calls are refused.
    pub refusals: VecDeque<(&'static str, &'static str)>,
    pub created: Vec<CreateServiceInput>,
    pub updated: Vec<UpdateServiceInput>,
    /// State that a rollout reaches after the first read that returns the rollout.
    pub rollout_state: Option<State>,
    pub deleted: usize,
    /// Number of revisions of the family.
    pub revisions: u32,
    /// Names of the deregistered revisions.
    pub deregistered: Vec<String>,
    /// Number of reads until a draining service no longer exists.
    pub draining: usize,
    /// Number of reads that still return the state before the last update.
    pub stale: usize,
    before: Option<Service>,
    /// Service deployments, latest first: the revision and the status of each.
    pub deployments: Vec<(u32, Status)>,
    /// Number of tasks of the first deployment that started and exited with an error.
    pub crashed_tasks: usize,
    /// Number of StopServiceDeployment calls.
    pub stop_calls: usize,
}

impl Ecs {
    /// Returns the service as ECS describes it, and advances its state.
    fn describe(&mut self) -> Option<Service> {
        if self.stale > 0 && self.before.is_some() {
            self.stale -= 1;
            return self.before.clone();
        }
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
            && let Some(end) = &self.rollout_state
        {
            primary.rollout_state = Some(end.clone());
            primary.running_count = if *end == State::Completed { desired } else { 0 };
        }
        seen
    }

    fn update(&mut self, input: &UpdateServiceInput) -> Service {
        self.updated.push(input.clone());
        self.before = self.service.clone();
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

pub(super) fn reads(fake: &Fake<Ecs>) -> Vec<Rule> {
    let [list, describe, revisions, rolled, listed] = [(); 5].map(|()| fake.clone());
    vec![
        mock!(Client::list_clusters).then_output(|| ListClustersOutput::builder().build()),
        mock!(Client::list_services).then_compute_output(move |_| {
            let ecs = list.get();
            let arns = ecs.service.iter().filter(|service| service.status() == Some("ACTIVE"));
            let arns = arns.filter_map(|service| service.service_arn.clone()).collect();
            ListServicesOutput::builder().set_service_arns(Some(arns)).build()
        }),
        mock!(Client::describe_services).then_compute_output(move |_| {
            let services = describe.get().describe().into_iter().collect();
            DescribeServicesOutput::builder().set_services(Some(services)).build()
        }),
        mock!(Client::list_task_definitions).then_compute_output(move |_| {
            let arn = |number: u32| format!("arn:aws:ecs:us-east-2:1:task-definition/staging-web:{number}");
            let arns = (1..=revisions.get().revisions).rev().map(arn).collect();
            ListTaskDefinitionsOutput::builder().set_task_definition_arns(Some(arns)).build()
        }),
        mock!(Client::list_service_deployments).then_compute_output(move |_| {
            let brief = |(revision, status): &(u32, Status)| {
                let brief = ServiceDeploymentBrief::builder().target_service_revision_arn(revision.to_string());
                brief.status(status.clone()).build()
            };
            let briefs = rolled.get().deployments.iter().map(brief).collect();
            ListServiceDeploymentsOutput::builder().set_service_deployments(Some(briefs)).build()
        }),
        mock!(Client::describe_service_revisions).then_compute_output(|input| {
            let revision = |number: &String| {
                let arn = format!("arn:aws:ecs:us-east-2:1:task-definition/staging-web:{number}");
                ServiceRevision::builder().service_revision_arn(number).task_definition(arn).build()
            };
            let revisions = input.service_revision_arns().iter().map(revision).collect();
            DescribeServiceRevisionsOutput::builder().set_service_revisions(Some(revisions)).build()
        }),
        mock!(Client::list_tasks).then_compute_output(move |_| {
            let arns = (0..listed.get().crashed_tasks).map(|number| format!("task/{number}")).collect();
            ListTasksOutput::builder().set_task_arns(Some(arns)).build()
        }),
        mock!(Client::describe_tasks).then_compute_output(|input| {
            let task = |_| {
                let task = Task::builder().started_by("ecs-svc/1").started_at(DateTime::from_secs(1));
                let task = task.stop_code(TaskStopCode::EssentialContainerExited);
                task.containers(Container::builder().name("web").exit_code(1).build()).build()
            };
            DescribeTasksOutput::builder().set_tasks(Some(input.tasks().iter().map(task).collect())).build()
        }),
        mock!(Client::describe_task_definition).then_compute_output(|input| {
            // Revision 2 is unmanaged.
            let is_theirs = input.task_definition().unwrap().ends_with(":2");
            let tags = if is_theirs { Vec::new() } else { owned_ecs("fargate/web_task") };
            let definition = TaskDefinition::builder().build();
            DescribeTaskDefinitionOutput::builder().task_definition(definition).set_tags(Some(tags)).build()
        }),
    ]
}

pub(super) fn writes(fake: &Fake<Ecs>) -> Vec<Rule> {
    let [create, update, delete, deregister, stop] = [(); 5].map(|()| fake.clone());
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
        mock!(Client::delete_service).match_requests(|input| input.force() == Some(true)).then_compute_output(
            move |_| {
                let mut ecs = delete.get();
                ecs.deleted += 1;
                ecs.service.as_mut().unwrap().status = Some("DRAINING".to_owned());
                DeleteServiceOutput::builder().build()
            },
        ),
        mock!(Client::deregister_task_definition).then_compute_output(move |input| {
            let revision = crate::names::last_part(input.task_definition().unwrap()).to_owned();
            deregister.get().deregistered.push(revision);
            DeregisterTaskDefinitionOutput::builder().build()
        }),
        mock!(Client::tag_resource).then_output(|| TagResourceOutput::builder().build()),
        mock!(Client::stop_service_deployment).then_compute_output(move |_| {
            let mut ecs = stop.get();
            ecs.stop_calls += 1;
            ecs.deployments[0].1 = Status::RollbackSuccessful;
            StopServiceDeploymentOutput::builder().build()
        }),
    ]
}
