//! Certificates, TLS policies, and the header that makes browsers use HTTPS.

use crate::account::account_id;
use crate::dns::hostname;
use crate::region::region;
use crate::{Verdict, Violation};

/// TLS policy of a new HTTPS listener: TLS 1.3 and 1.2, with hybrid post-quantum key exchange. (Elastic Load Balancing
/// user guide: Security policies for your Application Load Balancer)
pub const DEFAULT_POLICY: &str = "ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09";

/// Number of names of a certificate by default. (ACM user guide: Quotas, domain names per ACM certificate)
pub const NAMES_PER_CERTIFICATE: usize = 10;

/// Number of certificates of a listener in addition to its default certificate. (Elastic Load Balancing user guide:
/// Quotas for your Application Load Balancers, certificates per Application Load Balancer)
pub const MORE_CERTIFICATES: usize = 25;

/// Priority of the rule that redirects HTTP requests, before all other rules.
pub const REDIRECT_PRIORITY: i32 = 1;

/// Longest first name of a certificate; further names can be longer. (ACM API: RequestCertificate, `DomainName`)
const FIRST_NAME_MAX: usize = 64;

/// Seconds of a day.
const DAY: i64 = 24 * 60 * 60;

/// Checks a name of a certificate: a hostname, or `*.` followed by one. (ACM user guide: Domain names)
pub fn certificate_name(name: &str) -> Verdict {
    hostname(base_name(name))
}

/// Checks the first name of a certificate, which is also its common name. (ACM API: RequestCertificate, `DomainName`)
pub fn first_certificate_name(name: &str) -> Verdict {
    if name.len() <= FIRST_NAME_MAX {
        return certificate_name(name);
    }
    Err(Violation::new(format!(
        "`{name}` has {} characters; the first name of a certificate can have at most {FIRST_NAME_MAX}",
        name.len()
    )))
}

/// Checks the number of names for which certificates are requested.
pub fn name_count(count: usize) -> Verdict {
    let most = NAMES_PER_CERTIFICATE * (1 + MORE_CERTIFICATES);
    if count <= most {
        return Ok(());
    }
    Err(Violation::new(format!("{count} names need more certificates than a listener can have; at most {most} fit")))
}

/// Returns a name without a leading `*.`. A wildcard name and this name are validated with the same record. (ACM user
/// guide: DNS validation)
#[must_use]
pub fn base_name(name: &str) -> &str {
    name.strip_prefix("*.").unwrap_or(name)
}

/// Returns the name of a certificate for the hosts that a host pattern of a listener rule matches: the host itself, or
/// a wildcard name if only the first label contains wildcards.
///
/// # Errors
/// A violation if no certificate covers all of these hosts: a wildcard in a certificate replaces exactly the first
/// label. (RFC 6125, section 6.4.3)
pub fn name_of_pattern(pattern: &str) -> Result<String, Violation> {
    let has_wildcard = |text: &str| text.contains(['*', '?']);
    match pattern.split_once('.') {
        _ if !has_wildcard(pattern) => Ok(pattern.to_owned()),
        Some((first, rest)) if has_wildcard(first) && !has_wildcard(rest) && rest.contains('.') => {
            Ok(format!("*.{rest}"))
        }
        _ => Err(Violation::new(format!(
            "no certificate covers all hosts that `{pattern}` matches: a certificate can have a wildcard only in place \
             of the first label, as in `*.example.org`"
        ))),
    }
}

/// Returns whether a certificate with this name is valid for a host or a wildcard name. (RFC 6125, section 6.4.3)
#[must_use]
pub fn covers(certificate_name: &str, name: &str) -> bool {
    let wildcard = certificate_name.strip_prefix("*.");
    certificate_name == name || wildcard.is_some_and(|zone| name.split_once('.').is_some_and(|(_, rest)| rest == zone))
}

/// Checks the ARN of a certificate. (ACM API: CertificateDetail, `CertificateArn`)
pub fn certificate_arn(arn: &str) -> Verdict {
    let parts = arn.split(':').collect::<Vec<_>>();
    match parts.as_slice() {
        ["arn", partition, "acm", region_name, account, resource]
            if partition.starts_with("aws") && region(region_name).is_ok() && account_id(account).is_ok() =>
        {
            let id = resource.strip_prefix("certificate/").unwrap_or_default();
            if !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
                return Ok(());
            }
        }
        _ => {}
    }
    Err(Violation::new(format!(
        "`{arn}` is not the ARN of a certificate, such as \
         `arn:aws:acm:us-east-2:123456789012:certificate/12345678-1234-1234-1234-123456789012`"
    )))
}

