//! Whether all is as it should be: nothing doubled, nothing orphaned, nothing forgotten.

use crate::world::Inventory;
use crate::{Problem, Shape, Site, World};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What a clean run leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Baseline {
    /// How many there are of each kind.
    counts: BTreeMap<String, usize>,
    /// The addresses that ownership tags tell.
    owned: BTreeSet<String>,
    /// The addresses that are remembered.
    remembered: BTreeSet<String>,
}

impl Baseline {
    /// What is there now, after a clean run.
    ///
    /// # Errors
    /// When it cannot be looked at.
    pub fn take(site: &Site, world: &World, shape: &Shape) -> Result<Self, Problem> {
        let inventory = world.look(site)?;
        let state = site.state(shape)?;
        let owned = inventory.owned.iter().map(|owned| owned.address.clone()).collect();
        Ok(Self { counts: counts(&inventory), owned, remembered: addresses(&state) })
    }
}

/// Whether a deployment is finished, and as a clean run would have left it.
///
/// # Errors
/// All that is not as it should be.
pub fn converged(site: &Site, world: &World, shape: &Shape, baseline: &Baseline) -> Result<(), Problem> {
    site.run(shape, &["plan", "staging", "--detailed-exitcode"])?
        .with(0)
        .map_err(|why| format!("the plan is not empty: {why}"))?;
    let state = site.state(shape)?;
    let inventory = world.look(site)?;
    let mut problems = doubled(&inventory);
    for owned in &inventory.owned {
        let record = &state["resources"][&owned.address];
        if record.is_null() {
            problems.push(format!("{} ({}) is there and not in the state", owned.address, owned.id));
        } else if !record.to_string().contains(&owned.id) {
            problems.push(format!("{} is {}, and the state remembers another", owned.address, owned.id));
        }
    }
    let found = inventory.owned.iter().map(|owned| owned.address.clone()).collect();
    problems.extend(differ("owned", &baseline.owned, &found));
    problems.extend(differ("remembered", &baseline.remembered, &addresses(&state)));
    let now = counts(&inventory);
    for (kind, count) in &now {
        let expected = baseline.counts.get(kind).copied().unwrap_or_default();
        if expected != *count {
            problems
                .push(format!("{kind}: {count} are there, a clean run leaves {expected}: {:?}", inventory.all[kind]));
        }
    }
    if !state["intents"].is_null() {
        problems.push("the state still has intents".to_owned());
    }
    let unsettled =
        state["resources"].as_object().into_iter().flatten().filter(|(_, record)| record["settled"] != true);
    problems.extend(unsettled.map(|(address, _)| format!("{address} is remembered as not ready")));
    told(problems)
}

/// Whether a destroy left nothing.
///
/// # Errors
/// All that is left.
pub fn gone(site: &Site, world: &World, shape: &Shape) -> Result<(), Problem> {
    let inventory = world.look(site)?;
    let state = site.state(shape)?;
    let left = inventory.all.iter().filter(|(_, ids)| !ids.is_empty());
    let mut problems: Vec<String> = left.map(|(kind, ids)| format!("{kind} left: {ids:?}")).collect();
    problems.extend(addresses(&state).iter().map(|address| format!("{address} is still in the state")));
    if !state["intents"].is_null() {
        problems.push("the state still has intents".to_owned());
    }
    told(problems)
}

/// Resources that share an address.
fn doubled(inventory: &Inventory) -> Vec<String> {
    let mut by_address: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for owned in &inventory.owned {
        by_address.entry(&owned.address).or_default().push(&owned.id);
    }
    let many = by_address.into_iter().filter(|(_, ids)| ids.len() > 1);
    many.map(|(address, ids)| format!("{address} is there {} times: {}", ids.len(), ids.join(", "))).collect()
}

fn differ(what: &str, expected: &BTreeSet<String>, found: &BTreeSet<String>) -> Vec<String> {
    let missing = expected.difference(found).map(|address| format!("{address} is not {what}"));
    let more = found.difference(expected).map(|address| format!("{address} is {what}, and no part of a clean run"));
    missing.chain(more).collect()
}

fn counts(inventory: &Inventory) -> BTreeMap<String, usize> {
    inventory.all.iter().map(|(kind, ids)| (kind.clone(), ids.len())).collect()
}

fn addresses(state: &Value) -> BTreeSet<String> {
    state["resources"].as_object().into_iter().flatten().map(|(address, _)| address.clone()).collect()
}

fn told(problems: Vec<String>) -> Result<(), Problem> {
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
}

#[cfg(test)]
mod tests {
    use super::{differ, doubled};
    use crate::world::{Inventory, Owned};

    #[test]
    fn two_resources_with_one_address_are_told() {
        let owned = |id: &str| Owned { address: "net/vpc".into(), id: id.into() };
        let mut inventory = Inventory { owned: vec![owned("vpc-1")], all: [].into() };
        assert_eq!(doubled(&inventory), Vec::<String>::new());
        inventory.owned.push(owned("vpc-2"));
        assert_eq!(doubled(&inventory), ["net/vpc is there 2 times: vpc-1, vpc-2"]);
    }

    #[test]
    fn what_is_missing_and_what_is_more_are_told() {
        let (clean, now) = (["a".into(), "b".into()].into(), ["b".into(), "c".into()].into());
        assert_eq!(differ("owned", &clean, &now), ["a is not owned", "c is owned, and no part of a clean run"]);
    }
}
