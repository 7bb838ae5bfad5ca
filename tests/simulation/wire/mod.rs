//! AWS protocols: requests of a client are parsed into a [`Call`], and results of the account are serialized into
//! responses.

mod request;
mod response;

pub use request::{Call, Protocol};
pub use response::{refusal, success};
