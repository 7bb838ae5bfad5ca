//! Addresses of the resources that [`NetworkStack::add`](crate::NetworkStack::add) adds to a graph.

use crate::spec::Egress;
use ipnet::Ipv4Net;
use pb_engine::Address;

/// Prefix of all addresses.
const CONCERN: &str = "net/";

/// Address of the VPC.
pub const VPC: &str = "net/vpc";

/// Address of the internet gateway.
pub const INTERNET_GATEWAY: &str = "net/igw";

/// Address of the subnet of the tasks and the queue.
pub const TASKS_SUBNET: &str = "net/tasks_subnet";

/// Address of the subnet that only the load balancer uses.
pub const BALANCER_SUBNET: &str = "net/balancer_subnet";

/// Address of the route table.
pub const ROUTES: &str = "net/routes";

/// Address of the default security group of the VPC.
pub const DEFAULT_GROUP: &str = "net/default_group";

/// Address of the security group of the load balancer.
pub const LB_GROUP: &str = "net/lb_group";

/// Address of the security group of the web tasks.
pub const FLASK_GROUP: &str = "net/flask_group";

/// Address of the security group of the workers.
pub const CELERY_GROUP: &str = "net/celery_group";

/// Address of the security group of the queue.
pub const REDIS_GROUP: &str = "net/redis_group";

/// Addresses of the rules for connections from the web tasks to the queue: the outbound and the inbound rule.
pub const FLASK_TO_REDIS: [&str; 2] = ["net/flask_out_redis", "net/redis_in_flask"];

/// Addresses of the rules for connections from the workers to the queue: the outbound and the inbound rule.
pub const CELERY_TO_REDIS: [&str; 2] = ["net/celery_out_redis", "net/redis_in_celery"];

/// Addresses of the rules for requests from the load balancer to the web service that gets all requests without a more
/// specific route: the outbound and the inbound rule.
pub const WEB_RULES: [&str; 2] = ["net/lb_out_flask", "net/flask_in_lb"];

/// Prefixes of the addresses of the rules for requests to other ports.
const OTHER_WEB_RULES: [&str; 2] = ["net/lb_out_web_", "net/flask_in_lb_"];

/// Returns the addresses of the rules for requests from the load balancer to another port: the outbound and the inbound
/// rule.
#[must_use]
pub fn other_web_rules(port: u16) -> [String; 2] {
    OTHER_WEB_RULES.map(|start| format!("{start}{port}"))
}

/// Returns whether the rule at an address allows requests to web tasks.
#[must_use]
pub fn is_web_rule(address: &Address) -> bool {
    let is_of = |start: &&str| address.as_str().strip_prefix(*start).is_some_and(|port| port.parse::<u16>().is_ok());
    WEB_RULES.contains(&address.as_str()) || OTHER_WEB_RULES.iter().any(is_of)
}

/// Returns the address of the rule for requests to the load balancer from a CIDR block.
#[must_use]
pub fn ingress(port: u16, from: Ipv4Net) -> String {
    format!("{CONCERN}lb_in_{port}_{}", cidr_label(from))
}

/// Returns the address of a configured rule for outbound traffic of a role: `flask` or `celery`.
#[must_use]
pub fn egress(role: &str, rule: &Egress) -> String {
    format!("{CONCERN}{role}_out_{}_{}_{}", rule.protocol, rule.port, cidr_label(rule.cidr))
}

/// Returns an address without the name of the concern: the value of the `Name` tag of a rule.
pub(crate) fn label(address: &str) -> &str {
    address.trim_start_matches(CONCERN)
}

/// Returns the part of an address that represents a CIDR block: `any` for all IP addresses, otherwise a text such as
/// `10-0-0-0_16`. The address of a rule names the traffic that it allows, so that removing one rule from a list does not
/// change the addresses of the others.
fn cidr_label(cidr: Ipv4Net) -> String {
    match cidr.prefix_len() {
        0 => "any".to_owned(),
        length => format!("{}_{length}", cidr.network().to_string().replace('.', "-")),
    }
}

#[cfg(test)]
mod tests {
    use super::is_web_rule;
    use pb_engine::Address;

    #[test]
    fn web_rules_are_recognized_by_address() {
        let is_web = |text: &str| is_web_rule(&Address::new(text).unwrap());
        assert!(is_web("net/lb_out_flask") && is_web("net/flask_in_lb") && is_web("net/lb_out_web_8080"));
        assert!(!is_web("net/lb_in_80_any") && !is_web("net/flask_out_redis") && !is_web("net/flask_in_lb_x"));
    }
}
