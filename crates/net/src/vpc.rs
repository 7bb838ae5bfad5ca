//! VPCs.

use aws_sdk_ec2::types::{AttributeBooleanValue, ResourceType, Vpc as Live, VpcAttributeName, VpcState};
use futures_util::future::try_join;
use pb_aws::ForOperation;
use pb_engine::{Address, Backoff, Change, Class, Context, Failure, Found, Ownership, Progress, ReadScope, Resource};
use pb_engine::{fetch_each, list_with_details, unknown};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

use crate::ec2::{
    Ec2, ManagedVpcs, check_tags, describe_by, filter, missing_field, missing_ids, no_retry, tag_map, tag_specification,
};
use crate::interfaces::used_by;

/// Maximum time for a VPC to become `available`. This normally takes seconds; a longer time indicates a problem.
const AVAILABLE_WITHIN: Duration = Duration::from_secs(120);

/// Resource kind for VPCs. AWS creates a default security group, a main route table and a default network ACL with each
/// VPC, and deletes them with the VPC.
pub struct Vpc {
    ec2: Ec2,
}

/// Spec of a VPC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VpcSpec {
    /// CIDR block, /16 to /28, such as `10.0.0.0/16`.
    pub cidr: String,
    /// `true` if Amazon's DNS resolver responds in the VPC.
    pub dns_support: bool,
    /// `true` if interfaces with a public address have a public DNS name. Requires `dns_support`.
    pub dns_hostnames: bool,
    /// Tags other than the ownership tags.
    pub tags: BTreeMap<String, String>,
}

/// Attributes of a VPC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VpcAttrs {
    /// Id of the VPC, `vpc-...`.
    pub id: String,
}

impl Vpc {
    /// Creates the resource kind, which makes its calls through `ec2`.
    pub fn new(ec2: Ec2) -> Self {
        Self { ec2 }
    }

    async fn attribute(&self, id: &str, name: VpcAttributeName) -> Result<bool, Failure> {
        let call = self.ec2.client.describe_vpc_attribute().vpc_id(id).attribute(name);
        let answer = call.send().await.for_operation("ec2:DescribeVpcAttribute")?;
        let value = answer.enable_dns_support().or(answer.enable_dns_hostnames());
        Ok(value.and_then(AttributeBooleanValue::value).unwrap_or_default())
    }

    /// Returns the DNS attributes `dns_support` and `dns_hostnames`; `None` if the VPC no longer exists.
    async fn dns(&self, id: &str) -> Result<Option<(bool, bool)>, Failure> {
        let support = self.attribute(id, VpcAttributeName::EnableDnsSupport);
        let hostnames = self.attribute(id, VpcAttributeName::EnableDnsHostnames);
        match try_join(support, hostnames).await {
            Err(failure) if failure.class == Class::NotFound => Ok(None),
            answer => answer.map(Some),
        }
    }

    /// Sets both DNS attributes. Each call sets one attribute, and DNS hostnames require DNS support, so DNS support is
    /// enabled first and disabled last.
    async fn set_dns(&self, id: &str, spec: &VpcSpec) -> Result<(), Failure> {
        let on = |on| Some(AttributeBooleanValue::builder().value(on).build());
        let modify = || self.ec2.client.modify_vpc_attribute().vpc_id(id);
        let support = modify().set_enable_dns_support(on(spec.dns_support));
        let hostnames = modify().set_enable_dns_hostnames(on(spec.dns_hostnames));
        let calls = if spec.dns_support { [support, hostnames] } else { [hostnames, support] };
        for call in calls {
            call.send().await.for_operation("ec2:ModifyVpcAttribute")?;
        }
        Ok(())
    }

