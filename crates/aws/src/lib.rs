//! What every crate that talks to AWS needs: one way in, and one way to say what went wrong.
//!
//! [`connect()`] makes the configuration that all clients share: one connection pool, one set of credentials, the SDK's own
//! conventions for profiles, regions and endpoints. [`Answer`] turns an SDK error into a [`Failure`](pb_engine::Failure) of
//! the right class. Nothing here names a service.

mod access;
mod connect;
mod failure;
mod http_client;
#[doc(hidden)]
pub mod mock;
mod rate_limit;

pub use access::check_access;
pub use connect::{Access, connect, no_retry, retries, timeouts};
pub use failure::{ForOperation, classify};

use std::collections::BTreeMap;

/// Tags of any service as a map, from pairs of key and value; pairs without a key are left out.
pub fn tag_map<'a>(pairs: impl IntoIterator<Item = (Option<&'a str>, Option<&'a str>)>) -> BTreeMap<String, String> {
    let full =
        pairs.into_iter().filter_map(|(key, value)| Some((key?.to_owned(), value.unwrap_or_default().to_owned())));
    full.collect()
}
