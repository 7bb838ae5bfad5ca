//! Addresses of resources inside a stack.

use serde::{Deserialize, Serialize};
use std::borrow::Borrow;
use std::fmt;

/// The name of a resource inside a stack: `concern/name`, such as `net/vpc`. The author of the stack chooses it. It is
/// stored in an ownership tag and is never reused for another resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address(String);

/// The error for a string that is not a valid address.
#[derive(Debug, thiserror::Error)]
#[error("invalid address {0:?}: expected `concern/name` in lower-case letters, digits, `_` and `-`")]
pub struct InvalidAddress(String);

impl Address {
    /// Parses an address.
    ///
    /// # Errors
    /// If `text` does not have the form `concern/name`.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidAddress> {
        let text = text.into();
        let fits = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
        };
        match text.split_once('/') {
            Some((concern, name)) if fits(concern) && fits(name) => Ok(Self(text)),
            _ => Err(InvalidAddress(text)),
        }
    }

    /// Returns the address as a string.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Lets maps with addresses as keys be searched by string.
impl Borrow<str> for Address {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for Address {
    type Error = InvalidAddress;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(text)
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.0
    }
}

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn address_needs_a_concern_and_a_name() {
        assert_eq!(Address::new("net/vpc").unwrap().as_str(), "net/vpc");
        for bad in ["", "net", "net/", "/vpc", "net/Vpc", "net/a b", "net/a/b"] {
            assert!(Address::new(bad).is_err(), "{bad:?} was accepted");
        }
    }
}
