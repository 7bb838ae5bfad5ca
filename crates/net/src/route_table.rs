//! Route tables, with their routes and the subnets that use them.

use aws_sdk_ec2::types::{
    Filter, ResourceType, Route, RouteOrigin, RouteTable as Live, RouteTableAssociation, RouteTableAssociationStateCode,
};
use futures_util::future::{try_join, try_join_all};
use pb_aws::ForOperation;
use pb_engine::{Change, Class, Context, Failure, Found, Ownership, ReadScope, Resource, is_unknown, unknown};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

use crate::ec2::{
    Ec2, check_tags, describe_by, filter, ignore_not_found, missing_field, missing_ids, ownership_filters, tag_map,
    tag_specification, wait_until_visible,
};

/// Resource kind for route tables, including their routes and the subnets that use them.
pub struct RouteTable {
    ec2: Ec2,
}

/// Spec of a route table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteTableSpec {
    /// Id of the table's VPC.
    pub vpc_id: String,
    /// Targets of the routes by CIDR block, such as `igw-...` for `0.0.0.0/0`; without the routes that AWS adds itself.
    pub routes: BTreeMap<String, String>,
    /// Ids of the subnets that use the table.
    pub subnets: BTreeSet<String>,
    /// Tags other than the ownership tags.
    pub tags: BTreeMap<String, String>,
}

/// Attributes of a route table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteTableAttrs {
    /// Id of the table, `rtb-...`.
    pub id: String,
}

impl RouteTable {
    /// Creates the resource kind, which makes its calls through `ec2`.
    pub fn new(ec2: Ec2) -> Self {
        Self { ec2 }
    }

    async fn describe(&self, filters: Vec<Filter>) -> Result<Vec<Live>, Failure> {
        let pages = self.ec2.client.describe_route_tables().set_filters(Some(filters)).into_paginator().items().send();
        pages.try_collect().await.for_operation("ec2:DescribeRouteTables")
    }

    async fn create_route(&self, id: &str, block: &str, target: &str) -> Result<(), Failure> {
        let call = self.ec2.client.create_route().route_table_id(id).destination_cidr_block(block).gateway_id(target);
        match call.send().await.for_operation("ec2:CreateRoute") {
            Err(failure) if failure.is("RouteAlreadyExists") => self.replace_route(id, block, target).await,
            // The gateway was attached only a moment ago, and the attachment is not visible everywhere in EC2 yet.
            Err(failure) if failure.message.contains("belong to different networks") => {
                Err(failure.class(Class::NotFound))
            }
            answer => answer.map(drop),
        }
    }

    async fn replace_route(&self, id: &str, block: &str, target: &str) -> Result<(), Failure> {
        let call = self.ec2.client.replace_route().route_table_id(id).destination_cidr_block(block).gateway_id(target);
        call.send().await.for_operation("ec2:ReplaceRoute").map(drop)
    }

    async fn delete_route(&self, id: &str, block: &str) -> Result<(), Failure> {
        let call = self.ec2.client.delete_route().route_table_id(id);
        let call = match block.contains(':') {
            true => call.destination_ipv6_cidr_block(block),
            false => call.destination_cidr_block(block),
        };
        ignore_not_found(call.send().await.for_operation("ec2:DeleteRoute").map(drop), &["InvalidRoute.NotFound"])
    }

    /// Associates the subnet with this table, even if the subnet is associated with another table.
    async fn associate(&self, id: &str, subnet: &str) -> Result<(), Failure> {
        let call = self.ec2.client.associate_route_table().route_table_id(id).subnet_id(subnet);
        let refused = match call.send().await.for_operation("ec2:AssociateRouteTable") {
            Err(refused) if refused.is("Resource.AlreadyAssociated") => refused,
            answer => return answer.map(drop),
        };
        let tables = self.describe(vec![filter("association.subnet-id", [subnet])]).await?;
        let mut all = tables.iter().flat_map(associations);
        let Some((association, _)) = all.find(|(_, used_by)| *used_by == subnet) else { return Err(refused) };
        if tables.iter().any(|table| table.route_table_id() == Some(id)) {
            return Ok(());
        }
        let call = self.ec2.client.replace_route_table_association().route_table_id(id).association_id(association);
        call.send().await.for_operation("ec2:ReplaceRouteTableAssociation").map(drop)
    }

    async fn disassociate(&self, association: &str) -> Result<(), Failure> {
        let call = self.ec2.client.disassociate_route_table().association_id(association);
        let answer = call.send().await.for_operation("ec2:DisassociateRouteTable").map(drop);
        ignore_not_found(answer, &["InvalidAssociationID.NotFound"])
    }

