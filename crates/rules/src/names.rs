//! Names of workspaces, services and AWS resources.

use crate::text::{alphanumeric_or_hyphen, begins, length, no_part, no_prefix, no_suffix, only};
use crate::{Verdict, Violation};

const LETTERS_DIGITS_HYPHENS: &str = "letters, digits and hyphens";

/// Checks the name of a workspace. The name is part of the name of every resource in AWS, so the strictest rule for
/// these names applies to it. Its maximum length also depends on the suffixes of these names.
pub fn workspace(name: &str) -> Verdict {
    cache_identifier("a workspace name", name, 40)
}

/// Checks the key of a service in the configuration, which is part of names and addresses. `reserved` lists the keys
/// that addresses of other resources contain.
pub fn service_key(name: &str, reserved: &[&str]) -> Verdict {
    let what = "a service name";
    length(what, name, 1, 32)?;
    only(
        what,
        name,
        |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-',
        "lower-case letters, digits and hyphens",
    )?;
    begins(what, name, |c| c.is_ascii_lowercase(), "a letter")?;
    no_suffix(what, name, "-")?;
    if reserved.contains(&name) {
        return Err(Violation::new(format!("`{name}` is reserved for another part of the stack")));
    }
    Ok(())
}

/// Checks the name of a stack, which is part of object keys and tag values.
pub fn stack(name: &str) -> Verdict {
    cache_identifier("a stack name", name, 40)
}

/// Checks the name of an application load balancer. (Elastic Load Balancing API: CreateLoadBalancer)
pub fn load_balancer(name: &str) -> Verdict {
    load_balancing("a load balancer name", name)?;
    no_prefix("a load balancer name", name, "internal-")
}

/// Checks the name of a target group. (Elastic Load Balancing API: CreateTargetGroup)
pub fn target_group(name: &str) -> Verdict {
    load_balancing("a target group name", name)
}

fn load_balancing(what: &str, name: &str) -> Verdict {
    length(what, name, 1, 32)?;
    only(what, name, alphanumeric_or_hyphen, LETTERS_DIGITS_HYPHENS)?;
    no_prefix(what, name, "-")?;
    no_suffix(what, name, "-")
}

/// Checks the name of an ECS cluster. (ECS API: CreateCluster)
pub fn cluster(name: &str) -> Verdict {
    ecs("a cluster name", name)
}

/// Checks the name of an ECS service. (ECS API: CreateService)
pub fn service(name: &str) -> Verdict {
    ecs("a service name", name)
}

/// Checks the name of a family of task definitions. (ECS API: RegisterTaskDefinition)
pub fn family(name: &str) -> Verdict {
    ecs("a task definition family", name)
}

/// Checks the name of a container in a task definition. (ECS API: ContainerDefinition)
pub fn container(name: &str) -> Verdict {
    ecs("a container name", name)
}

fn ecs(what: &str, name: &str) -> Verdict {
    length(what, name, 1, 255)?;
    only(what, name, |c| alphanumeric_or_hyphen(c) || c == '_', "letters, digits, hyphens and underscores")
}

/// Checks the name of a security group; like the description, it cannot be changed later. (EC2 API:
/// CreateSecurityGroup)
pub fn security_group(name: &str) -> Verdict {
    let what = "a security group name";
    length(what, name, 1, 255)?;
    only(what, name, security_group_character, "letters, digits, spaces and ._-:/()#,@[]+=&;{}!$*")?;
    no_prefix(what, name, "sg-")
}

/// Checks the description of a security group or of one of its rules. (EC2 API: CreateSecurityGroup, IpRange)
pub fn security_group_description(text: &str) -> Verdict {
    let what = "a description";
    length(what, text, 0, 255)?;
    only(what, text, security_group_character, "letters, digits, spaces and ._-:/()#,@[]+=&;{}!$*")
}

fn security_group_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || " ._-:/()#,@[]+=&;{}!$*".contains(c)
}

/// Checks the name of an ECR repository. (ECR API: CreateRepository)
pub fn repository(name: &str) -> Verdict {
    let what = "a repository name";
    length(what, name, 2, 256)?;
    only(
        what,
        name,
        |c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-/".contains(c),
        "lower-case letters, digits and ._-/",
    )?;
    let separator = |c: char| "._-/".contains(c);
    if name.starts_with(separator) || name.ends_with(separator) {
        return Err(Violation::new(format!(
            "`{name}` starts or ends with a separator, which is not allowed for {what}"
        )));
    }
    let mut pairs = name.chars().zip(name.chars().skip(1));
    if pairs.any(|(a, b)| separator(a) && separator(b)) {
        return Err(Violation::new(format!(
            "`{name}` contains two separators in a row, which is not allowed for {what}"
        )));
    }
    Ok(())
}

