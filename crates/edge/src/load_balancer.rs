//! `elbv2.load_balancer`: the application load balancer.

mod attributes;
#[cfg(test)]
mod tests;

use self::attributes::Attributes;
use crate::LoadBalancerClient as Client;
use crate::load_balancers::{LoadBalancers, arn, dns_name};
use crate::tags::{self, Tags};
use aws_sdk_elasticloadbalancingv2::types::{
    IpAddressType, LoadBalancer as AwsLoadBalancer, LoadBalancerSchemeEnum, LoadBalancerStateEnum, LoadBalancerTypeEnum,
};
use pb_aws::ForOperation;
use pb_engine::{Address, Backoff, Change, Class, Context, Failure, Found, Ownership, Progress, ReadScope, Resource};
use pb_engine::{fetch_each, is_unknown, list_with_details, unknown};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const DESCRIBE: &str = "elasticloadbalancing:DescribeLoadBalancers";

/// Backoff for waiting until a load balancer is active or deleted. Provisioning takes 2 to 3 minutes.
const PROVISIONING: Backoff = Backoff::minutes(Duration::from_secs(15 * 60));

/// Number of reads (half a minute) in which a new load balancer may be missing before the wait fails.
const MAX_NOT_FOUND: u32 = 60;

/// Resource kind for application load balancers.
pub struct LoadBalancer {
    client: Client,
}

impl LoadBalancer {
    /// Creates the resource kind.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }
}

/// Spec of a load balancer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoadBalancerSpec {
    /// Name, at most 32 characters.
    pub name: String,
    /// Scheme: `internet-facing` or `internal`.
    pub scheme: String,
    /// Id of the VPC that contains the subnets; it cannot be changed.
    pub vpc_id: String,
    /// Ids of the subnets: at least two, each in a different Availability Zone.
    pub subnet_ids: BTreeSet<String>,
    /// Ids of the security groups, at most five.
    pub security_group_ids: BTreeSet<String>,
    /// Makes AWS refuse to delete the load balancer. If absent, it is not managed: it is off for a new load balancer.
    pub deletion_protection: Option<bool>,
    /// Idle timeout of connections, in seconds. If absent, it is not managed: a new load balancer has AWS's default, 60.
    pub idle_timeout: Option<i32>,
    /// Removes header fields with invalid names from requests.
    pub drop_invalid_headers: bool,
    /// Tags, without the ownership tags.
    pub tags: BTreeMap<String, String>,
}

/// Attributes of a load balancer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoadBalancerAttrs {
    /// ARN of the load balancer.
    pub arn: String,
    /// Name of the load balancer.
    pub name: String,
    /// DNS name, in lower case, which is known as soon as the load balancer is created.
    pub dns_name: String,
    /// Id of AWS's hosted zone that contains the DNS name, which alias records need.
    pub hosted_zone_id: String,
}

