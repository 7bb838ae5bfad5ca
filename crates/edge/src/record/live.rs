//! The records to read, and their classification as managed or unmanaged.

use crate::load_balancers::LoadBalancers;
use crate::record::delete_command::delete_command;
use crate::record::{Record, RecordAttrs, RecordSpec, plain_name, target_name};
use aws_sdk_route53::types::{ResourceRecord, ResourceRecordSet, RrType};
use pb_engine::{Address, Found, ReadScope, Resource, is_unknown};
use std::collections::{BTreeMap, BTreeSet};

/// Record to read, and the reasons for reading it.
pub(super) struct Candidate {
    pub(super) zone_id: String,
    pub(super) name: String,
    record_type: String,
    pub(super) desired: Option<Address>,
    recorded: Option<Address>,
    /// Set if the record is to be imported.
    imported: bool,
}

/// Returns the records that are desired, recorded or to be imported. A record can be imported only if it has the
/// desired name, because a record with another name would have to be replaced.
pub(super) fn candidates(scope: &ReadScope<Record>) -> Vec<Candidate> {
    let mut candidates: BTreeMap<(&str, &str, &str), Candidate> = BTreeMap::new();
    let candidate = |(zone_id, name, record_type): (&str, &str, &str)| Candidate {
        zone_id: zone_id.to_owned(),
        name: name.to_owned(),
        record_type: record_type.to_owned(),
        desired: None,
        recorded: None,
        imported: false,
    };
    for (address, spec) in &scope.desired {
        let key = (spec.zone_id.as_str(), spec.name.as_str(), spec.record_type.as_str());
        if !is_unknown(key.0) && !is_unknown(key.1) {
            candidates.entry(key).or_insert_with(|| candidate(key)).desired = Some(address.clone());
        }
    }
    for (address, attrs) in &scope.recorded {
        let key = (attrs.zone_id.as_str(), attrs.name.as_str(), attrs.record_type.as_str());
        candidates.entry(key).or_insert_with(|| candidate(key)).recorded = Some(address.clone());
    }
    for (address, id) in scope.imports() {
        let key = candidates.keys().copied().find(|(_, name, kind)| id == format!("{name} {kind}") || id == *name);
        if let Some(candidate) = key.and_then(|key| candidates.get_mut(&key)) {
            candidate.recorded = Some(address.clone());
            candidate.imported = true;
        }
    }
    candidates.into_values().collect()
}

/// Classifies the records of a candidate's name. A simple record of its type is managed if it is recorded and does not
/// point to a load balancer in `lost`, or if it points to a managed load balancer. Otherwise it is unmanaged, and so are
/// records of the type with a routing policy, and a CNAME record: all of them occupy the name. A record that points to a
/// load balancer of another stack or workspace belongs to that one.
pub(super) fn classify(
    scope: &ReadScope<Record>,
    candidate: &Candidate,
    sets: &[&ResourceRecordSet],
    targets: &BTreeSet<String>,
    balancers: &LoadBalancers,
) -> Option<Found<Record>> {
    let lost = balancers.untagged(scope);
    let Candidate { name, zone_id, record_type, .. } = candidate;
    if let Some(set) = sets.iter().find(|set| is_simple(set, record_type)) {
        let spec = spec_of(zone_id, set);
        let tags = balancers.tags_of(&spec.alias);
        let imported = candidate.imported && !scope.owner().is_other(&tags);
        let by_target = candidate.desired.as_ref().filter(|_| targets.contains(&spec.alias));
        let by_record =
            candidate.recorded.as_ref().filter(|_| imported || !candidate.imported && !lost.contains(&spec.alias));
        if let Some(address) = by_record.or(by_target) {
            let attrs = attrs(&spec, String::new());
            return Some(Found::Managed { address: address.clone(), spec, attrs, ready: true });
        }
        let what = format!("the {record_type} record {name} in the hosted zone {zone_id}");
        return candidate.desired.as_ref().map(|address| scope.unmanaged(address, what, &tags, name));
    }
    let address = candidate.desired.clone()?;
    let of_type = |kind: &str| sets.iter().filter(|set| set.r#type.as_str() == kind).copied().collect::<Vec<_>>();
    let (routed, aliases) = (of_type(record_type), of_type(RrType::Cname.as_str()));
    let (occupying, why) = match (routed.as_slice(), aliases.as_slice()) {
        ([], []) => return None,
        ([], _) => (aliases, "Route 53 accepts no other record beside a CNAME record"),
        _ => (routed, "Route 53 accepts no simple record beside records with a routing policy"),
    };
    let what = described(name, zone_id, &occupying);
    let delete = delete_command(zone_id, &occupying);
    let advice = format!(
        "{why}, and pb-deploy imports only simple records; to move the name to this workspace, delete \
                          it: `{delete}`"
    );
    Some(Found::not_importable(address, what, advice))
}

/// Returns `a set of 2 A records staging.example.org in the hosted zone Z1 (blue, green)`, with the set identifiers.
fn described(name: &str, zone_id: &str, sets: &[&ResourceRecordSet]) -> String {
    let kind = sets.first().map_or("", |set| set.r#type.as_str());
    let identifiers: Vec<&str> = sets.iter().filter_map(|set| set.set_identifier()).collect();
    let records = match sets.len() {
        1 => format!("the {kind} record"),
        several => format!("a set of {several} {kind} records"),
    };
    let which = if identifiers.is_empty() { String::new() } else { format!(" ({})", identifiers.join(", ")) };
    format!("{records} {name} in the hosted zone {zone_id}{which}")
}

/// Returns the record as untagged if the state records it and its load balancer has lost its tags.
pub(super) fn untagged(
    scope: &ReadScope<Record>,
    candidate: &Candidate,
    set: &ResourceRecordSet,
    lost: &BTreeSet<String>,
) -> Option<Found<Record>> {
    let attrs = attrs(&spec_of(&candidate.zone_id, set), String::new());
    let is_it = |known: &RecordAttrs| (&known.zone_id, Record::id(known)) == (&attrs.zone_id, Record::id(&attrs));
    let address = scope.find_recorded(is_it).filter(|_| is_simple(set, &candidate.record_type))?.clone();
    lost.contains(&spec_of(&candidate.zone_id, set).alias).then_some(Found::Untagged { address, attrs })
}

/// Returns whether a record has this type and no routing policy.
pub(super) fn is_simple(set: &ResourceRecordSet, record_type: &str) -> bool {
    set.r#type.as_str() == record_type && set.set_identifier.is_none()
}

/// Returns the live spec. For a record that is not an alias, `alias` contains the record's values.
pub(super) fn spec_of(zone_id: &str, set: &ResourceRecordSet) -> RecordSpec {
    let values: Vec<&str> = set.resource_records().iter().map(ResourceRecord::value).collect();
    let target = set.alias_target.as_ref();
    RecordSpec {
        zone_id: zone_id.to_owned(),
        name: plain_name(&set.name),
        record_type: set.r#type.as_str().to_owned(),
        alias: target.map_or_else(|| values.join(","), |target| target_name(&target.dns_name)),
        alias_zone_id: target.map_or_else(String::new, |target| target.hosted_zone_id.clone()),
        evaluate_target_health: target.is_some_and(|target| target.evaluate_target_health),
    }
}

pub(super) fn attrs(spec: &RecordSpec, change_id: String) -> RecordAttrs {
    RecordAttrs {
        zone_id: spec.zone_id.clone(),
        name: spec.name.clone(),
        record_type: spec.record_type.clone(),
        change_id,
    }
}
