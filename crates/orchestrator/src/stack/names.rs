//! Addresses of the resources of a workspace: those that the concerns define, and those that only this stack has.

use pb_engine::Address;

pub use pb_edge::names::{
    LISTENER, LISTENER_HTTPS, LOAD_BALANCER, RECORD, route_rule, route_rule_https, route_targets,
};
pub use pb_fargate::names::{CLUSTER, LOG_GROUP, REPOSITORY, service, task_definition};
pub use pb_net::names::{BALANCER_SUBNET, TASKS_SUBNET, VPC};
pub use pb_redis::names::REPLICATION_GROUP;

/// Key of the web service that gets all requests without a matching listener rule.
pub const DEFAULT_SERVICE: &str = "flask";

/// Address in the ownership tags of one-off tasks, which are in no graph.
pub const ONE_OFF_TASK: &str = "fargate/run";

/// Address of the guard of the jobs in the queue.
pub const QUEUED_JOBS: &str = "redis/jobs";

/// Prefix and suffix of the addresses of target health checks.
const HEALTH_CHECK: (&str, &str) = ("edge/", "_health");

/// Returns the key of the service at an address, or the whole address if it is not the address of a service.
pub fn service_key(address: &Address) -> &str {
    pb_fargate::names::service_key(address.as_str()).unwrap_or(address.as_str())
}

/// Returns the key of the service whose service or task definition has this address.
pub fn workload_key(address: &Address) -> Option<&str> {
    let address = address.as_str();
    pb_fargate::names::service_key(address).or_else(|| pb_fargate::names::task_definition_key(address))
}

/// Returns the name of the application container of a service among the names of its containers: the key of the service,
/// or the only name.
pub fn application_container<'a>(containers: impl IntoIterator<Item = &'a String>, key: &'a str) -> &'a str {
    let mut names = containers.into_iter().map(String::as_str);
    let first = names.next().unwrap_or(key);
    if names.any(|name| name == key) { key } else { first }
}

/// Returns the field of a service's desired count, as in `ignore_changes`.
pub fn desired_count(key: &str) -> String {
    format!("{}.desired_count", service(key))
}

/// Returns the address of the target group of a web service.
pub fn targets(key: &str) -> String {
    if key == DEFAULT_SERVICE { pb_edge::names::TARGETS.to_owned() } else { route_targets(key) }
}

/// Returns the address of the listener rule of a web service; `None` for the service that needs no rule.
pub fn listener_rule(key: &str) -> Option<String> {
    (key != DEFAULT_SERVICE).then(|| route_rule(key))
}

/// Returns the addresses of the listener rules of a web service: those of the HTTP and of the HTTPS listener.
pub fn listener_rules(key: &str) -> Vec<String> {
    let all = [route_rule, route_rule_https].map(|address| address(key));
    if key == DEFAULT_SERVICE { Vec::new() } else { all.to_vec() }
}

/// Returns the address of the target health check of a service.
pub fn health_check(key: &str) -> String {
    let (prefix, suffix) = HEALTH_CHECK;
    format!("{prefix}{key}{suffix}")
}

/// Returns the key of the service that a target health check is about.
pub fn health_check_key(address: &Address) -> Option<&str> {
    let (prefix, suffix) = HEALTH_CHECK;
    address.as_str().strip_prefix(prefix)?.strip_suffix(suffix)
}

#[cfg(test)]
mod tests {
    use super::{health_check, health_check_key, listener_rule, service_key, targets};
    use pb_engine::Address;

    #[test]
    fn keys_are_read_from_addresses() {
        let address = |text: &str| Address::new(text).unwrap();
        assert_eq!(health_check_key(&address(&health_check("api"))), Some("api"));
        assert_eq!(health_check_key(&address("edge/api_rule")), None);
        assert_eq!(service_key(&address("fargate/api")), "api");
        assert_eq!(service_key(&address("edge/api_rule")), "edge/api_rule");
    }

    #[test]
    fn default_service_has_targets_but_no_rule() {
        assert_eq!((targets("flask").as_str(), listener_rule("flask")), ("edge/targets", None));
        assert_eq!(
            (targets("api").as_str(), listener_rule("api").as_deref()),
            ("edge/api_targets", Some("edge/api_rule"))
        );
    }
}
