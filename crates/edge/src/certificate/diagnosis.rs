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

/// A condition of the validation of a name.
#[derive(Debug, Default)]
pub(super) enum Finding {
    /// The condition is met.
    #[default]
    Fine,
    /// The condition is not met, for this reason.
    Blocked(String),
    /// The condition could not be checked, for this reason.
    Unknown(String),
}

impl Finding {
    fn unasked() -> Self {
        Self::Unknown("public DNS does not know the zones of this endpoint".to_owned())
    }

    fn blocked(self) -> Option<String> {
        match self {
            Self::Blocked(reason) => Some(reason),
            Self::Fine | Self::Unknown(_) => None,
        }
    }
}

impl Diagnosis {
    /// Returns, for each name, what speaks against its validation; nothing for a name for which everything is as it
    /// should be, or not known.
    pub(super) async fn of(&self, names: &[OpenName]) -> Vec<String> {
        let found = join_all(names.iter().map(|open| async move {
            let (zone, caa) = tokio::join!(self.zone(open), self.caa(&open.name));
            [zone.unwrap_or_default(), caa].into_iter().filter_map(Finding::blocked).collect::<Vec<_>>()
        }));
        let mut found: Vec<String> = found.await.into_iter().flatten().collect();
        found.dedup();
        found
    }

    /// Returns the reason why AWS does not find the validation record of a name.
    async fn zone(&self, open: &OpenName) -> Result<Finding, Failure> {
        let name = &open.name;
        let Some((zone, ids)) = public_zones_of(&self.dns, base_name(name)).await? else {
            return Ok(Finding::Blocked(format!("no public hosted zone of this account contains {name}")));
        };
        if let Some(record) = &open.record {
            let mut exists = false;
            for id in &ids {
                exists |= find_record(&self.dns, id, record).await?.is_some();
            }
            if !exists {
                let why = format!("the validation record {} is missing in the hosted zone {zone}", record.0);
                return Ok(Finding::Blocked(why));
            }
        }
        self.delegation(&zone, &ids).await
    }

    /// Returns the reason why public DNS does not ask the hosted zones with these ids for the names in `zone`.
    pub(super) async fn delegation(&self, zone: &str, ids: &[String]) -> Result<Finding, Failure> {
        let Some(resolver) = &self.resolver else { return Ok(Finding::unasked()) };
        let mut servers = Vec::new();
        for id in ids {
            servers.extend(zone_servers(&self.dns, id).await?);
        }
        let wanted = servers.join(", ");
        Ok(match resolver.delegation(zone, &servers).await {
            Delegation::Delegated => Finding::Fine,
            Delegation::Unknown { reason } => Finding::Unknown(reason),
            Delegation::Missing => Finding::Blocked(format!(
                "public DNS has no name servers for the zone {zone}; set them at the domain's registrar, or as an NS \
                 record in the parent zone: {wanted}"
            )),
            Delegation::Elsewhere { servers } => Finding::Blocked(format!(
                "public DNS asks {} for the zone {zone}, and not Route 53; set the zone's name servers at the domain's \
                 registrar: {wanted}",
                servers.join(", ")
            )),
        })
    }

    /// Returns the reason why Amazon may not issue a certificate for a name.
    pub(super) async fn caa(&self, name: &str) -> Finding {
        let remedy = "add the CAA record `0 issue \"amazon.com\"` there";
        let Some(resolver) = &self.resolver else { return Finding::unasked() };
        match resolver.caa(name).await {
            Caa::Allowed => Finding::Fine,
            Caa::Unknown { reason } => Finding::Unknown(reason),
            Caa::Forbidden { at, issuers } => {
                let allowed = if issuers.is_empty() { "no issuer".to_owned() } else { issuers.join(", ") };
                Finding::Blocked(format!(
                    "the CAA records of {at} allow {allowed}, and not Amazon, to issue certificates; {remedy}"
                ))
            }
            Caa::UnknownCriticalTag { at, tag } => Finding::Blocked(format!(
                "the CAA records of {at} contain the critical property `{tag}`, which forbids all certificates"
            )),
        }
    }
}
