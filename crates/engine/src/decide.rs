//! From what is wanted, what is there and what is remembered to what will be done. Pure.

use crate::address::Address;
use crate::check::plan_checks;
use crate::diff::{Change, diff, keep, within};
use crate::drift::{changed, is_other_edition};
use crate::failure::Failure;
use crate::graph::{Graph, Node, Values};
use crate::kind::AnyKind;
use crate::observe::{Live, Observed};
use crate::plan::{Action, Order, Origin, Plan, Step};
use crate::schedule::Schedule;
use crate::snapshot::{Record, Snapshot};
use crate::wish::{Goal, Part};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Why no plan can be made. Nothing was changed.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Refused {
    /// Which resource.
    pub address: Address,
    /// Why, and what to do.
    pub why: String,
}

/// Decides what will be done with the `part` of the stack. A plan leaves nothing to choose at execution; what AWS is yet to
/// assign is unknown in it.
///
/// # Errors
/// The outer error is `Bug`, when a spec cannot be written. The inner one lists everything that stands in the way: specs
/// that AWS would refuse, things in our names that are not ours, deletes that AWS would refuse.
pub fn decide(
    graph: &Graph,
    observed: &Observed,
    snapshot: &Snapshot,
    goal: Goal,
    part: &Part,
) -> Result<Result<Plan, Vec<Refused>>, Failure> {
    let only = part.closure(graph, goal);
    let mut deciding = Deciding { graph, observed, snapshot, part, only, steps: Vec::new(), refused: Vec::new() };
    let mut kept = BTreeSet::new();
    let values = if goal == Goal::Deploy { deciding.nodes(&mut kept)? } else { Values::new() };
    deciding.leftovers(&kept);
    deciding.refuse_untagged();
    deciding.refuse_halves();
    let Deciding { steps, mut refused, .. } = deciding;
    let checks = match goal {
        Goal::Deploy => plan_checks(graph, observed, &steps, &values)?,
        Goal::Destroy => Vec::new(),
    };
    let plan = Plan { steps, checks };
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
    part: &'a Part,
    /// What the plan is about; `None` is everything.
    only: Option<BTreeSet<Address>>,
    steps: Vec<Step>,
    refused: Vec<Refused>,
}

