//! Engines, engine versions and node types of ElastiCache.

use crate::{Verdict, Violation};

/// Reason for which newer versions of Redis are refused.
const REDIS_ENDS: &str = "ElastiCache offers Redis up to 7.1; use the engine `valkey` for newer versions";

/// Checks the engine of a replication group. (ElastiCache API: CreateReplicationGroup, `Engine`)
pub fn engine(engine: &str) -> Verdict {
    match engine {
        "redis" | "valkey" => Ok(()),
        _ => Err(Violation::new(format!("`{engine}` is not a supported engine; expected `redis` or `valkey`"))),
    }
}

/// Returns the parameter group family of an engine version: `redis7` for Redis 7.1, `redis6.x` for 6.x and 6.2,
/// `redis5.0` for 5.0.6, `valkey8` for Valkey 8.0.
///
/// Refuses versions that AWS would refuse, and those that AWS would report in another form: from Redis 6 and Valkey 7
/// on, AWS chooses the patch version. (ElastiCache user guide: Engine versions and upgrading; ElastiCache API:
/// CreateCacheParameterGroup, `CacheParameterGroupFamily`)
pub fn family(engine_name: &str, version: &str) -> Result<String, Violation> {
    engine(engine_name)?;
    let refuse = |reason: &str| Violation::new(format!("`{version}` is not a version of {engine_name}: {reason}"));
    let parts: Vec<&str> = version.split('.').collect();
    let Some(major) = parts.first().and_then(|part| number(part)) else {
        return Err(refuse(if engine_name == "redis" {
            "expected a version such as `7.1`"
        } else {
            "expected a version such as `8.0`"
        }));
    };
    match (engine_name, major, parts.as_slice()) {
        ("valkey", ..7, _) | ("valkey", 7, [_, "0" | "1"]) => Err(refuse("the first version is 7.2")),
        ("redis", 6, [_, "x" | "0" | "2"]) => Ok("redis6.x".to_owned()),
        ("redis", 6, [_, minor]) if number(minor).is_some() => Err(refuse("ElastiCache offers 6.0 and 6.2")),
        ("redis", 7, [_, minor]) if number(minor).is_some_and(|minor| minor > 1) => Err(refuse(REDIS_ENDS)),
        ("redis", 7, [_, minor]) | ("valkey", 7.., [_, minor]) if number(minor).is_some() => {
            Ok(format!("{engine_name}{major}"))
        }
        ("redis", 2..=5, [_, minor, patch]) if number(minor).and(number(patch)).is_some() => {
            Ok(format!("redis{major}.{minor}"))
        }
        ("redis", 2..=5, _) => Err(refuse("versions before 6 have three numbers, such as `5.0.6`")),
        ("redis", 8.., _) => Err(refuse(REDIS_ENDS)),
        (_, 6.., [_, minor, _]) if number(minor).is_some() => {
            Err(refuse("AWS chooses the patch version").with_suggestion(format!("{major}.{minor}")))
        }
        _ => Err(refuse("expected a major and a minor version, such as `7.1`")),
    }
}

/// Checks that Celery workers can take tasks from an engine of this version. With Redis before 6.2, tasks can be enqueued,
/// but workers exit at their start. (Celery and kombu 5.7.0 with Redis 6.0.16, measured: docs/celery.md; `6.x` is 6.2 on
/// ElastiCache)
pub fn celery_broker(engine_name: &str, version: &str) -> Verdict {
    let mut parts = version.split('.').map(number);
    match (engine_name, parts.next().flatten(), parts.next().flatten()) {
        ("redis", Some(..6), _) | ("redis", Some(6), Some(..2)) => {
            let error = "value is not an integer or out of range";
            let message = format!("Celery needs Redis 6.2 or later: with {version}, workers exit with `{error}`");
            Err(Violation::new(message).with_suggestion("7.1"))
        }
        _ => Ok(()),
    }
}

/// Returns whether an upgrade from this version makes AWS move the endpoint to another node, for which connections fail for
/// 30 to 60 seconds. (ElastiCache user guide: How to upgrade from Redis OSS to Valkey: before Redis 5.0.6)
pub fn upgrade_needs_failover(engine_name: &str, version: &str) -> bool {
    let parts: Vec<u32> = version.split('.').map_while(number).collect();
    engine_name == "redis" && parts.as_slice() < [5, 0, 6].as_slice()
}

fn number(text: &str) -> Option<u32> {
    let plain = text.len() <= 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    let padded = text.len() > 1 && text.starts_with('0');
    text.parse().ok().filter(|_| plain && !padded)
}

