//! Comparison of engine versions: configured ones, and those that AWS reports.

use std::cmp::Ordering;

/// Converts a version that AWS reports into the form that a spec uses. Returns `wanted` if the reported version matches
/// it (AWS reports `7.1` as `7.1.0`, and `6.x` as `6.2.6`). Otherwise, returns only the major and minor version from
/// version 6 on, where AWS chooses the patch version, and the full version before 6. (ElastiCache user guide: Engine
/// versions and upgrading)
pub(crate) fn normalize(reported: &str, wanted: Option<&str>) -> String {
    if let Some(wanted) = wanted
        && matches_version(wanted, reported)
    {
        return wanted.to_owned();
    }
    let major: u32 = reported.split('.').next().and_then(|part| part.parse().ok()).unwrap_or_default();
    let parts = if major >= 6 { 2 } else { 3 };
    reported.split('.').take(parts).collect::<Vec<_>>().join(".")
}

fn matches_version(wanted: &str, reported: &str) -> bool {
    let mut parts = reported.split('.');
    wanted.split('.').all(|part| parts.next().is_some_and(|reported| part == "x" || part == reported))
}

/// Returns whether `version` is earlier than `other`. Only the parts that both versions specify are compared; `x` means
/// any number, and is therefore not earlier.
pub(crate) fn is_earlier(version: &str, other: &str) -> bool {
    let (version, other) = (numbers(version), numbers(other));
    let both = version.len().min(other.len());
    version.iter().take(both).lt(other.iter().take(both))
}

/// Compares two versions by their numbers.
pub(crate) fn compare(version: &str, other: &str) -> Ordering {
    numbers(version).cmp(&numbers(other))
}

fn numbers(text: &str) -> Vec<u32> {
    text.split('.').map_while(|part| part.parse().ok()).collect()
}

/// Returns whether `version` is a later minor version than `other`, with the same major version. Only the parts that
/// both versions specify are compared.
pub(super) fn is_later_minor(version: &str, other: &str) -> bool {
    version.split('.').next() == other.split('.').next() && is_earlier(other, version)
}

#[cfg(test)]
mod tests {
    use super::{is_earlier, is_later_minor, normalize};

    #[test]
    fn later_minor_version_has_the_same_major_version() {
        for (version, other, later) in
            [("8.1", "8.0", true), ("8.0", "8.0", false), ("8.0", "8.1", false), ("9.0", "8.0", false)]
        {
            assert_eq!(is_later_minor(version, other), later, "{version} {other}");
        }
    }

    #[test]
    fn versions_are_compared_by_number() {
        for (version, other, earlier) in [
            ("7.0", "7.1", true),
            ("7.1", "7.0", false),
            ("7.1", "7.1", false),
            ("6.x", "7.1", true),
            ("6.x", "6.2", false),
            ("6.2", "6.x", false),
            ("9.0", "10.0", true),
            ("5.0.5", "5.0.6", true),
        ] {
            assert_eq!(is_earlier(version, other), earlier, "{version} {other}");
        }
    }

    #[test]
    fn version_is_compared_with_the_precision_of_the_spec() {
        for (reported, wanted, spec) in [
            ("7.1.0", Some("7.1"), "7.1"),
            ("7.1.0", Some("7.0"), "7.1"),
            ("7.1.0", None, "7.1"),
            ("6.2.6", Some("6.x"), "6.x"),
            ("6.2.6", Some("6.2"), "6.2"),
            ("5.0.6", Some("5.0.6"), "5.0.6"),
            ("5.0.6", Some("5.0.5"), "5.0.6"),
            ("8.0.1", Some("8.0"), "8.0"),
            ("10.1.0", Some("1"), "10.1"),
        ] {
            assert_eq!(normalize(reported, wanted), spec, "{reported} {wanted:?}");
        }
    }
}
