//! Helpers for the tests of this crate.

use crate::tags::{Tags, to_ecs};
use aws_sdk_ecs::operation::create_service::CreateServiceInput;
use aws_sdk_ecs::types::{Deployment, DeploymentRolloutState, Service, Tag};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use pb_engine::{Address, Graph, Ownership, Snapshot, Standalone};
use std::sync::{Arc, Mutex, MutexGuard};

/// State of the fake AWS of a test, shared by its mock rules.
pub(crate) struct Fake<T>(Arc<Mutex<T>>);

impl<T> Clone for Fake<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Default> Fake<T> {
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    pub(crate) fn get(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap()
    }
}

pub(crate) fn owner() -> Ownership {
    Ownership { stack: "app".to_owned(), workspace: "staging".to_owned() }
}

pub(crate) fn standalone(graph: Graph) -> Standalone {
    Standalone::new(owner(), graph)
}

/// Returns the ownership tags of the resource at `address`, and the tag `Name`.
pub(crate) fn owned_tags(address: &str) -> Tags {
    owner().tags(&Address::new(address).unwrap(), &name_tag())
}

pub(crate) fn owned_ecs(address: &str) -> Vec<Tag> {
    to_ecs(owned_tags(address))
}

pub(crate) fn name_tag() -> Tags {
    Tags::from([("Name".to_owned(), "n".to_owned())])
}

/// Returns the error response of an AWS service with a JSON protocol.
pub(crate) fn refused(code: &str, message: &str) -> HttpResponse {
    answered(400, &format!(r#"{{"__type":"{code}","message":"{message}"}}"#))
}

pub(crate) fn answered(status: u16, body: &str) -> HttpResponse {
    HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::from(body))
}

/// Returns the attributes of a resource in a snapshot, as JSON.
pub(crate) fn attrs_of(snapshot: &Snapshot, address: &str) -> serde_json::Value {
    snapshot.resources[&Address::new(address).unwrap()].attrs.clone()
}

/// Returns a PRIMARY deployment with `running` tasks.
pub(crate) fn deployment(id: &str, revision: &str, running: i32, state: DeploymentRolloutState) -> Deployment {
    Deployment::builder()
        .id(id)
        .status("PRIMARY")
        .task_definition(revision)
        .running_count(running)
        .rollout_state(state)
        .build()
}

/// Returns the service that ECS creates from a request, with the defaults that it fills in.
pub(crate) fn service_of(input: &CreateServiceInput) -> Service {
    let revision = input.task_definition().unwrap();
    let balanced = !input.load_balancers().is_empty();
    Service::builder()
        .service_name(input.service_name().unwrap())
        .service_arn(format!("arn:aws:ecs:us-east-2:1:service/c/{}", input.service_name().unwrap()))
        .cluster_arn(format!("arn:aws:ecs:us-east-2:1:cluster/{}", input.cluster().unwrap()))
        .status("ACTIVE")
        .desired_count(input.desired_count().unwrap())
        .set_launch_type(input.launch_type().cloned())
        .platform_version("LATEST")
        .platform_family("Linux")
        .task_definition(revision)
        .set_deployment_configuration(input.deployment_configuration().cloned())
        .set_network_configuration(input.network_configuration().cloned())
        .set_load_balancers(Some(input.load_balancers().to_vec()))
        .set_health_check_grace_period_seconds(balanced.then(|| input.health_check_grace_period_seconds().unwrap_or(0)))
        .set_propagate_tags(input.propagate_tags().cloned())
        .enable_ecs_managed_tags(input.enable_ecs_managed_tags().unwrap())
        .set_tags(Some(input.tags().to_vec()))
        .deployments(deployment("ecs-svc/1", revision, 0, DeploymentRolloutState::InProgress))
        .build()
}
