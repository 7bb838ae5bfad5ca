//! The order of the steps of a plan.

use crate::model::plan::{Action, Order, Plan, Step};
use crate::model::plan_error::PlanError;
use crate::resource::graph::Graph;
use crate::resource::interim::{Awaited, Interim};
use crate::resource::readiness::Readiness;
use serde_json::Value;
use std::collections::HashMap;

/// A part of a step. A replacement has two tasks, and so does a step with an interim spec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Task {
    /// Create, update or wait for the resource, or do nothing. The attributes of the resource are known afterwards.
    Apply(usize),
    /// Update the resource from its interim spec to its desired spec.
    Finish(usize),
    /// Delete the resource.
    Delete(usize),
}

impl Task {
    pub(crate) fn step(self) -> usize {
        match self {
            Self::Apply(step) | Self::Finish(step) | Self::Delete(step) => step,
        }
    }
}

/// The dependencies of each task, each with the readiness that is required. A task names its step by the index in the
/// plan. For the resources of the graph, this is also the index in the graph.
pub(crate) struct Schedule {
    pub needs: HashMap<Task, Vec<(Task, Readiness)>>,
}

impl Schedule {
    /// Derives the order of the tasks of a plan. Resources take over from each other without a gap if the plan permits
    /// it.
    ///
    /// # Errors
    /// If tasks depend on each other in a cycle: for example, a resource must be deleted before its name can be reused,
    /// but cannot be deleted before the successor with the same name exists.
    pub(crate) fn new(graph: &Graph, plan: &Plan) -> Result<Self, PlanError> {
        Self::ordered(graph, plan, true).or_else(|_| Self::ordered(graph, plan, false))
    }

    fn ordered(graph: &Graph, plan: &Plan, gapless: bool) -> Result<Self, PlanError> {
        let ordering = Ordering { graph, steps: &plan.steps, gapless };
        let mut needs = HashMap::new();
        for (index, step) in plan.steps.iter().enumerate() {
            if !matches!(step.action, Action::Delete | Action::Untargeted) {
                needs.insert(Task::Apply(index), ordering.needs_of_apply(index, step));
            }
            if ordering.has_finish_task(index, step) {
                needs.insert(Task::Finish(index), ordering.needs_of_finish(index, step));
            }
            if deletes(step) {
                needs.insert(Task::Delete(index), ordering.needs_of_delete(index, step));
            }
        }
        let schedule = Self { needs };
        match schedule.cycle() {
            None => Ok(schedule),
            Some(index) => Err(PlanError::new(
                plan.steps[index].address.clone(),
                "it has to be deleted before its successor can be created, and cannot be deleted before other \
                 resources use the successor; give the successor another name, or make the change in two deploys",
            )),
        }
    }

    /// Returns a step that can never start because of a cycle, if there is one.
    fn cycle(&self) -> Option<usize> {
        let mut open: HashMap<Task, usize> = self.needs.iter().map(|(task, needs)| (*task, needs.len())).collect();
        let mut dependents: HashMap<Task, Vec<Task>> = HashMap::new();
        for (task, needs) in &self.needs {
            for (needed, _) in needs {
                dependents.entry(*needed).or_default().push(*task);
            }
        }
        let mut ready: Vec<Task> = open.iter().filter(|(_, count)| **count == 0).map(|(task, _)| *task).collect();
        while let Some(task) = ready.pop() {
            open.remove(&task);
            for dependent in dependents.get(&task).into_iter().flatten() {
                if let Some(count) = open.get_mut(dependent) {
                    *count -= 1;
                    if *count == 0 {
                        ready.push(*dependent);
                    }
                }
            }
        }
        open.keys().min().map(|task| task.step())
    }
}

/// Returns whether the step deletes a resource.
pub(crate) fn deletes(step: &Step) -> bool {
    matches!(step.action, Action::Delete | Action::Replace { .. })
}

struct Ordering<'a> {
    graph: &'a Graph,
    steps: &'a [Step],
    /// Set if resources must take over from each other without a gap.
    gapless: bool,
}

