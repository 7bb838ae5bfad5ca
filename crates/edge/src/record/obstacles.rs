//! Records that keep clients from the record of a hostname, although Route 53 accepts them beside it.

use crate::record::delete_command::delete_command;
use crate::record::{plain_name, target_name};
use aws_sdk_route53::types::{ResourceRecord, ResourceRecordSet, RrType};
use pb_engine::Obstacle;
use std::collections::BTreeSet;

/// Returns a name and the names between it and the apex of its zone, which are the names at which a delegation would
/// hide its records; topmost first. Returns only the name if it is the apex, or not in the zone.
pub(crate) fn names_below_apex(zone: &str, name: &str) -> Vec<String> {
    let Some(labels) = name.strip_suffix(zone).and_then(|rest| rest.strip_suffix('.')) else {
        return vec![name.to_owned()];
    };
    let starts = std::iter::once(0).chain(labels.match_indices('.').map(|(at, _)| at + 1));
    let mut names: Vec<String> = starts.map(|at| name[at..].to_owned()).collect();
    names.reverse();
    names
}

/// A delegation of a name, or of a name above it, to other name servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Delegation {
    /// The delegated name.
    pub name: String,
    /// The name servers.
    pub servers: Vec<String>,
    /// The command that deletes the delegation.
    delete: String,
}

/// Returns the topmost delegation among `sets`, the records of `names` as [`names_below_apex`] returns them. The NS
/// record at the apex of the zone is not a delegation. (RFC 1034, section 4.2.1)
pub(crate) fn delegation(zone: (&str, &str), names: &[String], sets: &[ResourceRecordSet]) -> Option<Delegation> {
    let (zone_id, zone_name) = zone;
    let is_delegation =
        |set: &&ResourceRecordSet, name: &str| set.r#type == RrType::Ns && plain_name(&set.name) == name;
    let mut below = names.iter().filter(|name| *name != zone_name);
    let (name, set) = below.find_map(|name| Some((name, sets.iter().find(|set| is_delegation(set, name))?)))?;
    let servers = values(set).iter().map(|server| server.trim_end_matches('.').to_owned()).collect();
    Some(Delegation { name: name.clone(), servers, delete: delete_command(zone_id, &[set]) })
}

impl Delegation {
    /// Returns the delegation as an obstacle. `other` says whether this account has the zone of the delegated name.
    pub(crate) fn obstacle(&self, hostname: &str, zone_id: &str, other: &str) -> Obstacle {
        let Self { name, servers, delete } = self;
        let servers = servers.join(", ");
        let why = format!(
            "no client would see the record {hostname}: the NS record {name} in the hosted zone {zone_id} delegates \
             the name to {servers}; set `zone = \"{name}\"` for this workspace ({other}). If the delegation is no \
             longer used, delete it: `{delete}`"
        );
        Obstacle { why, total: true }
    }
}

