//! The state of a certificate as text.

use pb_edge::{CertificateStatus, UnvalidatedName};

/// Number of days before the expiry from which on a certificate is reported. AWS renews a certificate 60 days before it
/// expires, so by then something keeps it from that. (ACM user guide: Managed certificate renewal)
const FEW_DAYS: i64 = 30;

/// Returns whether nobody has to look at a certificate: it is issued, does not expire soon, and no renewal fails.
pub fn is_fine(certificate: &CertificateStatus) -> bool {
    let has_time = certificate.days_left.is_some_and(|days| days >= FEW_DAYS);
    has_time && certificate.failure.is_none() && !certificate.renewal_needs_attention()
}

/// Returns a text such as `issued by Amazon, expires on 2027-01-31 (in 62 days), renewal automatic`.
pub fn state(certificate: &CertificateStatus) -> String {
    let Some(expires) = &certificate.expires else { return unissued(certificate) };
    let issuer = certificate.issuer.as_deref().unwrap_or("an unknown issuer");
    let date = expires.get(..10).unwrap_or(expires);
    let verb = if certificate.imported { "imported, issued" } else { "issued" };
    let status = match certificate.status.as_str() {
        "ISSUED" | "EXPIRED" => String::new(),
        status => format!("{status}, "),
    };
    format!("{status}{verb} by {issuer}, {}, {}", expiry(date, certificate.days_left), renewal(certificate))
}

/// Returns the names of a certificate; if there are more than `limit`, only the first one and the number of the others.
pub fn names(certificate: &CertificateStatus, limit: usize) -> String {
    match certificate.names.as_slice() {
        [first, rest @ ..] if rest.len() >= limit => {
            format!("{first} and {}", super::count(rest.len(), "more name"))
        }
        names => names.join(", "),
    }
}

fn unissued(certificate: &CertificateStatus) -> String {
    if let Some(failure) = &certificate.failure {
        return format!("not issued: {failure}");
    }
    let open: Vec<&str> = certificate.unvalidated.iter().map(|one| one.name.as_str()).collect();
    match open.as_slice() {
        [] => "pending validation: AWS has yet to issue it".to_owned(),
        open => format!("pending validation: AWS has yet to validate {}", open.join(", ")),
    }
}

fn expiry(date: &str, days_left: Option<i64>) -> String {
    match days_left {
        None => format!("expires on {date}"),
        Some(..0) => format!("expired on {date}"),
        Some(0) => format!("expires on {date} (in less than a day)"),
        Some(days) => {
            let days = super::count(usize::try_from(days).unwrap_or_default(), "day");
            format!("expires on {date} (in {days})")
        }
    }
}

fn renewal(certificate: &CertificateStatus) -> String {
    match (certificate.renewal.as_deref(), certificate.renewal_reason.as_deref()) {
        _ if certificate.imported => "not renewed by AWS".to_owned(),
        (Some(state), Some(reason)) => format!("renewal {state}: {reason}"),
        (Some(state), None) => format!("renewal {state}"),
        (None, _) if certificate.renewable => "renewal automatic".to_owned(),
        (None, _) if !certificate.in_use => "not renewed while it is not in use".to_owned(),
        (None, _) => "not eligible for renewal".to_owned(),
    }
}

/// Returns the records that AWS looks for to validate names, without duplicates: a name and its wildcard name have the
/// same one.
pub fn records(unvalidated: &[UnvalidatedName]) -> Vec<(&UnvalidatedName, &str, &str)> {
    let mut found: Vec<(&UnvalidatedName, &str, &str)> = Vec::new();
    for one in unvalidated {
        if let (Some(record), Some(value)) = (&one.record, &one.value)
            && !found.iter().any(|(_, known, _)| known == record)
        {
            found.push((one, record, value));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{names, records, state};
    use pb_edge::{CertificateStatus, UnvalidatedName};

    fn certificate() -> CertificateStatus {
        CertificateStatus {
            status: "ISSUED".to_owned(),
            failure: None,
            issuer: Some("Amazon".to_owned()),
            names: ["example.org", "*.example.org", "b.example.org"].map(str::to_owned).to_vec(),
            expires: Some("2027-01-31T23:59:59Z".to_owned()),
            days_left: Some(62),
            imported: false,
            in_use: true,
            renewable: true,
            renewal: None,
            renewal_reason: None,
            unvalidated: Vec::new(),
        }
    }

    #[test]
    fn state_contains_issuer_expiry_and_renewal() {
        let text = |change: fn(&mut CertificateStatus)| {
            let mut one = certificate();
            change(&mut one);
            state(&one)
        };
        let issued = "issued by Amazon, expires on 2027-01-31 (in 62 days), renewal";
        assert_eq!(text(|_| {}), format!("{issued} automatic"));
        let failed = text(|one| {
            one.renewal = Some("FAILED".to_owned());
            one.renewal_reason = Some("CAA_ERROR".to_owned());
        });
        assert_eq!(failed, format!("{issued} FAILED: CAA_ERROR"));
        let expired = text(|one| (one.days_left, one.imported) = (Some(-1), true));
        assert_eq!(expired, "imported, issued by Amazon, expired on 2027-01-31, not renewed by AWS");
        let unused = text(|one| (one.days_left, one.renewable, one.in_use) = (Some(0), false, false));
        assert!(unused.ends_with("(in less than a day), not renewed while it is not in use"), "{unused}");
        assert!(text(|one| one.renewable = false).ends_with("not eligible for renewal"));
        assert!(text(|one| one.status = "REVOKED".to_owned()).starts_with("REVOKED, issued by"));
    }

    #[test]
    fn unissued_certificate_says_what_it_waits_for() {
        let mut one = certificate();
        one.expires = None;
        assert_eq!(state(&one), "pending validation: AWS has yet to issue it");
        let name = |name: &str| UnvalidatedName {
            name: name.to_owned(),
            record: Some("_x.example.org".to_owned()),
            value: Some("_y".to_owned()),
        };
        one.unvalidated = vec![name("example.org"), name("*.example.org")];
        assert_eq!(state(&one), "pending validation: AWS has yet to validate example.org, *.example.org");
        assert_eq!(records(&one.unvalidated).len(), 1);
        one.failure = Some("CAA_ERROR".to_owned());
        assert_eq!(state(&one), "not issued: CAA_ERROR");
    }

    #[test]
    fn names_are_counted_beyond_the_limit() {
        assert_eq!(names(&certificate(), 2), "example.org and 2 more names");
        assert_eq!(names(&certificate(), 3), "example.org, *.example.org, b.example.org");
    }
}
