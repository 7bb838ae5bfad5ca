//! Internet gateways and their attachment to the VPC.

use aws_sdk_ec2::types::{AttachmentStatus, Filter, InternetGateway as LiveGateway, ResourceType};
use pb_aws::ForOperation;
use pb_engine::{Change, Class, Context, Failure, Found, Ownership, ReadScope, Resource, unknown};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::ec2::{
    Ec2, ManagedVpcs, check_tags, describe_by, filter, missing_field, missing_ids, no_retry, ownership_filters,
    tag_map, tag_specification, wait_until_visible,
};
use crate::vpc::with_quota_hint;

/// Resource kind for internet gateways and their attachment to the VPC.
pub struct InternetGateway {
    ec2: Ec2,
}

/// Spec of an internet gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InternetGatewaySpec {
    /// Id of the gateway's VPC.
    pub vpc_id: String,
    /// `true` if the gateway is attached to this VPC. A detached gateway is attached again, not replaced.
    pub attached: bool,
    /// Tags other than the ownership tags.
    pub tags: BTreeMap<String, String>,
}

/// Attributes of an internet gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InternetGatewayAttrs {
    /// Id of the gateway, `igw-...`.
    pub id: String,
    /// Id of the VPC to which the gateway is attached or will be attached; empty if unknown.
    pub vpc_id: String,
}

impl InternetGateway {
    /// Creates the resource kind, which makes its calls through `ec2`.
    pub fn new(ec2: Ec2) -> Self {
        Self { ec2 }
    }

    async fn describe(&self, filters: Vec<Filter>) -> Result<Vec<LiveGateway>, Failure> {
        let pages =
            self.ec2.client.describe_internet_gateways().set_filters(Some(filters)).into_paginator().items().send();
        pages.try_collect().await.for_operation("ec2:DescribeInternetGateways")
    }

    /// Returns the id of the VPC for which the detached managed gateway `id` is intended: the recorded VPC, or
    /// otherwise the only managed VPC. The id is empty if there is no such VPC.
    async fn intended_vpc(&self, scope: &ReadScope<Self>, id: &str) -> Result<String, Failure> {
        let mut remembered = scope.recorded.iter().filter(|(_, attrs)| attrs.id == id);
        if let Some((_, attrs)) = remembered.next() {
            return Ok(attrs.vpc_id.clone());
        }
        let vpcs = scope.shared(ManagedVpcs::read(&self.ec2, scope.owner())).await?.ids();
        Ok(if let [only] = vpcs.as_slice() { only.clone() } else { String::new() })
    }

    async fn classify(&self, scope: &ReadScope<Self>, live: &LiveGateway) -> Result<Option<Found<Self>>, Failure> {
        let (tags, id) = (tag_map(live.tags()), live.internet_gateway_id().unwrap_or_default());
        let Some(address) = scope.managed_address(&tags, &[id]) else { return Ok(None) };
        let (vpc_id, attached) = match attached_to(live) {
            Some(vpc_id) => (vpc_id.to_owned(), true),
            None => (self.intended_vpc(scope, id).await?, false),
        };
        let spec = InternetGatewaySpec { vpc_id: vpc_id.clone(), attached, tags: Ownership::user_tags(&tags) };
        let attrs = InternetGatewayAttrs { id: id.to_owned(), vpc_id };
        Ok(Some(Found::Managed { address, spec, attrs, ready: true }))
    }

    async fn attach(&self, id: &str, vpc_id: &str) -> Result<(), Failure> {
        let call = self.ec2.client.attach_internet_gateway().internet_gateway_id(id).vpc_id(vpc_id);
        let refused = match call.send().await.for_operation("ec2:AttachInternetGateway") {
            Err(refused) if refused.is("Resource.AlreadyAssociated") => refused,
            answer => return answer.map(drop),
        };
        let live = self.describe(vec![filter("internet-gateway-id", [id])]).await?;
        if live.first().and_then(attached_to) == Some(vpc_id) { Ok(()) } else { Err(refused) }
    }