/// Returns the records at a hostname with which some clients connect to something other than `targets`, as obstacles.
/// `sets` are the records of that name. Browsers ask for HTTPS records, but not for SVCB records. (RFC 9460, section 9)
pub(crate) fn rivals(
    zone_id: &str,
    hostname: &str,
    sets: &[&ResourceRecordSet],
    targets: &BTreeSet<String>,
) -> Vec<Obstacle> {
    let elsewhere = |set: &&&ResourceRecordSet| {
        set.alias_target.as_ref().is_none_or(|target| !targets.contains(&target_name(&target.dns_name)))
    };
    let of_kind = |kind: &str, effect: &str| {
        let sets: Vec<&ResourceRecordSet> =
            sets.iter().filter(|set| set.r#type.as_str() == kind).filter(elsewhere).copied().collect();
        let shown: Vec<String> = sets.iter().flat_map(|set| values(set)).collect();
        (!sets.is_empty()).then(|| Obstacle {
            why: format!(
                "the {kind} record {hostname} in the hosted zone {zone_id} ({}) {effect}; if it is no longer needed, \
                 delete it: `{}`",
                shown.join(", "),
                delete_command(zone_id, &sets)
            ),
            total: false,
        })
    };
    let ipv6 =
        of_kind("AAAA", "keeps clients with IPv6 on another site, because the load balancer has no IPv6 address");
    let https = of_kind("HTTPS", "makes browsers connect as it says, and not as the A record of this workspace says");
    ipv6.into_iter().chain(https).collect()
}

/// Returns the values of a record, or the target of an alias.
fn values(set: &ResourceRecordSet) -> Vec<String> {
    let values = set.resource_records().iter().map(ResourceRecord::value);
    let target = set.alias_target.as_ref().map(|target| target_name(&target.dns_name));
    values.map(str::to_owned).chain(target).collect()
}

#[cfg(test)]
mod tests {
    use super::{delegation, names_below_apex, rivals};
    use aws_sdk_route53::types::{AliasTarget, ResourceRecord, ResourceRecordSet, RrType};

    fn set(name: &str, kind: &str, value: &str) -> ResourceRecordSet {
        let value = ResourceRecord::builder().value(value).build().unwrap();
        let set = ResourceRecordSet::builder().name(format!("{name}.")).r#type(RrType::from(kind)).ttl(60);
        set.resource_records(value).build().unwrap()
    }

    #[test]
    fn names_below_apex_end_with_the_name() {
        assert_eq!(names_below_apex("example.org", "a.b.example.org"), ["b.example.org", "a.b.example.org"]);
        assert_eq!(names_below_apex("example.org", "a.example.org"), ["a.example.org"]);
        assert_eq!(names_below_apex("example.org", "example.org"), ["example.org"]);
        assert_eq!(names_below_apex("example.org", "a.other.net"), ["a.other.net"]);
        assert_eq!(names_below_apex("example.org", "badexample.org"), ["badexample.org"]);
    }

    #[test]
    fn delegation_is_found_at_or_above_the_name() {
        let zone = ("Z1", "example.org");
        let names = names_below_apex(zone.1, "a.b.example.org");
        for at in ["b.example.org", "a.b.example.org"] {
            let found = delegation(zone, &names, &[set("example.org", "NS", "ns-0.net."), set(at, "NS", "ns-1.net.")]);
            let found = found.unwrap();
            assert_eq!((found.name.as_str(), found.servers.as_slice()), (at, ["ns-1.net".to_owned()].as_slice()));
            let why = found.obstacle("a.b.example.org", "Z1", "in Z2").why;
            assert!(why.contains(&format!("set `zone = \"{at}\"`")) && why.contains("(in Z2)"), "{why}");
        }
        let others = [set("c.example.org", "NS", "ns-1.net."), set("b.example.org", "TXT", "\"x\"")];
        assert_eq!(delegation(zone, &names, &others), None);
        let apex = names_below_apex("example.org", "example.org");
        assert_eq!(delegation(zone, &apex, &[set("example.org", "NS", "ns-0.net.")]), None);
    }

    #[test]
    fn rivals_are_records_that_clients_prefer() {
        let name = "a.example.org";
        let target = |dns_name: &str| {
            let target = AliasTarget::builder().dns_name(dns_name).hosted_zone_id("Z3").evaluate_target_health(true);
            let set = ResourceRecordSet::builder().name(name).r#type(RrType::Aaaa);
            set.alias_target(target.build().unwrap()).build().unwrap()
        };
        let ours = ["lb.elb.amazonaws.com".to_owned()].into();
        let found = |one: &ResourceRecordSet| rivals("Z1", name, &[one], &ours);
        for rival in [set(name, "AAAA", "2001:db8::1"), set(name, "HTTPS", "1 . alpn=\"h2\""), target("other.net.")] {
            let found = found(&rival);
            assert!(found.len() == 1 && !found[0].total && found[0].why.contains("delete it: `aws"), "{found:?}");
        }
        for other in [set(name, "TXT", "\"x\""), set(name, "SVCB", "1 ."), target("dualstack.LB.elb.amazonaws.com.")] {
            assert_eq!(found(&other), [], "{other:?}");
        }
    }
}
