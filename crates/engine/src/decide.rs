//! From what is wanted, what is there and what is remembered to what will be done. Pure.

use crate::address::Address;
use crate::diff::{Change, diff};
use crate::failure::Failure;
use crate::graph::{Graph, Node, Values};
use crate::observe::{Live, Observed};
use crate::plan::{Action, Order, Origin, Plan, Step};
use crate::schedule::Schedule;
use crate::snapshot::Snapshot;
use serde_json::Value;
use std::collections::BTreeSet;

/// What a run is to bring about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// What the graph wants is there, and nothing else of ours.
    Deploy,
    /// Nothing of ours is there.
    Destroy,
}

/// Why no plan can be made. Nothing was changed.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Refused {
    /// Which resource.
    pub address: Address,
    /// Why, and what to do.
    pub why: String,
}

/// Decides what will be done. A plan leaves nothing to choose at execution; what AWS is yet to assign is unknown in it.
///
/// # Errors
/// The outer error is `Bug`, when a spec cannot be written. The inner one lists everything that stands in the way: specs
/// that AWS would refuse, things in our names that are not ours, deletes that AWS would refuse.
pub fn decide(
    graph: &Graph,
    observed: &Observed,
    snapshot: &Snapshot,
    goal: Goal,
) -> Result<Result<Plan, Vec<Refused>>, Failure> {
    let mut deciding = Deciding { graph, observed, snapshot, steps: Vec::new(), refused: Vec::new() };
    let mut kept = BTreeSet::new();
    if goal == Goal::Deploy {
        deciding.nodes(&mut kept)?;
    }
    deciding.leftovers(&kept);
    let Deciding { steps, mut refused, .. } = deciding;
    let plan = Plan { steps };
    if refused.is_empty()
        && let Err(cycle) = Schedule::new(graph, &plan)
    {
        refused.push(cycle);
    }
    Ok(if refused.is_empty() { Ok(plan) } else { Err(refused) })
}

struct Deciding<'a> {
    graph: &'a Graph,
    observed: &'a Observed,
    snapshot: &'a Snapshot,
    steps: Vec<Step>,
    refused: Vec<Refused>,
}

