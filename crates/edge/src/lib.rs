#![doc = include_str!("../README.md")]

mod health;
mod healthy_targets;
mod listener;
mod listener_rule;
mod load_balancer;
mod load_balancers;
pub mod names;
mod quotas;
mod record;
mod routes;
mod stack;
mod tags;
mod target_group;
#[cfg(test)]
mod testing;
mod zone;

/// Client for load balancers, target groups, listeners and rules.
pub use aws_sdk_elasticloadbalancingv2::Client as LoadBalancerClient;
/// Client for records and hosted zones.
pub use aws_sdk_route53::Client as DnsClient;
pub use health::{TargetHealth, target_health};
pub use healthy_targets::{HealthyTargets, HealthyTargetsSpec};
pub use listener::{Listener, ListenerAttrs, ListenerSpec};
pub use listener_rule::{ListenerRule, ListenerRuleAttrs, ListenerRuleSpec};
pub use load_balancer::{LoadBalancer, LoadBalancerAttrs, LoadBalancerSpec};
pub use quotas::{load_balancer_count, quota_usage};
pub use record::{Record, RecordAttrs, RecordSpec, hostname_obstacles};
pub use routes::{Route, RouteSpec};
pub use stack::{EdgeInputs, EdgeSpec, EdgeStack};
pub use target_group::{HealthCheck, TargetGroup, TargetGroupAttrs, TargetGroupSpec};
pub use zone::{Zone, containing_zone, find_zone, find_zone_with};
