//! Settings of HTTPS.

use std::collections::BTreeMap;

use serde::Serialize;

/// Settings of HTTPS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Https {
    /// ARN of an existing certificate; with `None`, the workspace has certificates of its own.
    pub certificate_arn: Option<String>,
    /// All names that the certificate must contain: the hostname of the workspace, the hosts of its web services, and
    /// the further hostnames.
    pub certificate_names: Vec<String>,
    /// Further hostnames, for each of which a DNS record is created.
    pub names: Vec<String>,
    /// Ids of the hosted zones of some names, by name.
    pub zones: BTreeMap<String, String>,
    /// TLS policy of the listener.
    pub policy: String,
    /// Value of the header `Strict-Transport-Security`; `None` means that the header is not managed.
    pub hsts: Option<String>,
    /// Redirects the requests on port 80 to HTTPS.
    pub redirect: bool,
}
