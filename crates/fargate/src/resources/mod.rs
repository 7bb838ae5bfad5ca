//! The resource kinds, and the settings of a workload that its resources are made of.

pub(crate) mod checks;
pub(crate) mod cluster;
pub(crate) mod container;
pub(crate) mod foreign_services;
pub(crate) mod log_group;
pub(crate) mod release_command;
pub(crate) mod repository;
pub(crate) mod revision_in_use;
pub(crate) mod service;
pub(crate) mod task_definition;
pub(crate) mod workload;