    /// Detaches the gateway. AWS refuses with "has some mapped public address(es)" while an interface in the VPC has a
    /// public address.
    async fn detach(&self, cx: &Context, id: &str, vpc_id: &str) -> Result<(), Failure> {
        let public = |interface: &aws_sdk_ec2::types::NetworkInterface| {
            interface.association().is_some_and(|association| association.public_ip().is_some())
        };
        let detach = || async {
            let call = self.ec2.client.detach_internet_gateway().internet_gateway_id(id).vpc_id(vpc_id);
            match call.send().await.for_operation("ec2:DetachInternetGateway") {
                Err(failure) if failure.is("Gateway.NotAttached") || failure.class == Class::NotFound => Ok(()),
                answer => answer.map(drop),
            }
        };
        self.ec2.interfaces.delete_when_unused(cx, vpc_id, public, detach).await
    }
}

fn untagged(scope: &ReadScope<InternetGateway>, live: &LiveGateway) -> Option<Found<InternetGateway>> {
    let (id, vpc_id) = (live.internet_gateway_id()?.to_owned(), attached_to(live).unwrap_or_default().to_owned());
    scope.untagged(&tag_map(live.tags()), &InternetGatewayAttrs { id, vpc_id })
}

fn attached_to(live: &LiveGateway) -> Option<&str> {
    let gone = |state: &AttachmentStatus| matches!(state, AttachmentStatus::Detached | AttachmentStatus::Detaching);
    live.attachments().iter().find(|attachment| !attachment.state().is_some_and(gone))?.vpc_id()
}

