//! Environment variables that select credentials, endpoints, proxies and certificates.

use std::collections::BTreeMap;
use std::fmt;

/// Environment variables of the program. This crate does not read the environment, except that the SDK finds its files
/// and its credentials there: the program passes the variables.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Returns the value of a variable that is set and not empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    /// Returns whether a variable is set, even if it is empty.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Returns whether the environment contains access keys, which take precedence over `AWS_PROFILE`.
    pub(crate) fn has_access_keys(&self) -> bool {
        self.get("AWS_ACCESS_KEY_ID").is_some()
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        Self(variables.into_iter().collect())
    }
}

/// Shows the names only, because the values contain secrets.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::Environment;

    #[test]
    fn debug_output_contains_no_values() {
        let variables = [("AWS_SECRET_ACCESS_KEY".to_owned(), "hush".to_owned())];
        let text = format!("{:?}", Environment::from_iter(variables));
        assert!(text.contains("AWS_SECRET_ACCESS_KEY") && !text.contains("hush"), "{text}");
    }
}
