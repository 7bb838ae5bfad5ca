//! Foundation of all crates that call AWS: connection settings and error conversion.
//!
//! [`connect()`] creates the configuration that all clients share: one connection pool, one set of credentials, and the
//! SDK's conventions for profiles, regions and endpoints. [`ForOperation`] converts an SDK error into a
//! [`Failure`](pb_engine::Failure) of the matching class. The rate limit of Route 53 is the only part that depends on a
//! particular service.

mod access;
mod cli;
mod connect;
mod connection_fault;
mod credentials;
mod endpoints;
mod environment;
mod failure;
mod hints;
mod http_client;
#[doc(hidden)]
pub mod mock;
mod profiles;
mod proxy;
mod rate_limit;
mod trust;

pub use cli::in_region;
pub use connect::{Access, Connection, connect, no_retry, retries, timeouts};
pub use credentials::IneffectiveKey;
pub use endpoints::endpoint_url;
pub use environment::Environment;
pub use failure::{ForOperation, classify};

use std::collections::BTreeMap;

/// Converts the tags of any service into a map. Skips pairs without a key.
pub fn tag_map<'a>(pairs: impl IntoIterator<Item = (Option<&'a str>, Option<&'a str>)>) -> BTreeMap<String, String> {
    let full =
        pairs.into_iter().filter_map(|(key, value)| Some((key?.to_owned(), value.unwrap_or_default().to_owned())));
    full.collect()
}