impl Resource for InternetGateway {
    const KIND: &'static str = "ec2.internet_gateway";
    const BLOCKS_DELETION_OF: &'static [&'static str] = &["ec2.vpc"];
    const UNIQUE_NAME: bool = false;
    type Spec = InternetGatewaySpec;
    type Attrs = InternetGatewayAttrs;

    fn validate(spec: &InternetGatewaySpec) -> Result<(), String> {
        check_tags(&spec.tags)
    }

    fn planned_attrs(spec: &InternetGatewaySpec) -> InternetGatewayAttrs {
        InternetGatewayAttrs { id: unknown(), vpc_id: spec.vpc_id.clone() }
    }

    /// Returns whether the field is the VPC. A gateway could be attached to another VPC, but only after all resources
    /// with a public address have left the old VPC.
    fn requires_replacement(field: &str) -> bool {
        field == "vpc_id"
    }

    /// Returns whether an attached gateway would have to move to another VPC. A detached gateway can be attached to any
    /// VPC: while a VPC is being replaced, there are two managed VPCs, and a detached gateway does not show for which
    /// of the two it is intended.
    fn change_requires_replacement(field: &str, old: &InternetGatewaySpec, _new: &InternetGatewaySpec) -> bool {
        Self::requires_replacement(field) && old.attached
    }

    /// Returns whether the VPCs differ, because a VPC has at most one internet gateway.
    fn can_coexist(old: &InternetGatewaySpec, new: &InternetGatewaySpec) -> bool {
        old.vpc_id != new.vpc_id
    }

    fn id(attrs: &InternetGatewayAttrs) -> Option<String> {
        Some(attrs.id.clone())
    }

    async fn read(&self, scope: &ReadScope<Self>) -> Result<Vec<Found<Self>>, Failure> {
        let tagged = self.describe(ownership_filters(scope.owner())).await?;
        let seen: Vec<&str> = tagged.iter().filter_map(LiveGateway::internet_gateway_id).collect();
        let ids = missing_ids(scope, |attrs| &attrs.id, &seen);
        let by_id = describe_by("internet-gateway-id", &ids, |filters| self.describe(filters)).await?;
        let mut all = Vec::new();
        for live in tagged.iter().chain(&by_id) {
            all.extend(self.classify(scope, live).await?);
            all.extend(untagged(scope, live));
        }
        Ok(all)
    }

    async fn create(&self, cx: &Context, spec: &InternetGatewaySpec) -> Result<InternetGatewayAttrs, Failure> {
        const CALL: &str = "ec2:CreateInternetGateway";
        let call = self.ec2.client.create_internet_gateway();
        let call = call.tag_specifications(tag_specification(cx, ResourceType::InternetGateway, &spec.tags));
        let answer =
            call.customize().config_override(no_retry()).send().await.for_operation(CALL).map_err(with_quota_hint)?;
        let id = answer.internet_gateway().and_then(LiveGateway::internet_gateway_id);
        let id = id.ok_or_else(|| missing_field(CALL, "gateway id"))?;
        Ok(InternetGatewayAttrs { id: id.to_owned(), vpc_id: spec.vpc_id.clone() })
    }

    async fn configure(
        &self,
        _: &Context,
        attrs: &InternetGatewayAttrs,
        spec: &InternetGatewaySpec,
    ) -> Result<(), Failure> {
        if spec.attached { self.attach(&attrs.id, &spec.vpc_id).await } else { Ok(()) }
    }

    async fn update(
        &self,
        cx: &Context,
        attrs: &InternetGatewayAttrs,
        spec: &InternetGatewaySpec,
        changes: &[Change],
    ) -> Result<InternetGatewayAttrs, Failure> {
        if changes.iter().any(|change| change.field() == "attached") {
            if spec.attached {
                self.attach(&attrs.id, &spec.vpc_id).await?;
            } else {
                self.detach(cx, &attrs.id, &attrs.vpc_id).await?;
            }
        }
        self.ec2.tag(cx, &attrs.id, &spec.tags, changes).await?;
        Ok(InternetGatewayAttrs { id: attrs.id.clone(), vpc_id: spec.vpc_id.clone() })
    }

    async fn wait_ready(&self, cx: &Context, attrs: InternetGatewayAttrs) -> Result<InternetGatewayAttrs, Failure> {
        wait_until_visible(cx, &attrs.id, |filters| self.describe(filters), "internet-gateway-id").await?;
        Ok(attrs)
    }

    async fn delete(&self, cx: &Context, attrs: &InternetGatewayAttrs) -> Result<(), Failure> {
        if !attrs.vpc_id.is_empty() {
            self.detach(cx, &attrs.id, &attrs.vpc_id).await?;
        }
        let call = self.ec2.client.delete_internet_gateway().internet_gateway_id(&attrs.id);
        call.send().await.for_operation("ec2:DeleteInternetGateway").map(drop)
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
    use aws_sdk_ec2::operation::attach_internet_gateway::AttachInternetGatewayOutput;
    use aws_sdk_ec2::operation::create_internet_gateway::CreateInternetGatewayOutput;
    use aws_sdk_ec2::operation::delete_internet_gateway::DeleteInternetGatewayOutput;
    use aws_sdk_ec2::operation::describe_internet_gateways::DescribeInternetGatewaysOutput;
    use aws_sdk_ec2::operation::describe_network_interfaces::DescribeNetworkInterfacesOutput;
    use aws_sdk_ec2::operation::describe_vpcs::DescribeVpcsOutput;
    use aws_sdk_ec2::operation::detach_internet_gateway::DetachInternetGatewayOutput;
    use aws_sdk_ec2::types::{InternetGatewayAttachment, NetworkInterface, NetworkInterfaceAssociation, Vpc};
    use aws_smithy_mocks::mock;
    use pb_aws::mock_client;

    fn spec() -> InternetGatewaySpec {
        InternetGatewaySpec { vpc_id: "vpc-1".to_owned(), attached: true, tags: plain_tags() }
    }

    fn gateways(attached: Option<&str>) -> DescribeInternetGatewaysOutput {
        let gateway = LiveGateway::builder().internet_gateway_id("igw-1").set_tags(Some(managed_tags()));
        let attachment = attached.map(|vpc| vec![InternetGatewayAttachment::builder().vpc_id(vpc).build()]);
        let gateway = gateway.set_attachments(attachment).build();
        DescribeInternetGatewaysOutput::builder().internet_gateways(gateway).build()
    }

    #[tokio::test(start_paused = true)]
    async fn gateway_create_sends_tags_and_attaches_once() {
        let none = mock!(Client::describe_internet_gateways).match_requests(|r| filters_by_tags(r.filters()));
        let none = none.then_output(|| DescribeInternetGatewaysOutput::builder().build());
        let create = mock!(Client::create_internet_gateway)
            .match_requests(|r| sends_managed_tags(r.tag_specifications(), &ResourceType::InternetGateway))
            .then_output(|| {
                let gateway = LiveGateway::builder().internet_gateway_id("igw-1").build();
                CreateInternetGatewayOutput::builder().internet_gateway(gateway).build()
            });
        // The first attach took effect, but its response was lost.
        let already = refusal("Resource.AlreadyAssociated", "resource igw-1 is already attached to network vpc-1");
        let attach = mock!(Client::attach_internet_gateway)
            .match_requests(|r| r.internet_gateway_id() == Some("igw-1") && r.vpc_id() == Some("vpc-1"));
        let attach = attach.sequence().http_status(500, None).http_status(400, already).build();
        let existing = mock!(Client::describe_internet_gateways)
            .match_requests(|r| has_filter(r.filters(), "internet-gateway-id", "igw-1"))
            .then_output(|| gateways(Some("vpc-1")));
        let client = mock_client!(aws_sdk_ec2, [&none, &create, &attach, &existing]);
        standalone(InternetGateway::new(client.into()), spec()).deploy().await.unwrap();
        assert_eq!((create.num_calls(), attach.num_calls()), (1, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn gateway_attached_to_another_vpc_fails_the_attach() {
        let none = mock!(Client::describe_internet_gateways).match_requests(|r| filters_by_tags(r.filters()));
        let none = none.then_output(|| DescribeInternetGatewaysOutput::builder().build());
        let create = mock!(Client::create_internet_gateway).then_output(|| {
            let gateway = LiveGateway::builder().internet_gateway_id("igw-1").build();
            CreateInternetGatewayOutput::builder().internet_gateway(gateway).build()
        });
        let already = refusal("Resource.AlreadyAssociated", "resource igw-1 is already attached to network vpc-2");
        let attach = mock!(Client::attach_internet_gateway).sequence().http_status(400, already).build();
        let existing = mock!(Client::describe_internet_gateways).then_output(|| gateways(Some("vpc-2")));
        let client = mock_client!(aws_sdk_ec2, [&none, &create, &attach, &existing]);
        let failure = standalone(InternetGateway::new(client.into()), spec()).deploy().await.unwrap_err();
        assert!(failure.is("Resource.AlreadyAssociated"), "{failure}");
    }

    #[tokio::test(start_paused = true)]
    async fn detached_gateway_is_reattached_not_replaced() {
        let detached = mock!(Client::describe_internet_gateways).then_output(|| gateways(None));
        let vpcs = mock!(Client::describe_vpcs)
            .then_output(|| DescribeVpcsOutput::builder().vpcs(Vpc::builder().vpc_id("vpc-1").build()).build());
        let attach = mock!(Client::attach_internet_gateway)
            .match_requests(|r| r.vpc_id() == Some("vpc-1"))
            .then_output(|| AttachInternetGatewayOutput::builder().build());
        let client = mock_client!(aws_sdk_ec2, [&detached, &vpcs, &attach]);
        let stack = standalone(InternetGateway::new(client.into()), spec());
        assert_eq!(changed_paths(&stack.plan().await.unwrap()), ["attached"]);
        stack.deploy().await.unwrap();
        assert_eq!(attach.num_calls(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn detached_gateway_is_attached_while_two_vpcs_exist() {
        let detached = mock!(Client::describe_internet_gateways).then_output(|| gateways(None));
        let vpcs = mock!(Client::describe_vpcs).then_output(|| {
            let vpc = |id: &str| Vpc::builder().vpc_id(id).build();
            DescribeVpcsOutput::builder().vpcs(vpc("vpc-0")).vpcs(vpc("vpc-1")).build()
        });
        let attach = mock!(Client::attach_internet_gateway)
            .match_requests(|r| r.internet_gateway_id() == Some("igw-1") && r.vpc_id() == Some("vpc-1"))
            .then_output(|| AttachInternetGatewayOutput::builder().build());
        let client = mock_client!(aws_sdk_ec2, [&detached, &vpcs, &attach]);
        let stack = standalone(InternetGateway::new(client.into()), spec());
        assert_eq!(changed_paths(&stack.plan().await.unwrap()), ["attached", "vpc_id"]);
        stack.deploy().await.unwrap();
        assert_eq!(attach.num_calls(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn gateway_delete_waits_for_public_addresses_and_names_them() {
        let existing = mock!(Client::describe_internet_gateways).then_output(|| gateways(Some("vpc-1")));
        let message = "Network vpc-1 has some mapped public address(es).";
        let detach = mock!(Client::detach_internet_gateway).sequence();
        let detach = detach.http_status(400, refusal("DependencyViolation", message));
        let detach = detach.output(|| DetachInternetGatewayOutput::builder().build()).build();
        let began = tokio::time::Instant::now();
        let interfaces = mock!(Client::describe_network_interfaces)
            .match_requests(|r| has_filter(r.filters(), "vpc-id", "vpc-1"))
            .then_compute_output(move |_| {
                let address = NetworkInterfaceAssociation::builder().public_ip("203.0.113.7").build();
                let public = NetworkInterface::builder().network_interface_id("eni-1").description("ELB app/w-public");
                let private = NetworkInterface::builder().network_interface_id("eni-2");
                let public = public.association(address).build();
                let public = (began.elapsed() < std::time::Duration::from_secs(60)).then_some(public);
                let all = public.into_iter().chain([private.build()]).collect();
                DescribeNetworkInterfacesOutput::builder().set_network_interfaces(Some(all)).build()
            });
        let delete =
            mock!(Client::delete_internet_gateway).then_output(|| DeleteInternetGatewayOutput::builder().build());
        let client = mock_client!(aws_sdk_ec2, [&existing, &detach, &interfaces, &delete]);
        let (stack, messages) = record_waiting(standalone(InternetGateway::new(client.into()), spec()));
        stack.destroy().await.unwrap();
        assert_eq!((detach.num_calls(), delete.num_calls()), (2, 1));
        let messages = messages.lock().unwrap().join("\n");
        assert!(messages.contains("mapped public address(es); still used by eni-1 (ELB app/w-public)"), "{messages}");
        assert!(!messages.contains("eni-2"), "{messages}");
    }

    #[tokio::test(start_paused = true)]
    async fn detached_gateway_is_deleted() {
        let existing = mock!(Client::describe_internet_gateways).then_output(|| gateways(Some("vpc-1")));
        let detach = mock!(Client::detach_internet_gateway).sequence();
        let detach = detach.http_status(400, refusal("Gateway.NotAttached", "not attached")).build();
        let delete =
            mock!(Client::delete_internet_gateway).then_output(|| DeleteInternetGatewayOutput::builder().build());
        let client = mock_client!(aws_sdk_ec2, [&existing, &detach, &delete]);
        standalone(InternetGateway::new(client.into()), spec()).destroy().await.unwrap();
        assert_eq!(delete.num_calls(), 1);
    }
}
