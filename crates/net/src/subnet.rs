//! Subnets.

use aws_sdk_ec2::types::{AttributeBooleanValue, Filter, ResourceType, Subnet as Live, SubnetState};
use ipnet::Ipv4Net;
use pb_aws::ForOperation;
use pb_engine::{
    Backoff, Change, Class, Context, Failure, Found, Ownership, Progress, ReadScope, Resource, is_unknown, unknown,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

use crate::ec2::{
    Ec2, ManagedVpcs, check_tags, describe_by, filter, missing_field, missing_ids, no_retry, ownership_filters,
    tag_map, tag_specification,
};

/// Maximum time for a subnet to become `available`. This normally takes seconds; a longer time indicates a problem.
const AVAILABLE_WITHIN: Duration = Duration::from_secs(120);

/// Resource kind for subnets.
pub struct Subnet {
    ec2: Ec2,
}

/// Spec of a subnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubnetSpec {
    /// Id of the subnet's VPC.
    pub vpc_id: String,
    /// CIDR block, /16 to /28, inside the VPC's CIDR block.
    pub cidr: String,
    /// Availability Zone, such as `us-east-2a`.
    pub zone: String,
    /// `true` if network interfaces that do not ask for an address get a public one. If absent, it is not managed: a new
    /// subnet does not assign addresses.
    pub public_addresses: Option<bool>,
    /// Tags other than the ownership tags.
    pub tags: BTreeMap<String, String>,
}

/// Attributes of a subnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubnetAttrs {
    /// Id of the subnet, `subnet-...`.
    pub id: String,
    /// Id of the subnet's VPC.
    pub vpc_id: String,
}

impl Subnet {
    /// Creates the resource kind, which makes its calls through `ec2`.
    pub fn new(ec2: Ec2) -> Self {
        Self { ec2 }
    }

    async fn describe(&self, filters: Vec<Filter>) -> Result<Vec<Live>, Failure> {
        let pages = self.ec2.client.describe_subnets().set_filters(Some(filters)).into_paginator().items().send();
        pages.try_collect().await.for_operation("ec2:DescribeSubnets")
    }

    async fn set_public_addresses(&self, id: &str, on: bool) -> Result<(), Failure> {
        let on = AttributeBooleanValue::builder().value(on).build();
        let call = self.ec2.client.modify_subnet_attribute().subnet_id(id).map_public_ip_on_launch(on);
        call.send().await.for_operation("ec2:ModifySubnetAttribute").map(drop)
    }

    /// Returns unmanaged subnets that overlap with a desired subnet that does not exist. Makes a call only if a desired
    /// subnet does not exist.
    async fn find_unmanaged(
        &self,
        scope: &ReadScope<Self>,
        managed: &[Found<Self>],
    ) -> Result<Vec<Found<Self>>, Failure> {
        let existing = |wanted: &pb_engine::Address| {
            managed.iter().any(|found| matches!(found, Found::Managed { address, .. } if address == wanted))
        };
        let missing: Vec<_> = scope.desired.iter().filter(|(address, _)| !existing(address)).collect();
        let mut vpcs: Vec<String> = missing.iter().map(|(_, spec)| spec.vpc_id.clone()).collect();
        if vpcs.iter().any(|vpc| is_unknown(vpc)) {
            vpcs.extend(scope.shared(ManagedVpcs::read(&self.ec2, scope.owner())).await?.ids());
        }
        vpcs.retain(|vpc| !is_unknown(vpc));
        vpcs.sort_unstable();
        vpcs.dedup();
        let live = describe_by("vpc-id", &vpcs, |filters| self.describe(filters)).await?;
        let mut foreign = Vec::new();
        for (wanted, spec) in missing {
            let conflicts = |live: &&Live| {
                overlap(&spec.cidr, live.cidr_block().unwrap_or_default())
                    && (is_unknown(&spec.vpc_id) || live.vpc_id() == Some(spec.vpc_id.as_str()))
                    && scope.address_from_tags(&tag_map(live.tags())).is_none()
                    && scope.find_recorded(|attrs| live.subnet_id() == Some(attrs.id.as_str())).is_none()
            };
            if let Some(live) = live.iter().find(conflicts) {
                let (id, cidr) = (live.subnet_id().unwrap_or_default(), live.cidr_block().unwrap_or_default());
                let what = format!("subnet {id} with {cidr} in {}", live.vpc_id().unwrap_or_default());
                foreign.push(scope.unmanaged(wanted, what, &tag_map(live.tags()), id));
            }
        }
        Ok(foreign)
    }
}