/// Checks that a certificate, given by its ARN, is in the region of the load balancer, which AWS requires. (Elastic Load
/// Balancing user guide: SSL certificates for your Application Load Balancer)
pub fn certificate_region(arn: &str, wanted: &str) -> Verdict {
    match arn.split(':').nth(3) {
        Some(found) if found != wanted => Err(Violation::new(format!(
            "the certificate is in {found}, but the load balancer is in {wanted}; a load balancer can use only the \
             certificates of its own region"
        ))),
        _ => Ok(()),
    }
}

/// Checks the form of the name of a TLS policy; AWS knows which policies exist. (Elastic Load Balancing API:
/// CreateListener, `SslPolicy`)
pub fn policy(name: &str) -> Verdict {
    let known = name.strip_prefix("ELBSecurityPolicy-");
    if known.is_some_and(|rest| !rest.is_empty() && rest.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')) {
        return Ok(());
    }
    Err(Violation::new(format!("`{name}` is not the name of a TLS policy, such as `{DEFAULT_POLICY}`")))
}

/// Returns the value of the header `Strict-Transport-Security` for a number of days, such as `365d`. `0d` makes browsers
/// forget that the site needs HTTPS. (RFC 6797, section 6.1.1)
///
/// # Errors
/// A violation if `text` is not a number of days between 0 and 3650, followed by `d`.
pub fn hsts(text: &str) -> Result<String, Violation> {
    let days = text.strip_suffix('d').filter(|days| days.chars().all(|c| c.is_ascii_digit()));
    match days.and_then(|days| days.parse::<i64>().ok()) {
        Some(days) if days <= 3650 => Ok(format!("max-age={}", days * DAY)),
        _ => Err(Violation::new(format!("`{text}` is not a number of days between `0d` and `3650d`, such as `365d`"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificate_names_can_have_a_leading_wildcard() {
        for good in ["example.org", "*.example.org", "a.b.example.org"] {
            assert_eq!(certificate_name(good), Ok(()), "{good}");
        }
        for bad in ["*.org", "*", "a.*.example.org", "*a.example.org", "https://example.org", "Example.org"] {
            assert!(certificate_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn first_certificate_name_has_at_most_64_characters() {
        let name = |length: usize| format!("{}.{}.org", "a".repeat(length - 4 - 31), "b".repeat(30));
        assert_eq!(first_certificate_name(&name(64)), Ok(()));
        assert!(first_certificate_name(&name(65)).unwrap_err().to_string().contains("65 characters"));
        assert_eq!(certificate_name(&name(65)), Ok(()));
    }

    #[test]
    fn pattern_maps_to_the_certificate_name_that_covers_it() {
        for (pattern, name) in [
            ("api.example.org", "api.example.org"),
            ("*.example.org", "*.example.org"),
            ("api-?.example.org", "*.example.org"),
        ] {
            assert_eq!(name_of_pattern(pattern).unwrap(), name);
        }
        for bad in ["a.*.example.org", "*.a?.example.org", "*", "*.org", "api.example.*"] {
            assert!(name_of_pattern(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn wildcard_covers_exactly_one_label() {
        assert!(covers("example.org", "example.org") && covers("*.example.org", "a.example.org"));
        assert!(covers("*.example.org", "*.example.org"));
        assert!(!covers("*.example.org", "example.org") && !covers("*.example.org", "a.b.example.org"));
        assert!(!covers("a.example.org", "*.example.org"));
    }

    #[test]
    fn certificate_arns() {
        let good = "arn:aws:acm:us-east-2:123456789012:certificate/12345678-1234-1234-1234-123456789012";
        assert_eq!(certificate_arn(good), Ok(()));
        assert_eq!(certificate_arn(&good.replace(":aws:", ":aws-us-gov:")), Ok(()));
        for bad in
            ["", "certificate/1", &good.replace("acm", "iam"), &good[..good.len() - 36], &good.replace("9012:", ":")]
        {
            assert!(certificate_arn(bad).is_err(), "{bad}");
        }
        assert_eq!(certificate_region(good, "us-east-2"), Ok(()));
        let why = certificate_region(good, "eu-west-1").unwrap_err().to_string();
        assert!(why.contains("in us-east-2, but the load balancer is in eu-west-1"), "{why}");
    }

    #[test]
    fn hsts_is_a_number_of_days() {
        assert_eq!(hsts("365d").unwrap(), "max-age=31536000");
        assert_eq!(hsts("0d").unwrap(), "max-age=0");
        for bad in ["365", "d", "-1d", "1y", "3651d", "99999999999999999999d", "+1d"] {
            assert!(hsts(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn policy_names() {
        assert_eq!(policy(DEFAULT_POLICY), Ok(()));
        for bad in ["TLS13", "ELBSecurityPolicy-", "ELBSecurityPolicy-TLS 1.3"] {
            assert!(policy(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_must_fit_into_the_certificates_of_a_listener() {
        assert_eq!(name_count(260), Ok(()));
        assert!(name_count(261).is_err());
    }
}
