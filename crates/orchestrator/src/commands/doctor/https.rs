//! Checks of HTTPS: whether a certificate could be issued for the names, and whether the settings can be used.

use super::certificates;
use super::check::{Check, Verdict};
use crate::workspace::deployed_certificates::{self, DeployedCertificate};
use crate::workspace::{name_zones, public_dns};
use aws_config::SdkConfig;
use futures_util::future::join_all;
use pb_config::{Https, Workspace};
use pb_dns::Resolver;
use pb_edge::{
    CertificateClient, CertificateStatus, DnsClient, LoadBalancerClient, Prospects, Zone, validation_prospects,
};
use pb_engine::{Class, Failure, Snapshot};
use pb_rules::https::base_name;
use std::collections::BTreeSet;

/// Makes all checks of HTTPS in parallel. A workspace without it gets a recommendation.
pub async fn checks(aws: &SdkConfig, workspace: &Workspace, snapshot: &Snapshot) -> Vec<Check> {
    let resolver = public_dns::resolver(aws);
    let deployed = deployed_certificates::read(aws, snapshot).await;
    let Some(https) = &workspace.https else {
        let recommended = Check::new(
            "HTTPS",
            Verdict::Warning,
            "not used, so requests are not encrypted; the table `[https]` in the configuration turns it on",
        );
        let mut checks = vec![recommended];
        checks.extend(certificates::checks(&workspace.name, resolver.as_ref(), &deployed).await);
        return checks;
    };
    let recorded: Vec<DeployedCertificate> =
        deployed.into_iter().filter(|one| https.certificate_arn.as_ref() != Some(&one.arn)).collect();
    let (policy, existing, names, recorded) = tokio::join!(
        policy(aws, &https.policy),
        existing(aws, workspace, https, resolver.as_ref(), snapshot),
        names(aws, workspace, https, resolver.clone(), &recorded),
        certificates::checks(&workspace.name, resolver.as_ref(), &recorded),
    );
    let mut checks = vec![policy];
    checks.extend(existing);
    checks.extend(names);
    checks.extend(recorded);
    checks
}

async fn policy(aws: &SdkConfig, policy: &str) -> Check {
    const NAME: &str = "TLS policy";
    match pb_edge::policy_problem(&LoadBalancerClient::new(aws), policy).await {
        Ok(None) => Check::good(NAME, policy),
        Ok(Some(why)) => Check::bad(NAME, why, "choose another `https.policy`"),
        Err(failure) => Check::failed(NAME, Verdict::Unknown, &failure),
    }
}

/// Checks the existing certificate that the configuration names.
async fn existing(
    aws: &SdkConfig,
    workspace: &Workspace,
    https: &Https,
    resolver: Option<&Resolver>,
    snapshot: &Snapshot,
) -> Option<Check> {
    const NAME: &str = "certificate";
    let hint = "choose another `https.certificate_arn`, or remove the key, so that a certificate is requested";
    let arn = https.certificate_arn.as_ref()?;
    let read = CertificateStatus::read_for(&CertificateClient::new(aws), arn, &https.certificate_names).await;
    Some(match read {
        Err(failure) if failure.class == Class::NotFound => Check::bad(NAME, failure.message, hint),
        Err(failure) => Check::failed(NAME, Verdict::Unknown, &failure),
        Ok((_, Some(why))) => Check::bad(NAME, why, hint),
        Ok((status, None)) => {
            let check = certificates::check(&workspace.name, resolver, None, &status).await;
            let is_served = snapshot.resources.contains_key(pb_edge::names::LISTENER_HTTPS);
            match is_served && !status.in_use && check.verdict == Verdict::Good {
                true => {
                    let name = &workspace.name;
                    let hint = format!("run `pb-deploy deploy {name}`");
                    Check::warning(&check.name, format!("no load balancer uses it; {}", check.found), hint)
                }
                false => check,
            }
        }
    })
}

/// Checks the zone of each name and, if a certificate is to be requested, whether AWS can validate the name.
async fn names(
    aws: &SdkConfig,
    workspace: &Workspace,
    https: &Https,
    resolver: Option<Resolver>,
    recorded: &[DeployedCertificate],
) -> Vec<Check> {
    let requested: &[String] = if https.certificate_arn.is_none() { &https.certificate_names } else { &[] };
    let mut seen = BTreeSet::new();
    let all: Vec<&String> = requested.iter().chain(&https.names).filter(|name| seen.insert(name.as_str())).collect();
    let own = pb_edge::find_zone(aws, &workspace.zone, workspace.zone_id.as_deref());
    let other = join_all(all.iter().map(|name| async {
        let base = base_name(name);
        match name_zones::is_elsewhere(workspace, https, base) {
            true => Some(pb_edge::zone_of(aws, base, https.zones.get(base).map(String::as_str)).await),
            false => None,
        }
    }));
    let (own, other) = tokio::join!(own, other);
    let mut checks = Vec::new();
    let mut found: Vec<(String, Zone)> = Vec::new();
    for (name, zone) in all.iter().zip(other) {
        // The zone of the workspace has a check of its own.
        let zone: Result<Zone, Failure> = match (zone, &own) {
            (Some(zone), _) => zone,
            (None, Ok(own)) => Ok(own.clone()),
            (None, Err(_)) => continue,
        };
        match zone {
            Ok(zone) => found.push(((*name).clone(), zone)),
            Err(failure) => checks.push(Check::failed(&check_name(name), Verdict::Bad, &failure)),
        }
    }
    let (validated, only_records): (Vec<_>, Vec<_>) = found.into_iter().partition(|(name, _)| requested.contains(name));
    let prospects = validation_prospects(DnsClient::new(aws), resolver, &validated).await;
    for ((name, zone), prospects) in validated.iter().zip(prospects) {
        checks.push(name_check(name, zone, prospects, is_issued(recorded, name)));
    }
    checks.extend(only_records.iter().map(|(name, zone)| Check::good(&check_name(name), in_zone(zone))));
    checks
}

/// Returns whether a certificate with this name has been issued.
fn is_issued(recorded: &[DeployedCertificate], name: &str) -> bool {
    recorded.iter().filter_map(|one| one.status.as_ref().ok()).any(|status| {
        status.failure.is_none() && status.expires.is_some() && status.names.iter().any(|known| known == name)
    })
}

fn check_name(name: &str) -> String {
    format!("name {name}")
}

fn in_zone(zone: &Zone) -> String {
    format!("in the hosted zone {} ({})", zone.name, zone.id)
}

/// Returns the check of a name. What keeps AWS from validating it does not matter to a deploy once the certificate is
/// issued, but to its renewal.
fn name_check(name: &str, zone: &Zone, prospects: Prospects, is_issued: bool) -> Check {
    let (check, zone) = (check_name(name), in_zone(zone));
    if !prospects.blocked.is_empty() {
        let found = prospects.blocked.join("; ");
        return match is_issued {
            true => Check::new(&check, Verdict::Warning, format!("AWS cannot renew the certificate: {found}")),
            false => Check::new(&check, Verdict::Bad, format!("AWS cannot issue a certificate: {found}")),
        };
    }
    match prospects.unknown.as_slice() {
        [] => Check::good(&check, format!("{zone}; public DNS lets AWS issue a certificate")),
        reasons => {
            let found = format!("{zone}; unknown whether AWS can issue a certificate: {}", reasons.join("; "));
            Check::new(&check, Verdict::Unknown, found)
        }
    }
}