    /// Returns the ids of resources that are still in the VPC.
    async fn contents(&self, id: &str) -> Result<Vec<String>, Failure> {
        let client = &self.ec2.client;
        let of = || filter("vpc-id", [id]);
        let subnets = client.describe_subnets().filters(of()).send().await.for_operation("ec2:DescribeSubnets")?;
        let groups =
            client.describe_security_groups().filters(of()).send().await.for_operation("ec2:DescribeSecurityGroups")?;
        let gateways = client.describe_internet_gateways().filters(filter("attachment.vpc-id", [id]));
        let gateways = gateways.send().await.for_operation("ec2:DescribeInternetGateways")?;
        let groups = groups.security_groups().iter().filter(|group| group.group_name() != Some("default"));
        let ids = (subnets.subnets().iter().filter_map(|subnet| subnet.subnet_id()))
            .chain(groups.filter_map(|group| group.group_id()))
            .chain(gateways.internet_gateways().iter().filter_map(|gateway| gateway.internet_gateway_id()));
        let mut users: Vec<String> = ids.map(str::to_owned).collect();
        users.extend(self.ec2.interfaces.users(id, |_| true).await);
        Ok(users)
    }
}

/// Returns the address of a VPC; `None` if it is not managed.
fn managed_address(scope: &ReadScope<Vpc>, vpc: &Live) -> Option<Address> {
    let id = vpc.vpc_id()?;
    scope.managed_address(&tag_map(vpc.tags()), &[id])
}

fn untagged(scope: &ReadScope<Vpc>, vpc: &Live) -> Option<Found<Vpc>> {
    scope.untagged(&tag_map(vpc.tags()), &VpcAttrs { id: vpc.vpc_id()?.to_owned() })
}

fn classify(scope: &ReadScope<Vpc>, vpc: &Live, (dns_support, dns_hostnames): (bool, bool)) -> Option<Found<Vpc>> {
    let spec = VpcSpec {
        cidr: vpc.cidr_block().unwrap_or_default().to_owned(),
        dns_support,
        dns_hostnames,
        tags: Ownership::user_tags(&tag_map(vpc.tags())),
    };
    let attrs = VpcAttrs { id: vpc.vpc_id()?.to_owned() };
    let ready = vpc.state() == Some(&VpcState::Available);
    Some(Found::Managed { address: managed_address(scope, vpc)?, spec, attrs, ready })
}

impl Resource for Vpc {
    const KIND: &'static str = "ec2.vpc";
    const UNIQUE_NAME: bool = false;
    type Spec = VpcSpec;
    type Attrs = VpcAttrs;

    fn validate(spec: &VpcSpec) -> Result<(), String> {
        let cidr = pb_rules::network::cidr(&spec.cidr).and_then(pb_rules::network::vpc_cidr);
        cidr.map_err(|e| format!("invalid VPC CIDR block: {e}"))?;
        if spec.dns_hostnames && !spec.dns_support {
            return Err("`dns_hostnames` needs `dns_support`".to_owned());
        }
        check_tags(&spec.tags)
    }

    fn planned_attrs(_: &VpcSpec) -> VpcAttrs {
        VpcAttrs { id: unknown() }
    }

    fn requires_replacement(field: &str) -> bool {
        field == "cidr"
    }

    fn can_coexist(_: &VpcSpec, _: &VpcSpec) -> bool {
        true
    }

    fn id(attrs: &VpcAttrs) -> Option<String> {
        Some(attrs.id.clone())
    }

    async fn read(&self, scope: &ReadScope<Self>) -> Result<Vec<Found<Self>>, Failure> {
        let all = async {
            let tagged = scope.shared(ManagedVpcs::read(&self.ec2, scope.owner())).await?;
            let seen: Vec<&str> = tagged.0.iter().filter_map(Live::vpc_id).collect();
            let ids = missing_ids(scope, |attrs| &attrs.id, &seen);
            let by_id = describe_by("vpc-id", &ids, |filters| self.ec2.vpcs(filters)).await?;
            Ok(tagged.0.iter().cloned().chain(by_id).collect())
        };
        let recorded = scope.recorded.iter().map(|(_, attrs)| attrs.id.clone());
        let managed_id = |vpc: &Live| managed_address(scope, vpc).and_then(|_| vpc.vpc_id().map(str::to_owned));
        let dns = |ids| fetch_each(ids, |id| async move { self.dns(&id).await });
        let all: Vec<(Live, _)> = list_with_details(all, recorded, managed_id, dns).await?;
        let untagged = all.iter().filter_map(|(vpc, _)| untagged(scope, vpc));
        Ok(all.iter().filter_map(|(vpc, dns)| classify(scope, vpc, (*dns)?)).chain(untagged).collect())
    }

