use super::*;
use crate::testing::{
    changed_paths, filters_by_tags, has_filter, managed_tags, plain_tags, refusal, sends_managed_tags, standalone,
};
use aws_sdk_ec2::Client;
use aws_sdk_ec2::operation::associate_route_table::AssociateRouteTableOutput;
use aws_sdk_ec2::operation::create_route::CreateRouteOutput;
use aws_sdk_ec2::operation::create_route_table::CreateRouteTableOutput;
use aws_sdk_ec2::operation::delete_route::DeleteRouteOutput;
use aws_sdk_ec2::operation::delete_route_table::DeleteRouteTableOutput;
use aws_sdk_ec2::operation::describe_route_tables::DescribeRouteTablesOutput;
use aws_sdk_ec2::operation::disassociate_route_table::DisassociateRouteTableOutput;
use aws_sdk_ec2::operation::replace_route::ReplaceRouteOutput;
use aws_sdk_ec2::operation::replace_route_table_association::ReplaceRouteTableAssociationOutput;
use aws_smithy_mocks::mock;
use pb_aws::mock_client;

fn spec() -> RouteTableSpec {
    RouteTableSpec {
        vpc_id: "vpc-1".to_owned(),
        routes: BTreeMap::from([("0.0.0.0/0".to_owned(), "igw-1".to_owned())]),
        subnets: BTreeSet::from(["subnet-1".to_owned()]),
        tags: plain_tags(),
    }
}

fn route(block: &str, gateway: &str, origin: RouteOrigin) -> Route {
    Route::builder().destination_cidr_block(block).gateway_id(gateway).origin(origin).build()
}

fn association(id: &str, subnet: &str) -> RouteTableAssociation {
    RouteTableAssociation::builder().route_table_association_id(id).subnet_id(subnet).build()
}

fn tables(id: &str, routes: Vec<Route>, associations: Vec<RouteTableAssociation>) -> DescribeRouteTablesOutput {
    let local = route("10.0.0.0/16", "local", RouteOrigin::CreateRouteTable);
    let table = Live::builder().route_table_id(id).vpc_id("vpc-1").set_tags(Some(managed_tags())).routes(local);
    let table = routes.into_iter().fold(table, aws_sdk_ec2::types::builders::RouteTableBuilder::routes);
    let table = table.set_associations(Some(associations)).build();
    DescribeRouteTablesOutput::builder().route_tables(table).build()
}

#[tokio::test(start_paused = true)]
async fn route_table_create_sends_a_token_and_takes_over_subnets() {
    let none = mock!(Client::describe_route_tables).match_requests(|r| filters_by_tags(r.filters()));
    let none = none.then_output(|| DescribeRouteTablesOutput::builder().build());
    let create = mock!(Client::create_route_table)
        .match_requests(|r| {
            r.client_token().is_some_and(|token| token.len() == 32)
                && r.vpc_id() == Some("vpc-1")
                && sends_managed_tags(r.tag_specifications(), &ResourceType::RouteTable)
        })
        .then_output(|| {
            let table = Live::builder().route_table_id("rtb-1").build();
            CreateRouteTableOutput::builder().route_table(table).build()
        });
    let exists = refusal("RouteAlreadyExists", "The route identified by 0.0.0.0/0 already exists.");
    let unattached = "route table rtb-1 and network gateway igw-1 belong to different networks";
    let unattached = refusal("InvalidParameterValue", unattached);
    let route = mock!(Client::create_route).sequence().http_status(400, unattached);
    let route = route.http_status(400, exists).build();
    let replace = mock!(Client::replace_route)
        .match_requests(|r| r.gateway_id() == Some("igw-1") && r.destination_cidr_block() == Some("0.0.0.0/0"))
        .then_output(|| ReplaceRouteOutput::builder().build());
    let elsewhere = refusal("Resource.AlreadyAssociated", "conflicts with an existing association");
    let associate = mock!(Client::associate_route_table).sequence().http_status(400, elsewhere).build();
    let other = mock!(Client::describe_route_tables)
        .match_requests(|r| has_filter(r.filters(), "association.subnet-id", "subnet-1"))
        .then_output(|| tables("rtb-9", vec![], vec![association("rtbassoc-9", "subnet-1")]));
    let take = mock!(Client::replace_route_table_association)
        .match_requests(|r| r.association_id() == Some("rtbassoc-9") && r.route_table_id() == Some("rtb-1"))
        .then_output(|| ReplaceRouteTableAssociationOutput::builder().build());
    // For a moment, a describe call does not return the new table.
    let visible = mock!(Client::describe_route_tables)
        .match_requests(|r| has_filter(r.filters(), "route-table-id", "rtb-1"))
        .sequence()
        .output(|| DescribeRouteTablesOutput::builder().build())
        .output(|| tables("rtb-1", vec![], vec![]))
        .build();
    let rules = [&none, &create, &route, &replace, &associate, &other, &take, &visible];
    let client = mock_client!(aws_sdk_ec2, rules);
    standalone(RouteTable::new(client.into()), spec()).deploy().await.unwrap();
    assert_eq!((replace.num_calls(), take.num_calls(), visible.num_calls()), (1, 1, 2));
}

