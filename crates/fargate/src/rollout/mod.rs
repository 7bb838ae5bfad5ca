//! Rollouts: the wait for their end, their status, crash loops, the readiness of their tasks, the records of ECS, and the report of a failure.

pub(crate) mod crash_loop;
pub(crate) mod deployments;
pub(crate) mod diagnosis;
pub(crate) mod failure_report;
pub(crate) mod old_revisions;
pub(crate) mod poller;
pub(crate) mod readiness;
pub(crate) mod status;
pub(crate) mod wait;