    async fn sync_routes(&self, live: &Live, id: &str, wanted: &BTreeMap<String, String>) -> Result<(), Failure> {
        let live_entries = routes(live);
        let extra = live_entries.keys().filter(|block| !wanted.contains_key(*block));
        try_join_all(extra.map(|block| self.delete_route(id, block))).await?;
        let differs = wanted.iter().filter(|(block, target)| live_entries.get(*block) != Some(target));
        try_join_all(differs.map(|(block, target)| async {
            match live_entries.contains_key(block) {
                true => self.replace_route(id, block, target).await,
                false => self.create_route(id, block, target).await,
            }
        }))
        .await
        .map(drop)
    }

    async fn sync_subnets(&self, live: &Live, id: &str, wanted: &BTreeSet<String>) -> Result<(), Failure> {
        let live_entries: Vec<(&str, &str)> = associations(live).collect();
        let extra = live_entries.iter().filter(|(_, subnet)| !wanted.contains(*subnet));
        try_join_all(extra.map(|(association, _)| self.disassociate(association))).await?;
        let missing = wanted.iter().filter(|subnet| !live_entries.iter().any(|(_, used_by)| used_by == subnet));
        try_join_all(missing.map(|subnet| self.associate(id, subnet))).await.map(drop)
    }
}

/// Returns the targets of the routes that a user created, by CIDR block. Left out are the local and the propagated
/// routes, which AWS adds itself, and the routes to a prefix list, which belong to a gateway endpoint.
fn routes(live: &Live) -> BTreeMap<String, String> {
    let made = live.routes().iter().filter(|route| route.origin() == Some(&RouteOrigin::CreateRoute));
    made.filter_map(|route| {
        let block = route.destination_cidr_block().or(route.destination_ipv6_cidr_block())?;
        Some((block.to_owned(), target(route).unwrap_or("nothing").to_owned()))
    })
    .collect()
}

fn target(route: &Route) -> Option<&str> {
    // A route to an instance also contains the id of the instance's network interface.
    let targets = [
        route.gateway_id(),
        route.nat_gateway_id(),
        route.network_interface_id(),
        route.instance_id(),
        route.transit_gateway_id(),
        route.vpc_peering_connection_id(),
        route.egress_only_internet_gateway_id(),
        route.local_gateway_id(),
        route.carrier_gateway_id(),
        route.core_network_arn(),
    ];
    targets.into_iter().flatten().next()
}

/// Returns the association id and the subnet id of each active association of a table with a subnet.
fn associations(live: &Live) -> impl Iterator<Item = (&str, &str)> {
    use RouteTableAssociationStateCode as State;
    let is_active = |association: &&RouteTableAssociation| {
        let state = association.association_state().and_then(|state| state.state());
        !matches!(state, Some(State::Disassociating | State::Disassociated | State::Failed))
    };
    let active = live.associations().iter().filter(is_active);
    active.filter_map(|association| Some((association.route_table_association_id()?, association.subnet_id()?)))
}

fn classify(scope: &ReadScope<RouteTable>, live: &Live) -> Option<Found<RouteTable>> {
    let (tags, id) = (tag_map(live.tags()), live.route_table_id()?);
    let address = scope.managed_address(&tags, &[id])?;
    let spec = RouteTableSpec {
        vpc_id: live.vpc_id().unwrap_or_default().to_owned(),
        routes: routes(live),
        subnets: associations(live).map(|(_, subnet)| subnet.to_owned()).collect(),
        tags: Ownership::user_tags(&tags),
    };
    Some(Found::Managed { address, spec, attrs: RouteTableAttrs { id: id.to_owned() }, ready: true })
}

fn untagged(scope: &ReadScope<RouteTable>, live: &Live) -> Option<Found<RouteTable>> {
    scope.untagged(&tag_map(live.tags()), &RouteTableAttrs { id: live.route_table_id()?.to_owned() })
}

