//! Preflight check of what the region offers to the account: engine versions and node types of the queue, and virtual
//! CPUs for tasks.

use crate::workspace::quotas::{QuotaValue, current_value};
use aws_config::SdkConfig;
use aws_sdk_servicequotas::Client;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join};
use pb_config::Workspace;
use pb_engine::{Address, Failure, Graph, PlanError, Planned, PreflightCheck, Refusal};
use pb_fargate::{Services, TaskDefinitions};
use pb_redis::Unavailable;
use pb_rules::capacity::{Needs, ServiceTasks, vcpus_of};
use std::collections::BTreeMap;

/// Service code and quota code of the quota "Fargate On-Demand vCPU resource count". AWS gives new accounts less than
/// the default. (ECS developer guide: AWS Fargate service quotas)
pub const VCPUS: (&str, &str) = ("fargate", "L-3032A538");

/// Adds a preflight check that refuses plans that need an engine version, a node type or virtual CPUs that the region
/// does not offer to the account.
pub fn add_preflight_check(graph: &mut Graph, aws: &SdkConfig, workspace: &Workspace) {
    let before = workspace.deploy.before.as_ref();
    let keys = workspace.services.all().map(|(key, _)| workspace.names.service(key).unwrap_or(key).to_owned());
    let services = keys.zip(workspace.services.tasks(before)).collect();
    graph.add_preflight_check(AvailabilityCheck { aws: aws.clone(), region: workspace.region.clone(), services });
}

struct AvailabilityCheck {
    aws: SdkConfig,
    region: String,
    /// Tasks of the configured services, by name in ECS.
    services: BTreeMap<String, ServiceTasks>,
}

impl PreflightCheck for AvailabilityCheck {
    fn check<'a>(&'a self, planned: &'a Planned<'_>) -> BoxFuture<'a, Result<Vec<PlanError>, Failure>> {
        async move {
            let (queue, vcpus) = join(pb_redis::unavailable(&self.aws, planned), self.vcpus(planned)).await;
            let queue = queue.into_iter().map(|unavailable| not_offered(unavailable, &self.region));
            Ok(queue.chain(vcpus).collect())
        }
        .boxed()
    }
}

impl AvailabilityCheck {
    /// Returns the refusal of a plan whose tasks alone exceed the quota of virtual CPUs of the account: the tasks beyond
    /// the quota would wait until the deploy gives up. An unknown quota refuses nothing. The quota is read only if the
    /// plan adds tasks or makes them larger.
    async fn vcpus(&self, planned: &Planned<'_>) -> Option<PlanError> {
        let (address, needs) = self.growth(planned)?;
        let (service, code) = VCPUS;
        let Ok(QuotaValue::Applied(limit)) = current_value(&Client::new(&self.aws), service, code).await else {
            return None;
        };
        let vcpus = vcpus_of(needs);
        if vcpus <= limit {
            return None;
        }
        let why = format!(
            "the tasks need {vcpus} vCPU; the quota for all tasks in {} is {limit} (quota {code}, Fargate On-Demand vCPU \
             resource count), so some tasks would never start; use fewer or smaller tasks, or request an increase: aws \
             service-quotas request-service-quota-increase --service-code {service} --quota-code {code} \
             --desired-value {}",
            self.region,
            vcpus.ceil()
        );
        Some(PlanError::new(address, why).reason(Refusal::Quota))
    }

    /// Returns the CPU units that the tasks need after the plan, and the first service that adds to them. Services that
    /// roll out need one more task. `None` if no service adds to them.
    fn growth(&self, planned: &Planned<'_>) -> Option<(Address, i64)> {
        let managed = planned.managed::<Services>().into_iter().map(|(_, spec, _)| (spec.name, spec.desired_count));
        let mut counts: BTreeMap<String, i32> = managed.collect();
        let mut first = None;
        for (address, spec) in planned.created::<Services>() {
            if spec.desired_count > 0 {
                first.get_or_insert(address);
            }
            counts.insert(spec.name, spec.desired_count);
        }
        for (address, before, after) in planned.modified::<Services>() {
            if after.desired_count > before.desired_count {
                first.get_or_insert(address);
            }
            counts.insert(after.name, after.desired_count);
        }
        let revised = planned.modified::<TaskDefinitions>();
        let larger = revised.iter().find(|(_, before, after)| after.cpu > before.cpu);
        let first = first.or_else(|| larger.map(|(address, _, _)| address.clone()))?;
        let tasks = counts.into_iter().filter_map(|(name, count)| {
            let tasks = self.services.get(&name)?;
            Some(ServiceTasks { count, ..*tasks })
        });
        let needs = Needs::cpu_units(tasks);
        Some((first, if revised.is_empty() { needs.running } else { needs.during_rollout }))
    }
}

/// Returns the refusal of a plan that needs an engine version or a node type that is not offered.
fn not_offered(Unavailable { address, setting, wanted, offered }: Unavailable, region: &str) -> PlanError {
    let key = if setting == "engine_version" { "redis.version" } else { "redis.node_type" };
    let why = format!("{wanted} is not offered in {region}{}; choose another `{key}`", listed(&offered));
    PlanError::new(address, why).reason(Refusal::Configuration)
}

/// Returns what is offered instead, as the continuation of a sentence; empty if it is not known.
pub fn listed(offered: &[String]) -> String {
    match offered {
        [] => String::new(),
        offered => format!(", only {}", offered.join(", ")),
    }
}
