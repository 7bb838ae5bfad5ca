//! Hostnames and hosted zones.

use crate::text::{length, no_prefix, no_suffix, only};
use crate::{Verdict, Violation};

/// Checks one label of a hostname, which is a part between two dots. (RFC 1123, section 2.1)
pub fn label(label: &str) -> Verdict {
    let what = "a hostname label";
    length(what, label, 1, 63)?;
    only(
        what,
        label,
        |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-',
        "lower-case letters, digits and hyphens",
    )?;
    no_prefix(what, label, "-")?;
    no_suffix(what, label, "-")
}

/// Checks a fully qualified hostname, which must be in lower case, as Route 53 returns it, without the trailing dot.
/// (Route 53 developer guide: DNS domain name format)
pub fn hostname(name: &str) -> Verdict {
    let plain = name.trim_end_matches('.').to_lowercase();
    let suggest = |violation: Violation| {
        if plain != name && hostname(&plain).is_ok() { violation.with_suggestion(&plain) } else { violation }
    };
    if name.contains("://") || name.contains('/') {
        return Err(Violation::new(format!("`{name}` is a URL; expected a hostname such as `example.org`")));
    }
    if name.ends_with('.') {
        let violation = Violation::new(format!("`{name}` ends with a dot"));
        return Err(suggest(violation));
    }
    length("a hostname", name, 1, 253)?;
    if !name.contains('.') || name.parse::<std::net::Ipv4Addr>().is_ok() {
        return Err(Violation::new(format!("`{name}` is not a fully qualified hostname, such as `example.org`")));
    }
    for part in name.split('.') {
        label(part).map_err(suggest)?;
    }
    Ok(())
}

/// Checks that a hostname is in a zone: it equals the zone's name, or ends with a dot and the zone's name. (Route 53
/// API: ChangeResourceRecordSets)
pub fn in_zone(hostname: &str, zone: &str) -> Verdict {
    let inside = hostname.strip_suffix(zone).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    if inside {
        return Ok(());
    }
    Err(Violation::new(format!("`{hostname}` is not in the hosted zone `{zone}`")))
}

/// Checks the id of a hosted zone, without `/hostedzone/`. (Route 53 API: ResourceId)
pub fn zone_id(id: &str) -> Verdict {
    let what = "a hosted zone id";
    length(what, id, 1, 32)?;
    only(what, id, |c| c.is_ascii_uppercase() || c.is_ascii_digit(), "upper-case letters and digits")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hostnames() {
        for good in ["ospcapi.org", "a.b.c", "1.example.org", "xn--bcher-kva.example"] {
            assert_eq!(hostname(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "localhost",
            "10.0.0.1",
            "a..b",
            "-a.org",
            "a-.org",
            "a_b.org",
            "a b.org",
            ".org",
            "http://a.org",
            "a.org/x",
        ] {
            assert!(hostname(bad).is_err(), "{bad}");
        }
        assert!(hostname(&format!("{}.org", "x".repeat(64))).is_err());
        assert!(hostname(&"abcdefg.".repeat(32)).is_err());
    }

    #[test]
    fn hostname_suggestion_is_lower_case_without_a_dot() {
        let suggested = |name| hostname(name).unwrap_err().suggestion().map(str::to_owned);
        assert_eq!(suggested("OspcAPI.org"), Some("ospcapi.org".to_owned()));
        assert_eq!(suggested("ospcapi.org."), Some("ospcapi.org".to_owned()));
        assert_eq!(suggested("a_b.org"), None);
    }

    #[test]
    fn zones() {
        assert_eq!(in_zone("ospcapi.org", "ospcapi.org"), Ok(()));
        assert_eq!(in_zone("staging.ospcapi.org", "ospcapi.org"), Ok(()));
        assert!(in_zone("myospcapi.org", "ospcapi.org").is_err());
        assert!(in_zone("org", "ospcapi.org").is_err());
    }

    #[test]
    fn zone_ids() {
        assert_eq!(zone_id("Z3AADJGX6KTTL2"), Ok(()));
        for bad in ["", "/hostedzone/Z3AADJGX6KTTL2", "z3aadjgx6kttl2", "Z 1", &"Z".repeat(33)] {
            assert!(zone_id(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn label_before_a_hostname_is_a_hostname(part in "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?") {
            let name = format!("{part}.example.org");
            prop_assert_eq!(hostname(&name), Ok(()));
            prop_assert_eq!(in_zone(&name, "example.org"), Ok(()));
        }
    }
}
