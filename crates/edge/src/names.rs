//! Addresses of the resources that [`EdgeStack::add`](crate::EdgeStack::add) adds to a graph.

/// Prefix of all addresses.
const CONCERN: &str = "edge/";

/// Address of the load balancer.
pub const LOAD_BALANCER: &str = "edge/balancer";

/// Address of the target group of requests that match no rule.
pub const TARGETS: &str = "edge/targets";

/// Address of the listener.
pub const LISTENER: &str = "edge/listener";

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