#[tokio::test(start_paused = true)]
async fn routes_added_by_aws_are_no_change() {
    let existing = mock!(Client::describe_route_tables).then_output(|| {
        let endpoint = Route::builder().destination_prefix_list_id("pl-1").gateway_id("vpce-1");
        let routes = vec![
            route("0.0.0.0/0", "igw-1", RouteOrigin::CreateRoute),
            route("172.16.0.0/12", "vgw-1", RouteOrigin::EnableVgwRoutePropagation),
            endpoint.origin(RouteOrigin::CreateRoute).build(),
        ];
        tables("rtb-1", routes, vec![association("rtbassoc-1", "subnet-1")])
    });
    let client = mock_client!(aws_sdk_ec2, [&existing]);
    assert!(standalone(RouteTable::new(client.into()), spec()).plan().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn route_table_update_calls_only_what_changed() {
    let existing = mock!(Client::describe_route_tables).then_output(|| {
        let surplus = route("192.0.2.0/24", "igw-1", RouteOrigin::CreateRoute);
        tables("rtb-1", vec![surplus], vec![association("rtbassoc-2", "subnet-2")])
    });
    let create = mock!(Client::create_route).then_output(|| CreateRouteOutput::builder().build());
    let delete = mock!(Client::delete_route)
        .match_requests(|r| r.destination_cidr_block() == Some("192.0.2.0/24"))
        .then_output(|| DeleteRouteOutput::builder().build());
    let associate = mock!(Client::associate_route_table)
        .match_requests(|r| r.subnet_id() == Some("subnet-1"))
        .then_output(|| AssociateRouteTableOutput::builder().build());
    let disassociate = mock!(Client::disassociate_route_table)
        .match_requests(|r| r.association_id() == Some("rtbassoc-2"))
        .then_output(|| DisassociateRouteTableOutput::builder().build());
    let client = mock_client!(aws_sdk_ec2, [&existing, &create, &delete, &associate, &disassociate]);
    let stack = standalone(RouteTable::new(client.into()), spec());
    let plan = stack.plan().await.unwrap();
    assert_eq!(changed_paths(&plan), [r#"routes["0.0.0.0/0"]"#, r#"routes["192.0.2.0/24"]"#, "subnets"]);
    stack.deploy().await.unwrap();
    for rule in [create, delete, associate, disassociate] {
        assert_eq!(rule.num_calls(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn route_table_is_disassociated_before_its_delete() {
    let existing = mock!(Client::describe_route_tables)
        .then_output(|| tables("rtb-1", vec![], vec![association("rtbassoc-1", "subnet-1")]));
    // The subnet was deleted in the meantime, together with its association.
    let gone = refusal("InvalidAssociationID.NotFound", "The association ID 'rtbassoc-1' does not exist");
    let disassociate = mock!(Client::disassociate_route_table).sequence().http_status(400, gone).build();
    let delete = mock!(Client::delete_route_table).then_output(|| DeleteRouteTableOutput::builder().build());
    let client = mock_client!(aws_sdk_ec2, [&existing, &disassociate, &delete]);
    standalone(RouteTable::new(client.into()), spec()).destroy().await.unwrap();
    assert_eq!((disassociate.num_calls(), delete.num_calls()), (1, 1));
}
