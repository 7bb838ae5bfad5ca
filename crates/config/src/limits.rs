//! Limits of values in the JSON schema: ranges of numbers, derived from the rules, and patterns of strings.

use pb_rules::Verdict;
use serde_json::{Value, json};

/// Numbers to which a rule is applied to derive its range. No number of the configuration exceeds the last one, unless it
/// has no limit.
const PROBED: std::ops::RangeInclusive<i64> = -1..=131_072;

/// Maximum number of values that the schema lists, for a rule that does not accept a range.
const MAX_LISTED: usize = 32;

/// Patterns of the values at a path. They accept everything that the rules accept; the rules are stricter. `*` stands for
/// the key of any service.
const PATTERNS: [(&str, &str); 21] = [
    ("allowed_account_ids", "^[0-9]{12}$"),
    ("load_balancer.health_matcher", HEALTH_MATCHER),
    ("load_balancer.ingress_cidrs", CIDR),
    ("network.balancer_subnet", SUBNET),
    ("network.cidr", SUBNET),
    ("network.egress[].cidr", CIDR),
    ("network.tasks_subnet", SUBNET),
    ("redis.node_type", r"^cache\.[a-z][a-z0-9]+\.[0-9]*(micro|small|medium|large|xlarge)$"),
    ("region", "^[a-z]+(-[a-z]+)+-[1-9]$"),
    ("roles.execution", ROLE),
    ("roles.permissions_boundary", "^arn:[a-z-]+:iam::([0-9]{12}|aws):policy/.+$"),
    ("roles.task", ROLE),
    ("roles.task.name", ROLE),
    ("services.*.health_matcher", HEALTH_MATCHER),
    ("services.*.secrets", SECRET),
    ("services.celery.secrets", SECRET),
    ("services.flask.secrets", SECRET),
    ("stack", IDENTIFIER),
    ("state.bucket", "^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$"),
    ("state.lock_table", "^[A-Za-z0-9_.-]{3,255}$"),
    ("zone_id", "^[A-Z0-9]+$"),
];

/// Pattern of the names of stacks and workspaces.
pub(crate) const IDENTIFIER: &str = "^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$";

const CIDR: &str = "^[0-9]{1,3}([.][0-9]{1,3}){3}/([0-9]|[12][0-9]|3[0-2])$";
const SUBNET: &str = "^[0-9]{1,3}([.][0-9]{1,3}){3}/(1[6-9]|2[0-8])$";
const HEALTH_MATCHER: &str = "^[2-4][0-9]{2}(-[2-4][0-9]{2})?(,[2-4][0-9]{2}(-[2-4][0-9]{2})?)*$";
const ROLE: &str = "^[A-Za-z0-9+=,.@_-]{1,64}$";
const SECRET: &str = "^arn:[a-z-]+:(secretsmanager|ssm):";

/// Returns the pattern of the strings at a path.
pub(crate) fn pattern(path: &str) -> Option<&'static str> {
    PATTERNS.iter().find(|(known, _)| *known == path).map(|(_, pattern)| *pattern)
}

/// Returns the schema keywords for the numbers that a rule accepts: a range, or a list of values.
pub(crate) fn numbers(rule: impl Fn(i64) -> Verdict) -> Value {
    let accepted: Vec<i64> = PROBED.filter(|number| rule(*number).is_ok()).collect();
    let (Some(first), Some(last)) = (accepted.first(), accepted.last()) else { return json!({}) };
    let is_range = usize::try_from(last - first).is_ok_and(|distance| distance + 1 == accepted.len());
    if !is_range && accepted.len() <= MAX_LISTED {
        return json!({ "enum": accepted });
    }
    let mut limits = json!({});
    if first > PROBED.start() {
        limits["minimum"] = (*first).into();
    }
    if last < PROBED.end() {
        limits["maximum"] = (*last).into();
    }
    limits
}

#[cfg(test)]
mod tests {
    use super::numbers;
    use pb_rules::{Verdict, Violation};
    use serde_json::json;

    #[test]
    fn rule_of_a_number_becomes_a_range_or_a_list() {
        let limits = |accepts: fn(i64) -> bool| {
            numbers(|number| -> Verdict {
                if accepts(number) { Ok(()) } else { Err(Violation::new("no")) }
            })
        };
        assert_eq!(limits(|number| (2..=120).contains(&number)), json!({"minimum": 2, "maximum": 120}));
        assert_eq!(limits(|number| number >= 0), json!({"minimum": 0}));
        assert_eq!(limits(|number| [1, 3, 5].contains(&number)), json!({"enum": [1, 3, 5]}));
        assert_eq!(limits(|number| number > 0 && number % 1024 == 0), json!({"minimum": 1024}));
        assert_eq!(limits(|_| true), json!({}));
    }
}
