//! Addresses of the resources that [`QueueStack::add`](crate::QueueStack::add) adds to a graph.

/// Address of the subnet group.
pub const SUBNET_GROUP: &str = "redis/subnets";

/// Address of the parameter group.
pub const PARAMETER_GROUP: &str = "redis/parameters";

/// Address of the replication group.
pub const REPLICATION_GROUP: &str = "redis/jobqr";