impl Resource for RouteTable {
    const KIND: &'static str = "ec2.route_table";
    const BLOCKS_DELETION_OF: &'static [&'static str] = &["ec2.vpc"];
    /// A client token identifies only one run, so another run would create a second table.
    const UNIQUE_NAME: bool = false;
    type Spec = RouteTableSpec;
    type Attrs = RouteTableAttrs;

    fn validate(spec: &RouteTableSpec) -> Result<(), String> {
        for (block, target) in &spec.routes {
            pb_rules::network::cidr(block).map_err(|e| format!("invalid route destination: {e}"))?;
            let gateway = target.starts_with("igw-") || target.starts_with("vgw-") || is_unknown(target);
            if !gateway {
                return Err(format!(
                    "invalid route target: `{target}` is neither an internet gateway nor a VPN gateway"
                ));
            }
        }
        check_tags(&spec.tags)
    }

    fn planned_attrs(_: &RouteTableSpec) -> RouteTableAttrs {
        RouteTableAttrs { id: unknown() }
    }

    fn requires_replacement(field: &str) -> bool {
        field == "vpc_id"
    }

    fn can_coexist(_: &RouteTableSpec, _: &RouteTableSpec) -> bool {
        true
    }

    fn id(attrs: &RouteTableAttrs) -> Option<String> {
        Some(attrs.id.clone())
    }

    async fn read(&self, scope: &ReadScope<Self>) -> Result<Vec<Found<Self>>, Failure> {
        let mut live = self.describe(ownership_filters(scope.owner())).await?;
        let seen: Vec<&str> = live.iter().filter_map(Live::route_table_id).collect();
        let ids = missing_ids(scope, |attrs| &attrs.id, &seen);
        live.extend(describe_by("route-table-id", &ids, |filters| self.describe(filters)).await?);
        let untagged = live.iter().filter_map(|live| untagged(scope, live));
        Ok(live.iter().filter_map(|live| classify(scope, live)).chain(untagged).collect())
    }

    async fn create(&self, cx: &Context, spec: &RouteTableSpec) -> Result<RouteTableAttrs, Failure> {
        const CALL: &str = "ec2:CreateRouteTable";
        let call = self.ec2.client.create_route_table().vpc_id(&spec.vpc_id).client_token(cx.client_token());
        let call = call.tag_specifications(tag_specification(cx, ResourceType::RouteTable, &spec.tags));
        let answer = call.send().await.for_operation(CALL)?;
        let id = answer.route_table().and_then(Live::route_table_id);
        Ok(RouteTableAttrs { id: id.ok_or_else(|| missing_field(CALL, "route table id"))?.to_owned() })
    }

    async fn configure(&self, _: &Context, attrs: &RouteTableAttrs, spec: &RouteTableSpec) -> Result<(), Failure> {
        let routes = spec.routes.iter().map(|(block, target)| self.create_route(&attrs.id, block, target));
        let subnets = spec.subnets.iter().map(|subnet| self.associate(&attrs.id, subnet));
        try_join(try_join_all(routes), try_join_all(subnets)).await.map(drop)
    }

    async fn update(
        &self,
        cx: &Context,
        attrs: &RouteTableAttrs,
        spec: &RouteTableSpec,
        changes: &[Change],
    ) -> Result<RouteTableAttrs, Failure> {
        let changed = |field| changes.iter().any(|change| change.field() == field);
        if changed("routes") || changed("subnets") {
            let live = self.describe(vec![filter("route-table-id", [&attrs.id])]).await?;
            let live = live.first().ok_or_else(|| {
                Failure::new(Class::NotFound, "ec2:DescribeRouteTables", format!("route table {} not found", attrs.id))
            })?;
            if changed("routes") {
                self.sync_routes(live, &attrs.id, &spec.routes).await?;
            }
            if changed("subnets") {
                self.sync_subnets(live, &attrs.id, &spec.subnets).await?;
            }
        }
        self.ec2.tag(cx, &attrs.id, &spec.tags, changes).await?;
        Ok(attrs.clone())
    }

    async fn wait_ready(&self, cx: &Context, attrs: RouteTableAttrs) -> Result<RouteTableAttrs, Failure> {
        wait_until_visible(cx, &attrs.id, |filters| self.describe(filters), "route-table-id").await?;
        Ok(attrs)
    }

    async fn delete(&self, _: &Context, attrs: &RouteTableAttrs) -> Result<(), Failure> {
        let live = self.describe(vec![filter("route-table-id", [&attrs.id])]).await?;
        let all = live.iter().flat_map(associations);
        try_join_all(all.map(|(association, _)| self.disassociate(association))).await?;
        let call = self.ec2.client.delete_route_table().route_table_id(&attrs.id);
        call.send().await.for_operation("ec2:DeleteRouteTable").map(drop)
    }

    async fn adopt(&self, cx: &Context, attrs: &Self::Attrs) -> Result<(), Failure> {
        self.ec2.adopt(cx, &attrs.id).await
    }

    async fn forget(&self, _: &Context, attrs: &Self::Attrs) -> Result<(), Failure> {
        self.ec2.forget(&attrs.id).await
    }
}

#[cfg(test)]
mod tests;
