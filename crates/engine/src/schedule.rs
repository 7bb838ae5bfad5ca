//! Which step waits for which.

use crate::decide::Refused;
use crate::graph::{Graph, Until};
use crate::plan::{Action, Order, Plan, Step};
use crate::resource::{Awaited, Interim};
use serde_json::Value;
use std::collections::HashMap;

/// One part of a step: a replacement has two, and so has what becomes as wanted only after its dependents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Task {
    /// Make it, change it, wait for it, or find nothing to do: afterwards its attributes are known.
    Make(usize),
    /// Make it as wanted, now that its dependents are: what was made was what it is to be meanwhile.
    Finish(usize),
    /// Delete what is there.
    Drop(usize),
}

impl Task {
    pub(crate) fn step(self) -> usize {
        match self {
            Self::Make(step) | Self::Finish(step) | Self::Drop(step) => step,
        }
    }
}

/// Which task waits for which, and how far that one must be. Steps are named by their place in the plan, which for those of
/// the graph is their place in the graph.
pub(crate) struct Schedule {
    pub needs: HashMap<Task, Vec<(Task, Until)>>,
}

impl Schedule {
    /// Derives the order of a plan. Resources take over from each other without a gap where the plan has such an order.
    ///
    /// # Errors
    /// When steps wait for each other in a circle: something has to go before its name can be used again, and cannot go
    /// before what is to use that name is there.
    pub(crate) fn new(graph: &Graph, plan: &Plan) -> Result<Self, Refused> {
        Self::ordered(graph, plan, true).or_else(|_| Self::ordered(graph, plan, false))
    }

    fn ordered(graph: &Graph, plan: &Plan, takes_turns: bool) -> Result<Self, Refused> {
        let ordering = Ordering { graph, steps: &plan.steps, takes_turns };
        let mut needs = HashMap::new();
        for (index, step) in plan.steps.iter().enumerate() {
            if !matches!(step.action, Action::Delete | Action::Leave) {
                needs.insert(Task::Make(index), ordering.before_make(index, step));
            }
            if ordering.is_finished_later(index, step) {
                needs.insert(Task::Finish(index), ordering.before_finish(index, step));
            }
            if drops(step) {
                needs.insert(Task::Drop(index), ordering.before_drop(index, step));
            }
        }
        let schedule = Self { needs };
        match schedule.circle() {
            None => Ok(schedule),
            Some(index) => Err(Refused {
                address: plan.steps[index].address.clone(),
                why: "it has to go before its successor can be made, and cannot go before others use the successor; \
                      give the successor another name, or do it in two deploys"
                    .to_owned(),
            }),
        }
    }

    /// A step that waits for itself, if there is one.
    fn circle(&self) -> Option<usize> {
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

/// Whether the step deletes something.
pub(crate) fn drops(step: &Step) -> bool {
    matches!(step.action, Action::Delete | Action::Replace { .. })
}

struct Ordering<'a> {
    graph: &'a Graph,
    steps: &'a [Step],
    /// Unset when resources may leave a gap between them.
    takes_turns: bool,
}

impl Ordering<'_> {
    /// Returns whether a resource has an interim spec first.
    fn is_finished_later(&self, index: usize, step: &Step) -> bool {
        self.interim(index, step).is_some()
    }

    /// Returns the spec that a resource has until others are as wanted.
    fn interim(&self, index: usize, step: &Step) -> Option<Interim<Value>> {
        if !matches!(step.action, Action::Create | Action::Update) {
            return None;
        }
        let interim = self.graph.nodes[index].kind.meanwhile(step.before.as_ref(), step.after.as_ref()?)?;
        let is_awaited = match interim.until {
            Awaited::Dependents => self.dependents(index).next().is_some(),
            Awaited::Others => self.takes_turns && self.others(step).any(|other| other != index),
        };
        is_awaited.then_some(interim)
    }

    fn before_finish(&self, index: usize, step: &Step) -> Vec<(Task, Until)> {
        let awaited: Vec<Task> = match self.interim(index, step).map(|interim| interim.until) {
            Some(Awaited::Others) => self.others(step).map(|other| self.gained(other)).collect(),
            _ => self.dependents(index).map(Task::Make).collect(),
        };
        let made = std::iter::once(Task::Make(index));
        let needs = made.chain(awaited.into_iter().filter(|task| task.step() != index));
        needs.map(|task| (task, Until::Settled)).collect()
    }

    /// The resources of the kind of `step` that are created or updated.
    fn others(&self, step: &Step) -> impl Iterator<Item = usize> {
        let of_kind = self.graph.nodes.iter().zip(self.steps).enumerate();
        of_kind
            .filter(|(_, (node, other))| {
                other.kind == step.kind
                    && node.address == other.address
                    && matches!(other.action, Action::Create | Action::Update)
            })
            .map(|(other, _)| other)
    }

