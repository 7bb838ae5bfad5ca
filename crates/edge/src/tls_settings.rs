//! Certificates and TLS policies that a plan needs and cannot use.

use crate::certificate;
use crate::certificates::describe;
use crate::{CertificateClient, Listener, LoadBalancerClient};
use aws_sdk_acm::types::{CertificateDetail, CertificateStatus};
use aws_sdk_elasticloadbalancingv2::types::LoadBalancerTypeEnum;
use pb_aws::ForOperation;
use pb_engine::{Address, Failure, Planned, is_unknown};
use std::time::{SystemTime, UNIX_EPOCH};

/// A setting of an HTTPS listener that AWS would refuse, or with which no client could connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnusableSetting {
    /// Address of the listener.
    pub address: Address,
    /// Setting: `certificate_arn` or `ssl_policy`.
    pub setting: &'static str,
    /// Reason why it cannot be used.
    pub why: String,
}

/// Returns the certificates and TLS policies that a plan sets and that cannot be used. The certificate `existing`, which
/// the stack does not request itself, must be issued, unexpired, and valid for all of `names`. A failed lookup counts as
/// usable, because AWS then refuses the call itself. Makes no call unless the plan sets one of the two.
pub async fn unusable_settings(
    certificates: &CertificateClient,
    load_balancing: &LoadBalancerClient,
    planned: &Planned<'_>,
    existing: Option<&str>,
    names: &[String],
) -> Vec<UnusableSetting> {
    let created = planned.created::<Listener>().into_iter().map(|(at, spec)| (at, None, spec));
    let modified = planned.modified::<Listener>().into_iter().map(|(at, old, new)| (at, Some(old), new));
    let mut found = Vec::new();
    for (address, before, after) in created.chain(modified) {
        let is_new = |old: Option<&String>, new: &String| old != Some(new) && !is_unknown(new);
        let old_certificate = before.as_ref().and_then(|old| old.certificate_arn.as_ref());
        if let Some(arn) =
            after.certificate_arn.as_ref().filter(|arn| existing == Some(arn.as_str()) && is_new(old_certificate, arn))
            && let Some(why) = certificate_problem(certificates, arn, names).await
        {
            found.push(UnusableSetting { address: address.clone(), setting: "certificate_arn", why });
        }
        let old_policy = before.as_ref().and_then(|old| old.ssl_policy.as_ref());
        if let Some(policy) = after.ssl_policy.as_ref().filter(|policy| is_new(old_policy, policy))
            && let Ok(Some(why)) = policy_problem(load_balancing, policy).await
        {
            found.push(UnusableSetting { address, setting: "ssl_policy", why });
        }
    }
    found
}

async fn certificate_problem(client: &CertificateClient, arn: &str, names: &[String]) -> Option<String> {
    match describe(client, arn).await {
        Ok(Some(detail)) => problem(arn, &detail, names, SystemTime::now()),
        Ok(None) => Some(format!("there is no certificate {arn} in this account and region")),
        Err(_) => None,
    }
}

/// Returns the reason why a certificate cannot serve these names at the time `now`.
pub(crate) fn problem(arn: &str, detail: &CertificateDetail, names: &[String], now: SystemTime) -> Option<String> {
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let expires = detail.not_after().map(aws_sdk_acm::primitives::DateTime::secs);
    let status = detail.status().map_or("unknown", CertificateStatus::as_str);
    if detail.status() == Some(&CertificateStatus::Expired)
        || expires.is_some_and(|at| i64::try_from(seconds).is_ok_and(|now| at <= now))
    {
        return Some(format!("the certificate {arn} has expired"));
    }
    if detail.status() != Some(&CertificateStatus::Issued) {
        return Some(format!("the certificate {arn} is not issued; its status is {status}"));
    }
    let own = certificate::names(detail);
    let missing: Vec<&str> = names
        .iter()
        .filter(|name| !own.iter().any(|one| pb_rules::https::covers(one, name)))
        .map(String::as_str)
        .collect();
    if missing.is_empty() {
        return None;
    }
    let own = own.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    Some(format!("the certificate {arn} is not valid for {}, only for {own}", missing.join(", ")))
}

/// Returns the reason why a listener cannot have this TLS policy; `None` if it can.
///
/// # Errors
/// The error of `DescribeSSLPolicies`.
pub async fn policy_problem(client: &LoadBalancerClient, policy: &str) -> Result<Option<String>, Failure> {
    let offered = policies(client).await?;
    if offered.is_empty() || offered.iter().any(|name| name == policy) {
        return Ok(None);
    }
    Ok(Some(format!("AWS has no TLS policy {policy} for application load balancers, only {}", offered.join(", "))))
}

/// Returns the names of all TLS policies of application load balancers.
///
/// # Errors
/// The error of `DescribeSSLPolicies`.
async fn policies(client: &LoadBalancerClient) -> Result<Vec<String>, Failure> {
    let (mut found, mut marker) = (Vec::new(), None);
    loop {
        let kind = LoadBalancerTypeEnum::Application;
        let call = client.describe_ssl_policies().load_balancer_type(kind).set_marker(marker).send();
        let output = call.await.for_operation("elasticloadbalancing:DescribeSSLPolicies")?;
        found.extend(output.ssl_policies().iter().filter_map(|policy| policy.name().map(str::to_owned)));
        match output.next_marker.filter(|next| !next.is_empty()) {
            Some(next) => marker = Some(next),
            None => return Ok(found),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::problem;
    use aws_sdk_acm::primitives::DateTime;
    use aws_sdk_acm::types::{CertificateDetail, CertificateStatus};
    use std::time::{Duration, UNIX_EPOCH};

    fn certificate(status: CertificateStatus, names: &[&str]) -> CertificateDetail {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let detail = CertificateDetail::builder().domain_name("example.org").set_subject_alternative_names(Some(names));
        detail.status(status).not_after(DateTime::from_secs(1_000)).build()
    }

    #[test]
    fn certificate_must_be_issued_unexpired_and_for_all_names() {
        let why = |detail: &CertificateDetail, names: &[&str], now: u64| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            problem("arn", detail, &names, UNIX_EPOCH + Duration::from_secs(now))
        };
        let issued = certificate(CertificateStatus::Issued, &["example.org", "*.example.org"]);
        assert_eq!(why(&issued, &["example.org", "a.example.org", "*.example.org"], 999), None);
        assert_eq!(why(&issued, &["example.org"], 1_000).unwrap(), "the certificate arn has expired");
        let missing = why(&issued, &["a.b.example.org", "example.org"], 999).unwrap();
        assert_eq!(
            missing,
            "the certificate arn is not valid for a.b.example.org, only for *.example.org, example.org"
        );
        let pending = certificate(CertificateStatus::PendingValidation, &[]);
        assert!(why(&pending, &[], 0).unwrap().contains("its status is PENDING_VALIDATION"));
        let expired = certificate(CertificateStatus::Expired, &[]);
        assert!(why(&expired, &[], 0).unwrap().contains("has expired"));
    }
}
