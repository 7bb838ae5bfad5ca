//! The output of `adopt`, `forget` and `state mv`.

mod adoption;

pub use adoption::{Shown, json, text};

use super::task::TaskPlan;
use crate::output;
use crate::output::{BAD, BOLD, GOOD, WARN, paint};
use crate::workspace::stack_context::StackContext;
use pb_engine::{Action, MovePlan, Operation, Outcome, Plan, PlanError, Step};
use pb_terraform::Removal;
use serde_json::{Value, json};
use std::fmt::Write;

/// Adds the origin, and the changes that a deploy would make, to a step.
fn with_effect(step: &Step, from: &str, later: &[Step]) -> Step {
    let later = later.iter().find(|later| later.address == step.address);
    let verdict = match later.map(|later| later.action) {
        None => "a deploy would be refused",
        Some(Action::NoOp | Action::Wait) => "as configured",
        Some(Action::Replace { .. }) => "differs; a deploy would REPLACE it",
        Some(_) => "differs; a deploy would update it in place",
    };
    let from = if from.is_empty() { String::new() } else { format!("{from}; ") };
    Step {
        reason: Some(format!("{from}{verdict}")),
        changes: later.map(|later| later.changes.clone()).unwrap_or_default(),
        replacement_fields: later.map(|later| later.replacement_fields.clone()).unwrap_or_default(),
        ..step.clone()
    }
}

/// Returns the text about a move: the addresses, the differences, and what a deploy would do afterwards.
pub fn moved(context: &StackContext, moved: &MovePlan) -> String {
    let was = |step: &Step| step.from.as_ref().map(|from| format!("was {from}")).unwrap_or_default();
    // Only changes that force a replacement are shown here; the plan of the deploy shows the others.
    let forced = |step: Step| {
        let changes =
            step.changes.iter().filter(|change| step.replacement_fields.contains(&change.path)).cloned().collect();
        Step { changes, ..step }
    };
    let later = moved.afterwards.as_ref().map(|plan| plan.steps.as_slice()).unwrap_or_default();
    let steps = moved.plan.steps.iter().map(|step| forced(with_effect(step, &was(step), later)));
    let plan = Plan { steps: steps.collect(), ..Plan::default() };
    let mut text = format!(
        "To move in {} (only tags are changed; names in AWS do not change):\n\n{}",
        context.title(),
        output::plan::steps(&plan, false)
    );
    afterwards(&mut text, &moved.afterwards);
    text
}

/// Returns the JSON output of a move.
pub fn moved_json(moved: &MovePlan) -> Value {
    json!({ "plan": moved.plan, "afterwards": afterwards_json(&moved.afterwards) })
}

fn afterwards_json(afterwards: &Result<Plan, Vec<PlanError>>) -> Value {
    match afterwards {
        Ok(plan) => json!({ "plan": plan }),
        Err(refused) => json!({ "refused": refused }),
    }
}

/// Returns the text about resources to forget.
pub fn forget(context: &StackContext, plan: &Plan) -> String {
    format!(
        "To forget in {} (the resources stay as they are):\n\n{}\nWhile these are still configured, the next deploy \
         will create new ones, or stop if the names are taken.\n",
        context.title(),
        output::plan::steps(plan, false)
    )
}

/// Adds to the text what a deploy would do afterwards, or why the deploy would be refused.
fn afterwards(text: &mut String, afterwards: &Result<Plan, Vec<PlanError>>) {
    match afterwards {
        Ok(plan) if plan.is_empty() => line(text, format_args!("\nAfterwards, a deploy would change nothing.")),
        Ok(plan) => {
            line(text, format_args!("\nAfterwards, a deploy would do this. {}", output::plan::summary(plan)));
        }
        Err(refused) => {
            line(text, format_args!("\n{}", paint(WARN, "Afterwards, a deploy would be refused:")));
            for refused in refused {
                line(text, format_args!("  {} {}", paint(BOLD, format!("{}:", refused.address)), refused.why));
            }
        }
    }
}

