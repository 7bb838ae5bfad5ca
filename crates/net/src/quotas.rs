//! Quota usage of the VPCs, internet gateways and security group rules that a plan adds.
//!
//! When a rule is replaced, the new rule is created first, and the old rule is deleted after the rollout. In between,
//! the group contains both rules.

#[cfg(test)]
mod tests;

use aws_sdk_ec2::types::SecurityGroupRule as LiveRule;
use pb_engine::{Address, Failure, Planned, is_unknown};
use pb_rules::quotas::{INTERNET_GATEWAYS, RULES_PER_GROUP, Usage, VPCS};
use std::collections::{BTreeMap, BTreeSet};

use crate::ec2::{Ec2, describe_by};
use crate::group_calls::{egress, peer};
use crate::{Direction, InternetGateway, SecurityGroup, SecurityGroupRule, Vpc};

/// Side of a security group: its id, and `true` for outbound traffic. The quota applies to each side separately.
type GroupSide = (String, bool);

/// Returns the usage of each side of a security group on which a plan exceeds the default quota, with the address of
/// the first rule that the plan adds on that side.
///
/// Rules in a group that does not exist yet are not counted here, because
/// [`NetworkSpec::check`](crate::NetworkSpec::check) counts them. Rules that the plan revokes before it adds any are
/// not counted either. A prefix list counts as one rule, although AWS counts its entries. Makes a call only if the
/// observed resources do not prove that there is room for the new rules.
///
/// # Errors
/// The errors of `DescribeSecurityGroupRules`.
pub async fn quota_usage(ec2: &Ec2, planned: &Planned<'_>) -> Result<Vec<(Address, Usage)>, Failure> {
    let added = Added::of(planned);
    if added.0.is_empty() {
        return Ok(Vec::new());
    }
    let groups = GroupUsage::of(planned);
    let doubtful = added.0.iter().filter(|(side, peers)| !groups.has_room(side, peers.len()));
    let doubtful: BTreeSet<String> = doubtful.map(|((group, _), _)| group.clone()).collect();
    let doubtful: Vec<String> = doubtful.into_iter().collect();
    let mut live = describe_by("group-id", &doubtful, |filters| ec2.rules(filters)).await?;
    live.retain(|rule| !groups.revoked.contains(rule.security_group_rule_id().unwrap_or_default()));
    let doubtful = added.0.iter().filter(|((group, _), _)| doubtful.contains(group));
    let usage = doubtful.filter_map(|(side, peers)| {
        let (first, _) = peers.first()?;
        Some((first.clone(), usage(&groups.name(&side.0), side, peers, &live)))
    });
    Ok(usage.filter(|(_, usage)| usage.exceeds_default()).collect())
}

/// Returns the usage of the quotas for VPCs and internet gateways in the region that a plan exceeds by default, with the
/// address of the resource that the plan adds. Makes no call unless the plan adds one.
///
/// # Errors
/// The errors of `DescribeVpcs` and `DescribeInternetGateways`.
pub async fn region_usage(ec2: &Ec2, planned: &Planned<'_>) -> Result<Vec<(Address, Usage)>, Failure> {
    let first = |added: Option<Address>, more: usize| added.map(|address| (address, more));
    let (vpcs, gateways) = (planned.added::<Vpc>(), planned.added::<InternetGateway>());
    let vpcs = first(vpcs.first().map(|(address, _)| address.clone()), vpcs.len());
    let gateways = first(gateways.first().map(|(address, _)| address.clone()), gateways.len());
    if vpcs.is_none() && gateways.is_none() {
        return Ok(Vec::new());
    }
    let counts = ec2.counts().await?;
    let of = || "this region".to_owned();
    let usage = |quota, what, now| move |(address, more)| (address, Usage { quota, of: of(), what, now, more });
    let found = [
        vpcs.map(usage(&VPCS, "VPCs", counts.vpcs)),
        gateways.map(usage(&INTERNET_GATEWAYS, "internet gateways", counts.gateways)),
    ];
    Ok(found.into_iter().flatten().filter(|(_, usage)| usage.exceeds_default()).collect())
}

/// Address and peer of each rule that a plan adds to an existing group, by side of the group.
struct Added(BTreeMap<GroupSide, Vec<(Address, String)>>);