impl<'a> Deciding<'a> {
    /// One step for each resource of the graph, parents first. `kept` gets what each step is about, where it is there.
    /// Returns the attributes of each resource, none for those that are left.
    fn nodes(&mut self, kept: &mut BTreeSet<(&'a Address, usize)>) -> Result<Values, Failure> {
        let mut values: Values = Vec::with_capacity(self.graph.nodes.len());
        for node in &self.graph.nodes {
            if self.is_left(&node.address) {
                values.push(None);
                let step = self.leave(node, kept);
                self.steps.push(step);
                continue;
            }
            let mut spec = (node.make)(&values)?;
            if let Err(why) = node.kind.check(&spec) {
                self.refuse(&node.address, why);
            }
            let (step, attrs) = match self.current(node, &spec) {
                None => self.create(node, spec)?,
                Some((index, live)) => {
                    kept.insert((live.0, index));
                    keep(&mut spec, &live.1.spec, &node.ignored);
                    let (step, attrs) = self.compare(node, spec, live.1)?;
                    self.check_kept(node, &step);
                    (step, attrs)
                }
            };
            values.push(Some(attrs));
            self.steps.push(step);
        }
        Ok(values)
    }

    /// Where ignored fields are written again with the rest, they must be what can be wanted, too. Tags are written alone.
    fn check_kept(&mut self, node: &Node, step: &Step) {
        let writes = matches!(step.action, Action::Update | Action::Replace { .. });
        let more_than_tags = step.changes.iter().any(|change| change.field() != "tags");
        if let (false, true, Some(spec)) = (node.ignored.is_empty(), writes && more_than_tags, &step.after)
            && let Err(why) = node.kind.check(spec)
        {
            self.refuse(&node.address, format!("{why} (`ignore_changes` keeps what is there)"));
        }
    }

    /// Whether the plan is about another part of the stack.
    fn is_left(&self, address: &Address) -> bool {
        self.only.as_ref().is_some_and(|only| !only.contains(address))
    }

    /// The step of a node that the plan is not about. Of several things at its address all are left.
    fn leave(&self, node: &Node, kept: &mut BTreeSet<(&'a Address, usize)>) -> Step {
        let mut step = Step { action: Action::Leave, ..blank(node) };
        let Some((address, found)) = self.observed.ours.get_key_value(&node.address) else { return step };
        kept.extend((0..found.len()).map(|index| (address, index)));
        let remembered = self.snapshot.resources.get(address).map(|record| &record.attrs);
        let live =
            found.iter().filter(|live| live.kind == step.kind).min_by_key(|live| remembered != Some(&live.attrs));
        if let Some(live) = live {
            step.id = node.kind.id(&live.attrs);
            step.before = Some(live.spec.clone());
            step.attrs = Some(live.attrs.clone());
        }
        step
    }

    /// Refuses to replace what something uses that the plan leaves: it would be left with what is deleted.
    fn refuse_halves(&mut self) {
        let mut halves = Vec::new();
        for (node, step) in self.graph.nodes.iter().zip(&self.steps) {
            if step.address != node.address || step.action != Action::Leave || step.before.is_none() {
                continue;
            }
            let replaced = node.inputs.iter().filter_map(|edge| self.steps.get(edge.node));
            for replaced in replaced.filter(|step| matches!(step.action, Action::Replace { .. })) {
                halves.push((replaced.address.clone(), node.address.clone()));
            }
        }
        for (replaced, user) in halves {
            let why = format!("it has to be replaced, and {user}, which uses it, is not targeted: target {user} too");
            self.refuse(&replaced, why);
        }
    }

    /// What stands at the node's address. Of several, the one that needs no replacement, then the one that is remembered.
    fn current(&self, node: &Node, spec: &Value) -> Option<(usize, (&'a Address, &'a Live))> {
        let (address, found) = self.observed.ours.get_key_value(&node.address)?;
        let remembered = self.snapshot.resources.get(address).map(|record| &record.attrs);
        let fit = |live: &Live| {
            let changes = diff(&live.spec, &kept(&node.kind, &live.spec, spec));
            let replaced = changes.iter().any(|change| node.kind.replaces(change.field(), &live.spec, spec));
            (replaced, remembered != Some(&live.attrs))
        };
        let best = found.iter().enumerate().filter(|(_, live)| live.kind == node.kind.name());
        best.min_by_key(|(_, live)| fit(live)).map(|(index, live)| (index, (address, live)))
    }

    fn create(&mut self, node: &Node, spec: Value) -> Result<(Step, Value), Failure> {
        let untagged = self.observed.untagged.contains_key(&node.address);
        if let Some(what) = self.observed.foreign.get(&node.address).filter(|_| !untagged) {
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
        let forcing = |spec: &Value| -> (Vec<Change>, Vec<String>) {
            let mut changes = diff(&live.spec, spec);
            changes.retain(|change| !node.kind.observed().contains(&change.field()));
            let forces = changes.iter().filter(|change| node.kind.replaces(change.field(), &live.spec, spec));
            let forces = forces.map(|change| change.path.clone()).collect();
            (changes, forces)
        };
        let forced_by = self.forcing_parent(node).cloned();
        let asked = self.part.replace.contains(&node.address);
        let record = self.snapshot.resources.get(&node.address);
        let drift = record.map(|record| changed(self.graph, &node.address, record, live)).unwrap_or_default();
        let stays = kept(&node.kind, &live.spec, &spec);
        let (spec, (changes, forces)) = match forcing(&stays) {
            (changes, forces) if forces.is_empty() && forced_by.is_none() && !asked => (stays, (changes, forces)),
            _ => {
                let forcing = forcing(&spec);
                (spec, forcing)
            }
        };
        let mut step = Step {
            origin: record.and_then(|record| {
                let other = is_other_edition(self.graph, record, live);
                origin(record, &changes, &drift, &spec, other)
            }),
            id: node.kind.id(&live.attrs),
            before: Some(live.spec.clone()),
            attrs: Some(live.attrs.clone()),
            ..blank(node)
        };
        let attrs;
        if !forces.is_empty() || forced_by.is_some() || asked {
            if let Some(why) = node.kind.guard(&live.spec, &live.attrs) {
                self.refuse(&node.address, format!("it has to be replaced, but {why}"));
            }
            let beside = forced_by.is_none() && node.kind.beside(&live.spec, &spec);
            let order = if beside { Order::CreateFirst } else { Order::DeleteFirst };
            step.action = Action::Replace { order };
            step.reason = forced_by
                .map(|parent| format!("{parent} has to be replaced, and cannot go while this is there"))
                .or_else(|| (asked && forces.is_empty()).then(|| "asked for with --replace".to_owned()));
            attrs = node.kind.pending(&spec)?;
        } else if !changes.is_empty() {
            step.action = Action::Update;
            attrs = node.kind.updated(&live.attrs, &spec)?;
        } else {
            step.action = if live.settled { Action::NoOp } else { Action::Await };
            attrs = live.attrs.clone();
        }
        step.changes = changes;
        step.drift = drift;
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

    /// One delete for each thing of ours that no step of the graph is about.
    fn leftovers(&mut self, kept: &BTreeSet<(&'a Address, usize)>) {
        let observed = self.observed;
        for (address, found) in &observed.ours {
            for (index, live) in found.iter().enumerate() {
                if kept.contains(&(address, index)) {
                    continue;
                }
                if self.is_left(address) {
                    self.steps.push(Step { action: Action::Leave, ..self.gone(address, live) });
                } else {
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
        self.steps.push(self.gone(address, live));
    }

    /// Refuses what would be made beside a recorded resource that has lost its ownership tags, or would leave it behind.
    fn refuse_untagged(&mut self) {
        for (address, untagged) in &self.observed.untagged {
            if !self.is_left(address) {
                let wanted = self.graph.addresses().any(|wanted| wanted == address);
                let why = without_tags(&untagged.claim);
                let orphan = "; the configuration does not want it: `forget` lets go of it";
                self.refuse(address, if wanted { why } else { why + orphan });
            }
        }
    }

    /// The step that deletes something.
    fn gone(&self, address: &Address, live: &Live) -> Step {
        Step {
            action: Action::Delete,
            id: self.graph.kinds.get(live.kind.as_str()).and_then(|kind| kind.id(&live.attrs)),
            before: Some(live.spec.clone()),
            attrs: Some(live.attrs.clone()),
            ..idle(address.clone(), live.kind.clone())
        }
    }

    fn refuse(&mut self, address: &Address, why: String) {
        self.refused.push(Refused { address: address.clone(), why });
    }
}

/// Returns whether the fields differ because the configuration was changed, or the world, or both; or neither, because
/// another edition than the recorded one is in use.
fn origin(record: &Record, changes: &[Change], drift: &[Change], wanted: &Value, other: bool) -> Option<Origin> {
    let asked = diff(&record.spec, wanted);
    let touches = |all: &[Change], one: &Change| {
        all.iter().any(|other| within(&other.path, &one.path) || within(&one.path, &other.path))
    };
    let (mut configuration, mut world) = (false, false);
    for change in changes {
        let drifted = touches(drift, change);
        configuration |= change.is_unknown() || touches(&asked, change) || !(drifted || other);
        world |= drifted;
    }
    match (configuration, world) {
        (false, false) => None,
        (true, false) => Some(Origin::Configuration),
        (false, true) => Some(Origin::Drift),
        (true, true) => Some(Origin::Both),
    }
}

fn blank(node: &Node) -> Step {
    idle(node.address.clone(), node.kind.name().to_owned())
}

fn idle(address: Address, kind: String) -> Step {
    Step {
        address,
        kind,
        action: Action::NoOp,
        origin: None,
        reason: None,
        changes: Vec::new(),
        forces: Vec::new(),
        drift: Vec::new(),
        from: None,
        id: None,
        before: None,
        after: None,
        attrs: None,
    }
}

/// `wanted`, with what stands in the fields that its kind keeps, and what AWS does not let `live` lose now.
pub(crate) fn kept(kind: &Arc<dyn AnyKind>, live: &Value, wanted: &Value) -> Value {
    let mut kept = wanted.clone();
    for field in kind.keeps() {
        if let (Some(stands), Some(slot)) = (live.get(field), kept.get_mut(field)) {
            slot.clone_from(stands);
        }
    }
    kind.retain(kept, live)
}

/// Why nothing is done with a recorded resource that has lost its ownership tags.
pub(crate) fn without_tags(claim: &str) -> String {
    format!(
        "{claim} is recorded here and has lost this workspace's tags, most likely to `terraform apply` after `adopt`: \
         without them it is neither changed nor deleted"
    )
}

pub(crate) fn not_ours(what: &str) -> String {
    format!(
        "{what} exists and does not carry this workspace's tags: it is not ours and is left alone; rename or remove it"
    )
}