impl Resource for LoadBalancer {
    const KIND: &'static str = "elbv2.load_balancer";
    const BLOCKS_DELETION_OF: &'static [&'static str] = &["ec2.security_group", "ec2.subnet", "ec2.internet_gateway"];
    const TAG_INDEXED: bool = true;
    const RETAINED_FIELDS: &'static [&'static str] = &["name"];
    const OPTIONAL_FIELDS: &'static [&'static str] = &["deletion_protection", "idle_timeout"];
    type Spec = LoadBalancerSpec;
    type Attrs = LoadBalancerAttrs;

    fn validate(spec: &LoadBalancerSpec) -> Result<(), String> {
        if !is_unknown(&spec.name) {
            pb_rules::names::load_balancer(&spec.name).map_err(|violation| violation.to_string())?;
        }
        let unknown = spec.subnet_ids.iter().any(|id| is_unknown(id));
        if !matches!(spec.scheme.as_str(), "internet-facing" | "internal") {
            Err(format!("`{}` is not a scheme; expected `internet-facing` or `internal`", spec.scheme))
        } else if spec.subnet_ids.len() < 2 && !unknown {
            Err("a load balancer needs two subnets in different zones".to_owned())
        } else if spec.security_group_ids.len() > 5 {
            Err("a load balancer can have at most five security groups".to_owned())
        } else if let Some(seconds) = spec.idle_timeout.filter(|seconds| !(1..=4000).contains(seconds)) {
            Err(format!("an idle timeout of {seconds} seconds is not between 1 and 4000"))
        } else {
            Ok(())
        }
    }

    fn planned_attrs(spec: &LoadBalancerSpec) -> LoadBalancerAttrs {
        LoadBalancerAttrs { arn: unknown(), name: spec.name.clone(), dns_name: unknown(), hosted_zone_id: unknown() }
    }

    fn requires_replacement(field: &str) -> bool {
        matches!(field, "name" | "scheme" | "vpc_id")
    }

    fn can_coexist(old: &LoadBalancerSpec, new: &LoadBalancerSpec) -> bool {
        old.name != new.name
    }

    fn deletion_blocker(spec: &LoadBalancerSpec, _attrs: &LoadBalancerAttrs) -> Option<String> {
        spec.deletion_protection.unwrap_or_default().then(|| {
            "deletion protection is on; set deletion_protection = false for this workspace, deploy, then destroy"
                .to_owned()
        })
    }

    fn id(attrs: &LoadBalancerAttrs) -> Option<String> {
        (!is_unknown(&attrs.arn)).then(|| attrs.arn.clone())
    }

    async fn read(&self, scope: &ReadScope<Self>) -> Result<Vec<Found<Self>>, Failure> {
        let managed = async {
            let all = LoadBalancers::cached(scope, &self.client).await?;
            let managed = all
                .0
                .iter()
                .filter_map(|(lb, tags)| Some((managed_address(scope, lb, tags)?, lb.clone(), tags.clone())));
            Ok(managed.collect())
        };
        let likely = scope.recorded.iter().map(|(_, attrs)| attrs.arn.clone());
        let ask = |arns| fetch_each(arns, |arn| async move { Attributes::read(&self.client, &arn).await });
        let managed: Vec<((Address, AwsLoadBalancer, Tags), _)> =
            list_with_details(managed, likely, |(_, lb, _)| arn(lb), ask).await?;
        let managed = managed.into_iter().filter_map(|((address, lb, tags), attributes)| {
            let (spec, attrs, ready) = (spec_of(&lb, &tags, &attributes?), attrs_of(&lb), is_active(&lb));
            Some(Found::Managed { address, spec, attrs, ready })
        });
        let all = LoadBalancers::cached(scope, &self.client).await?;
        let unmanaged = all.0.iter().filter(|(lb, tags)| managed_address(scope, lb, tags).is_none());
        let unmanaged = unmanaged.filter_map(|(lb, tags)| {
            let name = lb.load_balancer_name().unwrap_or_default();
            let address = scope.find_desired(|spec| spec.name == name)?;
            Some(scope.unmanaged(address, format!("load balancer {name}"), tags, name))
        });
        let untagged = all.0.iter().filter_map(|(lb, tags)| scope.untagged(tags, &attrs_of(lb)));
        Ok(managed.chain(unmanaged).chain(untagged).collect())
    }

    /// Creates the load balancer. If a load balancer with the same settings exists, AWS returns it, so a repeated call
    /// does not create another.
    async fn create(&self, cx: &Context, spec: &LoadBalancerSpec) -> Result<LoadBalancerAttrs, Failure> {
        let call = self
            .client
            .create_load_balancer()
            .name(&spec.name)
            .r#type(LoadBalancerTypeEnum::Application)
            .ip_address_type(IpAddressType::Ipv4)
            .scheme(LoadBalancerSchemeEnum::from(spec.scheme.as_str()))
            .set_subnets(Some(spec.subnet_ids.iter().cloned().collect()))
            .set_security_groups(Some(spec.security_group_ids.iter().cloned().collect()))
            .set_tags(Some(tags::to_sdk(&cx.tags(&spec.tags))));
        let output = call
            .send()
            .await
            .for_operation("elasticloadbalancing:CreateLoadBalancer")
            .map_err(retryable_until_gateway_is_visible)?;
        Ok(output.load_balancers().first().map_or_else(|| Self::planned_attrs(spec), attrs_of))
    }

    async fn configure(
        &self,
        _cx: &Context,
        attrs: &LoadBalancerAttrs,
        spec: &LoadBalancerSpec,
    ) -> Result<(), Failure> {
        Attributes::desired(spec).write(&self.client, &attrs.arn).await
    }

    async fn update(
        &self,
        _cx: &Context,
        attrs: &LoadBalancerAttrs,
        spec: &LoadBalancerSpec,
        changes: &[Change],
    ) -> Result<LoadBalancerAttrs, Failure> {
        tags::update(&self.client, &attrs.arn, &spec.tags, changes).await?;
        let changed = |field: &str| changes.iter().any(|change| change.field() == field);
        if changed("security_group_ids") {
            let groups = Some(spec.security_group_ids.iter().cloned().collect());
            let call = self.client.set_security_groups().load_balancer_arn(&attrs.arn).set_security_groups(groups);
            call.send().await.for_operation("elasticloadbalancing:SetSecurityGroups")?;
        }
        if changed("subnet_ids") {
            let subnets = Some(spec.subnet_ids.iter().cloned().collect());
            let call = self.client.set_subnets().load_balancer_arn(&attrs.arn).set_subnets(subnets);
            call.send().await.for_operation("elasticloadbalancing:SetSubnets")?;
        }
        if ["deletion_protection", "idle_timeout", "drop_invalid_headers"].into_iter().any(changed) {
            Attributes::desired(spec).write(&self.client, &attrs.arn).await?;
        }
        Ok(attrs.clone())
    }

    async fn wait_ready(&self, cx: &Context, attrs: LoadBalancerAttrs) -> Result<LoadBalancerAttrs, Failure> {
        let looks = AtomicU32::new(0);
        let name = &attrs.name;
        cx.wait(DESCRIBE, PROVISIONING, || async {
            let Some(lb) = self.find(&attrs.arn).await? else {
                if looks.fetch_add(1, Ordering::Relaxed) < MAX_NOT_FOUND {
                    return Ok(Progress::Pending(format!("waiting for load balancer {name} (not visible yet)")));
                }
                return Err(Failure::new(Class::NotFound, DESCRIBE, format!("load balancer {name} not found")));
            };
            if is_active(&lb) {
                return Ok(Progress::Ready(attrs_of(&lb)));
            }
            let state = lb.state();
            let code = state.and_then(|state| state.code());
            if code == Some(&LoadBalancerStateEnum::Failed) {
                let reason = state.and_then(|state| state.reason()).unwrap_or("no reason given");
                let what = format!("AWS could not provision load balancer {name}: {reason}");
                return Err(Failure::new(Class::Failed, DESCRIBE, what));
            }
            let code = code.map_or("state unknown", LoadBalancerStateEnum::as_str);
            Ok(Progress::Pending(format!("waiting for load balancer {name} ({code})")))
        })
        .await
    }

    async fn delete(&self, cx: &Context, attrs: &LoadBalancerAttrs) -> Result<(), Failure> {
        let call = self.client.delete_load_balancer().load_balancer_arn(&attrs.arn).send();
        let hint = "deletion protection was turned on; set deletion_protection = false, deploy, then destroy";
        call.await
            .for_operation("elasticloadbalancing:DeleteLoadBalancer")
            .map_err(|failure| if failure.is("OperationNotPermitted") { failure.hint(hint) } else { failure })?;
        cx.wait(DESCRIBE, PROVISIONING, || async {
            Ok(match self.find(&attrs.arn).await? {
                None => Progress::Ready(()),
                Some(_) => Progress::Pending(format!("waiting for load balancer {} to be deleted", attrs.name)),
            })
        })
        .await
    }

    async fn adopt(&self, cx: &Context, attrs: &Self::Attrs) -> Result<(), Failure> {
        tags::adopt(&self.client, cx, &attrs.arn).await
    }

    async fn forget(&self, _cx: &Context, attrs: &Self::Attrs) -> Result<(), Failure> {
        tags::forget(&self.client, &attrs.arn).await
    }
}

