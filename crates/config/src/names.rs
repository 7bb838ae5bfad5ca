//! Names that the resources of a workspace have in AWS.

use pb_rules::{Verdict, dns, logs, names};
use serde::Serialize;
use std::collections::BTreeMap;

/// Workspace whose hostname is the configured one without a prefix, and whose load balancer has deletion protection by
/// default.
pub const PRODUCTION: &str = "production";

/// Values from which the names are derived.
#[derive(Debug, Clone, Copy)]
pub struct NameParts<'a> {
    /// Name of the workspace.
    pub workspace: &'a str,
    /// Name of the stack.
    pub stack: &'a str,
    /// Hostname of the deployment.
    pub hostname: &'a str,
    /// Prefix of the state's key; may be empty.
    pub key_prefix: &'a str,
    /// Family of the queue's parameter group, if the configuration determines it.
    pub family: Option<&'a str>,
    /// Port of Flask.
    pub flask_port: u16,
    /// Keys of the services other than Flask and Celery, each with the port if it is a web service.
    pub others: &'a [(&'a str, Option<u16>)],
}

/// Names that the resources of a workspace have in AWS.
///
/// The name of a resource that cannot be updated in place contains the values that determine the resource, so that its
/// replacement can be created before the old resource is deleted.
///
/// In the descriptions of the fields, `W` is the name of the workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Names {
    /// `W-vpc`
    pub vpc: String,
    /// `W-igw`
    pub internet_gateway: String,
    /// `W-public`
    pub route_table: String,
    /// `W-tasks`: subnet of the tasks and the queue.
    pub tasks_subnet: String,
    /// `W-balancer`: second subnet, which only the load balancer uses.
    pub balancer_subnet: String,
    /// `W-lb-public`: security group of the load balancer.
    pub balancer_group: String,
    /// `W-ecs-flask-sg`
    pub flask_group: String,
    /// `W-ecs-celery-sg`
    pub celery_group: String,
    /// `W-elasticache-jobqr-sg`
    pub cache_group: String,
    /// `W-jobqr`
    pub replication_group: String,
    /// `W-jobqr`
    pub cache_subnet_group: String,
    /// `W-jobqr-FAMILY`: a parameter group has one family, so another family needs another group. `None` if the
    /// configuration does not determine the family; see [`Names::parameter_group`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_parameter_group: Option<String>,
    /// `W-pb_workers`
    pub log_group: String,
    /// `W-celeryflask`: image repository.
    pub repository: String,
    /// `W-ecs-cluster`
    pub cluster: String,
    /// `W-flask`: service and task definition family.
    pub flask: String,
    /// `W-celery`: service and task definition family.
    pub celery: String,
    /// `W-KEY`: service and task definition family of each other service, by key of the service.
    pub others: BTreeMap<String, String>,
    /// `W-KEY-PORT`: target group of each other web service, by key of the service.
    pub other_target_groups: BTreeMap<String, String>,
    /// `W-public`
    pub load_balancer: String,
    /// `W-flask-PORT`: target group of Flask, whose name depends on the port.
    pub target_group: String,
    /// The configured hostname for production, `W.HOSTNAME` for every other workspace.
    pub hostname: String,
    /// Key of the state object in the S3 bucket.
    pub state_key: String,
}

/// Returns the hostname of a workspace: `hostname` for production, `WORKSPACE.hostname` for every other workspace.
pub(crate) fn hostname(workspace: &str, hostname: &str) -> String {
    match workspace {
        PRODUCTION => hostname.to_owned(),
        workspace => format!("{workspace}.{hostname}"),
    }
}

/// Returns the name of the parameter group of a family.
fn parameter_group(workspace: &str, family: &str) -> String {
    format!("{workspace}-jobqr-{}", family.replace('.', "-"))
}

