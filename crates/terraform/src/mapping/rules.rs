//! Listener rules, which are distinguished by their listener and by the requests that they match.

use super::DesiredResource;
use crate::state::Resource;
use pb_engine::Address;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Address of the rule that redirects HTTP requests to HTTPS.
const REDIRECT: &str = "edge/redirect";

/// Ending of the addresses of rules of the HTTPS listener.
const OF_HTTPS: &str = "_rule_https";

/// Protocols of the listeners in a state, by ARN, which distinguish their rules.
pub(super) struct Protocols<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Protocols<'a> {
    /// Collects the listeners of a state.
    pub fn of(resources: &'a [Resource]) -> Self {
        let listeners =
            resources.iter().filter(|one| matches!(one.kind.as_str(), "aws_lb_listener" | "aws_alb_listener"));
        Self(listeners.filter_map(|one| Some((one.id.as_str(), one.attribute("protocol")?))).collect())
    }

    /// Returns whether a rule can have the address: it belongs to the listener of the same protocol, if its listener is
    /// in the state, and redirects or forwards.
    pub fn can_be(&self, rule: &Resource, address: &Address) -> bool {
        let listener = rule.attribute("listener_arn").and_then(|arn| self.0.get(arn)).copied();
        let wanted = if address.as_str().ends_with(OF_HTTPS) { "HTTPS" } else { "HTTP" };
        let same_listener = listener.is_none_or(|protocol| protocol == wanted);
        same_listener && if address.as_str() == REDIRECT { redirects_all(rule) } else { forwards(rule) }
    }

    /// Returns whether a rule is the desired one: it can have the address and matches the same requests.
    pub fn matches(&self, rule: &Resource, target: &DesiredResource) -> bool {
        let set = |field: &str| -> BTreeSet<&str> {
            target.spec[field].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
        };
        let same = target.address.as_str() == REDIRECT || hosts(rule) == set("hosts") && paths(rule) == set("paths");
        self.can_be(rule, &target.address) && same
    }
}

fn hosts(rule: &Resource) -> BTreeSet<&str> {
    rule.values(&["condition", "host_header", "values"]).collect()
}

fn paths(rule: &Resource) -> BTreeSet<&str> {
    rule.values(&["condition", "path_pattern", "values"]).collect()
}

fn forwards(rule: &Resource) -> bool {
    rule.block_fields("action", "type").all(|kind| kind == "forward")
}

/// Returns whether a rule redirects all requests to HTTPS, and to the host that they were sent to.
fn redirects_all(rule: &Resource) -> bool {
    let every = |patterns: BTreeSet<&str>| patterns.iter().all(|pattern| matches!(*pattern, "*" | "/*"));
    let same_host = rule.values(&["action", "redirect", "host"]).all(|host| matches!(host, "" | "#{host}"));
    crate::architecture::redirects_to_https(rule, "action") && same_host && every(hosts(rule)) && every(paths(rule))
}
