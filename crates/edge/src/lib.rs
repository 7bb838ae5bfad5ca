#![doc = include_str!("../README.md")]

mod balancers;
mod front_door;
mod health;
mod healthy_targets;
mod listener;
mod listener_rule;
mod load_balancer;
mod quotas;
mod record;
mod routes;
mod tags;
mod target_group;
#[cfg(test)]
mod testing;
mod zone;

/// What the load balancer's kinds are reached through.
pub use aws_sdk_elasticloadbalancingv2::Client as BalancerClient;
/// What records and zones are reached through.
pub use aws_sdk_route53::Client as DnsClient;
pub use front_door::{Edge, EdgeInputs, EdgeSpec, front_door, front_door_with};
pub use health::{TargetHealth, target_health};
pub use healthy_targets::{HealthyTargets, HealthyTargetsSpec};
pub use listener::{Listener, ListenerAttrs, ListenerSpec};
pub use listener_rule::{ListenerRule, ListenerRuleAttrs, ListenerRuleSpec};
pub use load_balancer::{LoadBalancer, LoadBalancerAttrs, LoadBalancerSpec};
pub use quotas::quota_usage;
pub use record::{Record, RecordAttrs, RecordSpec};
pub use routes::{Route, RouteSpec};
pub use target_group::{Health, TargetGroup, TargetGroupAttrs, TargetGroupSpec};
pub use zone::{Zone, find_zone, find_zone_with};
