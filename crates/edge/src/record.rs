//! `route53.record`: the permanent DNS name of the load balancer.

mod names;
#[cfg(test)]
mod tests;

pub(crate) use self::names::{plain_name, target_name};

use crate::load_balancers::LoadBalancers;
use crate::{DnsClient, LoadBalancerAttrs, LoadBalancerClient};
use aws_sdk_route53::error::BuildError;
use aws_sdk_route53::types::{
    AliasTarget, Change as DnsChange, ChangeAction, ChangeBatch, ChangeStatus, ResourceRecord, ResourceRecordSet,
    RrType,
};
use futures_util::future::{try_join, try_join_all};
use pb_aws::ForOperation;
use pb_engine::{Address, Backoff, Change, Class, Context, Failure, Found, Progress, ReadScope, Resource};
use pb_engine::{is_unknown, unknown};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Backoff for waiting until a change has reached all name servers, which takes 10 to 60 seconds. The intervals are
/// long because Route 53 accepts only five requests per second from an account.
const INSYNC: Backoff = Backoff::minutes(Duration::from_secs(10 * 60));

/// Number of records that one call lists, starting at a name. The relevant records of the name come first in the list:
/// A before AAAA, CAA and CNAME.
const RECORDS_PER_READ: i32 = 10;

/// Resource kind for alias records.
///
/// Records have no tags. A record is managed if it points to a managed load balancer, or if the state records it and it
/// does not point to a recorded load balancer that has lost its tags.
pub struct Record {
    dns: DnsClient,
    balancers: LoadBalancerClient,
}

impl Record {
    /// Creates the resource kind.
    #[must_use]
    pub fn new(dns: DnsClient, balancers: LoadBalancerClient) -> Self {
        Self { dns, balancers }
    }
}

/// Spec of an alias record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordSpec {
    /// Id of the hosted zone, without `/hostedzone/`.
    pub zone_id: String,
    /// Name, in lower case, without the trailing dot.
    pub name: String,
    /// Type: `A`.
    #[serde(rename = "type")]
    pub record_type: String,
    /// DNS name of the alias target, in lower case, without the trailing dot.
    pub alias: String,
    /// Id of the hosted zone that contains the alias target.
    pub alias_zone_id: String,
    /// Makes Route 53 consider the health of the alias target when it chooses between records.
    pub evaluate_target_health: bool,
}

/// Attributes of a record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordAttrs {
    /// Id of the hosted zone that contains the record.
    pub zone_id: String,
    /// Name of the record.
    pub name: String,
    /// Type of the record.
    #[serde(rename = "type")]
    pub record_type: String,
    /// Id of the last change that this run made; empty once that change is complete.
    pub change_id: String,
}

impl RecordSpec {
    /// Returns the spec of an alias record that points to a load balancer.
    #[must_use]
    pub fn alias(zone_id: &str, name: &str, balancer: LoadBalancerAttrs) -> Self {
        Self {
            zone_id: zone_id.to_owned(),
            name: name.to_owned(),
            record_type: "A".to_owned(),
            alias: balancer.dns_name,
            alias_zone_id: balancer.hosted_zone_id,
            evaluate_target_health: true,
        }
    }
}