impl<'a> Deciding<'a> {
    /// One step for each resource of the graph, parents first. `kept` gets what each step is about, where it is there.
    fn nodes(&mut self, kept: &mut BTreeSet<(&'a Address, usize)>) -> Result<(), Failure> {
        let mut values: Values = Vec::with_capacity(self.graph.nodes.len());
        for node in &self.graph.nodes {
            let spec = (node.make)(&values)?;
            if let Err(why) = node.kind.check(&spec) {
                self.refuse(&node.address, why);
            }
            let (step, attrs) = match self.current(node, &spec) {
                None => self.create(node, spec)?,
                Some((index, live)) => {
                    kept.insert((live.0, index));
                    self.compare(node, spec, live.1)?
                }
            };
            values.push(Some(attrs));
            self.steps.push(step);
        }
        Ok(())
    }

    /// What stands at the node's address. Of several, the one that needs no replacement, then the one that is remembered.
    fn current(&self, node: &Node, spec: &Value) -> Option<(usize, (&'a Address, &'a Live))> {
        let (address, found) = self.observed.ours.get_key_value(&node.address)?;
        let remembered = self.snapshot.resources.get(address).map(|record| &record.attrs);
        let fit = |live: &Live| {
            let changes = diff(&live.spec, spec);
            let replaced = changes.iter().any(|change| node.kind.replaces(change.field(), &live.spec, spec));
            (replaced, remembered != Some(&live.attrs))
        };
        let best = found.iter().enumerate().filter(|(_, live)| live.kind == node.kind.name());
        best.min_by_key(|(_, live)| fit(live)).map(|(index, live)| (index, (address, live)))
    }

    fn create(&mut self, node: &Node, spec: Value) -> Result<(Step, Value), Failure> {
        if let Some(what) = self.observed.foreign.get(&node.address) {
            self.refuse(&node.address, not_ours(what));
        }
        let attrs = node.kind.pending(&spec)?;
        let gone = self.snapshot.resources.contains_key(&node.address);
        let step = Step {
            action: Action::Create,
            origin: gone.then_some(Origin::Drift),
            reason: gone.then(|| "it was deleted outside of pb-deploy".to_owned()),
            changes: diff(&Value::Null, &spec),
            after: Some(spec),
            ..blank(node)
        };
        Ok((step, attrs))
    }

    fn compare(&mut self, node: &Node, spec: Value, live: &Live) -> Result<(Step, Value), Failure> {
        let changes = diff(&live.spec, &spec);
        let forces: Vec<String> = changes
            .iter()
            .filter(|change| node.kind.replaces(change.field(), &live.spec, &spec))
            .map(|change| change.path.clone())
            .collect();
        let forced_by = self.forcing_parent(node).cloned();
        let mut step = Step {
            origin: self.origin(&node.address, &changes, &spec),
            id: node.kind.id(&live.attrs),
            before: Some(live.spec.clone()),
            attrs: Some(live.attrs.clone()),
            ..blank(node)
        };
        let attrs;
        if !forces.is_empty() || forced_by.is_some() {
            if let Some(why) = node.kind.guard(&live.spec, &live.attrs) {
                self.refuse(&node.address, format!("it has to be replaced, but {why}"));
            }
            let beside = forced_by.is_none() && node.kind.beside(&live.spec, &spec);
            let order = if beside { Order::CreateFirst } else { Order::DeleteFirst };
            step.action = Action::Replace { order };
            step.reason =
                forced_by.map(|parent| format!("{parent} has to be replaced, and cannot go while this is there"));
            attrs = node.kind.pending(&spec)?;
        } else if !changes.is_empty() {
            step.action = Action::Update;
            attrs = node.kind.updated(&live.attrs, &spec)?;
        } else {
            step.action = if live.settled { Action::NoOp } else { Action::Await };
            attrs = live.attrs.clone();
        }
        step.changes = changes;
        step.forces = forces;
        step.after = Some(spec);
        Ok((step, attrs))
    }

    /// The parent that must be deleted before its successor is made, and cannot be while this node is there.
    fn forcing_parent(&self, node: &Node) -> Option<&Address> {
        let parents = node.inputs.iter().filter_map(|edge| self.steps.get(edge.node));
        parents
            .filter(|parent| parent.action == Action::Replace { order: Order::DeleteFirst })
            .find(|parent| node.kind.holds().contains(&parent.kind.as_str()))
            .map(|parent| &parent.address)
    }

    /// Whether the fields differ because the configuration was changed, or the world.
    fn origin(&self, address: &Address, changes: &[Change], wanted: &Value) -> Option<Origin> {
        let record = self.snapshot.resources.get(address)?;
        let asked: BTreeSet<String> = diff(&record.spec, wanted).into_iter().map(|change| change.path).collect();
        let is_asked = |change: &&Change| asked.contains(&change.path) || change.is_unknown();
        let by_configuration = changes.iter().filter(is_asked).count();
        match (by_configuration, changes.len() - by_configuration) {
            (0, 0) => None,
            (_, 0) => Some(Origin::Configuration),
            (0, _) => Some(Origin::Drift),
            _ => Some(Origin::Both),
        }
    }

    /// One delete for each thing of ours that no step of the graph is about.
    fn leftovers(&mut self, kept: &BTreeSet<(&'a Address, usize)>) {
        let observed = self.observed;
        for (address, found) in &observed.ours {
            for (index, live) in found.iter().enumerate() {
                if !kept.contains(&(address, index)) {
                    self.delete(address, live);
                }
            }
        }
    }

    fn delete(&mut self, address: &Address, live: &Live) {
        let kind = self.graph.kinds.get(live.kind.as_str());
        if let Some(why) = kind.and_then(|kind| kind.guard(&live.spec, &live.attrs)) {
            self.refuse(address, format!("it has to be deleted, but {why}"));
        }
        self.steps.push(Step {
            address: address.clone(),
            kind: live.kind.clone(),
            action: Action::Delete,
            origin: None,
            reason: None,
            changes: Vec::new(),
            forces: Vec::new(),
            id: kind.and_then(|kind| kind.id(&live.attrs)),
            before: Some(live.spec.clone()),
            after: None,
            attrs: Some(live.attrs.clone()),
        });
    }

    fn refuse(&mut self, address: &Address, why: String) {
        self.refused.push(Refused { address: address.clone(), why });
    }
}

fn blank(node: &Node) -> Step {
    Step {
        address: node.address.clone(),
        kind: node.kind.name().to_owned(),
        action: Action::NoOp,
        origin: None,
        reason: None,
        changes: Vec::new(),
        forces: Vec::new(),
        id: None,
        before: None,
        after: None,
        attrs: None,
    }
}

pub(crate) fn not_ours(what: &str) -> String {
    format!(
        "{what} exists and does not carry this workspace's tags: it is not ours and is left alone; rename or remove it"
    )
}
