//! `route53.record`: the permanent DNS name of the load balancer.

mod changes;
mod delete_command;
mod live;
mod names;
mod obstacles;
#[cfg(test)]
mod tests;

pub(crate) use self::changes::{wait_insync, write_record};
pub(crate) use self::names::{plain_name, target_name};

use self::changes::incomplete;
use self::live::{Candidate, attrs, candidates, classify, is_simple, untagged};
use self::obstacles::{delegation, names_below_apex, rivals};

use crate::load_balancers::LoadBalancers;
use crate::zone::find_zone_with;
use crate::{DnsClient, LoadBalancerAttrs, LoadBalancerClient, Zone};
use aws_sdk_route53::types::{AliasTarget, ChangeAction, ResourceRecordSet, RrType};
use aws_types::SdkConfig;
use futures_util::future::{try_join, try_join_all};
use pb_aws::ForOperation;
use pb_engine::{Change, Class, Context, Failure, Found, Obstacle, ReadScope, Resource};
use pb_engine::{is_unknown, unknown};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Number of records that one call lists for one name, and for a name together with the names above it.
const RECORDS_PER_NAME: i32 = 10;
const RECORDS_PER_BRANCH: i32 = 100;

/// Maximum number of pages of records for one name.
const MAX_PAGES: usize = 5;

/// Resource kind for alias records.
///
/// Records have no tags. A record is managed if it points to a managed load balancer, or if the state records it and it
/// does not point to a recorded load balancer that has lost its tags.
pub struct Record {
    dns: DnsClient,
    balancers: LoadBalancerClient,
    zone: Option<Zone>,
}

impl Record {
    /// Creates the resource kind.
    #[must_use]
    pub fn new(dns: DnsClient, balancers: LoadBalancerClient) -> Self {
        Self { dns, balancers, zone: None }
    }

    /// Sets the hosted zone of the desired records, whose delegations are then checked as well.
    #[must_use]
    pub fn in_zone(self, zone: Zone) -> Self {
        Self { zone: Some(zone), ..self }
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
            let names = self.names(&candidate);
            let sets = self.records(&candidate.zone_id, &names).await?;
            Ok::<_, Failure>((candidate, names, sets))
        }));
        let (load_balancers, sets) = try_join(LoadBalancers::cached(scope, &self.balancers), sets).await?;
        let mut targets: BTreeSet<String> =
            load_balancers.managed(scope).map(crate::load_balancers::dns_name).collect();
        targets.extend(scope.desired.iter().map(|(_, spec)| spec.alias.clone()).filter(|alias| !is_unknown(alias)));
        let lost = load_balancers.untagged(scope);
        let mut found = Vec::new();
        for (candidate, names, sets) in &sets {
            let here: Vec<_> = sets.iter().filter(|set| plain_name(&set.name) == candidate.name).collect();
            found.extend(classify(scope, candidate, &here, &targets, &load_balancers));
            found.extend(here.iter().filter_map(|set| untagged(scope, candidate, set, &lost)));
            let Some(address) = &candidate.desired else { continue };
            let obstacles = self.obstacles(&candidate.zone_id, &candidate.name, names, sets, &targets).await?;
            found.extend(obstacles.into_iter().map(|obstacle| Found::Obstacle { address: address.clone(), obstacle }));
        }
        Ok(found)
    }

    /// Creates the record with CREATE, not UPSERT, so that an existing record is not overwritten.
    async fn create(&self, _cx: &Context, spec: &RecordSpec) -> Result<RecordAttrs, Failure> {
        let change_id = write_record(&self.dns, &spec.zone_id, ChangeAction::Create, alias_record(spec)?).await?;
        Ok(attrs(spec, change_id))
    }

    async fn update(
        &self,
        _cx: &Context,
        _attrs: &RecordAttrs,
        spec: &RecordSpec,
        _changes: &[Change],
    ) -> Result<RecordAttrs, Failure> {
        let change_id = write_record(&self.dns, &spec.zone_id, ChangeAction::Upsert, alias_record(spec)?).await?;
        Ok(attrs(spec, change_id))
    }

    async fn wait_ready(&self, cx: &Context, attrs: RecordAttrs) -> Result<RecordAttrs, Failure> {
        wait_insync(&self.dns, cx, &attrs.name, &attrs.change_id).await?;
        Ok(RecordAttrs { change_id: String::new(), ..attrs })
    }

    /// Deletes the record. The call must repeat the live values exactly, so the record is read first.
    async fn delete(&self, _cx: &Context, attrs: &RecordAttrs) -> Result<(), Failure> {
        let sets = self.records(&attrs.zone_id, std::slice::from_ref(&attrs.name)).await?;
        match sets.into_iter().find(|set| is_simple(set, &attrs.record_type)) {
            None => Ok(()),
            Some(set) => write_record(&self.dns, &attrs.zone_id, ChangeAction::Delete, set).await.map(drop),
        }
    }
}

