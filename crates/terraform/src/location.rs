//! Accounts and regions of resources.

use crate::mapping::kind_of;
use crate::state::Resource;
use std::collections::BTreeSet;
use std::fmt;

/// Account and region of a resource or of a stack, as far as they are known.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// Number of the account.
    pub account: Option<String>,
    /// Name of the region.
    pub region: Option<String>,
}

impl Location {
    /// Returns the location in an ARN: `arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE`. Global services leave the
    /// region empty, and some services also the account. (IAM user guide: Amazon Resource Names)
    #[must_use]
    pub fn of_arn(text: &str) -> Option<Self> {
        let mut parts = text.splitn(6, ':');
        if parts.next() != Some("arn") {
            return None;
        }
        let (region, account) = (parts.nth(2)?, parts.next()?);
        parts.next()?;
        let known = |part: &str| (!part.is_empty()).then(|| part.to_owned());
        Some(Self { account: known(account), region: known(region) })
    }

    /// Returns the location of a resource by its ARN, by its attribute `region` (version 6 and later of Terraform's AWS
    /// provider), and by its owner.
    pub(crate) fn of(resource: &Resource) -> Self {
        let known = |name: &str| resource.attribute(name).map(str::to_owned);
        let arn = resource.attribute("arn").and_then(Self::of_arn).or_else(|| Self::of_arn(&resource.id));
        let Self { account, region } = arn.unwrap_or_default();
        Self { account: account.or_else(|| known("owner_id")), region: region.or_else(|| known("region")) }
    }

    /// Returns whether the account or the region is known to be another one.
    #[must_use]
    pub fn differs_from(&self, other: &Self) -> bool {
        let differs = |one: &Option<String>, other: &Option<String>| one.is_some() && other.is_some() && one != other;
        differs(&self.account, &other.account) || differs(&self.region, &other.region)
    }
}

/// Returns a text such as `account 123456789012, region us-east-2`.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.account, &self.region) {
            (Some(account), Some(region)) => write!(f, "account {account}, region {region}"),
            (Some(account), None) => write!(f, "account {account}"),
            (None, Some(region)) => write!(f, "region {region}"),
            (None, None) => f.write_str("an unknown account and region"),
        }
    }
}

/// Returns the locations of the resources that could be imported, if none of them is at `here`. Resources whose
/// location is unknown do not count.
#[must_use]
pub fn locations_elsewhere(resources: &[Resource], here: &Location) -> BTreeSet<Location> {
    let importable = resources.iter().filter(|resource| kind_of(resource).is_some() && !resource.deposed);
    let known = importable.map(Location::of).filter(|location| *location != Location::default());
    let known: BTreeSet<Location> = known.collect();
    if known.iter().all(|location| location.differs_from(here)) { known } else { BTreeSet::new() }
}
