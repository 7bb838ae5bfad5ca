//! Addresses of the resources that [`EdgeStack::add`](crate::EdgeStack::add) adds to a graph.

/// Prefix of all addresses.
const CONCERN: &str = "edge/";

/// Address of the load balancer.
pub const LOAD_BALANCER: &str = "edge/balancer";

/// Address of the target group of requests that match no rule.
pub const TARGETS: &str = "edge/targets";

/// Address of the listener.
pub const LISTENER: &str = "edge/listener";

/// Address of the HTTPS listener.
pub const LISTENER_HTTPS: &str = "edge/listener_https";

/// Address of the rule of the HTTP listener that redirects requests to HTTPS.
pub const REDIRECT: &str = "edge/redirect";

/// Address of the first certificate.
pub const CERTIFICATE: &str = "edge/certificate";

/// Address of the record of the permanent hostname.
pub const RECORD: &str = "edge/record";

/// Returns the address of the target group of the web service with this key: `edge/api_targets` for `api`.
#[must_use]
pub fn route_targets(key: &str) -> String {
    format!("{CONCERN}{key}_targets")
}

/// Returns the address of the listener rule of the web service with this key: `edge/api_rule` for `api`.
#[must_use]
pub fn route_rule(key: &str) -> String {
    format!("{CONCERN}{key}_rule")
}

/// Returns the address of the record of another host: `edge/record_api_example_org` for `api.example.org`.
#[must_use]
pub fn route_record(host: &str) -> String {
    format!("{RECORD}_{}", host.replace('.', "_"))
}

/// Returns the address of the HTTPS listener's rule for the web service with this key: `edge/api_rule_https` for `api`.
#[must_use]
pub fn route_rule_https(key: &str) -> String {
    format!("{CONCERN}{key}_rule_https")
}

/// Returns whether a rule with this address belongs to the HTTPS listener.
pub(crate) fn is_rule_of_https(address: &str) -> bool {
    address.ends_with("_rule_https")
}

/// Returns the address of a certificate, by its number from 1: `edge/certificate`, `edge/certificate_2`.
#[must_use]
pub fn certificate(number: usize) -> String {
    if number == 1 { CERTIFICATE.to_owned() } else { format!("{CERTIFICATE}_{number}") }
}

/// Returns the address of a further certificate of the HTTPS listener: `edge/listener_certificate_2`.
#[must_use]
pub fn listener_certificate(number: usize) -> String {
    format!("{CONCERN}listener_certificate_{number}")
}

/// Returns the address of the validation record of a hostname: `edge/validation_api_example_org`.
#[must_use]
pub fn validation(hostname: &str) -> String {
    format!("{CONCERN}validation_{}", hostname.replace('.', "_"))
}
