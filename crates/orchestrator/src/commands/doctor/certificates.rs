//! Checks of the certificates of a deployed workspace: expiry and renewal.

use super::check::{Check, Verdict};
use crate::output::certificate::{is_fine, names, records, state};
use crate::workspace::deployed_certificates::DeployedCertificate;
use futures_util::future::join_all;
use pb_dns::{Resolver, Validation};
use pb_edge::CertificateStatus;
use pb_engine::Class;

/// Number of names that are shown.
const SHOWN_NAMES: usize = 10;

/// Checks the certificates of a workspace. `resolver` looks for the validation records that AWS does not find.
pub async fn checks(workspace: &str, resolver: Option<&Resolver>, found: &[DeployedCertificate]) -> Vec<Check> {
    join_all(found.iter().map(|one| async move {
        let owned = one.address.as_deref();
        match &one.status {
            Ok(status) => check(workspace, resolver, owned, status).await,
            Err(failure) if failure.class == Class::NotFound && owned.is_some() => {
                let hint = format!("run `pb-deploy deploy {workspace}`, which requests a new one");
                Check::warning("certificate", failure.message.clone(), hint)
            }
            Err(failure) => Check::failed("certificate", Verdict::Unknown, failure),
        }
    }))
    .await
}

/// Returns the check of one certificate. `address` is its address if it belongs to the workspace.
pub async fn check(
    workspace: &str,
    resolver: Option<&Resolver>,
    address: Option<&str>,
    status: &CertificateStatus,
) -> Check {
    let name = format!("certificate {}", status.names.first().map_or("", String::as_str));
    let found = format!("{}; names: {}", state(status), names(status, SHOWN_NAMES));
    if is_fine(status) {
        return Check::good(&name, found);
    }
    let lacks = lacking_records(resolver, status).await;
    let found = std::iter::once(found).chain(lacks).collect::<Vec<_>>().join("; ");
    Check::warning(&name, found, remedy(workspace, address, status))
}

/// Returns, for each validation record that AWS does not find, a text with the record and the answer of public DNS.
async fn lacking_records(resolver: Option<&Resolver>, status: &CertificateStatus) -> Vec<String> {
    join_all(records(&status.unvalidated).into_iter().map(|(one, record, value)| async move {
        let answer = match resolver {
            Some(resolver) => resolver.cname(record, value).await,
            None => Validation::Unknown { reason: "public DNS does not know the zones of this endpoint".to_owned() },
        };
        let wanted = format!("`{record} CNAME {value}`");
        match answer {
            Validation::Visible => format!("the record {wanted} for {} is visible in public DNS", one.name),
            Validation::Missing => format!("{} lacks the record {wanted}", one.name),
            Validation::Other { value } => format!("{} lacks the record {wanted}: its value is {value}", one.name),
            Validation::Unknown { reason } => {
                format!("AWS looks for the record {wanted} for {}, and public DNS is unknown: {reason}", one.name)
            }
        }
    }))
    .await
}

/// Returns what helps against an expiry or a renewal that does not succeed.
fn remedy(workspace: &str, address: Option<&str>, status: &CertificateStatus) -> String {
    let Some(address) = address else {
        return match (status.imported, status.unvalidated.is_empty()) {
            (true, _) => "import its successor under the same ARN, or set another `https.certificate_arn`".to_owned(),
            (false, false) => "create the missing records in the zones of the names".to_owned(),
            (false, true) => {
                "set another `https.certificate_arn`, or remove the key, so that one is requested".to_owned()
            }
        };
    };
    if status.failure.is_some() {
        return format!("run `pb-deploy deploy {workspace}`, which requests a new certificate");
    }
    if status.renewal.as_deref() == Some("FAILED") {
        return format!(
            "correct this, then request a new certificate: `pb-deploy deploy {workspace} --replace {address}`"
        );
    }
    match status.unvalidated.is_empty() {
        false => format!("run `pb-deploy deploy {workspace}`, which creates missing records"),
        true if status.expires.is_none() => {
            format!("run `pb-deploy deploy {workspace}`, which waits until AWS has issued it")
        }
        true => "AWS renews it while a load balancer uses it and its validation records exist; see the checks of its \
                 names"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{check, remedy};
    use crate::commands::doctor::check::Verdict;
    use pb_edge::{CertificateStatus, UnvalidatedName};

    fn certificate(days_left: i64) -> CertificateStatus {
        CertificateStatus {
            status: "ISSUED".to_owned(),
            failure: None,
            issuer: Some("Amazon".to_owned()),
            names: vec!["example.org".to_owned()],
            expires: Some("2027-01-31T23:59:59Z".to_owned()),
            days_left: Some(days_left),
            imported: false,
            in_use: true,
            renewable: true,
            renewal: None,
            renewal_reason: None,
            unvalidated: Vec::new(),
        }
    }

    #[tokio::test]
    async fn fewer_than_thirty_days_are_a_warning() {
        for (days, verdict) in [(30, Verdict::Good), (29, Verdict::Warning), (-1, Verdict::Warning)] {
            let found = check("staging", None, Some("edge/certificate"), &certificate(days)).await;
            assert_eq!((found.verdict, found.hint.is_some()), (verdict, verdict == Verdict::Warning), "{found:?}");
        }
    }

    #[tokio::test]
    async fn renewal_that_waits_or_failed_is_a_warning() {
        for (renewal, verdict) in [
            ("SUCCESS", Verdict::Good),
            ("PENDING_AUTO_RENEWAL", Verdict::Good),
            ("PENDING_VALIDATION", Verdict::Warning),
            ("FAILED", Verdict::Warning),
        ] {
            let status = CertificateStatus { renewal: Some(renewal.to_owned()), ..certificate(50) };
            let found = check("staging", None, Some("edge/certificate"), &status).await;
            assert!(found.verdict == verdict && found.found.contains(renewal), "{found:?}");
        }
    }

    #[test]
    fn remedy_fits_the_owner_of_the_certificate() {
        let failed = CertificateStatus { renewal: Some("FAILED".to_owned()), ..certificate(9) };
        let own = |status: &CertificateStatus| remedy("staging", Some("edge/certificate_2"), status);
        assert!(own(&failed).contains("`pb-deploy deploy staging --replace edge/certificate_2`"));
        let name = UnvalidatedName { name: "example.org".to_owned(), record: None, value: None };
        let open = CertificateStatus { unvalidated: vec![name], ..certificate(9) };
        assert!(own(&open).contains("which creates missing records"));
        assert!(remedy("staging", None, &open).starts_with("create the missing records"));
        let imported = CertificateStatus { imported: true, ..certificate(9) };
        assert!(remedy("staging", None, &imported).starts_with("import its successor"));
        assert!(remedy("staging", None, &certificate(9)).contains("certificate_arn"));
    }
}
