//! ECS services.

use crate::resources::service::attrs::ServiceAttrs;
use crate::resources::service::spec::{self as service_spec, ACTIVE, ServiceSpec, primary};
use crate::rollout::old_revisions;
use crate::rollout::poller::{Poller, describe};
use crate::rollout::readiness;
use crate::rollout::wait::RolloutWaiter;
use crate::tags::{from_ecs, retag, to_ecs};
use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::{Deployment, DeploymentRolloutState, LaunchType, PropagateTags, Service};
use pb_aws::ForOperation;
use pb_engine::unknown;
use pb_engine::{Backoff, Change, Class, Context, Failure, Found, Progress, ReadScope, Resource};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Default timeout of a rollout.
const ROLLOUT_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// Timeout for draining a service: its tasks may take up to 120 s to stop, and its targets their deregistration delay.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(20 * 60);

/// Resource kind for ECS services on Fargate (`ecs.service`).
#[derive(Debug, Clone)]
pub struct Services {
    client: Client,
    rollouts: RolloutWaiter,
    rollout_timeout: Option<Duration>,
    kept_revisions: usize,
    /// Text that each new task logs when it is ready, by the name of the service.
    ready_logs: Arc<BTreeMap<String, String>>,
}

impl Services {
    /// Creates the resource kind, which calls AWS through `client`, with a rollout timeout of 30 minutes.
    #[must_use]
    pub fn new(client: Client) -> Self {
        let rollouts = RolloutWaiter {
            poller: Poller::new(client.clone()),
            client: client.clone(),
            logs: None,
            abort_on_crash_loop: true,
        };
        let kept_revisions = old_revisions::KEPT_REVISIONS;
        Self { client, rollouts, rollout_timeout: Some(ROLLOUT_TIMEOUT), kept_revisions, ready_logs: Arc::default() }
    }

    /// Sets the text that each new task of a service logs when it is ready, by the name of the service. A rollout of this
    /// service has succeeded only when each of its tasks has logged the text. Requires a client for logs.
    #[must_use]
    pub fn ready_logs(self, ready_logs: BTreeMap<String, String>) -> Self {
        Self { ready_logs: Arc::new(ready_logs), ..self }
    }

    /// Returns whether the tasks of a deployment that this program does not know as ready have to log that they are. An
    /// unknown deployment of a managed service is one whose record was lost when a run was killed. Only a recent one is
    /// awaited, because CloudWatch Logs may have deleted the lines of another.
    fn awaits_ready_log(&self, scope: &ReadScope<Self>, service: &Service, attrs: &ServiceAttrs) -> bool {
        let is_same = |known: &ServiceAttrs| (&known.cluster, &known.name) == (&attrs.cluster, &attrs.name);
        let recorded = scope.recorded.iter().map(|(_, known)| known).find(|known| is_same(known));
        self.ready_logs.contains_key(&attrs.name)
            && match recorded.filter(|known| known.deployment == attrs.deployment) {
                Some(known) => known.awaits_ready_log,
                None => scope.address_from_tags(&from_ecs(service.tags())).is_some() && readiness::is_recent(service),
            }
    }

    /// Adds a client for logs, so that a failure includes the last log lines of a failed container.
    #[must_use]
    pub fn logs(self, logs: aws_sdk_cloudwatchlogs::Client) -> Self {
        Self { rollouts: RolloutWaiter { logs: Some(logs), ..self.rollouts }, ..self }
    }

    /// Sets the number of latest revisions to keep; the default is ten.
    #[must_use]
    pub fn keep_revisions(self, kept_revisions: usize) -> Self {
        Self { kept_revisions, ..self }
    }

    /// Sets the timeout of a rollout. Without a timeout, a run starts a rollout but does not wait for it, so the
    /// outcome is unknown.
    #[must_use]
    pub fn rollout_timeout(self, rollout_timeout: Option<Duration>) -> Self {
        Self { rollout_timeout, ..self }
    }

    /// Sets what happens to a crash-looping rollout: `true` stops it and rolls back, `false` leaves it running (for
    /// callers that only read).
    #[must_use]
    pub fn abort_on_crash_loop(self, abort_on_crash_loop: bool) -> Self {
        Self { rollouts: RolloutWaiter { abort_on_crash_loop, ..self.rollouts }, ..self }
    }
}

fn attrs(service: &Service) -> ServiceAttrs {
    ServiceAttrs {
        arn: service.service_arn().unwrap_or_default().to_owned(),
        name: service.service_name().unwrap_or_default().to_owned(),
        cluster: crate::names::last_part(service.cluster_arn().unwrap_or_default()).to_owned(),
        deployment: primary(service).and_then(Deployment::id).map(str::to_owned),
        task_definition: service.task_definition().unwrap_or_default().to_owned(),
        awaits_ready_log: false,
    }
}

