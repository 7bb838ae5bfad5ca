//! One workspace: its configuration, prerequisites, images and recorded names, and the context that commands share.

pub mod availability;
pub mod certificates;
pub mod context;
pub mod deployed;
pub mod deployed_certificates;
pub mod images;
pub mod lost_images;
pub mod name_zones;
pub mod preparation;
pub mod prerequisites;
pub mod public_dns;
pub mod queue_version;
pub mod quotas;
pub mod recorded_names;
pub mod role_permissions;
pub mod select;
pub mod stack_context;
pub mod tag_index;
pub mod untagged;
