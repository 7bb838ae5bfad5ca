//! Network of a stack: VPC, internet gateway, subnets, routes, security groups and their rules.
//!
//! [`NetworkStack::add`] adds all of these to a graph and returns typed handles. Each resource kind can also be used on
//! its own; see the examples.

mod blockers;
mod default_group;
mod ec2;
mod group_calls;
mod interfaces;
mod internet_gateway;
pub mod names;
mod permission;
mod quotas;
mod route_table;
mod rule;
mod security_group;
mod security_groups;
mod spec;
mod stack;
mod subnet;
mod vpc;
mod web_rules;

#[cfg(test)]
mod testing;

pub use default_group::{DefaultSecurityGroup, DefaultSecurityGroupAttrs, DefaultSecurityGroupSpec};
pub use ec2::{Counts, Ec2};
pub use internet_gateway::{InternetGateway, InternetGatewayAttrs, InternetGatewaySpec};
pub use names::is_web_rule;
pub use quotas::{quota_usage, region_usage};
pub use route_table::{RouteTable, RouteTableAttrs, RouteTableSpec};
pub use rule::{Direction, SecurityGroupRule, SecurityGroupRuleAttrs, SecurityGroupRuleSpec, matching_rules};
pub use security_group::{SecurityGroup, SecurityGroupAttrs, SecurityGroupSpec};
pub use security_groups::GroupHandles;
pub use spec::{Egress, NetworkNames, NetworkSpec};
pub use stack::NetworkStack;
pub use subnet::{Subnet, SubnetAttrs, SubnetSpec};
pub use vpc::{Vpc, VpcAttrs, VpcSpec};
pub use web_rules::web_rules;
