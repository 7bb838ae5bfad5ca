//! The planner: computes a plan from the graph, the observed resources and the snapshot. Pure.

use crate::model::address::Address;
use crate::model::diff::{Change, diff, is_at_or_below, keep_ignored, keep_unset, unset_fields};
use crate::model::failure::Failure;
use crate::model::goal::{Goal, PlanScope};
use crate::model::observed::{Live, Observed};
use crate::model::plan::{Action, Order, Origin, Plan, PlannedGuard, Step};
use crate::model::plan_error::PlanError;
use crate::model::snapshot::{Record, Snapshot};
use crate::model::unmanaged::Obstacle;
use crate::plan::checks::plan_checks;
use crate::plan::drift::{drifted_fields, is_other_revision};
use crate::plan::schedule::Schedule;
use crate::resource::graph::{Graph, Node};
use crate::resource::guard::GuardNode;
use crate::resource::kind::AnyKind;
use crate::resource::readiness::Values;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Computes the plan for a graph, limited to the scope `part`. The plan leaves no decision to its execution. Values
/// that AWS has yet to assign are unknown in the plan.
///
/// # Errors
/// The outer error is `Bug`, if a spec cannot be serialized. The inner error lists all problems: specs that AWS would
/// refuse, unmanaged resources with names that the configuration needs, deletes that AWS would refuse.
pub fn compute_plan(
    graph: &Graph,
    observed: &Observed,
    snapshot: &Snapshot,
    goal: Goal,
    part: &PlanScope,
) -> Result<Result<Plan, Vec<PlanError>>, Failure> {
    let (plan, refused) = draft_plan(graph, observed, snapshot, goal, part)?;
    Ok(if refused.is_empty() { Ok(plan) } else { Err(refused) })
}

/// Computes the plan, and the problems because of which it is refused. A plan with problems must not be applied.
///
/// # Errors
/// `Bug`, if a spec cannot be serialized.
pub(crate) fn draft_plan(
    graph: &Graph,
    observed: &Observed,
    snapshot: &Snapshot,
    goal: Goal,
    part: &PlanScope,
) -> Result<(Plan, Vec<PlanError>), Failure> {
    let selected = part.closure(graph, goal);
    let mut planner = Planner { graph, observed, snapshot, part, selected, steps: Vec::new(), refused: Vec::new() };
    let mut kept = BTreeSet::new();
    let values = if goal == Goal::Deploy { planner.plan_nodes(&mut kept)? } else { Values::new() };
    planner.plan_deletes(&kept);
    planner.refuse_untagged();
    planner.refuse_obstacles();
    planner.refuse_partial_replacements();
    let Planner { steps, mut refused, .. } = planner;
    let checks = match goal {
        Goal::Deploy => plan_checks(graph, observed, &steps, &values)?,
        Goal::Destroy => Vec::new(),
    };
    let mut plan = Plan { steps, checks, guards: Vec::new() };
    plan.guards = plan_guards(graph, &plan);
    if refused.is_empty()
        && let Err(cycle) = Schedule::new(graph, &plan)
    {
        refused.push(cycle);
    }
    Ok((plan, refused))
}

/// Returns the guards that apply to a plan.
fn plan_guards(graph: &Graph, plan: &Plan) -> Vec<PlannedGuard> {
    let announced =
        |node: &GuardNode| node.guard.notice(plan).map(|notice| PlannedGuard { address: node.address.clone(), notice });
    graph.guards.iter().filter_map(announced).collect()
}

struct Planner<'a> {
    graph: &'a Graph,
    observed: &'a Observed,
    snapshot: &'a Snapshot,
    part: &'a PlanScope,
    /// The addresses that the plan covers; `None` means all addresses.
    selected: Option<BTreeSet<Address>>,
    steps: Vec<Step>,
    refused: Vec<PlanError>,
}