/// Checks the id of a replication group. ElastiCache stores the id in lower case. Only lower case is accepted, so that
/// the id that is read back equals the one that was written. (ElastiCache API: CreateReplicationGroup)
pub fn replication_group(id: &str) -> Verdict {
    cache_identifier("a replication group id", id, 40)
}

/// Checks the name of a cache subnet group. (ElastiCache API: CreateCacheSubnetGroup)
pub fn cache_subnet_group(name: &str) -> Verdict {
    cache_identifier("a cache subnet group name", name, 255)
}

/// Checks the name of a cache parameter group. (ElastiCache API: CreateCacheParameterGroup)
pub fn cache_parameter_group(name: &str) -> Verdict {
    cache_identifier("a cache parameter group name", name, 255)
}

fn cache_identifier(what: &str, name: &str, max: usize) -> Verdict {
    length(what, name, 1, max)?;
    only(
        what,
        name,
        |c| alphanumeric_or_hyphen(c) && !c.is_ascii_uppercase(),
        "lower-case letters, digits and hyphens",
    )?;
    begins(what, name, |c| c.is_ascii_lowercase(), "a letter")?;
    no_part(what, name, "--")?;
    no_suffix(what, name, "-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn load_balancer_names() {
        for good in ["a", "production-public", &"x".repeat(32), "Internal", "1-2"] {
            assert_eq!(load_balancer(good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("", "must not be empty"),
            (&"x".repeat(33), "33 characters"),
            ("-a", "starts with `-`"),
            ("a-", "ends with `-`"),
            ("a_b", "'_'"),
            ("internal-a", "starts with `internal-`"),
        ] {
            let violation = load_balancer(bad).unwrap_err().to_string();
            assert!(violation.contains(why), "{bad}: {violation}");
        }
        assert_eq!(target_group("internal-a"), Ok(()));
        assert!(target_group("a b").is_err());
    }

    #[test]
    fn ecs_names() {
        for rule in [cluster, service, family, container] {
            assert_eq!(rule("production-ecs_cluster"), Ok(()));
            assert_eq!(rule(&"x".repeat(255)), Ok(()));
            assert!(rule(&"x".repeat(256)).is_err());
            assert!(rule("a.b").is_err());
            assert!(rule("").is_err());
        }
    }

    #[test]
    fn security_groups() {
        assert_eq!(security_group("default-lb-public"), Ok(()));
        assert!(security_group("sg-lb-public").is_err());
        assert!(security_group(&"x".repeat(256)).is_err());
        assert_eq!(security_group_description(""), Ok(()));
        assert_eq!(security_group_description("HTTPS (any)"), Ok(()));
        assert!(security_group_description("naïve").is_err());
        assert!(security_group_description("a > b").is_err());
    }

    #[test]
    fn repositories() {
        for good in ["production-celeryflask", "team/app_1.2"] {
            assert_eq!(repository(good), Ok(()), "{good}");
        }
        for bad in ["a", "App", "a..b", "/a", "a-", "a//b", "a b"] {
            assert!(repository(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn cache_names() {
        for rule in [replication_group, cache_subnet_group, cache_parameter_group] {
            assert_eq!(rule("staging-jobqr"), Ok(()));
            for bad in ["", "1a", "-a", "a-", "a--b", "A", "a_b", "a.b"] {
                assert!(rule(bad).is_err(), "{bad}");
            }
        }
        assert_eq!(replication_group(&"x".repeat(40)), Ok(()));
        assert!(replication_group(&"x".repeat(41)).is_err());
        assert_eq!(cache_subnet_group(&"x".repeat(255)), Ok(()));
    }

    proptest! {
        #[test]
        fn valid_load_balancer_names_are_accepted(name in "[a-zA-Z0-9]([a-zA-Z0-9-]{0,30}[a-zA-Z0-9])?") {
            prop_assume!(!name.starts_with("internal-"));
            prop_assert_eq!(load_balancer(&name), Ok(()));
        }

        #[test]
        fn control_characters_are_refused_without_a_panic(name in any::<String>()) {
            let foreign = name.chars().any(|c| c.is_control() || !c.is_ascii());
            for rule in [load_balancer, cluster, security_group, repository, replication_group] {
                prop_assert!(rule(&name).is_err() || !foreign);
            }
        }
    }
}
