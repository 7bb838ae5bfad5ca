#![doc = include_str!("../README.md")]

mod clusters;
pub mod names;
mod nodes;
mod offerings;
mod ownership;
mod parameter_group;
mod quotas;
mod replication_group;
mod stack;
mod subnet_group;
mod tags;
#[cfg(test)]
mod testing;

pub use aws_sdk_elasticache::Client;
pub use nodes::{QueueNode, queue_nodes};
pub use offerings::{
    Offer, Offerings, UNLISTED_VERSION, Unavailable, VersionOffer, newest_version, offerings, unavailable,
};
pub use parameter_group::{ParameterGroup, ParameterGroupAttrs, ParameterGroupSpec};
pub use quotas::{node_count, quota_usage};
pub use replication_group::{ReplicationGroup, ReplicationGroupAttrs, ReplicationGroupSpec};
pub use stack::{QueueInputs, QueueSpec, QueueStack};
pub use subnet_group::{SubnetGroup, SubnetGroupAttrs, SubnetGroupSpec};
