//! The reasons in public DNS why AWS cannot validate a name.

use crate::DnsClient;
use crate::zone::{public_zones_of, zone_servers};
use futures_util::future::join_all;
use pb_dns::{Caa, Delegation, Resolver};
use pb_engine::Failure;
use pb_rules::https::base_name;

/// Lookup of what keeps AWS from validating a name, in public DNS.
pub(crate) struct Diagnosis {
    pub dns: DnsClient,
    pub resolver: Resolver,
}

impl Diagnosis {
    /// Returns, for each name, what public DNS says against its validation; nothing for a name for which DNS answers
    /// as it should, or not at all.
    pub(super) async fn of(&self, names: &[String]) -> Vec<String> {
        let found = join_all(names.iter().map(|name| async move {
            let (delegation, caa) = tokio::join!(self.delegation(name), self.caa(name));
            delegation.ok().flatten().into_iter().chain(caa).collect::<Vec<_>>()
        }));
        let mut found: Vec<String> = found.await.into_iter().flatten().collect();
        found.dedup();
        found
    }

    /// Returns the reason why public DNS does not ask Route 53 for a name.
    async fn delegation(&self, name: &str) -> Result<Option<String>, Failure> {
        let Some((zone, ids)) = public_zones_of(&self.dns, base_name(name)).await? else {
            return Ok(Some(format!("no public hosted zone of this account contains {name}")));
        };
        let mut servers = Vec::new();
        for id in &ids {
            servers.extend(zone_servers(&self.dns, id).await?);
        }
        let wanted = servers.join(", ");
        Ok(match self.resolver.delegation(&zone, &servers).await {
            Delegation::Delegated | Delegation::Unknown { .. } => None,
            Delegation::Missing => Some(format!(
                "public DNS has no name servers for the zone {zone}; set them at the domain's registrar, or as an NS \
                 record in the parent zone: {wanted}"
            )),
            Delegation::Elsewhere { servers } => Some(format!(
                "public DNS asks {} for the zone {zone}, and not Route 53; set the zone's name servers at the domain's \
                 registrar: {wanted}",
                servers.join(", ")
            )),
        })
    }

    /// Returns the reason why Amazon may not issue a certificate for a name.
    async fn caa(&self, name: &str) -> Option<String> {
        let remedy = "add the CAA record `0 issue \"amazon.com\"` there";
        match self.resolver.caa(name).await {
            Caa::Allowed | Caa::Unknown { .. } => None,
            Caa::Forbidden { at, issuers } => {
                let allowed = if issuers.is_empty() { "no issuer".to_owned() } else { issuers.join(", ") };
                Some(format!(
                    "the CAA records of {at} allow {allowed}, and not Amazon, to issue certificates; {remedy}"
                ))
            }
            Caa::UnknownCriticalTag { at, tag } => Some(format!(
                "the CAA records of {at} contain the critical property `{tag}`, which forbids all certificates"
            )),
        }
    }
}
