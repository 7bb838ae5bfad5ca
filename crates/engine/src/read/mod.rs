//! Reads of the managed resources, and the caches and indexes that save calls.

pub(crate) mod checks;
pub(crate) mod list;
pub(crate) mod observe;
pub(crate) mod request_cache;
pub(crate) mod tag_index;