impl<'a> Planner<'a> {
    /// Plans one step for each resource of the graph, dependencies first, and adds the existing resources of these
    /// steps to `kept`. Returns the attributes of each resource, or `None` for a resource that is not targeted.
    fn plan_nodes(&mut self, kept: &mut BTreeSet<(&'a Address, usize)>) -> Result<Values, Failure> {
        let mut values: Values = Vec::with_capacity(self.graph.nodes.len());
        for node in &self.graph.nodes {
            if self.is_untargeted(&node.address) {
                values.push(None);
                let step = self.untargeted_step(node, kept);
                self.steps.push(step);
                continue;
            }
            let mut spec = (node.make)(&values)?;
            if let Err(why) = node.kind.validate(&spec) {
                self.refuse(&node.address, why);
            }
            let (step, attrs) = match self.current_live(node, &spec) {
                None => self.plan_create(node, spec)?,
                Some((index, live)) => {
                    kept.insert((live.0, index));
                    keep_ignored(&mut spec, &live.1.spec, &node.ignored);
                    let (step, attrs) = self.plan_existing(node, spec, live.1)?;
                    self.validate_ignored(node, &step);
                    (step, attrs)
                }
            };
            values.push(Some(attrs));
            self.steps.push(step);
        }
        Ok(values)
    }

    /// Validates the live values of ignored fields if the step writes them again together with changed fields. A change
    /// of tags alone writes no other field.
    fn validate_ignored(&mut self, node: &Node, step: &Step) {
        let writes = matches!(step.action, Action::Update | Action::Replace { .. });
        let more_than_tags = step.changes.iter().any(|change| change.field() != "tags");
        if let (false, true, Some(spec)) = (node.ignored.is_empty(), writes && more_than_tags, &step.after)
            && let Err(why) = node.kind.validate(spec)
        {
            self.refuse(&node.address, format!("{why} (`ignore_changes` keeps the live value)"));
        }
    }

    /// Returns whether the plan does not cover an address.
    fn is_untargeted(&self, address: &Address) -> bool {
        self.selected.as_ref().is_some_and(|selected| !selected.contains(address))
    }

    /// Returns the step of a node that is not targeted. All resources at its address are kept.
    fn untargeted_step(&self, node: &Node, kept: &mut BTreeSet<(&'a Address, usize)>) -> Step {
        let mut step = Step { action: Action::Untargeted, ..step_for(node) };
        let Some((address, found)) = self.observed.managed.get_key_value(&node.address) else { return step };
        kept.extend((0..found.len()).map(|index| (address, index)));
        let recorded = self.snapshot.resources.get(address).map(|record| &record.attrs);
        let live = found.iter().filter(|live| live.kind == step.kind).min_by_key(|live| recorded != Some(&live.attrs));
        if let Some(live) = live {
            step.id = node.kind.id(&live.attrs);
            step.before = Some(live.spec.clone());
            step.attrs = Some(live.attrs.clone());
        }
        step
    }

    /// Refuses to replace a resource if one of its dependents is not targeted, because the dependent would keep using
    /// the deleted resource.
    fn refuse_partial_replacements(&mut self) {
        let mut partial = Vec::new();
        for (node, step) in self.graph.nodes.iter().zip(&self.steps) {
            if step.address != node.address || step.action != Action::Untargeted || step.before.is_none() {
                continue;
            }
            let replaced = node.inputs.iter().filter_map(|edge| self.steps.get(edge.node));
            for replaced in replaced.filter(|step| matches!(step.action, Action::Replace { .. })) {
                partial.push((replaced.address.clone(), node.address.clone()));
            }
        }
        for (replaced, user) in partial {
            let why = format!("it has to be replaced, but {user} uses it and is not targeted; add `--target {user}`");
            self.refuse(&replaced, why);
        }
    }

    /// Returns the live resource at the address of the node. If there are several, a resource that needs no replacement
    /// is preferred, then the recorded one.
    fn current_live(&self, node: &Node, spec: &Value) -> Option<(usize, (&'a Address, &'a Live))> {
        let (address, found) = self.observed.managed.get_key_value(&node.address)?;
        let recorded = self.snapshot.resources.get(address).map(|record| &record.attrs);
        let fit = |live: &Live| {
            let changes = diff(&live.spec, &with_retained_fields(&node.kind, &live.spec, spec));
            let replaced =
                changes.iter().any(|change| node.kind.requires_replacement(change.field(), &live.spec, spec));
            (replaced, recorded != Some(&live.attrs))
        };
        let best = found.iter().enumerate().filter(|(_, live)| live.kind == node.kind.name());
        best.min_by_key(|(_, live)| fit(live)).map(|(index, live)| (index, (address, live)))
    }

    fn plan_create(&mut self, node: &Node, spec: Value) -> Result<(Step, Value), Failure> {
        let untagged = self.observed.untagged.contains_key(&node.address);
        if let Some(unmanaged) = self.observed.unmanaged.get(&node.address).filter(|_| !untagged) {
            self.refused.push(unmanaged.plan_error(&node.address));
        }
        let attrs = node.kind.planned_attrs(&spec)?;
        let gone = self.snapshot.resources.contains_key(&node.address);
        let step = Step {
            action: Action::Create,
            origin: gone.then_some(Origin::Drift),
            reason: gone.then(|| "missing from AWS; will be re-created".to_owned()),
            changes: diff(&Value::Null, &spec),
            after: Some(spec),
            ..step_for(node)
        };
        Ok((step, attrs))
    }

    fn plan_existing(&mut self, node: &Node, mut spec: Value, live: &Live) -> Result<(Step, Value), Failure> {
        let unset = unset_fields(&spec, node.kind.optional_fields());
        keep_unset(&mut spec, &live.spec, &unset);
        let forcing = |spec: &Value| -> (Vec<Change>, Vec<String>) {
            let mut changes = diff(&live.spec, spec);
            changes.retain(|change| !node.kind.read_only_fields().contains(&change.field()));
            let replacing =
                changes.iter().filter(|change| node.kind.requires_replacement(change.field(), &live.spec, spec));
            let replacing = replacing.map(|change| change.path.clone()).collect();
            (changes, replacing)
        };
        let forced_by = self.forcing_parent(node).cloned();
        let requested = self.part.replace.contains(&node.address);
        let record = self.snapshot.resources.get(&node.address);
        let drift = record.map(|record| drifted_fields(self.graph, &node.address, record, live, &unset));
        let drift = drift.unwrap_or_default();
        let retained = with_retained_fields(&node.kind, &live.spec, &spec);
        let (spec, (changes, replacing)) = match forcing(&retained) {
            (changes, replacing) if replacing.is_empty() && forced_by.is_none() && !requested => {
                (retained, (changes, replacing))
            }
            _ => {
                let forcing = forcing(&spec);
                (spec, forcing)
            }
        };
        let mut step = Step {
            origin: record.and_then(|record| {
                let other = is_other_revision(self.graph, record, live);
                origin(record, &changes, &drift, &spec, other)
            }),
            id: node.kind.id(&live.attrs),
            before: Some(live.spec.clone()),
            attrs: Some(live.attrs.clone()),
            ..step_for(node)
        };
        let attrs;
        if !replacing.is_empty() || forced_by.is_some() || requested {
            if let Some(why) = node.kind.deletion_blocker(&live.spec, &live.attrs) {
                self.refuse(&node.address, format!("it has to be replaced, but {why}"));
            }
            let coexists = forced_by.is_none() && node.kind.can_coexist(&live.spec, &spec);
            let order = if coexists { Order::CreateBeforeDestroy } else { Order::DestroyBeforeCreate };
            step.action = Action::Replace { order };
            step.reason = forced_by
                .map(|parent| format!("{parent} has to be replaced, and this resource blocks its deletion"))
                .or_else(|| (requested && replacing.is_empty()).then(|| "requested with --replace".to_owned()));
            attrs = node.kind.planned_attrs(&spec)?;
        } else if !changes.is_empty() {
            step.action = Action::Update;
            attrs = node.kind.attrs_after_update(&live.attrs, &spec)?;
        } else {
            step.action = if live.ready { Action::NoOp } else { Action::Wait };
            attrs = live.attrs.clone();
        }
        step.changes = changes;
        step.drift = drift;
        step.replacement_fields = replacing;
        step.after = Some(spec);
        Ok((step, attrs))
    }

    /// Returns the dependency that must be deleted before its successor is created, and whose deletion this node
    /// blocks.
    fn forcing_parent(&self, node: &Node) -> Option<&Address> {
        let parents = node.inputs.iter().filter_map(|edge| self.steps.get(edge.node));
        parents
            .filter(|parent| parent.action == Action::Replace { order: Order::DestroyBeforeCreate })
            .find(|parent| node.kind.blocks_deletion_of().contains(&parent.kind.as_str()))
            .map(|parent| &parent.address)
    }

    /// Plans the deletion of every managed resource that has no other step.
    fn plan_deletes(&mut self, kept: &BTreeSet<(&'a Address, usize)>) {
        let observed = self.observed;
        for (address, found) in &observed.managed {
            for (index, live) in found.iter().enumerate() {
                if kept.contains(&(address, index)) {
                    continue;
                }
                if self.is_untargeted(address) {
                    self.steps.push(Step { action: Action::Untargeted, ..self.delete_step(address, live) });
                } else {
                    self.plan_delete(address, live);
                }
            }
        }
    }

    fn plan_delete(&mut self, address: &Address, live: &Live) {
        let kind = self.graph.kinds.get(live.kind.as_str());
        if let Some(why) = kind.and_then(|kind| kind.deletion_blocker(&live.spec, &live.attrs)) {
            self.refuse(address, format!("it has to be deleted, but {why}"));
        }
        self.steps.push(self.delete_step(address, live));
    }

    /// Refuses the plan if a covered, recorded resource has lost its ownership tags. Otherwise a deploy would create
    /// another resource next to it, or would leave it behind.
    fn refuse_untagged(&mut self) {
        for (address, untagged) in &self.observed.untagged {
            if !self.is_untargeted(address) {
                let desired = self.graph.addresses().any(|desired| desired == address);
                let why = lost_tags_error(&untagged.import_id);
                let orphan = "; it is not configured: stop managing it with `pb-deploy forget`";
                self.refuse(address, if desired { why } else { why + orphan });
            }
        }
    }

    /// Refuses the plan if an obstacle keeps a covered resource from its purpose. An obstacle that is not total refuses
    /// only a plan that changes the resource, so that it does not prevent the changes of other resources.
    fn refuse_obstacles(&mut self) {
        for step in self.steps.iter().filter(|step| step.action != Action::Delete) {
            let found = self.observed.obstacles.get(&step.address).into_iter().flatten();
            let counts = |obstacle: &&Obstacle| match step.action {
                Action::Untargeted => false,
                action => obstacle.total || !action.is_idle(),
            };
            let errors = found.filter(counts).map(|found| PlanError::new(step.address.clone(), &found.why));
            self.refused.extend(errors);
        }
    }

    /// Returns the step that deletes a resource.
    fn delete_step(&self, address: &Address, live: &Live) -> Step {
        Step {
            id: self.graph.kinds.get(live.kind.as_str()).and_then(|kind| kind.id(&live.attrs)),
            before: Some(live.spec.clone()),
            attrs: Some(live.attrs.clone()),
            ..Step::new(address.clone(), live.kind.clone(), Action::Delete)
        }
    }

    fn refuse(&mut self, address: &Address, why: String) {
        self.refused.push(PlanError::new(address.clone(), why));
    }
}

/// Returns whether the changes originate in the configuration, in AWS or in both; `None` if in neither, because a
/// revision other than the recorded one is in use.
fn origin(record: &Record, changes: &[Change], drift: &[Change], desired: &Value, other: bool) -> Option<Origin> {
    let requested = diff(&record.spec, desired);
    let touches = |all: &[Change], one: &Change| {
        all.iter().any(|other| is_at_or_below(&other.path, &one.path) || is_at_or_below(&one.path, &other.path))
    };
    let (mut configuration, mut world) = (false, false);
    for change in changes {
        let drifted = touches(drift, change);
        configuration |= change.is_unknown() || touches(&requested, change) || !(drifted || other);
        world |= drifted;
    }
    match (configuration, world) {
        (false, false) => None,
        (true, false) => Some(Origin::Configuration),
        (false, true) => Some(Origin::Drift),
        (true, true) => Some(Origin::Both),
    }
}

fn step_for(node: &Node) -> Step {
    Step::new(node.address.clone(), node.kind.name(), Action::NoOp)
}

/// Returns `desired` with the live values of the retained fields and of the optional fields without a desired value, and
/// with the values of `live` that cannot be removed yet.
pub(crate) fn with_retained_fields(kind: &Arc<dyn AnyKind>, live: &Value, desired: &Value) -> Value {
    let mut kept = desired.clone();
    for field in kind.retained_fields() {
        if let (Some(current), Some(slot)) = (live.get(field), kept.get_mut(field)) {
            slot.clone_from(current);
        }
    }
    keep_unset(&mut kept, live, kind.optional_fields());
    kind.merge_live(kept, live)
}

/// Returns the error message for a recorded resource that has lost its ownership tags.
pub(crate) fn lost_tags_error(import_id: &str) -> String {
    format!(
        "{import_id} is recorded but has lost this workspace's tags, probably to `terraform apply` after `adopt`; \
         without them it is neither updated nor deleted"
    )
}