/// Checks the syntax of a node type, such as `cache.t3.small`. (ElastiCache user guide: Supported node types)
pub fn node_type(node_type: &str) -> Verdict {
    let size = |size: &str| {
        matches!(size, "micro" | "small" | "medium" | "large" | "xlarge")
            || size.strip_suffix("xlarge").and_then(number).is_some()
    };
    let family = |family: &str| {
        let mut letters = family.chars();
        letters.next().is_some_and(|c| c.is_ascii_lowercase())
            && letters.next().is_some_and(|c| c.is_ascii_digit())
            && letters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
    };
    if let ["cache", kind, extent] = node_type.split('.').collect::<Vec<_>>().as_slice()
        && family(kind)
        && size(extent)
    {
        return Ok(());
    }
    let violation = Violation::new(format!("`{node_type}` is not a node type, such as `cache.t3.small`"));
    let prefixed = format!("cache.{node_type}");
    if !node_type.starts_with("cache") && self::node_type(&prefixed).is_ok() {
        return Err(violation.with_suggestion(prefixed));
    }
    Err(violation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn families() {
        for (engine, version, expected) in [
            ("redis", "7.1", "redis7"),
            ("redis", "7.0", "redis7"),
            ("redis", "6.x", "redis6.x"),
            ("redis", "6.2", "redis6.x"),
            ("redis", "5.0.6", "redis5.0"),
            ("redis", "4.0.10", "redis4.0"),
            ("redis", "3.2.6", "redis3.2"),
            ("valkey", "7.2", "valkey7"),
            ("valkey", "8.0", "valkey8"),
            ("valkey", "9.0", "valkey9"),
        ] {
            assert_eq!(family(engine, version), Ok(expected.to_owned()));
        }
    }

    #[test]
    fn nonexistent_versions_are_refused() {
        for (engine, version, why) in [
            ("memcached", "1.6", "not a supported engine"),
            ("redis", "", "such as `7.1`"),
            ("redis", "7", "major and a minor"),
            ("redis", "7.x", "major and a minor"),
            ("redis", "latest", "such as `7.1`"),
            ("redis", "5.0", "three numbers"),
            ("redis", "8.0", "up to 7.1"),
            ("redis", "7.2", "up to 7.1"),
            ("redis", "6.1", "6.0 and 6.2"),
            ("redis", "1.0", "major and a minor"),
            ("redis", "7.1.0", "AWS chooses the patch version"),
            ("valkey", "6.2", "the first version is 7.2"),
            ("valkey", "7.1", "the first version is 7.2"),
            ("valkey", "8.0.1", "AWS chooses the patch version"),
            ("valkey", "08.0", "such as `8.0`"),
        ] {
            let violation = family(engine, version).unwrap_err().to_string();
            assert!(violation.contains(why), "{engine} {version}: {violation}");
        }
        let patch = family("redis", "7.1.0").unwrap_err();
        assert_eq!(patch.suggestion(), Some("7.1"));
    }

    #[test]
    fn redis_before_6_2_is_refused_as_a_broker() {
        for (engine, version) in
            [("redis", "6.2"), ("redis", "6.x"), ("redis", "7.0"), ("valkey", "7.2"), ("redis", "latest")]
        {
            assert_eq!(celery_broker(engine, version), Ok(()), "{engine} {version}");
        }
        for version in ["6.0", "5.0.6", "4.0.10", "2.8.24"] {
            let violation = celery_broker("redis", version).unwrap_err();
            assert!(violation.to_string().contains("6.2 or later"), "{violation}");
            assert_eq!(violation.suggestion(), Some("7.1"));
        }
    }

    #[test]
    fn early_redis_is_upgraded_with_a_failover() {
        for (engine, version, expected) in [
            ("redis", "5.0.5", true),
            ("redis", "4.0.10", true),
            ("redis", "5.0.6", false),
            ("redis", "6.x", false),
            ("valkey", "7.2", false),
        ] {
            assert_eq!(upgrade_needs_failover(engine, version), expected, "{engine} {version}");
        }
    }

    #[test]
    fn node_types() {
        for good in ["cache.t3.small", "cache.r7g.16xlarge", "cache.c7gn.xlarge", "cache.m6g.large"] {
            assert_eq!(node_type(good), Ok(()), "{good}");
        }
        for bad in ["", "cache.small", "cache.t3.tiny", "cache.T3.small", "cache.t3.xxlarge", "db.t3.small"] {
            assert!(node_type(bad).is_err(), "{bad}");
        }
        let short = node_type("t3.small").unwrap_err();
        assert_eq!(short.suggestion(), Some("cache.t3.small"));
    }

    proptest! {
        #[test]
        fn arbitrary_text_does_not_panic(engine in "redis|valkey|.*", version in ".{0,8}") {
            let _ = family(&engine, &version);
            let _ = node_type(&version);
        }
    }
}