    async fn create(&self, cx: &Context, spec: &VpcSpec) -> Result<VpcAttrs, Failure> {
        const CALL: &str = "ec2:CreateVpc";
        let call = self.ec2.client.create_vpc().cidr_block(&spec.cidr);
        let call = call.tag_specifications(tag_specification(cx, ResourceType::Vpc, &spec.tags));
        let answer =
            call.customize().config_override(no_retry()).send().await.for_operation(CALL).map_err(with_quota_hint)?;
        let id = answer.vpc().and_then(Live::vpc_id).ok_or_else(|| missing_field(CALL, "VPC id"))?;
        Ok(VpcAttrs { id: id.to_owned() })
    }

    async fn configure(&self, _: &Context, attrs: &VpcAttrs, spec: &VpcSpec) -> Result<(), Failure> {
        self.set_dns(&attrs.id, spec).await
    }

    async fn update(
        &self,
        cx: &Context,
        attrs: &VpcAttrs,
        spec: &VpcSpec,
        changes: &[Change],
    ) -> Result<VpcAttrs, Failure> {
        if changes.iter().any(|change| matches!(change.field(), "dns_support" | "dns_hostnames")) {
            self.set_dns(&attrs.id, spec).await?;
        }
        self.ec2.tag(cx, &attrs.id, &spec.tags, changes).await?;
        Ok(attrs.clone())
    }

    async fn wait_ready(&self, cx: &Context, attrs: VpcAttrs) -> Result<VpcAttrs, Failure> {
        let (ec2, id) = (&self.ec2, attrs.id.as_str());
        cx.wait("wait for the VPC", Backoff::seconds(AVAILABLE_WITHIN), || async move {
            let found = ec2.vpcs(vec![filter("vpc-id", [id])]).await?;
            Ok(match found.first().and_then(Live::state) {
                Some(VpcState::Available) => Progress::Ready(()),
                Some(VpcState::Deleting) => {
                    let failure = Failure::new(Class::Failed, "ec2:DescribeVpcs", format!("{id} is being deleted"));
                    return Err(failure.hint("run the same command again when it is gone"));
                }
                Some(state) => Progress::Pending(format!("waiting for {id} ({})", state.as_str())),
                None => Progress::Pending(format!("waiting for {id} to become visible")),
            })
        })
        .await?;
        Ok(attrs)
    }

    async fn delete(&self, _: &Context, attrs: &VpcAttrs) -> Result<(), Failure> {
        let refused = match self.ec2.client.delete_vpc().vpc_id(&attrs.id).send().await.for_operation("ec2:DeleteVpc") {
            Err(refused) if refused.class == Class::InUse => refused,
            answer => return answer.map(drop),
        };
        let users = self.contents(&attrs.id).await.unwrap_or_default();
        Err(if users.is_empty() { refused } else { used_by(refused, &users.join(", ")) })
    }

    async fn adopt(&self, cx: &Context, attrs: &Self::Attrs) -> Result<(), Failure> {
        self.ec2.adopt(cx, &attrs.id).await
    }

    async fn forget(&self, _: &Context, attrs: &Self::Attrs) -> Result<(), Failure> {
        self.ec2.forget(&attrs.id).await
    }
}