fn classify(scope: &ReadScope<Subnet>, live: &Live) -> Option<Found<Subnet>> {
    let (tags, id) = (tag_map(live.tags()), live.subnet_id()?);
    let address = scope.managed_address(&tags, &[id])?;
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let spec = SubnetSpec {
        vpc_id: text(live.vpc_id()),
        cidr: text(live.cidr_block()),
        zone: text(live.availability_zone()),
        public_addresses: Some(live.map_public_ip_on_launch().unwrap_or_default()),
        tags: Ownership::user_tags(&tags),
    };
    let attrs = SubnetAttrs { id: id.to_owned(), vpc_id: spec.vpc_id.clone() };
    Some(Found::Managed { address, spec, attrs, ready: live.state() == Some(&SubnetState::Available) })
}

fn untagged(scope: &ReadScope<Subnet>, live: &Live) -> Option<Found<Subnet>> {
    let attrs = SubnetAttrs { id: live.subnet_id()?.to_owned(), vpc_id: live.vpc_id().unwrap_or_default().to_owned() };
    scope.untagged(&tag_map(live.tags()), &attrs)
}

/// Returns whether two CIDR blocks overlap. An invalid block does not overlap with any other.
fn overlap(one: &str, other: &str) -> bool {
    match (one.parse::<Ipv4Net>(), other.parse::<Ipv4Net>()) {
        (Ok(one), Ok(other)) => one.contains(&other.network()) || other.contains(&one.network()),
        _ => false,
    }
}

