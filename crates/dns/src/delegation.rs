//! The delegation of a zone: the name servers to which public DNS refers.

use std::collections::BTreeSet;
use std::net::IpAddr;

use futures_util::future::try_join_all;
use hickory_resolver::proto::rr::{RData, Record, RecordType};

use crate::Resolver;
use crate::query::{relative, shown};

/// The name servers of every private hosted zone, and of no public one. (Route 53 developer guide, "Working with private
/// hosted zones")
const PRIVATE_ZONES: [&str; 4] =
    ["ns-0.awsdns-00.com", "ns-512.awsdns-00.net", "ns-1024.awsdns-00.org", "ns-1536.awsdns-00.co.uk"];

/// The result of a check of a delegation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delegation {
    /// Public DNS names at least one name server of the zone.
    Delegated,
    /// Public DNS names other name servers only.
    Elsewhere {
        /// The name servers that public DNS names, sorted.
        servers: Vec<String>,
    },
    /// Public DNS names no name servers: the zone is not delegated, or its domain does not exist.
    Missing,
    /// No name server answered, or the answer is not that of public DNS.
    Unknown {
        /// The reason.
        reason: String,
    },
}

impl Resolver {
    /// Returns the result of comparing the name servers that public DNS names for a zone with the zone's own.
    ///
    /// Servers with different names but a common address are the same: Route 53 supports name servers with names in the
    /// user's domain, which GetHostedZone does not report. (Route 53 developer guide, "Configuring white-label name
    /// servers")
    pub async fn delegation(&self, zone: &str, servers: &[String]) -> Delegation {
        let records = match self.records(zone, RecordType::NS).await {
            Ok(records) => records,
            Err(reason) => return Delegation::Unknown { reason },
        };
        let zone = relative(zone);
        let public: BTreeSet<String> = records.iter().filter_map(|record| server_of(&zone, record)).collect();
        let own: BTreeSet<String> = servers.iter().map(|server| relative(server)).collect();
        if public.is_empty() {
            return Delegation::Missing;
        }
        if !public.is_disjoint(&own) {
            return Delegation::Delegated;
        }
        if public.iter().all(|server| PRIVATE_ZONES.contains(&server.as_str())) {
            let reason = format!("the name server answers for {zone} from a private hosted zone");
            return Delegation::Unknown { reason };
        }
        match tokio::try_join!(self.addresses(&public), self.addresses(&own)) {
            Err(reason) => Delegation::Unknown { reason },
            Ok((there, here)) if there.is_disjoint(&here) => {
                Delegation::Elsewhere { servers: public.into_iter().collect() }
            }
            Ok(_) => Delegation::Delegated,
        }
    }

    /// Returns the IPv4 addresses of name servers.
    async fn addresses(&self, servers: &BTreeSet<String>) -> Result<BTreeSet<IpAddr>, String> {
        let answers = try_join_all(servers.iter().map(|server| self.records(server, RecordType::A))).await?;
        Ok(answers.iter().flatten().filter_map(|record| record.data.ip_addr()).collect())
    }
}

/// Returns the name server in an NS record of the zone itself.
fn server_of(zone: &str, record: &Record) -> Option<String> {
    match &record.data {
        RData::NS(server) if shown(&record.name) == zone => Some(shown(&server.0)),
        _ => None,
    }
}
