//! Checks of the quotas of the account: VPCs, internet gateways, load balancers, cache nodes, certificates, and the
//! virtual CPUs of tasks.

use super::check::{Check, Verdict};
use crate::stack::names;
use crate::workspace::availability::VCPUS;
use crate::workspace::quotas::{QuotaValue, current_value};
use aws_config::SdkConfig;
use aws_sdk_servicequotas::Client;
use aws_sdk_servicequotas::config::Builder;
use pb_aws::no_retry;
use pb_config::Workspace;
use pb_edge::{CertificateClient, LoadBalancerClient};
use pb_engine::{Failure, Snapshot};
use pb_net::Ec2;
use pb_rules::capacity::{Needs, vcpus_of};
use pb_rules::quotas::{CACHE_NODES, CERTIFICATES, INTERNET_GATEWAYS, LOAD_BALANCERS, Quota, VPCS};

/// Makes all checks of the quotas in parallel.
pub async fn checks(aws: &SdkConfig, workspace: &Workspace, snapshot: &Snapshot) -> Vec<Check> {
    let once = Client::from_conf(Builder::from(aws).retry_config(no_retry()).build());
    let (service, code) = VCPUS;
    let (mut checks, certificates, vcpus) = tokio::join!(
        room(aws, &once, snapshot),
        certificate_room(aws, &once, workspace, snapshot),
        current_value(&once, service, code)
    );
    checks.extend(certificates);
    checks.push(self::vcpus(workspace, vcpus));
    checks
}

impl QuotaValue {
    /// Returns the check of a quota that is exceeded: a warning if only the default is known.
    fn exceeded(self, name: &str, found: String, hint: &str) -> Check {
        match self {
            Self::Applied(_) => Check::bad(name, found, hint),
            Self::Default(_) => {
                Check::warning(name, found, format!("unless the quota of the account is higher, {hint}"))
            }
        }
    }
}

/// Returns the value of a quota, or its default if the value is unknown.
async fn limit(client: &Client, quota: &Quota) -> QuotaValue {
    let default = QuotaValue::Default(f64::from(u32::try_from(quota.default).unwrap_or(u32::MAX)));
    current_value(client, quota.service, quota.code).await.unwrap_or(default)
}

/// Checks the room for a VPC and an internet gateway, for a load balancer and for a cache node, if they do not exist yet.
async fn room(aws: &SdkConfig, client: &Client, snapshot: &Snapshot) -> Vec<Check> {
    let exists = |address: &str| snapshot.resources.contains_key(address);
    let (network, balancer, node) = tokio::join!(
        network_room(aws, client, exists(names::VPC)),
        balancer_room(aws, client, exists(names::LOAD_BALANCER)),
        node_room(aws, client, exists(pb_redis::names::REPLICATION_GROUP)),
    );
    network.into_iter().chain([balancer, node]).collect()
}

async fn network_room(aws: &SdkConfig, client: &Client, exists: bool) -> Vec<Check> {
    if exists {
        return vec![Check::good("room for a VPC", "the VPC already exists")];
    }
    let ec2 = Ec2::from(aws);
    let (counts, vpcs, gateways) = tokio::join!(ec2.counts(), limit(client, &VPCS), limit(client, &INTERNET_GATEWAYS));
    match counts {
        Ok(counts) => vec![
            room_for("room for a VPC", "Amazon VPC", counts.vpcs, vpcs),
            room_for("room for an internet gateway", "Amazon VPC", counts.gateways, gateways),
        ],
        Err(failure) => vec![Check::failed("room for a VPC", Verdict::Unknown, &failure)],
    }
}

async fn balancer_room(aws: &SdkConfig, client: &Client, exists: bool) -> Check {
    const NAME: &str = "room for a load balancer";
    if exists {
        return Check::good(NAME, "the load balancer already exists");
    }
    let balancers = LoadBalancerClient::new(aws);
    match tokio::join!(pb_edge::load_balancer_count(&balancers), limit(client, &LOAD_BALANCERS)) {
        (Ok(count), limit) => room_for(NAME, "Elastic Load Balancing", count, limit),
        (Err(failure), _) => Check::failed(NAME, Verdict::Unknown, &failure),
    }
}

async fn node_room(aws: &SdkConfig, client: &Client, exists: bool) -> Check {
    const NAME: &str = "room for a cache node";
    if exists {
        return Check::good(NAME, "the queue already exists");
    }
    let caches = pb_redis::Client::new(aws);
    match tokio::join!(pb_redis::node_count(&caches), limit(client, &CACHE_NODES)) {
        (Ok(count), limit) => room_for(NAME, "Amazon ElastiCache", count, limit),
        (Err(failure), _) => Check::failed(NAME, Verdict::Unknown, &failure),
    }
}

/// Checks the room for a certificate, if one is to be requested.
async fn certificate_room(
    aws: &SdkConfig,
    client: &Client,
    workspace: &Workspace,
    snapshot: &Snapshot,
) -> Option<Check> {
    const NAME: &str = "room for a certificate";
    workspace.https.as_ref().filter(|https| https.certificate_arn.is_none())?;
    if snapshot.resources.contains_key(pb_edge::names::CERTIFICATE) {
        return Some(Check::good(NAME, "the certificate already exists"));
    }
    let certificates = CertificateClient::new(aws);
    Some(match tokio::join!(pb_edge::certificate_count(&certificates), limit(client, &CERTIFICATES)) {
        (Ok(count), limit) => room_for(NAME, "AWS Certificate Manager", count, limit),
        (Err(failure), _) => Check::failed(NAME, Verdict::Unknown, &failure),
    })
}