/// Returns the text about a completed run. `terraform` is set if the resources were imported from a Terraform state.
pub fn done(operation: Operation, count: usize, workspace: &str, terraform: bool) -> String {
    let things = output::count(count, "resource");
    let next = match operation {
        Operation::Adopt if terraform => format!(
            "Show what differs with: pb-deploy plan {workspace}\nIf Terraform manages any of these, remove them from \
             its state before it runs again: its `apply` would remove the tags, and its `destroy` would delete the \
             resources."
        ),
        Operation::Adopt | Operation::Move => format!("Show what differs with: pb-deploy plan {workspace}"),
        _ => format!("Show what is still managed with: pb-deploy state show {workspace}"),
    };
    let did = match operation {
        Operation::Adopt => "Adopted",
        Operation::Move => "Moved",
        _ => "Forgot",
    };
    format!("\n{} {things} in {}.\n{next}", paint(GOOD, did), paint(BOLD, workspace))
}

/// Returns the resources that have to be removed from Terraform's state: imported and already managed ones.
pub fn removal(planned: &TaskPlan, outcome: &Outcome) -> Option<Removal> {
    let done = outcome.done.iter().map(|(address, _)| address);
    let before = planned.plan.steps.iter().filter(|step| step.action == Action::NoOp).map(|step| &step.address);
    let removal = Removal::of(&planned.mapping, &done.chain(before).collect());
    (!removal.addresses.is_empty()).then_some(removal)
}

/// Returns the text of a warning.
pub fn warning(content: &impl std::fmt::Display) -> String {
    format!("{} {content}", paint(WARN, "warning:"))
}

/// Returns the commands that remove the resources from Terraform's state.
pub fn terraform(removal: &Removal) -> String {
    let mut text = String::new();
    line(
        &mut text,
        format_args!(
            "\n{} Do not run `terraform apply` before these resources are removed from Terraform's state: it would \
             remove the tags again, and `terraform destroy` would delete the resources. In the Terraform workspace, \
             run:\n",
            paint(WARN, "Important:")
        ),
    );
    removal.commands().iter().for_each(|command| line(&mut text, format_args!("{command}")));
    let remove = "and remove their blocks from Terraform's configuration, or Terraform creates new resources.";
    line(&mut text, format_args!("\n{remove}"));
    if !removal.blocks.is_empty() {
        line(
            &mut text,
            format_args!(
                "With Terraform 1.7 or later, you can replace their blocks with these and apply once instead:\n"
            ),
        );
        removal.removed_blocks().iter().for_each(|block| line(&mut text, format_args!("{block}\n")));
    }
    text.trim_end().to_owned()
}

/// Returns the last line of the JSON output.
pub fn finished(outcome: &Outcome, removal: Option<&Removal>) -> Value {
    let mut value = json!({ "complete": outcome.is_complete() });
    if let Some(removal) = removal {
        value["terraform"] = json!({ "state_rm": removal.addresses, "removed": removal.blocks });
    }
    value
}

/// Returns the text about an incomplete run.
pub fn incomplete(operation: Operation, outcome: &Outcome, workspace: &str) -> String {
    let mut text = String::new();
    let done = output::count(outcome.done.len(), "step");
    line(&mut text, format_args!("\n{} {operation} in {workspace} ({done} done).", paint(BAD, "Not complete:")));
    for unfinished in &outcome.failed {
        line(&mut text, format_args!("  {} {}", paint(BOLD, format!("{}:", unfinished.address)), unfinished.failure));
        if let Some(hint) = &unfinished.failure.hint {
            line(&mut text, format_args!("    {} {hint}", paint(WARN, "hint:")));
        }
    }
    if !outcome.skipped.is_empty() {
        line(&mut text, format_args!("  {} skipped.", output::count(outcome.skipped.len(), "step")));
    }
    line(&mut text, format_args!("Progress is saved. Run the same {operation} again to finish."));
    text
}

fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{content}");
}