/// Returns what keeps clients from the record of a hostname: a delegation, and records that clients prefer. `balancer`
/// is the DNS name of the load balancer of the workspace, if it exists.
///
/// # Errors
/// The error of a call.
pub async fn hostname_obstacles(
    config: &SdkConfig,
    zone: &Zone,
    hostname: &str,
    balancer: Option<&str>,
) -> Result<Vec<Obstacle>, Failure> {
    let record = Record::new(DnsClient::new(config), LoadBalancerClient::new(config)).in_zone(zone.clone());
    let names = names_below_apex(&zone.name, hostname);
    let sets = record.records(&zone.id, &names).await?;
    record.obstacles(&zone.id, hostname, &names, &sets, &balancer.map(target_name).into_iter().collect()).await
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

impl Record {
    /// Returns the names whose records are relevant for a candidate, topmost first: its name and, if it is desired, the
    /// names between it and the apex of the zone.
    fn names(&self, candidate: &Candidate) -> Vec<String> {
        let zone = self.zone.as_ref().filter(|zone| zone.id == candidate.zone_id && candidate.desired.is_some());
        zone.map_or_else(|| vec![candidate.name.clone()], |zone| names_below_apex(&zone.name, &candidate.name))
    }

    /// Returns what keeps clients from the record `hostname`, given the records `sets` with one of `names`. Looks for
    /// the zone of a delegated name, which has to be configured instead.
    async fn obstacles(
        &self,
        zone_id: &str,
        hostname: &str,
        names: &[String],
        sets: &[ResourceRecordSet],
        targets: &BTreeSet<String>,
    ) -> Result<Vec<Obstacle>, Failure> {
        let here: Vec<_> = sets.iter().filter(|set| plain_name(&set.name) == hostname).collect();
        let mut obstacles = rivals(zone_id, hostname, &here, targets);
        let zone = self.zone.as_ref().filter(|zone| zone.id == zone_id);
        let found = zone.and_then(|zone| delegation((&zone.id, &zone.name), names, sets));
        let Some(found) = found else { return Ok(obstacles) };
        let other = match find_zone_with(&self.dns, &found.name, None).await {
            Ok(other) => format!("this account has that zone ({})", other.id),
            Err(failure) if failure.class == Class::Refused => format!("{}; set `zone_id`, too", failure.message),
            Err(failure) if failure.class == Class::NotFound => {
                "this account has no public zone of that name, so credentials of another account are needed".to_owned()
            }
            Err(failure) => return Err(failure),
        };
        obstacles.push(found.obstacle(hostname, zone_id, &other));
        Ok(obstacles)
    }

    /// Returns all records with one of `names`, of which each is a suffix of the next one. One call suffices unless
    /// the first name has very many records, or names with records below it.
    async fn records(&self, zone_id: &str, names: &[String]) -> Result<Vec<ResourceRecordSet>, Failure> {
        let [first, others @ ..] = names else { return Ok(Vec::new()) };
        let (mut found, is_complete) = self.list(zone_id, first, !others.is_empty()).await?;
        if !is_complete {
            let rest = try_join_all(others.iter().map(|name| self.list(zone_id, name, false))).await?;
            found.retain(|set| plain_name(&set.name) == *first);
            found.extend(rest.into_iter().flat_map(|(sets, _)| sets));
        }
        found.retain(|set| names.contains(&plain_name(&set.name)));
        Ok(found)
    }

    /// Returns the records with a name; if `with_branch` is set, also those of the names below it, as far as they are
    /// on the first page. Also returns whether all of them were. Route 53 lists a name directly before the names below
    /// it, and then continues with other names. (Route 53 API: ListResourceRecordSets)
    async fn list(
        &self,
        zone_id: &str,
        name: &str,
        with_branch: bool,
    ) -> Result<(Vec<ResourceRecordSet>, bool), Failure> {
        let per_page = if with_branch { RECORDS_PER_BRANCH } else { RECORDS_PER_NAME };
        let mut call = self.dns.list_resource_record_sets().hosted_zone_id(zone_id).start_record_name(name);
        let mut found = Vec::new();
        for _ in 0..MAX_PAGES {
            let answer = call.clone().max_items(per_page).send().await;
            let output = match answer.for_operation("route53:ListResourceRecordSets") {
                Ok(output) => output,
                Err(failure) if failure.is("NoSuchHostedZone") => return Ok((Vec::new(), true)),
                Err(failure) => return Err(failure),
            };
            found.extend(output.resource_record_sets);
            let next = output.next_record_name.filter(|_| output.is_truncated).map(|next| plain_name(&next));
            match next {
                Some(next) if next == name => {
                    call = call
                        .start_record_name(next)
                        .set_start_record_type(output.next_record_type)
                        .set_start_record_identifier(output.next_record_identifier);
                }
                Some(next) => return Ok((found, !next.ends_with(&format!(".{name}")))),
                None => break,
            }
        }
        Ok((found, true))
    }
}