impl Ordering<'_> {
    /// Returns whether a step applies an interim spec first, so that it has a second task.
    fn has_finish_task(&self, index: usize, step: &Step) -> bool {
        self.interim(index, step).is_some()
    }

    /// Returns the interim spec of a step, if it has one.
    fn interim(&self, index: usize, step: &Step) -> Option<Interim<Value>> {
        if !matches!(step.action, Action::Create | Action::Update) {
            return None;
        }
        let interim = self.graph.nodes[index].kind.interim_spec(step.before.as_ref(), step.after.as_ref()?)?;
        let is_awaited = match interim.until {
            Awaited::Dependents => self.dependents(index).next().is_some(),
            Awaited::DependentsOfKind(kind) => self.dependents_of_kind(index, kind).next().is_some(),
            Awaited::Peers => self.gapless && self.peers(step).any(|other| other != index),
        };
        is_awaited.then_some(interim)
    }

    fn needs_of_finish(&self, index: usize, step: &Step) -> Vec<(Task, Readiness)> {
        let awaited: Vec<Task> = match self.interim(index, step).map(|interim| interim.until) {
            Some(Awaited::Peers) => self.peers(step).map(|other| self.takeover_task(other)).collect(),
            Some(Awaited::DependentsOfKind(kind)) => {
                self.dependents_of_kind(index, kind).map(|other| self.last_change(other)).collect()
            }
            _ => self.dependents(index).map(Task::Apply).collect(),
        };
        let first = std::iter::once(Task::Apply(index));
        let needs = first.chain(awaited.into_iter().filter(|task| task.step() != index));
        needs.map(|task| (task, Readiness::Ready)).collect()
    }

    /// Returns the indices of the resources that are created or updated and have the same kind as the resource of
    /// `step`.
    fn peers(&self, step: &Step) -> impl Iterator<Item = usize> {
        let of_kind = self.graph.nodes.iter().zip(self.steps).enumerate();
        of_kind
            .filter(|(_, (node, other))| {
                other.kind == step.kind
                    && node.address == other.address
                    && matches!(other.action, Action::Create | Action::Update)
            })
            .map(|(other, _)| other)
    }

    /// Returns the task after which a resource has taken over work from other resources of its kind.
    fn takeover_task(&self, index: usize) -> Task {
        match self.interim(index, &self.steps[index]).map(|interim| interim.until) {
            Some(Awaited::Dependents | Awaited::DependentsOfKind(_)) => Task::Finish(index),
            _ => Task::Apply(index),
        }
    }

    /// Returns the last task that creates or updates the resource of a step.
    fn last_change(&self, index: usize) -> Task {
        let later = self.has_finish_task(index, &self.steps[index]);
        if later { Task::Finish(index) } else { Task::Apply(index) }
    }

    fn needs_of_apply(&self, index: usize, step: &Step) -> Vec<(Task, Readiness)> {
        let inputs = &self.graph.nodes[index].inputs;
        let mut needs: Vec<(Task, Readiness)> =
            inputs.iter().map(|edge| (Task::Apply(edge.node), edge.readiness)).collect();
        match step.action {
            Action::Replace { order: Order::DestroyBeforeCreate } => {
                needs.push((Task::Delete(index), Readiness::Ready));
            }
            // A deleted resource may have the name that the new one needs.
            Action::Create | Action::Replace { order: Order::CreateBeforeDestroy } => {
                needs
                    .extend(self.conflicting_deletes(index, step).map(|other| (Task::Delete(other), Readiness::Ready)));
            }
            _ => {}
        }
        needs
    }

    /// Returns the indices of the steps that delete a resource of the same kind and conflict with a create.
    fn conflicting_deletes(&self, index: usize, step: &Step) -> impl Iterator<Item = usize> {
        let deletes = self.steps.iter().enumerate();
        deletes
            .filter(move |(_, other)| {
                other.action == Action::Delete && other.kind == step.kind && self.conflicts(other, index, step)
            })
            .map(|(other, _)| other)
    }

    /// Returns whether the resource that `deleted` deletes conflicts with the resource that `step` creates. If `step`
    /// has an interim spec, the interim spec is compared.
    fn conflicts(&self, deleted: &Step, index: usize, step: &Step) -> bool {
        let kind = &self.graph.nodes[index].kind;
        let interim = self.interim(index, step).map(|interim| interim.spec);
        match (&deleted.before, interim.as_ref().or(step.after.as_ref())) {
            _ if kind.create_reuses_existing() => false,
            (Some(old), Some(new)) => !kind.can_coexist(old, new),
            _ => true,
        }
    }

    /// Returns the tasks in which other resources take over from the resource that `step` deletes.
    fn takeover_tasks<'b>(&'b self, step: &'b Step) -> impl Iterator<Item = Task> + 'b {
        let kind = self.graph.kinds.get(step.kind.as_str());
        let is_taken_over =
            self.gapless && step.action == Action::Delete && kind.is_some_and(|kind| kind.deleted_after_peers());
        let others = is_taken_over.then(|| self.peers(step)).into_iter().flatten();
        let can_follow = |other: &usize| {
            let successor = &self.steps[*other];
            successor.action == Action::Update || !self.conflicts(step, *other, successor)
        };
        others.filter(can_follow).map(|other| self.takeover_task(other))
    }

    fn needs_of_delete(&self, index: usize, step: &Step) -> Vec<(Task, Readiness)> {
        let delete_first = step.action == Action::Replace { order: Order::DestroyBeforeCreate };
        let mut needs: Vec<(Task, Readiness)> =
            self.takeover_tasks(step).map(|task| (task, Readiness::Ready)).collect();
        for (other_index, other) in self.steps.iter().enumerate() {
            let relies = self.relies(other, step);
            if other_index == index || !(relies || self.blocks_deletion(other, step)) {
                continue;
            }
            // In a destroy-before-create replacement, the successor is created after this delete, so the delete must
            // not wait for a step that waits for the successor. It waits only for plain deletes, and for the deletes of
            // direct dependents that are also replaced.
            if delete_first && other.action != Action::Delete && !self.depends(other_index, index) {
                continue;
            }
            if deletes(other) {
                needs.push((Task::Delete(other_index), Readiness::Ready));
            } else if !delete_first && (other.action == Action::Update || (relies && other.action == Action::Wait)) {
                needs.push((self.last_change(other_index), Readiness::Ready));
            }
        }
        if step.action == (Action::Replace { order: Order::CreateBeforeDestroy }) {
            needs.push((Task::Apply(index), Readiness::Ready));
            needs.extend(self.dependents(index).map(|dependent| (self.last_change(dependent), Readiness::Ready)));
        }
        needs.sort_unstable_by_key(|(task, _)| *task);
        needs.dedup_by_key(|(task, _)| *task);
        needs
    }

    fn blocks_deletion(&self, holder: &Step, held: &Step) -> bool {
        let kind = self.graph.kinds.get(holder.kind.as_str());
        kind.is_some_and(|kind| kind.blocks_deletion_of().contains(&held.kind.as_str()))
    }

    fn relies(&self, user: &Step, used: &Step) -> bool {
        let kind = self.graph.kinds.get(user.kind.as_str());
        kind.is_some_and(|kind| kind.relies_on().contains(&used.kind.as_str()))
    }

    fn depends(&self, dependent: usize, on: usize) -> bool {
        let node = self.graph.nodes.get(dependent);
        node.is_some_and(|node| node.inputs.iter().any(|edge| edge.node == on))
    }

    /// Returns the changed nodes of a kind that depend on `index` directly.
    fn dependents_of_kind(&self, index: usize, kind: &'static str) -> impl Iterator<Item = usize> {
        self.dependents(index).filter(move |dependent| self.graph.nodes[*dependent].kind.name() == kind)
    }

    /// Returns the changed nodes that depend on `index` directly.
    fn dependents(&self, index: usize) -> impl Iterator<Item = usize> {
        self.graph.dependents(index).filter(|dependent| {
            let action = self.steps[*dependent].action;
            !action.is_idle() && action != Action::Wait
        })
    }
}