impl Names {
    /// Derives the names. They are not checked against the rules of AWS; [`Names::check`] does this.
    pub fn new(parts: &NameParts<'_>) -> Self {
        let of = |suffix: &str| format!("{}-{suffix}", parts.workspace);
        Self {
            vpc: of("vpc"),
            internet_gateway: of("igw"),
            route_table: of("public"),
            tasks_subnet: of("tasks"),
            balancer_subnet: of("balancer"),
            balancer_group: of("lb-public"),
            flask_group: of("ecs-flask-sg"),
            celery_group: of("ecs-celery-sg"),
            cache_group: of("elasticache-jobqr-sg"),
            replication_group: of("jobqr"),
            cache_subnet_group: of("jobqr"),
            cache_parameter_group: parts.family.map(|family| parameter_group(parts.workspace, family)),
            log_group: of("pb_workers"),
            repository: of("celeryflask"),
            cluster: of("ecs-cluster"),
            flask: of("flask"),
            celery: of("celery"),
            others: parts.others.iter().map(|(key, _)| ((*key).to_owned(), of(key))).collect(),
            other_target_groups: parts
                .others
                .iter()
                .filter_map(|(key, port)| Some(((*key).to_owned(), of(&format!("{key}-{}", (*port)?)))))
                .collect(),
            load_balancer: of("public"),
            target_group: of(&format!("flask-{}", parts.flask_port)),
            hostname: hostname(parts.workspace, parts.hostname),
            state_key: match parts.key_prefix {
                "" => format!("{}/{}/state.json", parts.stack, parts.workspace),
                prefix => format!("{prefix}/{}/{}/state.json", parts.stack, parts.workspace),
            },
        }
    }

    /// Returns the name of a service, which is also the family of its task definition: `W-KEY`.
    pub fn service(&self, key: &str) -> Option<&str> {
        match key {
            "flask" => Some(&self.flask),
            "celery" => Some(&self.celery),
            key => self.others.get(key).map(String::as_str),
        }
    }

    /// Returns the name of the queue's parameter group: the one in these names, or the one for `family`.
    pub fn parameter_group(&self, workspace: &str, family: &str) -> String {
        self.cache_parameter_group.clone().unwrap_or_else(|| parameter_group(workspace, family))
    }

    /// Returns the names of all services, in the order of [`Services::all`](crate::Services::all).
    pub fn services(&self) -> impl Iterator<Item = &str> {
        [&self.flask, &self.celery].into_iter().chain(self.others.values()).map(String::as_str)
    }

    /// Checks all names except those of the services other than Flask and Celery. The name with the tightest limit is
    /// checked first.
    ///
    /// # Errors
    ///
    /// The first rule that a name violates.
    pub fn check(&self) -> Verdict {
        names::target_group(&self.target_group)?;
        names::load_balancer(&self.load_balancer)?;
        names::replication_group(&self.replication_group)?;
        names::cache_subnet_group(&self.cache_subnet_group)?;
        if let Some(group) = &self.cache_parameter_group {
            names::cache_parameter_group(group)?;
        }
        for group in [&self.balancer_group, &self.flask_group, &self.celery_group, &self.cache_group] {
            names::security_group(group)?;
        }
        logs::log_group(&self.log_group)?;
        names::repository(&self.repository)?;
        names::cluster(&self.cluster)?;
        for service in [&self.flask, &self.celery] {
            names::service(service)?;
            names::family(service)?;
        }
        dns::hostname(&self.hostname)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(workspace: &str, family: &str, key_prefix: &str) -> Names {
        Names::new(&NameParts {
            workspace,
            stack: "pb-deploy",
            hostname: "example.org",
            key_prefix,
            family: Some(family),
            flask_port: 5050,
            others: &[],
        })
    }

    #[test]
    fn names_of_a_workspace() {
        let names = names("staging", "redis6.x", "team");
        let json = serde_json::to_string_pretty(&names).unwrap();
        insta::assert_snapshot!(json);
        assert_eq!(names.check(), Ok(()));
    }

    #[test]
    fn production_has_the_bare_hostname() {
        let names = names("production", "valkey8", "");
        assert_eq!(names.hostname, "example.org");
        assert_eq!(names.state_key, "pb-deploy/production/state.json");
        assert_eq!(names.cache_parameter_group.as_deref(), Some("production-jobqr-valkey8"));
    }

    #[test]
    fn reserved_or_long_workspace_names_are_refused() {
        for workspace in ["internal", "sg", &"w".repeat(22)] {
            assert!(names(workspace, "redis7", "").check().is_err(), "{workspace}");
        }
        assert_eq!(names(&"w".repeat(21), "redis7", "").check(), Ok(()));
    }
}
