//! Validation records: CNAME records by which ACM recognizes that a name belongs to the account.

use hickory_resolver::proto::rr::{RData, RecordType};

use crate::Resolver;
use crate::query::{relative, shown};

/// The result of a check of a validation record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Validation {
    /// Public DNS has the record with the expected value.
    Visible,
    /// Public DNS has a record with another value.
    Other {
        /// The value.
        value: String,
    },
    /// Public DNS has no CNAME record of this name.
    Missing,
    /// No name server answered.
    Unknown {
        /// The reason.
        reason: String,
    },
}

impl Resolver {
    /// Returns the result of comparing the CNAME record of a name with the expected value.
    pub async fn cname(&self, name: &str, expected: &str) -> Validation {
        let records = match self.records(name, RecordType::CNAME).await {
            Ok(records) => records,
            Err(reason) => return Validation::Unknown { reason },
        };
        let wanted = relative(name);
        // A name has at most one CNAME record (RFC 2181, section 10.1); a name server may add those of its target.
        let value = records.iter().find_map(|record| match &record.data {
            RData::CNAME(target) if shown(&record.name) == wanted => Some(shown(&target.0)),
            _ => None,
        });
        match value {
            None => Validation::Missing,
            Some(value) if value == relative(expected) => Validation::Visible,
            Some(value) => Validation::Other { value },
        }
    }
}
