//! Health checks, target groups and listener rules of a load balancer.

use crate::text::{between, length, only};
use crate::{Verdict, Violation};

/// Checks the path of a health check. (Elastic Load Balancing API: CreateTargetGroup, `HealthCheckPath`)
pub fn health_path(path: &str) -> Verdict {
    let what = "a health check path";
    length(what, path, 1, 1024)?;
    if !path.starts_with('/') {
        return Err(Violation::new(format!("`{path}` does not start with `/`, as required for {what}"))
            .with_suggestion(format!("/{path}")));
    }
    only(what, path, |c| c.is_ascii_graphic(), "visible ASCII characters")
}

/// Checks the status codes that count as healthy: `200`, `200,202` or `200-299`, within 200 to 499.
/// (Elastic Load Balancing API: Matcher)
pub fn health_matcher(matcher: &str) -> Verdict {
    let code = |text: &str| {
        let digits = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
        let value: Option<u16> = text.parse().ok().filter(|_| digits);
        value.filter(|value| (200..=499).contains(value))
    };
    let item = |text: &str| match text.split_once('-') {
        Some((from, to)) => code(from).zip(code(to)).is_some_and(|(from, to)| from < to),
        None => code(text).is_some(),
    };
    if matcher.split(',').all(item) {
        return Ok(());
    }
    Err(Violation::new(format!(
        "`{matcher}` is not a status code (`200`), a list (`200,202`) or a range (`200-299`) of codes from 200 to 499"
    )))
}

/// Checks the interval between two health checks, in seconds. (Elastic Load Balancing API: CreateTargetGroup,
/// `HealthCheckIntervalSeconds`)
pub fn health_interval(seconds: i64) -> Verdict {
    between(seconds, 5, 300, " seconds")
}

/// Checks the time after which a health check without a response fails, in seconds. (Elastic Load Balancing API:
/// CreateTargetGroup, `HealthCheckTimeoutSeconds`)
pub fn health_timeout(seconds: i64) -> Verdict {
    between(seconds, 2, 120, " seconds")
}

/// Checks that a health check's timeout is shorter than its interval. (Elastic Load Balancing API: CreateTargetGroup)
pub fn health_times(timeout: i64, interval: i64) -> Verdict {
    if timeout < interval {
        return Ok(());
    }
    Err(Violation::new(format!(
        "a timeout of {timeout} seconds is not shorter than the interval of {interval} seconds"
    )))
}

/// Checks the number of consecutive health checks that make a target healthy or unhealthy.
/// (Elastic Load Balancing API: CreateTargetGroup, `HealthyThresholdCount`, `UnhealthyThresholdCount`)
pub fn health_threshold(count: i64) -> Verdict {
    between(count, 2, 10, " checks")
}

/// Checks the deregistration delay of a target group, in seconds.
/// (Elastic Load Balancing API: TargetGroupAttribute, `deregistration_delay.timeout_seconds`)
pub fn deregistration_delay(seconds: i64) -> Verdict {
    between(seconds, 0, 3600, " seconds")
}

/// Default quota of rules per load balancer, without the default rules. The quota of target groups per load balancer
/// has the same value. (Elastic Load Balancing: Quotas for your Application Load Balancers)
pub const RULES_MAX: usize = 100;

/// Checks a rule priority from the configuration. Rules without a configured priority follow those with one, so the
/// maximum is lower than in AWS, which accepts 1 to 50,000. (Elastic Load Balancing API: CreateRule, `Priority`)
pub fn chosen_priority(priority: i64) -> Verdict {
    between(priority, 1, 1000, "")
}

/// Checks the priority of a listener rule. (Elastic Load Balancing API: CreateRule, `Priority`)
pub fn priority(priority: i64) -> Verdict {
    between(priority, 1, 50_000, "")
}

/// Checks a path pattern of a rule, with `*` and `?` as wildcards. (Elastic Load Balancing: Path conditions)
pub fn path_pattern(pattern: &str) -> Verdict {
    let what = "a path pattern";
    length(what, pattern, 1, 128)?;
    if !pattern.starts_with(['/', '*']) {
        return Err(Violation::new(format!("`{pattern}` starts with neither `/` nor `*`, so it matches no request"))
            .with_suggestion(format!("/{pattern}")));
    }
    let known = |c: char| c.is_ascii_alphanumeric() || "_-.$/~\"'@:+&*?".contains(c);
    only(what, pattern, known, "letters, digits, _-.$/~\"'@:+& and the wildcards * and ?")
}