impl Resource for Record {
    const KIND: &'static str = "route53.record";
    /// AWS does not refuse to delete a load balancer that a record points to. The record is nevertheless deleted first:
    /// its target identifies it as managed, and no name must remain that points to a deleted load balancer.
    const BLOCKS_DELETION_OF: &'static [&'static str] = &["elbv2.load_balancer"];
    const TAGGED: bool = false;
    type Spec = RecordSpec;
    type Attrs = RecordAttrs;

    fn validate(spec: &RecordSpec) -> Result<(), String> {
        if spec.record_type != "A" {
            return Err(format!("`{}` is not a supported record type; expected `A`", spec.record_type));
        }
        pb_rules::dns::hostname(&spec.name).map_err(|violation| violation.to_string())
    }

    fn planned_attrs(spec: &RecordSpec) -> RecordAttrs {
        attrs(spec, unknown())
    }

    fn requires_replacement(field: &str) -> bool {
        matches!(field, "zone_id" | "name" | "type")
    }

    fn can_coexist(old: &RecordSpec, new: &RecordSpec) -> bool {
        (&old.zone_id, &old.name) != (&new.zone_id, &new.name)
    }

    fn id(attrs: &RecordAttrs) -> Option<String> {
        Some(format!("{} {}", attrs.name, attrs.record_type))
    }

    async fn read(&self, scope: &ReadScope<Self>) -> Result<Vec<Found<Self>>, Failure> {
        let candidates = candidates(scope);
        if candidates.is_empty() {
            return Ok(Vec::new());
        }
        let sets = try_join_all(candidates.into_iter().map(|candidate| async move {
            let sets = self.records(&candidate.zone_id, &candidate.name).await?;
            Ok::<_, Failure>((candidate, sets))
        }));
        let (load_balancers, sets) = try_join(LoadBalancers::cached(scope, &self.balancers), sets).await?;
        let mut targets: BTreeSet<String> =
            load_balancers.managed(scope).map(crate::load_balancers::dns_name).collect();
        targets.extend(scope.desired.iter().map(|(_, spec)| spec.alias.clone()).filter(|alias| !is_unknown(alias)));
        let lost = load_balancers.untagged(scope);
        let all = || sets.iter().flat_map(|(candidate, sets)| sets.iter().map(move |set| (candidate, set)));
        let found = all().filter_map(|(candidate, set)| classify(scope, candidate, set, &targets, &lost));
        let untagged = all().filter_map(|(candidate, set)| untagged(scope, candidate, set, &lost));
        Ok(found.chain(untagged).collect())
    }

    /// Creates the record with CREATE, not UPSERT, so that an existing record is not overwritten.
    async fn create(&self, _cx: &Context, spec: &RecordSpec) -> Result<RecordAttrs, Failure> {
        let change_id = self.change(&spec.zone_id, ChangeAction::Create, alias_record(spec)?).await?;
        Ok(attrs(spec, change_id))
    }

    async fn update(
        &self,
        _cx: &Context,
        _attrs: &RecordAttrs,
        spec: &RecordSpec,
        _changes: &[Change],
    ) -> Result<RecordAttrs, Failure> {
        let change_id = self.change(&spec.zone_id, ChangeAction::Upsert, alias_record(spec)?).await?;
        Ok(attrs(spec, change_id))
    }

    async fn wait_ready(&self, cx: &Context, attrs: RecordAttrs) -> Result<RecordAttrs, Failure> {
        if attrs.change_id.is_empty() || is_unknown(&attrs.change_id) {
            return Ok(RecordAttrs { change_id: String::new(), ..attrs });
        }
        cx.wait("route53:GetChange", INSYNC, || async {
            let status =
                match self.dns.get_change().id(&attrs.change_id).send().await.for_operation("route53:GetChange") {
                    Ok(output) => output.change_info.map(|info| info.status),
                    // AWS keeps changes only for some time, so a change that is not found is assumed to be complete.
                    Err(failure) if failure.class == Class::NotFound => None,
                    Err(failure) => return Err(failure),
                };
            Ok(match status {
                None | Some(ChangeStatus::Insync) => Progress::Ready(()),
                Some(_) => {
                    Progress::Pending(format!("waiting for DNS record {} to reach all Route 53 servers", attrs.name))
                }
            })
        })
        .await?;
        Ok(RecordAttrs { change_id: String::new(), ..attrs })
    }

    /// Deletes the record. The call must repeat the live values exactly, so the record is read first.
    async fn delete(&self, _cx: &Context, attrs: &RecordAttrs) -> Result<(), Failure> {
        let sets = self.records(&attrs.zone_id, &attrs.name).await?;
        match sets.into_iter().find(|set| is_simple(set, &attrs.record_type)) {
            None => Ok(()),
            Some(set) => self.change(&attrs.zone_id, ChangeAction::Delete, set).await.map(drop),
        }
    }
}

/// Record to read, and the reasons for reading it.
struct Candidate {
    zone_id: String,
    name: String,
    record_type: String,
    desired: Option<Address>,
    recorded: Option<Address>,
    /// Set if the record is to be imported.
    imported: bool,
}

