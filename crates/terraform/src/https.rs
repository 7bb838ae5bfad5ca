//! HTTPS settings of a stack, as far as its state shows them.

use crate::mapping::certificates::{is_requested, names};
use crate::state::Resource;
use std::collections::BTreeSet;

/// HTTPS settings of a stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpsSettings {
    /// ARN of the default certificate.
    pub certificate_arn: Option<String>,
    /// Names of the certificate, if it is in the state and could be imported.
    pub names: Option<BTreeSet<String>>,
    /// TLS policy.
    pub policy: Option<String>,
    /// Set if HTTP requests are redirected.
    pub redirects: bool,
}

impl HttpsSettings {
    /// Returns the settings of the HTTPS listener that is one of `listeners`, the addresses of a difference.
    #[must_use]
    pub fn of(resources: &[Resource], listeners: &[String], redirects: bool) -> Option<Self> {
        let mut found = resources.iter().filter(|one| listeners.contains(&one.address));
        let listener = found.find(|one| one.attribute("protocol") == Some("HTTPS"))?;
        let certificate_arn = listener.attribute("certificate_arn").map(str::to_owned);
        let is_used = |one: &&Resource| {
            one.kind == "aws_acm_certificate" && !one.deposed && Some(&one.id) == certificate_arn.as_ref()
        };
        let certificate = resources.iter().find(is_used).filter(|certificate| is_requested(certificate));
        Some(Self {
            names: certificate.map(names),
            certificate_arn,
            policy: listener.attribute("ssl_policy").map(str::to_owned),
            redirects,
        })
    }
}