/// Checks a host pattern of a rule, with `*` and `?` as wildcards. The pattern must contain a dot, with only letters
/// after the last dot. (Elastic Load Balancing: Host conditions)
pub fn host_pattern(pattern: &str) -> Verdict {
    let what = "a host pattern";
    length(what, pattern, 1, 128)?;
    let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.*?".contains(c);
    only(what, pattern, known, "lower-case letters, digits, hyphens, dots and the wildcards * and ?")?;
    match pattern.rsplit_once('.') {
        Some((name, end)) if !name.is_empty() && !end.is_empty() && end.bytes().all(|b| b.is_ascii_lowercase()) => {
            Ok(())
        }
        _ => Err(Violation::new(format!("`{pattern}` does not end with a dot and letters, as required for {what}"))),
    }
}

/// Checks the conditions of a rule: at least one and at most five hosts and paths in total, and at most five wildcards
/// in them. (Elastic Load Balancing: Quotas for your Application Load Balancers)
pub fn conditions<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Verdict {
    let patterns: Vec<&str> = patterns.into_iter().collect();
    if patterns.is_empty() {
        return Err(Violation::new("a rule without hosts and paths would match every request"));
    }
    let wildcards = patterns.iter().flat_map(|pattern| pattern.chars()).filter(|c| "*?".contains(*c)).count();
    let at_most = |what: &str, count: usize| match count {
        0..=5 => Ok(()),
        _ => Err(Violation::new(format!("the rule has {count} {what}; AWS allows at most 5"))),
    };
    at_most("hosts and paths", patterns.len())?;
    at_most("wildcards", wildcards)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_patterns_and_priorities() {
        for good in ["/api/*", "/", "*.png", "/a?c"] {
            assert_eq!(path_pattern(good), Ok(()), "{good}");
        }
        assert_eq!(path_pattern("api/*").unwrap_err().suggestion(), Some("/api/*"));
        for bad in ["", "/a b", "/{x}", &format!("/{}", "x".repeat(128))] {
            assert!(path_pattern(bad).is_err(), "{bad}");
        }
        for good in ["api.example.org", "*.example.org", "?.a.io"] {
            assert_eq!(host_pattern(good), Ok(()), "{good}");
        }
        for bad in ["api", "", ".org", "a.example.", "a.example.c0m", "API.example.org", "a_b.example.org", "10.0.0.1"]
        {
            assert!(host_pattern(bad).is_err(), "{bad}");
        }
        assert_eq!(conditions(["/a/*", "/b/*", "/c/*", "/d/*", "/e/*"]), Ok(()));
        assert!(conditions(["/a", "/b", "/c", "/d", "/e", "/f"]).is_err());
        assert!(conditions(["/*/*/*", "/*/*/*"]).is_err());
        assert!(conditions([]).is_err());
        assert!(chosen_priority(0).is_err() && chosen_priority(1001).is_err() && priority(50_001).is_err());
        assert_eq!((chosen_priority(1), chosen_priority(1000), priority(50_000)), (Ok(()), Ok(()), Ok(())));
    }

    #[test]
    fn health_paths() {
        for good in ["/", "/hello", "/hello?deep=1"] {
            assert_eq!(health_path(good), Ok(()), "{good}");
        }
        for bad in ["", "/a b", "/\u{e9}", &format!("/{}", "x".repeat(1024))] {
            assert!(health_path(bad).is_err(), "{bad}");
        }
        let relative = health_path("hello").unwrap_err();
        assert_eq!(relative.suggestion(), Some("/hello"));
    }

    #[test]
    fn health_matchers() {
        for good in ["200", "200,202", "200-299", "200,301-302", "499"] {
            assert_eq!(health_matcher(good), Ok(()), "{good}");
        }
        for bad in ["", "199", "500", "200-", "299-200", "2xx", "200, 202", "0200", "200-600", "+20"] {
            assert!(health_matcher(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn bounds() {
        type Rule = fn(i64) -> Verdict;
        let table: [(Rule, i64, i64); 4] = [
            (health_interval, 5, 300),
            (health_timeout, 2, 120),
            (health_threshold, 2, 10),
            (deregistration_delay, 0, 3600),
        ];
        for (rule, min, max) in table {
            assert_eq!(rule(min), Ok(()));
            assert_eq!(rule(max), Ok(()));
            assert!(rule(min - 1).is_err());
            assert!(rule(max + 1).is_err());
        }
        assert_eq!(health_times(5, 10), Ok(()));
        assert!(health_times(10, 10).is_err());
    }
}
