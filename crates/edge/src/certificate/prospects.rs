//! The prospects of a certificate that is still to be requested: what public DNS says about the validation of its names.

use super::diagnosis::{Diagnosis, Finding};
use crate::{DnsClient, Zone};
use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use pb_dns::Resolver;
use pb_engine::Failure;
use std::collections::BTreeMap;

/// Number of names about which public DNS is asked at the same time.
const PARALLEL: usize = 16;

/// Obstacles to the validation of a name, by public DNS. Both lists are empty if AWS can validate it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prospects {
    /// Reasons why AWS cannot validate the name.
    pub blocked: Vec<String>,
    /// Reasons why this is not known.
    pub unknown: Vec<String>,
}

impl Prospects {
    fn add(&mut self, finding: &Finding) {
        match finding {
            Finding::Fine => {}
            Finding::Blocked(reason) => self.blocked.push(reason.clone()),
            Finding::Unknown(reason) => self.unknown.push(reason.clone()),
        }
    }
}

/// Returns the prospects of names, each with the zone of its validation record, in the same order. They are unknown
/// without a resolver.
pub async fn validation_prospects(
    dns: DnsClient,
    resolver: Option<Resolver>,
    names: &[(String, Zone)],
) -> Vec<Prospects> {
    let diagnosis = Diagnosis { dns, resolver };
    let zones: BTreeMap<&str, &Zone> = names.iter().map(|(_, zone)| (zone.id.as_str(), zone)).collect();
    let delegations = zones.into_iter().map(|(id, zone)| {
        let diagnosis = &diagnosis;
        async move { (id, known(diagnosis.delegation(&zone.name, &[id.to_owned()]).await)) }
    });
    let delegations: BTreeMap<&str, Finding> = join_all(delegations).await.into_iter().collect();
    let prospects = names.iter().map(|(name, zone)| {
        let (diagnosis, delegation) = (&diagnosis, delegations.get(zone.id.as_str()));
        async move {
            let mut prospects = Prospects::default();
            if let Some(delegation) = delegation {
                prospects.add(delegation);
            }
            prospects.add(&diagnosis.caa(name).await);
            prospects.unknown.dedup();
            prospects
        }
    });
    stream::iter(prospects).buffered(PARALLEL).collect().await
}

fn known(answer: Result<Finding, Failure>) -> Finding {
    answer.unwrap_or_else(|failure| Finding::Unknown(failure.to_string()))
}
