#![doc = include_str!("../README.md")]

mod certificate;
mod certificates;
mod health;
mod healthy_targets;
mod https;
mod listener;
mod listener_certificate;
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
mod tls_settings;
mod validation;
mod zone;

/// Client for certificates.
pub use aws_sdk_acm::Client as CertificateClient;
/// Client for load balancers, target groups, listeners and rules.
pub use aws_sdk_elasticloadbalancingv2::Client as LoadBalancerClient;
/// Client for records and hosted zones.
pub use aws_sdk_route53::Client as DnsClient;
pub use certificate::prospects::{Prospects, validation_prospects};
pub use certificate::status::{CertificateStatus, UnvalidatedName, certificate_count};
pub use certificate::{Certificate, CertificateAttrs, CertificateSpec};
pub use health::{TargetHealth, target_health};
pub use healthy_targets::{HealthyTargets, HealthyTargetsSpec};
pub use https::{CertificateSource, HttpsSpec, HttpsStack};
pub use listener::{Listener, ListenerAttrs, ListenerSpec};
pub use listener_certificate::{ListenerCertificate, ListenerCertificateSpec};
pub use listener_rule::{ListenerRule, ListenerRuleAttrs, ListenerRuleSpec, Redirect};
pub use load_balancer::{LoadBalancer, LoadBalancerAttrs, LoadBalancerSpec};
pub use quotas::{load_balancer_count, quota_usage};
pub use record::{Record, RecordAttrs, RecordSpec, hostname_obstacles};
pub use routes::{Route, RouteSpec};
pub use stack::{EdgeClients, EdgeInputs, EdgeSpec, EdgeStack};
pub use target_group::{HealthCheck, TargetGroup, TargetGroupAttrs, TargetGroupSpec};
pub use tls_settings::{UnusableSetting, policy_problem, unusable_settings};
pub use validation::{Validation, ValidationAttrs, ValidationSpec};
pub use zone::{Zone, containing_zone, find_zone, find_zone_with, zone_of};
