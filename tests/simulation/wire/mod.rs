//! The protocols of AWS, between bytes and JSON values: what a client sends becomes a [`Call`], what the world answers
//! becomes what the client expects.

mod request;
mod response;

pub use request::{Call, Protocol};
pub use response::{answer, refusal};