/// Returns the check of the room for one more resource of `service`.
fn room_for(name: &str, service: &str, count: usize, quota: QuotaValue) -> Check {
    let found = format!("{count} of {quota} in use in this region");
    match f64::from(u32::try_from(count).unwrap_or(u32::MAX)) < quota.value() {
        true => Check::good(name, found),
        false => quota.exceeded(name, found, &format!("delete one, or request an increase: Service Quotas, {service}")),
    }
}

/// Checks the quota of virtual CPUs on Fargate, which is low in a new account. A service for which no virtual CPU is
/// left waits, and one of its events says so. (ECS developer guide: AWS Fargate service quotas, service event messages)
fn vcpus(workspace: &Workspace, quota: Result<QuotaValue, Failure>) -> Check {
    const NAME: &str = "virtual CPUs";
    let quota = match quota {
        Ok(quota) => quota,
        Err(failure) => return Check::failed(NAME, Verdict::Unknown, &failure),
    };
    let Needs { running, during_rollout, all } = needed(workspace);
    let [running, during_rollout, all] = [running, during_rollout, all].map(vcpus_of);
    let needs = format!("needs {running} vCPU");
    let limit = format!("the quota for all tasks in this region is {quota}");
    let hint = "use fewer or smaller tasks, or request an increase: Service Quotas, AWS Fargate, On-Demand vCPU";
    if running > quota.value() {
        return quota.exceeded(NAME, format!("{needs}; {limit}"), hint);
    }
    if during_rollout > quota.value() {
        return quota.exceeded(NAME, format!("{needs}, and {during_rollout} when a rollout begins; {limit}"), hint);
    }
    if all > quota.value() {
        let found =
            format!("{needs}, and {all} during a rollout of all services, which takes longer otherwise; {limit}");
        return Check::warning(NAME, found, hint);
    }
    Check::good(NAME, format!("{needs}, and {all} during a rollout of all services; {limit}"))
}

/// Returns the CPU units that a workspace needs.
fn needed(workspace: &Workspace) -> Needs {
    Needs::cpu_units(workspace.services.tasks(workspace.deploy.before.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::{Needs, QuotaValue, Verdict, needed, room_for, vcpus, vcpus_of};
    use pb_config::Workspace;
    use pb_engine::{Class, Failure};

    fn workspace(services: &str) -> Workspace {
        let base = "region = \"us-east-2\"\nhostname = \"example.org\"\nstate = { bucket = \"bucket\", lock_table = \"table\" }\n\
                    roles = { execution = \"role\" }\n";
        let text = format!("{base}{services}\n[workspace.staging]\n");
        pb_config::Config::parse(&text, "x").unwrap().workspace("staging").unwrap()
    }

    #[test]
    fn full_region_fails_the_check_if_the_quota_is_known() {
        let verdict = |count, quota| room_for("room", "Amazon VPC", count, quota).verdict;
        assert_eq!(verdict(4, QuotaValue::Applied(5.0)), Verdict::Good);
        assert_eq!(verdict(5, QuotaValue::Applied(5.0)), Verdict::Bad);
        assert_eq!(verdict(5, QuotaValue::Applied(10.0)), Verdict::Good);
        let default = QuotaValue::Default(5.0);
        assert_eq!((verdict(4, default), verdict(5, default)), (Verdict::Good, Verdict::Warning));
    }

    #[test]
    fn new_account_has_too_few_virtual_cpus() {
        let all = workspace("");
        let verdict = |workspace: &Workspace, quota: f64| vcpus(workspace, Ok(QuotaValue::Applied(quota))).verdict;
        let verdicts = [4.0, 5.0, 6.0, 10.0].map(|quota| verdict(&all, quota));
        assert_eq!(verdicts, [Verdict::Bad, Verdict::Bad, Verdict::Warning, Verdict::Good]);
        assert_eq!(vcpus(&all, Ok(QuotaValue::Default(4.0))).verdict, Verdict::Warning);
        let unknown = Failure::new(Class::Denied, "servicequotas:GetServiceQuota", "not yours to ask");
        assert_eq!(vcpus(&all, Err(unknown)).verdict, Verdict::Unknown);
        // Services that stop a task before they start another need no additional virtual CPU; the release command does.
        let stops_first = "services.flask = { cpu = 256, memory = 512, count = 2, min_healthy_percent = 50, max_percent = 100 }\n\
                           services.celery = { cpu = 512, min_healthy_percent = 75, max_percent = 100 }";
        let needs = |text: &str| {
            let Needs { running, during_rollout, all } = needed(&workspace(text));
            [running, during_rollout, all].map(|units| vcpus_of(units).to_string()).join(" ")
        };
        assert_eq!(needs(stops_first), "2.5 2.5 2.5");
        let before = format!("deploy = {{ before = {{ command = [\"migrate\"] }} }}\n{stops_first}");
        assert_eq!(needs(&before), "2.5 2.75 2.5");
    }
}