impl Added {
    fn of(planned: &Planned<'_>) -> Self {
        let mut sides: BTreeMap<GroupSide, Vec<(Address, String)>> = BTreeMap::new();
        for (address, spec) in planned.added::<SecurityGroupRule>() {
            if !is_unknown(&spec.group_id) {
                let side = (spec.group_id, spec.direction == Direction::Egress);
                sides.entry(side).or_default().push((address, spec.peer));
            }
        }
        Self(sides)
    }
}

/// Observed rules of the managed groups.
struct GroupUsage {
    /// Name of each group, and number of its unmanaged rules that the plan does not revoke, by group id.
    known: BTreeMap<String, (String, usize)>,
    /// Number of managed rules on each side.
    rules: BTreeMap<GroupSide, usize>,
    /// Ids of the unmanaged rules that the plan revokes. The update of a group revokes them, before any rule is added
    /// to the group.
    revoked: BTreeSet<String>,
}

impl GroupUsage {
    fn of(planned: &Planned<'_>) -> Self {
        let mut revoked = BTreeSet::new();
        for (before, after) in planned.updated::<SecurityGroup>() {
            let ids = before.unmanaged_rules.into_keys();
            revoked.extend(ids.filter(|id| !after.unmanaged_rules.contains_key(id)));
        }
        let known = planned.managed::<SecurityGroup>().into_iter().map(|(_, spec, attrs)| {
            let remaining = spec.unmanaged_rules.keys().filter(|id| !revoked.contains(*id)).count();
            (attrs.id, (spec.name, remaining))
        });
        let known = known.collect();
        let mut rules: BTreeMap<GroupSide, usize> = BTreeMap::new();
        for (_, _, attrs) in planned.managed::<SecurityGroupRule>() {
            *rules.entry((attrs.group_id, attrs.direction == Direction::Egress)).or_default() += 1;
        }
        Self { known, rules, revoked }
    }

    /// Returns whether a side has room for `more` additional rules even if all unmanaged rules of its group are on this
    /// side.
    fn has_room(&self, side: &GroupSide, more: usize) -> bool {
        let Some((_, unmanaged)) = self.known.get(&side.0) else { return false };
        self.rules.get(side).copied().unwrap_or_default() + unmanaged + more <= RULES_PER_GROUP.default
    }

    fn name(&self, id: &str) -> String {
        match self.known.get(id) {
            Some((name, _)) => format!("security group {name} ({id})"),
            None => format!("security group {id}"),
        }
    }
}

/// Returns the usage of the quota on one side, for IPv4 or for IPv6, whichever is higher.
fn usage(of: &str, side: &GroupSide, added: &[(Address, String)], live: &[LiveRule]) -> Usage {
    let (group, out) = side;
    let existing = live.iter().filter(|rule| rule.group_id() == Some(group) && egress(rule) == *out);
    let existing: Vec<&str> = existing.map(peer).collect();
    let of_version = |version: Version| {
        let now = existing.iter().filter(|peer| version.counts(peer)).count();
        let more = added.iter().filter(|(_, peer)| version.counts(peer)).count();
        let what = match (version, *out) {
            (Version::V4, false) => "inbound rules",
            (Version::V4, true) => "outbound rules",
            (Version::V6, false) => "inbound rules for IPv6",
            (Version::V6, true) => "outbound rules for IPv6",
        };
        Usage { quota: &RULES_PER_GROUP, of: of.to_owned(), what, now, more }
    };
    let (v4, v6) = (of_version(Version::V4), of_version(Version::V6));
    if v4.more == 0 || (v6.more > 0 && v6.peak() > v4.peak()) { v6 } else { v4 }
}

/// Version of the Internet Protocol. AWS counts the rules of each version separately.
#[derive(Clone, Copy)]
enum Version {
    V4,
    V6,
}

impl Version {
    /// Returns whether a rule with this peer counts for this version. A rule for a group or a prefix list counts for
    /// both versions.
    fn counts(self, peer: &str) -> bool {
        if peer.starts_with("sg-") || peer.starts_with("pl-") || is_unknown(peer) {
            return true;
        }
        match self {
            Self::V4 => !peer.contains(':'),
            Self::V6 => peer.contains(':'),
        }
    }
}