impl Resource for Subnet {
    const KIND: &'static str = "ec2.subnet";
    const BLOCKS_DELETION_OF: &'static [&'static str] = &["ec2.vpc"];
    const UNIQUE_NAME: bool = false;
    const OPTIONAL_FIELDS: &'static [&'static str] = &["public_addresses"];
    type Spec = SubnetSpec;
    type Attrs = SubnetAttrs;

    fn validate(spec: &SubnetSpec) -> Result<(), String> {
        let cidr = pb_rules::network::cidr(&spec.cidr);
        // Only the size is checked here. `NetworkSpec::check`, which knows both CIDR blocks, compares the block with
        // the VPC's.
        cidr.and_then(|cidr| pb_rules::network::subnet_cidr(cidr, cidr))
            .map_err(|e| format!("invalid subnet CIDR block: {e}"))?;
        check_tags(&spec.tags)
    }

    fn planned_attrs(spec: &SubnetSpec) -> SubnetAttrs {
        SubnetAttrs { id: unknown(), vpc_id: spec.vpc_id.clone() }
    }

    fn requires_replacement(field: &str) -> bool {
        matches!(field, "vpc_id" | "cidr" | "zone")
    }

    /// Returns whether the subnets are in different VPCs or do not overlap: subnets of the same VPC must not overlap.
    fn can_coexist(old: &SubnetSpec, new: &SubnetSpec) -> bool {
        old.vpc_id != new.vpc_id || !overlap(&old.cidr, &new.cidr)
    }

    fn id(attrs: &SubnetAttrs) -> Option<String> {
        Some(attrs.id.clone())
    }

    async fn read(&self, scope: &ReadScope<Self>) -> Result<Vec<Found<Self>>, Failure> {
        let mut live = self.describe(ownership_filters(scope.owner())).await?;
        let seen: Vec<&str> = live.iter().filter_map(Live::subnet_id).collect();
        let ids = missing_ids(scope, |attrs| &attrs.id, &seen);
        live.extend(describe_by("subnet-id", &ids, |filters| self.describe(filters)).await?);
        let mut all: Vec<Found<Self>> = live.iter().filter_map(|live| classify(scope, live)).collect();
        all.extend(self.find_unmanaged(scope, &all).await?);
        all.extend(live.iter().filter_map(|live| untagged(scope, live)));
        Ok(all)
    }

    async fn create(&self, cx: &Context, spec: &SubnetSpec) -> Result<SubnetAttrs, Failure> {
        const CALL: &str = "ec2:CreateSubnet";
        let call = self.ec2.client.create_subnet().vpc_id(&spec.vpc_id).cidr_block(&spec.cidr);
        let call = call.availability_zone(&spec.zone).tag_specifications(tag_specification(
            cx,
            ResourceType::Subnet,
            &spec.tags,
        ));
        let answer = call.customize().config_override(no_retry()).send().await.for_operation(CALL);
        let answer = answer.map_err(|failure| failure.when(&["InvalidSubnet.Conflict"], Class::Exists))?;
        let id = answer.subnet().and_then(Live::subnet_id).ok_or_else(|| missing_field(CALL, "subnet id"))?;
        Ok(SubnetAttrs { id: id.to_owned(), vpc_id: spec.vpc_id.clone() })
    }

    async fn configure(&self, _: &Context, attrs: &SubnetAttrs, spec: &SubnetSpec) -> Result<(), Failure> {
        match spec.public_addresses {
            Some(on) => self.set_public_addresses(&attrs.id, on).await,
            None => Ok(()),
        }
    }

    async fn update(
        &self,
        cx: &Context,
        attrs: &SubnetAttrs,
        spec: &SubnetSpec,
        changes: &[Change],
    ) -> Result<SubnetAttrs, Failure> {
        let changed = changes.iter().any(|change| change.field() == "public_addresses");
        if let (true, Some(on)) = (changed, spec.public_addresses) {
            self.set_public_addresses(&attrs.id, on).await?;
        }
        self.ec2.tag(cx, &attrs.id, &spec.tags, changes).await?;
        Ok(attrs.clone())
    }

    async fn wait_ready(&self, cx: &Context, attrs: SubnetAttrs) -> Result<SubnetAttrs, Failure> {
        let id = attrs.id.as_str();
        cx.wait("wait for the subnet", Backoff::seconds(AVAILABLE_WITHIN), || async move {
            let found = self.describe(vec![filter("subnet-id", [id])]).await?;
            Ok(match found.first().and_then(Live::state) {
                Some(SubnetState::Available) => Progress::Ready(()),
                Some(state) => Progress::Pending(format!("waiting for {id} ({})", state.as_str())),
                None => Progress::Pending(format!("waiting for {id} to become visible")),
            })
        })
        .await?;
        Ok(attrs)
    }

    async fn delete(&self, cx: &Context, attrs: &SubnetAttrs) -> Result<(), Failure> {
        let inside =
            |interface: &aws_sdk_ec2::types::NetworkInterface| interface.subnet_id() == Some(attrs.id.as_str());
        let delete = || async {
            let call = self.ec2.client.delete_subnet().subnet_id(&attrs.id);
            call.send().await.for_operation("ec2:DeleteSubnet").map(drop)
        };
        self.ec2.interfaces.delete_when_unused(cx, &attrs.vpc_id, inside, delete).await
    }

    async fn adopt(&self, cx: &Context, attrs: &Self::Attrs) -> Result<(), Failure> {
        self.ec2.adopt(cx, &attrs.id).await
    }

    async fn forget(&self, _: &Context, attrs: &Self::Attrs) -> Result<(), Failure> {
        self.ec2.forget(&attrs.id).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{
        changed_paths, filters_by_tags, has_filter, managed_tags, plain_tags, record_waiting, refusal,
        sends_managed_tags, standalone,
    };
    use aws_sdk_ec2::Client;
    use aws_sdk_ec2::operation::create_subnet::CreateSubnetOutput;
    use aws_sdk_ec2::operation::delete_subnet::DeleteSubnetOutput;
    use aws_sdk_ec2::operation::describe_network_interfaces::DescribeNetworkInterfacesOutput;
    use aws_sdk_ec2::operation::describe_subnets::DescribeSubnetsOutput;
    use aws_sdk_ec2::operation::modify_subnet_attribute::ModifySubnetAttributeOutput;
    use aws_sdk_ec2::types::NetworkInterface;
    use aws_smithy_mocks::{Rule, mock};
    use pb_aws::mock_client;

    /// Time for which an interface lingers.
    const LINGERS: Duration = Duration::from_secs(180);

    fn spec() -> SubnetSpec {
        SubnetSpec {
            vpc_id: "vpc-1".to_owned(),
            cidr: "10.0.1.0/24".to_owned(),
            zone: "us-east-2a".to_owned(),
            public_addresses: Some(true),
            tags: plain_tags(),
        }
    }

    fn live(id: &str) -> aws_sdk_ec2::types::builders::SubnetBuilder {
        Live::builder()
            .subnet_id(id)
            .vpc_id("vpc-1")
            .cidr_block("10.0.1.0/24")
            .availability_zone("us-east-2a")
            .state(SubnetState::Available)
    }

    fn subnets(subnets: &[Live]) -> DescribeSubnetsOutput {
        DescribeSubnetsOutput::builder().set_subnets(Some(subnets.to_vec())).build()
    }

    fn managed_subnet(public: bool) -> Rule {
        mock!(Client::describe_subnets).then_output(move || {
            subnets(&[live("subnet-1").map_public_ip_on_launch(public).set_tags(Some(managed_tags())).build()])
        })
    }

    #[tokio::test(start_paused = true)]
    async fn subnet_create_sends_its_spec_and_sets_public_addresses() {
        let none = mock!(Client::describe_subnets)
            .match_requests(|r| filters_by_tags(r.filters()) || has_filter(r.filters(), "vpc-id", "vpc-1"))
            .then_output(|| subnets(&[]));
        let create = mock!(Client::create_subnet)
            .match_requests(|r| {
                (r.vpc_id(), r.cidr_block()) == (Some("vpc-1"), Some("10.0.1.0/24"))
                    && r.availability_zone() == Some("us-east-2a")
                    && sends_managed_tags(r.tag_specifications(), &ResourceType::Subnet)
            })
            .then_output(|| CreateSubnetOutput::builder().subnet(live("subnet-1").build()).build());
        // The new subnet may not be visible to the next call yet.
        let modify = mock!(Client::modify_subnet_attribute).match_requests(|r| {
            r.subnet_id() == Some("subnet-1")
                && r.map_public_ip_on_launch().and_then(AttributeBooleanValue::value) == Some(true)
        });
        let modify = modify.sequence().http_status(400, refusal("InvalidSubnetID.NotFound", "does not exist"));
        let modify = modify.output(|| ModifySubnetAttributeOutput::builder().build()).build();
        let existing = mock!(Client::describe_subnets)
            .match_requests(|r| has_filter(r.filters(), "subnet-id", "subnet-1"))
            .then_output(|| subnets(&[live("subnet-1").build()]));
        let client = mock_client!(aws_sdk_ec2, [&none, &create, &modify, &existing]);
        standalone(Subnet::new(client.into()), spec()).deploy().await.unwrap();
        assert_eq!((create.num_calls(), modify.num_calls()), (1, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn subnet_update_sends_only_changed_fields() {
        let client = mock_client!(aws_sdk_ec2, [&managed_subnet(true)]);
        assert!(standalone(Subnet::new(client.into()), spec()).plan().await.unwrap().is_empty());
        let existing = managed_subnet(false);
        let modify =
            mock!(Client::modify_subnet_attribute).then_output(|| ModifySubnetAttributeOutput::builder().build());
        let client = mock_client!(aws_sdk_ec2, [&existing, &modify]);
        let stack = standalone(Subnet::new(client.into()), spec());
        assert_eq!(changed_paths(&stack.plan().await.unwrap()), ["public_addresses"]);
        stack.deploy().await.unwrap();
        assert_eq!(modify.num_calls(), 1, "no tag is written");
    }

    #[tokio::test(start_paused = true)]
    async fn unmanaged_subnet_with_the_block_is_left_alone() {
        let none = mock!(Client::describe_subnets).match_requests(|r| filters_by_tags(r.filters()));
        let none = none.then_output(|| subnets(&[]));
        let other = mock!(Client::describe_subnets)
            .then_output(|| subnets(&[live("subnet-9").cidr_block("10.0.0.0/20").build()]));
        let client = mock_client!(aws_sdk_ec2, [&none, &other]);
        let failure = standalone(Subnet::new(client.into()), spec()).deploy().await.unwrap_err();
        assert!(failure.message.contains("subnet subnet-9 with 10.0.0.0/20 in vpc-1"), "{failure}");
    }

    #[tokio::test(start_paused = true)]
    async fn subnet_conflict_is_resolved_by_another_read() {
        let none = mock!(Client::describe_subnets).sequence().output(|| subnets(&[])).times(2).build();
        let conflict = refusal("InvalidSubnet.Conflict", "The CIDR '10.0.1.0/24' conflicts with another subnet");
        let create = mock!(Client::create_subnet).sequence().http_status(400, conflict).build();
        let existing = managed_subnet(true);
        let client = mock_client!(aws_sdk_ec2, [&none, &create, &existing]);
        let made = standalone(Subnet::new(client.into()), spec()).deploy().await.unwrap();
        assert_eq!(made.resources.values().next().unwrap().attrs["id"], "subnet-1");
    }

    #[tokio::test(start_paused = true)]
    async fn refused_subnet_delete_names_its_interfaces() {
        let existing = managed_subnet(true);
        let delete = mock!(Client::delete_subnet).sequence();
        let delete = delete.http_status(400, refusal("DependencyViolation", "has dependencies and cannot be deleted."));
        let delete = delete.output(|| DeleteSubnetOutput::builder().build()).build();
        let began = tokio::time::Instant::now();
        let interfaces = mock!(Client::describe_network_interfaces).then_compute_output(move |_| {
            let of = |id: &str, subnet| NetworkInterface::builder().network_interface_id(id).subnet_id(subnet);
            let inside = of("eni-1", "subnet-1").description("ElastiCache w-jobqr").build();
            let inside = (began.elapsed() < LINGERS).then_some(inside);
            let outside = of("eni-2", "subnet-2").build();
            let all = inside.into_iter().chain([outside]).collect();
            DescribeNetworkInterfacesOutput::builder().set_network_interfaces(Some(all)).build()
        });
        let client = mock_client!(aws_sdk_ec2, [&existing, &delete, &interfaces]);
        let (stack, messages) = record_waiting(standalone(Subnet::new(client.into()), spec()));
        stack.destroy().await.unwrap();
        assert_eq!(delete.num_calls(), 2, "a refused delete is not repeated while the interface exists");
        assert!(interfaces.num_calls() <= 150, "{} polls in three minutes", interfaces.num_calls());
        assert!(began.elapsed() <= LINGERS.mul_f64(1.03), "{:?}", began.elapsed());
        let messages = messages.lock().unwrap().join("\n");
        assert!(messages.contains("still used by eni-1 (ElastiCache w-jobqr)"), "{messages}");
        assert!(!messages.contains("eni-2"), "{messages}");
    }

    #[test]
    fn subnets_can_coexist_unless_their_blocks_overlap() {
        let at = |vpc: &str, cidr: &str| SubnetSpec { vpc_id: vpc.to_owned(), cidr: cidr.to_owned(), ..spec() };
        assert!(Subnet::can_coexist(&spec(), &at("vpc-1", "10.0.2.0/24")));
        assert!(Subnet::can_coexist(&spec(), &at("vpc-2", "10.0.1.0/24")));
        assert!(!Subnet::can_coexist(&spec(), &at("vpc-1", "10.0.0.0/23")));
    }
}
