//! Data that the reads of all resource kinds share.

use crate::model::address::Address;
use crate::read::request_cache::RequestCache;
use crate::read::tag_index::TrustedTags;
use serde_json::Value;
use std::sync::Arc;

/// Data that the reads of all resource kinds share.
#[derive(Clone, Default)]
pub(crate) struct Shared {
    /// The desired specs of the resources of all kinds.
    pub desired: Arc<Vec<KindValue>>,
    /// The recorded attributes of the resources of all kinds.
    pub recorded: Arc<Vec<KindValue>>,
    pub trusted: Arc<TrustedTags>,
    pub cache: Arc<RequestCache>,
}

/// The spec or the attributes of one resource.
pub(crate) struct KindValue {
    pub kind: String,
    pub address: Address,
    pub value: Value,
}
