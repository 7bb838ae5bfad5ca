use super::*;
use crate::testing::{
    changed_paths, filters_by_tags, has_filter, managed_tags, plain_tags, record_waiting, refusal, sends_managed_tags,
    standalone,
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
    let modify = mock!(Client::modify_subnet_attribute).then_output(|| ModifySubnetAttributeOutput::builder().build());
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
    let other =
        mock!(Client::describe_subnets).then_output(|| subnets(&[live("subnet-9").cidr_block("10.0.0.0/20").build()]));
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

#[tokio::test(start_paused = true)]
async fn failed_subnet_ends_the_wait_with_the_remedy() {
    let none = mock!(Client::describe_subnets)
        .match_requests(|r| filters_by_tags(r.filters()) || has_filter(r.filters(), "vpc-id", "vpc-1"))
        .then_output(|| subnets(&[]));
    let create = mock!(Client::create_subnet)
        .then_output(|| CreateSubnetOutput::builder().subnet(live("subnet-1").build()).build());
    let failed = mock!(Client::describe_subnets)
        .match_requests(|r| has_filter(r.filters(), "subnet-id", "subnet-1"))
        .then_output(|| subnets(&[live("subnet-1").state(SubnetState::FailedInsufficientCapacity).build()]));
    let client = mock_client!(aws_sdk_ec2, [&none, &create, &failed]);
    let spec = SubnetSpec { public_addresses: None, ..spec() };
    let failure = standalone(Subnet::new(client.into()), spec).deploy().await.unwrap_err();
    assert_eq!(failure.message, "AWS could not create subnet-1 (failed-insufficient-capacity)");
    assert!(failure.hint.unwrap().contains("aws ec2 delete-subnet --subnet-id subnet-1"));
}