/// Returns the records that are desired, recorded or to be imported. A record can be imported only if it has the
/// desired name, because a record with another name would have to be replaced.
fn candidates(scope: &ReadScope<Record>) -> Vec<Candidate> {
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

/// Classifies a record. It is managed if it is recorded and does not point to a load balancer in `lost`, or if it
/// points to a managed load balancer. A record of the same type with a routing policy and a CNAME record are unmanaged,
/// and they occupy the name.
fn classify(
    scope: &ReadScope<Record>,
    candidate: &Candidate,
    set: &ResourceRecordSet,
    targets: &BTreeSet<String>,
    lost: &BTreeSet<String>,
) -> Option<Found<Record>> {
    let kind = set.r#type.as_str();
    if is_simple(set, &candidate.record_type) {
        let spec = spec_of(&candidate.zone_id, set);
        let by_target = candidate.desired.as_ref().filter(|_| targets.contains(&spec.alias));
        let by_record = candidate.recorded.as_ref().filter(|_| candidate.imported || !lost.contains(&spec.alias));
        if let Some(address) = by_record.or(by_target) {
            let attrs = attrs(&spec, String::new());
            return Some(Found::Managed { address: address.clone(), spec, attrs, ready: true });
        }
    } else if kind != candidate.record_type && kind != RrType::Cname.as_str() {
        return None;
    }
    let what = format!("the {kind} record {} in the hosted zone {}", candidate.name, candidate.zone_id);
    let address = candidate.desired.clone()?;
    Some(if is_simple(set, &candidate.record_type) {
        scope.unmanaged(&address, what, &BTreeMap::new(), &candidate.name)
    } else {
        Found::not_importable(address, what, "delete it; a record of this kind cannot be imported")
    })
}

/// Returns the record as untagged if the state records it and its load balancer has lost its tags.
fn untagged(
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
fn is_simple(set: &ResourceRecordSet, record_type: &str) -> bool {
    set.r#type.as_str() == record_type && set.set_identifier.is_none()
}

/// Returns the live spec. For a record that is not an alias, `alias` contains the record's values.
fn spec_of(zone_id: &str, set: &ResourceRecordSet) -> RecordSpec {
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

fn attrs(spec: &RecordSpec, change_id: String) -> RecordAttrs {
    RecordAttrs {
        zone_id: spec.zone_id.clone(),
        name: spec.name.clone(),
        record_type: spec.record_type.clone(),
        change_id,
    }
}

fn alias_record(spec: &RecordSpec) -> Result<ResourceRecordSet, Failure> {
    let target = AliasTarget::builder()
        .dns_name(&spec.alias)
        .hosted_zone_id(&spec.alias_zone_id)
        .evaluate_target_health(spec.evaluate_target_health)
        .build()
        .map_err(|error| incomplete(&error))?;
    let record = ResourceRecordSet::builder().name(&spec.name).r#type(RrType::from(spec.record_type.as_str()));
    record.alias_target(target).build().map_err(|error| incomplete(&error))
}

fn incomplete(error: &BuildError) -> Failure {
    Failure::new(Class::Bug, "write a record", error.to_string())
}

impl Record {
    /// Returns all records with a name. Route 53's list starts at this name and continues with other names, which are
    /// left out.
    async fn records(&self, zone_id: &str, name: &str) -> Result<Vec<ResourceRecordSet>, Failure> {
        let call = self.dns.list_resource_record_sets().hosted_zone_id(zone_id).start_record_name(name);
        match call.max_items(RECORDS_PER_READ).send().await.for_operation("route53:ListResourceRecordSets") {
            Ok(output) => {
                Ok(output.resource_record_sets.into_iter().filter(|set| plain_name(&set.name) == name).collect())
            }
            Err(failure) if failure.is("NoSuchHostedZone") => Ok(Vec::new()),
            Err(failure) => Err(failure),
        }
    }

    /// Changes one record, and returns the id of the change so that its completion can be awaited.
    async fn change(&self, zone_id: &str, action: ChangeAction, set: ResourceRecordSet) -> Result<String, Failure> {
        let change = DnsChange::builder().action(action).resource_record_set(set).build();
        let batch = ChangeBatch::builder()
            .changes(change.map_err(|error| incomplete(&error))?)
            .build()
            .map_err(|error| incomplete(&error))?;
        let call = self.dns.change_resource_record_sets().hosted_zone_id(zone_id).change_batch(batch);
        let output = call.send().await.for_operation("route53:ChangeResourceRecordSets").map_err(refused)?;
        let id = output.change_info.map(|info| info.id).unwrap_or_default();
        Ok(id.trim_start_matches("/change/").to_owned())
    }
}

/// Classifies the refusal of a change batch by its message, because only the message states the reason. If the record
/// changed after it was read, the failure is retryable, so that the record is read again.
fn refused(failure: Failure) -> Failure {
    let says = |text: &str| failure.is("InvalidChangeBatch") && failure.message.contains(text);
    if says("already exists") {
        failure.class(Class::Exists)
    } else if says("not found") {
        failure.class(Class::NotFound)
    } else if says("do not match the current values") {
        failure.class(Class::NotReady)
    } else {
        failure
    }
}
