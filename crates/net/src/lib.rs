//! The network of a stack: VPC, internet gateway, subnets, routes, security groups and their rules.
//!
//! [`network()`] adds all of it to a graph and returns typed handles. Each kind can also be used alone; see the examples.

mod blockers;
mod default_group;
mod ec2;
mod groups;
mod interfaces;
mod internet_gateway;
mod network;
mod permission;
mod quotas;
mod roles;
mod route_table;
mod rule;
mod security_group;
mod spec;
mod subnet;
mod vpc;
mod web_rules;

#[cfg(test)]
mod testing;

pub use default_group::{DefaultSecurityGroup, DefaultSecurityGroupAttrs, DefaultSecurityGroupSpec};
pub use ec2::{Counts, Ec2};
pub use internet_gateway::{InternetGateway, InternetGatewayAttrs, InternetGatewaySpec};
pub use network::{Network, network};
pub use quotas::quota_usage;
pub use roles::Group;
pub use route_table::{RouteTable, RouteTableAttrs, RouteTableSpec};
pub use rule::{Direction, SecurityGroupRule, SecurityGroupRuleAttrs, SecurityGroupRuleSpec, same_rules};
pub use security_group::{SecurityGroup, SecurityGroupAttrs, SecurityGroupSpec};
pub use spec::{Egress, NetworkNames, NetworkSpec};
pub use subnet::{Subnet, SubnetAttrs, SubnetSpec};
pub use vpc::{Vpc, VpcAttrs, VpcSpec};
pub use web_rules::{is_web_rule, web_rules};
