//! Checks of the account and the state after a run: no duplicates, no orphans, no missing resources.

use crate::inventory::Inventory;
use crate::{InventoryClient, Problem, TestConfig, TestWorkspace};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Account and state after a clean run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Baseline {
    /// Number of resources of each resource kind.
    counts: BTreeMap<String, usize>,
    /// Addresses in ownership tags.
    owned: BTreeSet<String>,
    /// Addresses in the state.
    recorded: BTreeSet<String>,
}

impl Baseline {
    /// Reads the account and the state after a clean run.
    ///
    /// # Errors
    /// Fails if they cannot be read.
    pub fn take(
        workspace: &TestWorkspace,
        inventory_client: &InventoryClient,
        config: &TestConfig,
    ) -> Result<Self, Problem> {
        let inventory = inventory_client.inventory(workspace)?;
        let state = workspace.state(config)?;
        let owned = inventory.owned.iter().map(|owned| owned.address.clone()).collect();
        Ok(Self { counts: counts(&inventory), owned, recorded: addresses(&state) })
    }
}

/// Checks that a deployment is complete and that the result is the same as after a clean run.
///
/// # Errors
/// All differences.
pub fn check_converged(
    workspace: &TestWorkspace,
    inventory_client: &InventoryClient,
    config: &TestConfig,
    baseline: &Baseline,
) -> Result<(), Problem> {
    workspace
        .run(config, &["plan", "staging", "--detailed-exitcode"])?
        .expect_code(0)
        .map_err(|why| format!("the plan is not empty: {why}"))?;
    let state = workspace.state(config)?;
    let inventory = inventory_client.inventory(workspace)?;
    let mut problems = duplicates(&inventory);
    for owned in &inventory.owned {
        let record = &state["resources"][&owned.address];
        if record.is_null() {
            problems.push(format!("{} ({}) exists but is not in the state", owned.address, owned.id));
        } else if !record.to_string().contains(&owned.id) {
            problems.push(format!("{} is {}, but the state records another id", owned.address, owned.id));
        }
    }
    let found = inventory.owned.iter().map(|owned| owned.address.clone()).collect();
    problems.extend(differences("owned", &baseline.owned, &found));
    problems.extend(differences("recorded", &baseline.recorded, &addresses(&state)));
    let now = counts(&inventory);
    for (kind, count) in &now {
        let expected = baseline.counts.get(kind).copied().unwrap_or_default();
        if expected != *count {
            problems.push(format!("{kind}: {count} exist, {expected} after a clean run: {:?}", inventory.all[kind]));
        }
    }
    if !state["intents"].is_null() {
        problems.push("the state still has intents".to_owned());
    }
    let unsettled =
        state["resources"].as_object().into_iter().flatten().filter(|(_, record)| record["settled"] != true);
    problems.extend(unsettled.map(|(address, _)| format!("{address} is recorded as not ready")));
    into_result(problems)
}

/// Checks that a destroy left nothing.
///
/// # Errors
/// Everything that is left.
pub fn check_destroyed(
    workspace: &TestWorkspace,
    inventory_client: &InventoryClient,
    config: &TestConfig,
) -> Result<(), Problem> {
    let inventory = inventory_client.inventory(workspace)?;
    let state = workspace.state(config)?;
    let left = inventory.all.iter().filter(|(_, ids)| !ids.is_empty());
    let mut problems: Vec<String> = left.map(|(kind, ids)| format!("{kind} left: {ids:?}")).collect();
    problems.extend(addresses(&state).iter().map(|address| format!("{address} is still in the state")));
    if !state["intents"].is_null() {
        problems.push("the state still has intents".to_owned());
    }
    into_result(problems)
}

/// Reports resources that share an address.
fn duplicates(inventory: &Inventory) -> Vec<String> {
    let mut by_address: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for owned in &inventory.owned {
        by_address.entry(&owned.address).or_default().push(&owned.id);
    }
    let many = by_address.into_iter().filter(|(_, ids)| ids.len() > 1);
    many.map(|(address, ids)| format!("{address} exists {} times: {}", ids.len(), ids.join(", "))).collect()
}

fn differences(what: &str, expected: &BTreeSet<String>, found: &BTreeSet<String>) -> Vec<String> {
    let missing = expected.difference(found).map(|address| format!("{address} is not {what}"));
    let more = found.difference(expected).map(|address| format!("{address} is {what}, but not after a clean run"));
    missing.chain(more).collect()
}

fn counts(inventory: &Inventory) -> BTreeMap<String, usize> {
    inventory.all.iter().map(|(kind, ids)| (kind.clone(), ids.len())).collect()
}

fn addresses(state: &Value) -> BTreeSet<String> {
    state["resources"].as_object().into_iter().flatten().map(|(address, _)| address.clone()).collect()
}

fn into_result(problems: Vec<String>) -> Result<(), Problem> {
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
}

#[cfg(test)]
mod tests {
    use super::{differences, duplicates};
    use crate::inventory::{Inventory, Owned};

    #[test]
    fn resources_sharing_an_address_are_reported() {
        let owned = |id: &str| Owned { address: "net/vpc".into(), id: id.into() };
        let mut inventory = Inventory { owned: vec![owned("vpc-1")], all: [].into() };
        assert_eq!(duplicates(&inventory), Vec::<String>::new());
        inventory.owned.push(owned("vpc-2"));
        assert_eq!(duplicates(&inventory), ["net/vpc exists 2 times: vpc-1, vpc-2"]);
    }

    #[test]
    fn missing_and_unexpected_addresses_are_reported() {
        let (clean, now) = (["a".into(), "b".into()].into(), ["b".into(), "c".into()].into());
        assert_eq!(differences("owned", &clean, &now), ["a is not owned", "c is owned, but not after a clean run"]);
    }
}
