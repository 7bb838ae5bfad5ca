//! The reasons why AWS cannot validate a name: a validation record that is missing, and the answers of public DNS.

use crate::DnsClient;
use crate::validation::{Cname, find_record};
use crate::zone::{public_zones_of, zone_servers};
use futures_util::future::join_all;
use pb_dns::{Caa, Delegation, Resolver};
use pb_engine::Failure;
use pb_rules::https::base_name;

/// Lookup of what keeps AWS from validating a name, in Route 53 and in public DNS.
pub(crate) struct Diagnosis {
    pub dns: DnsClient,
    /// Resolver of public DNS; absent if public DNS does not know the zones.
    pub resolver: Option<Resolver>,
}

/// A name that AWS has not validated yet, with its record, if AWS has chosen one.
#[derive(Debug, Clone)]
pub(super) struct OpenName {
    pub name: String,
    pub record: Option<Cname>,
}

impl Diagnosis {
    /// Returns, for each name, what speaks against its validation; nothing for a name for which everything is as it
    /// should be, or not known.
    pub(super) async fn of(&self, names: &[OpenName]) -> Vec<String> {
        let found = join_all(names.iter().map(|open| async move {
            let (zone, caa) = tokio::join!(self.zone(open), self.caa(&open.name));
            zone.ok().flatten().into_iter().chain(caa).collect::<Vec<_>>()
        }));
        let mut found: Vec<String> = found.await.into_iter().flatten().collect();
        found.dedup();
        found
    }

    /// Returns the reason why AWS does not find the validation record of a name.
    async fn zone(&self, open: &OpenName) -> Result<Option<String>, Failure> {
        let name = &open.name;
        let Some((zone, ids)) = public_zones_of(&self.dns, base_name(name)).await? else {
            return Ok(Some(format!("no public hosted zone of this account contains {name}")));
        };
        if let Some(record) = &open.record {
            let mut exists = false;
            for id in &ids {
                exists |= find_record(&self.dns, id, record).await?.is_some();
            }
            if !exists {
                return Ok(Some(format!("the validation record {} is missing in the hosted zone {zone}", record.0)));
            }
        }
        let Some(resolver) = &self.resolver else { return Ok(None) };
        let mut servers = Vec::new();
        for id in &ids {
            servers.extend(zone_servers(&self.dns, id).await?);
        }
        let wanted = servers.join(", ");
        Ok(match resolver.delegation(&zone, &servers).await {
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
        match self.resolver.as_ref()?.caa(name).await {
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