/// Adds a hint to a failure that an exhausted quota causes. The default quotas are five VPCs and five internet gateways
/// per region.
pub(crate) fn with_quota_hint(failure: Failure) -> Failure {
    if failure.code.as_deref().is_some_and(|code| code.ends_with("LimitExceeded")) && failure.class == Class::Refused {
        let hint = "delete unused VPCs or internet gateways, or request a higher quota in the Service Quotas console";
        return failure.hint(hint);
    }
    failure
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{
        changed_paths, filters_by_tags, managed_tags, plain_tags, record_waiting, refusal, sends_managed_tags,
        standalone,
    };
    use aws_sdk_ec2::Client;
    use aws_sdk_ec2::operation::create_vpc::CreateVpcOutput;
    use aws_sdk_ec2::operation::delete_vpc::DeleteVpcOutput;
    use aws_sdk_ec2::operation::describe_internet_gateways::DescribeInternetGatewaysOutput;
    use aws_sdk_ec2::operation::describe_network_interfaces::DescribeNetworkInterfacesOutput;
    use aws_sdk_ec2::operation::describe_security_groups::DescribeSecurityGroupsOutput;
    use aws_sdk_ec2::operation::describe_subnets::DescribeSubnetsOutput;
    use aws_sdk_ec2::operation::describe_vpc_attribute::DescribeVpcAttributeOutput;
    use aws_sdk_ec2::operation::describe_vpcs::DescribeVpcsOutput;
    use aws_sdk_ec2::operation::modify_vpc_attribute::ModifyVpcAttributeOutput;
    use aws_sdk_ec2::types::{SecurityGroup, Subnet};
    use aws_smithy_mocks::{Rule, mock};
    use pb_aws::mock_client;
    use std::sync::{Arc, Mutex};

    fn spec() -> VpcSpec {
        VpcSpec { cidr: "10.0.0.0/16".to_owned(), dns_support: true, dns_hostnames: true, tags: plain_tags() }
    }

    fn live(state: VpcState) -> Live {
        Live::builder().vpc_id("vpc-1").cidr_block("10.0.0.0/16").state(state).set_tags(Some(managed_tags())).build()
    }

    fn vpcs(vpcs: &[Live]) -> DescribeVpcsOutput {
        DescribeVpcsOutput::builder().set_vpcs(Some(vpcs.to_vec())).build()
    }

    fn attributes(support: bool, hostnames: bool) -> Rule {
        mock!(Client::describe_vpc_attribute).then_compute_output(move |request| {
            let value = |value| AttributeBooleanValue::builder().value(value).build();
            let answer = DescribeVpcAttributeOutput::builder().vpc_id("vpc-1");
            match request.attribute() {
                Some(VpcAttributeName::EnableDnsSupport) => answer.enable_dns_support(value(support)),
                _ => answer.enable_dns_hostnames(value(hostnames)),
            }
            .build()
        })
    }

    #[tokio::test(start_paused = true)]
    async fn vpc_create_is_sent_once_and_found_after_a_lost_response() {
        let none = mock!(Client::describe_vpcs).match_requests(|r| filters_by_tags(r.filters()));
        let none = none.sequence().output(|| vpcs(&[])).build();
        let existing = mock!(Client::describe_vpcs).sequence().output(|| vpcs(&[live(VpcState::Pending)])).times(2);
        let existing = existing.output(|| vpcs(&[live(VpcState::Available)])).repeatedly().build();
        let create = mock!(Client::create_vpc).match_requests(|r| {
            r.cidr_block() == Some("10.0.0.0/16") && sends_managed_tags(r.tag_specifications(), &ResourceType::Vpc)
        });
        let create = create.sequence().http_status(500, None).output(|| CreateVpcOutput::builder().build()).build();
        let calls = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&calls);
        let modify = mock!(Client::modify_vpc_attribute).then_compute_output(move |request| {
            let is = |value: Option<&AttributeBooleanValue>| value.and_then(AttributeBooleanValue::value);
            seen.lock().unwrap().push((is(request.enable_dns_support()), is(request.enable_dns_hostnames())));
            ModifyVpcAttributeOutput::builder().build()
        });
        let read = attributes(true, false);
        let client = mock_client!(aws_sdk_ec2, [&none, &existing, &create, &modify, &read]);
        let retrying = aws_sdk_ec2::config::retry::RetryConfig::standard().with_max_attempts(3);
        let client = Client::from_conf(client.config().to_builder().retry_config(retrying).build());
        let (stack, messages) = record_waiting(standalone(Vpc::new(client.into()), spec()));
        let made = stack.deploy().await.unwrap();
        assert_eq!(create.num_calls(), 1, "a repeated create would create a second VPC");
        assert_eq!(made.resources.values().next().unwrap().attrs["id"], "vpc-1");
        let calls = calls.lock().unwrap();
        assert_eq!(
            *calls,
            [(Some(true), None), (None, Some(true))],
            "one attribute per call, support before hostnames"
        );
        assert!(messages.lock().unwrap().iter().any(|what| what == "waiting for vpc-1 (pending)"));
    }

    #[tokio::test(start_paused = true)]
    async fn vpc_plan_names_only_the_fields_that_differ() {
        for (hostnames, changed) in [(true, vec![]), (false, vec!["dns_hostnames"])] {
            let existing = mock!(Client::describe_vpcs).then_output(|| vpcs(&[live(VpcState::Available)]));
            let read = attributes(true, hostnames);
            let client = mock_client!(aws_sdk_ec2, [&existing, &read]);
            let plan = standalone(Vpc::new(client.into()), spec()).plan().await.unwrap();
            assert_eq!(changed_paths(&plan), changed);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn refused_vpc_delete_names_the_vpc_contents() {
        let existing = mock!(Client::describe_vpcs).then_output(|| vpcs(&[live(VpcState::Available)]));
        let read = attributes(true, true);
        let refused = refusal("DependencyViolation", "The vpc 'vpc-1' has dependencies and cannot be deleted.");
        let delete = mock!(Client::delete_vpc).sequence().http_status(400, refused);
        let delete = delete.output(|| DeleteVpcOutput::builder().build()).build();
        let subnets = mock!(Client::describe_subnets).then_output(|| {
            DescribeSubnetsOutput::builder().subnets(Subnet::builder().subnet_id("subnet-9").build()).build()
        });
        let groups = mock!(Client::describe_security_groups).then_output(|| {
            let default = SecurityGroup::builder().group_id("sg-default").group_name("default").build();
            DescribeSecurityGroupsOutput::builder().security_groups(default).build()
        });
        let gateways =
            mock!(Client::describe_internet_gateways).then_output(|| DescribeInternetGatewaysOutput::builder().build());
        let interfaces = mock!(Client::describe_network_interfaces)
            .then_output(|| DescribeNetworkInterfacesOutput::builder().build());
        let rules = [&existing, &read, &delete, &subnets, &groups, &gateways, &interfaces];
        let client = mock_client!(aws_sdk_ec2, rules);
        let (stack, messages) = record_waiting(standalone(Vpc::new(client.into()), spec()));
        stack.destroy().await.unwrap();
        let messages = messages.lock().unwrap().join("\n");
        assert!(messages.contains("cannot be deleted; still used by subnet-9"), "{messages}");
        assert!(!messages.contains("sg-default"), "the default group is deleted with the VPC: {messages}");
        assert_eq!(delete.num_calls(), 2);
    }

    #[test]
    fn invalid_spec_is_refused() {
        assert_eq!(Vpc::validate(&spec()), Ok(()));
        for bad in [
            VpcSpec { cidr: "10.0.0.0/8".to_owned(), ..spec() },
            VpcSpec { dns_support: false, ..spec() },
            VpcSpec { tags: BTreeMap::from([("aws:x".to_owned(), String::new())]), ..spec() },
        ] {
            assert!(Vpc::validate(&bad).is_err(), "{bad:?}");
        }
    }
}