    /// The part of a step after which a resource has got all that it takes over from others.
    fn gained(&self, index: usize) -> Task {
        match self.interim(index, &self.steps[index]).map(|interim| interim.until) {
            Some(Awaited::Dependents) => Task::Finish(index),
            _ => Task::Make(index),
        }
    }

    /// The last part of a step that changes something.
    fn changed(&self, index: usize) -> Task {
        let later = self.is_finished_later(index, &self.steps[index]);
        if later { Task::Finish(index) } else { Task::Make(index) }
    }

    fn before_make(&self, index: usize, step: &Step) -> Vec<(Task, Until)> {
        let inputs = &self.graph.nodes[index].inputs;
        let mut needs: Vec<(Task, Until)> = inputs.iter().map(|edge| (Task::Make(edge.node), edge.until)).collect();
        match step.action {
            Action::Replace { order: Order::DeleteFirst } => needs.push((Task::Drop(index), Until::Settled)),
            // What goes may stand in the name that is wanted.
            Action::Create | Action::Replace { order: Order::CreateFirst } => {
                needs.extend(self.in_the_way(index, step).map(|other| (Task::Drop(other), Until::Settled)));
            }
            _ => {}
        }
        needs
    }

    /// Deletes of the same kind that cannot stand beside what is to be made.
    fn in_the_way(&self, index: usize, step: &Step) -> impl Iterator<Item = usize> {
        let deletes = self.steps.iter().enumerate();
        deletes
            .filter(move |(_, other)| {
                other.action == Action::Delete && other.kind == step.kind && self.blocks(other, index, step)
            })
            .map(|(other, _)| other)
    }

    /// Returns whether what a step deletes cannot stand beside what another one is going to make first.
    fn blocks(&self, deleted: &Step, index: usize, step: &Step) -> bool {
        let kind = &self.graph.nodes[index].kind;
        let interim = self.interim(index, step).map(|interim| interim.spec);
        match (&deleted.before, interim.as_ref().or(step.after.as_ref())) {
            _ if kind.takes_over() => false,
            (Some(old), Some(new)) => !kind.beside(old, new),
            _ => true,
        }
    }

    /// The changes by which others take over from a resource that is deleted.
    fn takers<'b>(&'b self, step: &'b Step) -> impl Iterator<Item = Task> + 'b {
        let kind = self.graph.kinds.get(step.kind.as_str());
        let is_taken_over =
            self.takes_turns && step.action == Action::Delete && kind.is_some_and(|kind| kind.takes_turns());
        let others = is_taken_over.then(|| self.others(step)).into_iter().flatten();
        let is_beside = |other: &usize| {
            let taker = &self.steps[*other];
            taker.action == Action::Update || !self.blocks(step, *other, taker)
        };
        others.filter(is_beside).map(|other| self.gained(other))
    }

    fn before_drop(&self, index: usize, step: &Step) -> Vec<(Task, Until)> {
        let delete_first = step.action == Action::Replace { order: Order::DeleteFirst };
        let mut needs: Vec<(Task, Until)> = self.takers(step).map(|task| (task, Until::Settled)).collect();
        for (other_index, other) in self.steps.iter().enumerate() {
            let relies = self.relies(other, step);
            if other_index == index || !(relies || self.holds(other, step)) {
                continue;
            }
            // A successor is made after this one is gone, so only what depends on it can wait in turn. All else may use it.
            if delete_first && other.action != Action::Delete && !self.depends(other_index, index) {
                continue;
            }
            if drops(other) {
                needs.push((Task::Drop(other_index), Until::Settled));
            } else if !delete_first && (other.action == Action::Update || (relies && other.action == Action::Await)) {
                needs.push((self.changed(other_index), Until::Settled));
            }
        }
        if step.action == (Action::Replace { order: Order::CreateFirst }) {
            needs.push((Task::Make(index), Until::Settled));
            needs.extend(self.dependents(index).map(|dependent| (self.changed(dependent), Until::Settled)));
        }
        needs.sort_unstable_by_key(|(task, _)| *task);
        needs.dedup_by_key(|(task, _)| *task);
        needs
    }

    fn holds(&self, holder: &Step, held: &Step) -> bool {
        let kind = self.graph.kinds.get(holder.kind.as_str());
        kind.is_some_and(|kind| kind.holds().contains(&held.kind.as_str()))
    }

    fn relies(&self, user: &Step, used: &Step) -> bool {
        let kind = self.graph.kinds.get(user.kind.as_str());
        kind.is_some_and(|kind| kind.relies_on().contains(&used.kind.as_str()))
    }

    fn depends(&self, dependent: usize, on: usize) -> bool {
        let node = self.graph.nodes.get(dependent);
        node.is_some_and(|node| node.inputs.iter().any(|edge| edge.node == on))
    }

    /// The changed nodes that depend on `index`, directly.
    fn dependents(&self, index: usize) -> impl Iterator<Item = usize> {
        self.graph.users(index).filter(|dependent| {
            let action = self.steps[*dependent].action;
            !action.is_idle() && action != Action::Await
        })
    }
}
