#![doc = include_str!("../README.md")]

mod clusters;
mod offers;
mod ownership;
mod parameter_group;
mod queue;
mod replication_group;
mod subnet_group;
mod tags;
#[cfg(test)]
mod testing;

pub use aws_sdk_elasticache::Client;
pub use offers::{Offered, offered};
pub use parameter_group::{ParameterGroup, ParameterGroupAttrs, ParameterGroupSpec};
pub use queue::{Queue, QueueInputs, QueueSpec, queue, queue_with};
pub use replication_group::{ReplicationGroup, ReplicationGroupAttrs, ReplicationGroupSpec};
pub use subnet_group::{SubnetGroup, SubnetGroupAttrs, SubnetGroupSpec};