/// Returns whether the service is active and its rollout has completed.
fn is_settled(service: &Service) -> bool {
    service.status() == Some(ACTIVE)
        && primary(service).is_some_and(|primary| match primary.rollout_state() {
            Some(state) => *state == DeploymentRolloutState::Completed,
            None => primary.running_count() == service.desired_count() && service.deployments().len() == 1,
        })
}

/// Sets the class of a refusal that ECS distinguishes only by its message. (ECS developer guide: API failure reasons)
fn classify_refusal(failure: Failure) -> Failure {
    let says = |words: &str| failure.message.contains(words);
    let class = if says("not idempotent") {
        Class::Exists
    } else if says("still Draining") || says("does not have an associated load balancer") {
        Class::NotReady
    } else if says("InvalidGroup.NotFound")
        || says("InvalidSubnetID.NotFound")
        || says("verify that the ECS service role being passed")
    {
        // A resource was just created and is not visible to ECS yet: a security group, a subnet, a target group or the
        // service-linked role.
        Class::NotFound
    } else {
        failure.class
    };
    failure.class(class)
}

impl Resource for Services {
    const KIND: &'static str = "ecs.service";
    const TAG_INDEXED: bool = true;
    /// The network interfaces of the tasks use the subnet and the security groups, and their public addresses use the
    /// internet gateway. Target groups and listeners can be deleted before the service. AWS would also delete the
    /// routes before it, but a stopping task has work to finish and logs to send.
    const BLOCKS_DELETION_OF: &'static [&'static str] =
        &["ecs.cluster", "ec2.security_group", "ec2.subnet", "ec2.route_table", "ec2.internet_gateway"];
    /// Tasks need their connections until they stop: a draining worker still reports to the queue.
    const RELIES_ON: &'static [&'static str] = &["ec2.security_group_rule"];
    const RETAINED_FIELDS: &'static [&'static str] = &["name"];
    type Spec = ServiceSpec;
    type Attrs = ServiceAttrs;

    fn validate(spec: &ServiceSpec) -> Result<(), String> {
        service_spec::check(spec)
    }

    fn planned_attrs(spec: &ServiceSpec) -> ServiceAttrs {
        ServiceAttrs {
            arn: unknown(),
            name: spec.name.clone(),
            cluster: spec.cluster.clone(),
            deployment: None,
            task_definition: spec.task_definition.clone(),
            awaits_ready_log: false,
        }
    }

    fn attrs_after_update(attrs: &ServiceAttrs, spec: &ServiceSpec) -> ServiceAttrs {
        ServiceAttrs { arn: attrs.arn.clone(), ..Self::planned_attrs(spec) }
    }

    fn requires_replacement(field: &str) -> bool {
        ["name", "cluster", "launch_type", "status"].contains(&field)
    }

    fn can_coexist(old: &ServiceSpec, new: &ServiceSpec) -> bool {
        (&old.cluster, &old.name) != (&new.cluster, &new.name)
    }

    fn id(attrs: &ServiceAttrs) -> Option<String> {
        Some(attrs.name.clone())
    }

    fn import_id(attrs: &ServiceAttrs) -> Option<String> {
        Some(format!("{}/{}", attrs.cluster, attrs.name))
    }

    async fn read(&self, scope: &ReadScope<Self>) -> Result<Vec<Found<Self>>, Failure> {
        let services = self.discover(scope).await?;
        let mut found = Vec::new();
        for service in &services {
            let mut attrs = attrs(service);
            attrs.awaits_ready_log = self.awaits_ready_log(scope, service, &attrs);
            let qualified = format!("{}/{}", attrs.cluster, attrs.name);
            found.extend(scope.untagged(&from_ecs(service.tags()), &attrs));
            let names = [attrs.arn.as_str(), &attrs.name, &qualified];
            if let Some(address) = scope.managed_address(&from_ecs(service.tags()), &names) {
                let ready = is_settled(service) && !attrs.awaits_ready_log;
                let spec = service_spec::from_ecs(service);
                found.push(Found::Managed { address, spec, attrs, ready });
            } else if let Some(address) =
                scope.find_desired(|spec| (&spec.cluster, &spec.name) == (&attrs.cluster, &attrs.name))
            {
                let what = format!("ECS service {} in {}", attrs.name, attrs.cluster);
                found.push(scope.unmanaged(address, what, &from_ecs(service.tags()), &qualified));
            }
        }
        Ok(found)
    }

    async fn create(&self, cx: &Context, spec: &ServiceSpec) -> Result<ServiceAttrs, Failure> {
        let balanced = !spec.load_balancers.is_empty();
        let call = self
            .client
            .create_service()
            .client_token(cx.client_token())
            .cluster(&spec.cluster)
            .service_name(&spec.name)
            .task_definition(&spec.task_definition)
            .desired_count(spec.desired_count)
            .launch_type(LaunchType::from(spec.launch_type.as_str()))
            .platform_version("LATEST")
            .network_configuration(service_spec::network(spec)?)
            .deployment_configuration(service_spec::deployment(spec, None, false)?)
            .availability_zone_rebalancing(service_spec::rebalancing(spec))
            .set_load_balancers(balanced.then(|| service_spec::load_balancers(spec)))
            .set_health_check_grace_period_seconds(balanced.then_some(spec.health_check_grace_seconds))
            .propagate_tags(PropagateTags::from(spec.propagate_tags.as_str()))
            .enable_ecs_managed_tags(spec.managed_tags)
            .enable_execute_command(spec.execute_command)
            .set_tags(Some(to_ecs(cx.tags(&spec.tags))));
        let answer = call.send().await.for_operation("ecs:CreateService").map_err(classify_refusal)?;
        Ok(ServiceAttrs {
            task_definition: spec.task_definition.clone(),
            awaits_ready_log: self.ready_logs.contains_key(&spec.name),
            ..answer.service().map_or_else(|| Self::planned_attrs(spec), attrs)
        })
    }

    /// Sends the differences in one UpdateService call. Tags are set first, so that the tasks of a new deployment get
    /// them.
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
            let live = describe(&self.client, &attrs.cluster, std::slice::from_ref(&attrs.name), false)
                .await?
                .into_iter()
                .next();
            let live = live.and_then(|service| service.deployment_configuration);
            call = call.deployment_configuration(service_spec::deployment(spec, live.as_ref(), explicit)?);
            if !service_spec::has_room_to_rebalance(spec) {
                call = call.availability_zone_rebalancing(service_spec::rebalancing(spec));
            }
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
        // A new deployment replaces the tasks: running tasks do not get the agent of ECS Exec, and after a failed
        // rollout ECS starts no tasks. (ECS developer guide: ECS Exec)
        if differs(&["failed", "execute_command"]) {
            call = call.force_new_deployment(true);
        }
        let answer = call.send().await.for_operation("ecs:UpdateService").map_err(classify_refusal)?;
        let made = answer.service().map_or_else(|| Self::attrs_after_update(attrs, spec), self::attrs);
        // An update of the count alone starts no deployment.
        let awaits_ready_log = match made.deployment == attrs.deployment {
            true => attrs.awaits_ready_log,
            false => self.ready_logs.contains_key(&attrs.name),
        };
        Ok(ServiceAttrs { task_definition: spec.task_definition.clone(), awaits_ready_log, ..made })
    }

    /// Waits until the rollout has succeeded and its tasks have logged that they are ready, and then deregisters old revisions. Without a rollout timeout, this
    /// happens only if another step depends on the service.
    async fn wait_ready(&self, cx: &Context, attrs: ServiceAttrs) -> Result<ServiceAttrs, Failure> {
        let Some(within) = self.rollout_timeout.or_else(|| cx.is_needed().then_some(ROLLOUT_TIMEOUT)) else {
            return Ok(attrs);
        };
        let text = self.ready_logs.get(&attrs.name).filter(|_| attrs.awaits_ready_log);
        let attrs = self.rollouts.wait_for_rollout(cx, &attrs, within, text.map(String::as_str)).await?;
        // A failure is ignored: old revisions that remain cost nothing, and the next rollout tries again to deregister
        // them.
        old_revisions::prune(&self.client, cx, &attrs, self.kept_revisions).await.ok();
        Ok(attrs)
    }

    async fn delete(&self, cx: &Context, attrs: &ServiceAttrs) -> Result<(), Failure> {
        let call = self.client.delete_service().cluster(&attrs.cluster).service(&attrs.name).force(true);
        match call.send().await.for_operation("ecs:DeleteService") {
            // The service is already draining.
            Err(failure) if failure.is("ServiceNotActiveException") => {}
            answer => drop(answer?),
        }
        let watch = self.rollouts.poller.watch(&attrs.cluster, &attrs.name);
        let limits = Backoff {
            initial: Duration::from_millis(300),
            max_interval: Duration::from_secs(3),
            timeout: DRAIN_TIMEOUT,
        };
        cx.wait("ecs:DeleteService", limits, || async {
            Ok(match watch.service().await? {
                None => Progress::Ready(()),
                Some(service) => {
                    let status = service.status().unwrap_or("still exists");
                    let left = crate::text::counted(service.running_count() + service.pending_count(), "task");
                    Progress::Pending(format!("service {status}, {left} left"))
                }
            })
        })
        .await
    }

    async fn adopt(&self, cx: &Context, attrs: &Self::Attrs) -> Result<(), Failure> {
        crate::tags::adopt(&self.client, cx, &attrs.arn).await
    }

    async fn forget(&self, _cx: &Context, attrs: &Self::Attrs) -> Result<(), Failure> {
        crate::tags::forget(&self.client, &attrs.arn).await
    }
}

pub(crate) mod attrs;
pub(crate) mod change;
pub(crate) mod discovery;
#[cfg(test)]
mod fake;
pub(crate) mod spec;
pub(crate) mod status;
#[cfg(test)]
mod tests;
