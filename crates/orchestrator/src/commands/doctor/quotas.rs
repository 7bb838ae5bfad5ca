//! Checks of the quotas of the account: VPCs, internet gateways, and the virtual CPUs of tasks.

use super::check::{Check, Verdict};
use crate::stack::names;
use crate::workspace::quotas::{QuotaValue, current_value};
use aws_config::SdkConfig;
use aws_sdk_servicequotas::Client;
use aws_sdk_servicequotas::config::Builder;
use pb_aws::no_retry;
use pb_config::Workspace;
use pb_engine::{Failure, Snapshot};
use pb_net::Ec2;
use pb_rules::capacity::{Needs, vcpus_of};

/// Default quota for VPCs, and for internet gateways, in a region. (Amazon VPC quotas)
const DEFAULT_QUOTA: QuotaValue = QuotaValue::Default(5.0);

/// A quota, identified by its codes in Service Quotas.
#[derive(Clone, Copy)]
struct Quota {
    service: &'static str,
    code: &'static str,
}

/// Quota "VPCs per Region". (Amazon VPC quotas)
const VPCS: Quota = Quota { service: "vpc", code: "L-F678F1CE" };
/// Quota "Internet gateways per Region". (Amazon VPC quotas)
const GATEWAYS: Quota = Quota { service: "vpc", code: "L-A4707A72" };
/// Quota "Fargate On-Demand vCPU resource count". (AWS Fargate service quotas)
const VCPUS: Quota = Quota { service: "fargate", code: "L-3032A538" };

/// Makes all checks of the quotas in parallel.
pub async fn checks(aws: &SdkConfig, workspace: &Workspace, snapshot: &Snapshot) -> Vec<Check> {
    let once = Client::from_conf(Builder::from(aws).retry_config(no_retry()).build());
    let (mut checks, vcpus) = tokio::join!(room(aws, &once, snapshot), quota(&once, VCPUS));
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

async fn quota(client: &Client, Quota { service, code }: Quota) -> Result<QuotaValue, Failure> {
    current_value(client, service, code).await
}

/// Checks the room for a VPC and an internet gateway, if they do not exist yet.
async fn room(aws: &SdkConfig, client: &Client, snapshot: &Snapshot) -> Vec<Check> {
    if snapshot.resources.contains_key(names::VPC) {
        return vec![Check::good("room for a VPC", "the VPC already exists")];
    }
    let ec2 = Ec2::from(aws);
    let (counts, vpcs, gateways) = tokio::join!(ec2.counts(), quota(client, VPCS), quota(client, GATEWAYS));
    match counts {
        Ok(counts) => vec![
            room_for("room for a VPC", counts.vpcs, vpcs.unwrap_or(DEFAULT_QUOTA)),
            room_for("room for an internet gateway", counts.gateways, gateways.unwrap_or(DEFAULT_QUOTA)),
        ],
        Err(failure) => vec![Check::failed("room for a VPC", Verdict::Unknown, &failure)],
    }
}

fn room_for(name: &str, count: usize, quota: QuotaValue) -> Check {
    let found = format!("{count} of {quota} in use in this region");
    match f64::from(u32::try_from(count).unwrap_or(u32::MAX)) < quota.value() {
        true => Check::good(name, found),
        false => quota.exceeded(name, found, "delete one, or request an increase: Service Quotas, Amazon VPC"),
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
    use super::{DEFAULT_QUOTA, Needs, QuotaValue, Verdict, needed, room_for, vcpus, vcpus_of};
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
        let verdict = |count, quota| room_for("room", count, quota).verdict;
        assert_eq!(verdict(4, QuotaValue::Applied(5.0)), Verdict::Good);
        assert_eq!(verdict(5, QuotaValue::Applied(5.0)), Verdict::Bad);
        assert_eq!(verdict(5, QuotaValue::Applied(10.0)), Verdict::Good);
        assert_eq!((verdict(4, DEFAULT_QUOTA), verdict(5, DEFAULT_QUOTA)), (Verdict::Good, Verdict::Warning));
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