impl LoadBalancer {
    async fn find(&self, arn: &str) -> Result<Option<AwsLoadBalancer>, Failure> {
        match self.client.describe_load_balancers().load_balancer_arns(arn).send().await.for_operation(DESCRIBE) {
            Ok(output) => Ok(output.load_balancers.unwrap_or_default().into_iter().next()),
            Err(failure) if failure.class == Class::NotFound => Ok(None),
            Err(failure) => Err(failure),
        }
    }
}

/// Makes the error about a missing internet gateway retryable: the gateway has been attached before, but Elastic Load
/// Balancing may not see it yet.
fn retryable_until_gateway_is_visible(failure: Failure) -> Failure {
    if failure.message.contains("has no internet gateway") { failure.class(Class::NotFound) } else { failure }
}

/// Returns whether a load balancer serves requests. In the state `active_impaired` it does, but it cannot scale.
fn is_active(lb: &AwsLoadBalancer) -> bool {
    let code = lb.state().and_then(|state| state.code());
    matches!(code, Some(LoadBalancerStateEnum::Active | LoadBalancerStateEnum::ActiveImpaired))
}

/// Returns the address of a load balancer; `None` if it is not managed.
fn managed_address(scope: &ReadScope<LoadBalancer>, lb: &AwsLoadBalancer, tags: &Tags) -> Option<Address> {
    let (arn, name) = (lb.load_balancer_arn(), lb.load_balancer_name().unwrap_or_default());
    scope.managed_address(tags, &[arn.unwrap_or_default(), name])
}

fn spec_of(lb: &AwsLoadBalancer, tags: &Tags, attributes: &Attributes) -> LoadBalancerSpec {
    let subnets = lb.availability_zones().iter().filter_map(|zone| zone.subnet_id());
    LoadBalancerSpec {
        name: lb.load_balancer_name().unwrap_or_default().to_owned(),
        scheme: lb.scheme().map_or_else(String::new, |scheme| scheme.as_str().to_owned()),
        vpc_id: lb.vpc_id().unwrap_or_default().to_owned(),
        subnet_ids: subnets.map(str::to_owned).collect(),
        security_group_ids: lb.security_groups().iter().cloned().collect(),
        deletion_protection: attributes.deletion_protection,
        idle_timeout: attributes.idle_timeout,
        drop_invalid_headers: attributes.drop_invalid_headers,
        tags: Ownership::user_tags(tags),
    }
}

fn attrs_of(lb: &AwsLoadBalancer) -> LoadBalancerAttrs {
    LoadBalancerAttrs {
        arn: lb.load_balancer_arn().unwrap_or_default().to_owned(),
        name: lb.load_balancer_name().unwrap_or_default().to_owned(),
        dns_name: dns_name(lb),
        hosted_zone_id: lb.canonical_hosted_zone_id().unwrap_or_default().to_owned(),
    }
}
