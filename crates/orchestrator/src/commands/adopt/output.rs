//! What `adopt`, `forget` and `state mv` say.

use super::TaskPlan;
use super::imports::ImportRequest;
use crate::context::WorkspaceContext;
use crate::render::{self, BAD, BOLD, DIM, GOOD, WARN, paint};
use pb_engine::{Action, Address, AdoptionPlan, MovePlan, Outcome, Plan, PlanError, Step};
use pb_terraform::{NotImported, Removal};
use serde_json::{Value, json};
use std::fmt::Write;

/// What is taken over, what differs, what has no counterpart, and what a deploy would do afterwards.
pub fn text(context: &WorkspaceContext, request: &ImportRequest, adoption_plan: &AdoptionPlan) -> String {
    let new = adoption_plan.plan.writes().count();
    let mut text = match new {
        0 if request.restore_tags && adoption_plan.plan.steps.is_empty() => {
            format!("Nothing to adopt into {}: nothing that is recorded has lost its tags.\n", context.title())
        }
        0 => format!("Nothing to adopt into {}: what is named is ours already.\n", context.title()),
        _ => format!("To adopt into {}, by its tags and nothing else:\n\n", context.title()),
    };
    if !adoption_plan.restored.is_empty() {
        let count = render::count(adoption_plan.restored.len(), "recorded resource");
        let lost = "have lost their ownership tags, most likely to `terraform apply`: they are put back";
        text.insert_str(0, &format!("{} {count} {lost}.\n", paint(WARN, "note:")));
    }
    let steps = adoption_plan.plan.steps.iter().map(|step| with_source(request, adoption_plan, step));
    let plan = Plan { steps: steps.collect(), ..Plan::default() };
    text.push_str(&render::plan::steps(&plan, false));
    section(&mut text, "Part of what is taken over", &request.mapping.parts);
    section(&mut text, "Without a counterpart, left alone", &request.mapping.unmapped);
    for address in unprefixed_names(context, adoption_plan) {
        line(
            &mut text,
            format_args!(
                "{} {address} has not the workspace's prefix in its name: it is known by the state, and \
             without that by its tags only when it is claimed again.",
                paint(WARN, "note:")
            ),
        );
    }
    afterwards(&mut text, &adoption_plan.afterwards);
    text
}

/// What a deploy would do, or why it would be refused.
fn afterwards(text: &mut String, afterwards: &Result<Plan, Vec<PlanError>>) {
    match afterwards {
        Ok(plan) => {
            line(text, format_args!("\nAfterwards, a deploy would do this. {}", render::plan::summary(plan)));
        }
        Err(refused) => {
            line(text, format_args!("\n{} a deploy would be refused:", paint(WARN, "Afterwards")));
            for refused in refused {
                line(text, format_args!("  {} {}", paint(BOLD, format!("{}:", refused.address)), refused.why));
            }
        }
    }
}

/// The step with what a deploy would change, and what Terraform calls it.
fn with_source(request: &ImportRequest, adoption_plan: &AdoptionPlan, step: &Step) -> Step {
    let claim = request.mapping.imports.get(&step.address);
    let mut from = claim.map(|claim| claim.terraform.clone()).unwrap_or_default();
    if adoption_plan.restored.contains(&step.address) {
        from = if from.is_empty() { "without its tags".to_owned() } else { format!("{from}, without its tags") };
    }
    with_effect(step, &from, &adoption_plan.afterwards)
}

/// The step with where it comes from, and with what a deploy would change.
fn with_effect(step: &Step, from: &str, afterwards: &Result<Plan, Vec<PlanError>>) -> Step {
    let plan = afterwards.as_ref().ok();
    let later = plan.and_then(|plan| plan.steps.iter().find(|later| later.address == step.address));
    let verdict = match later.map(|later| later.action) {
        None => "a deploy would be refused",
        Some(Action::NoOp | Action::Wait) => "fits",
        Some(Action::Replace { .. }) => "differs, and a deploy would REPLACE it",
        Some(_) => "differs, and a deploy would change it in place",
    };
    let from = if from.is_empty() { String::new() } else { format!("{from}; ") };
    Step {
        reason: Some(format!("{from}{verdict}")),
        changes: later.map(|later| later.changes.clone()).unwrap_or_default(),
        replacement_fields: later.map(|later| later.replacement_fields.clone()).unwrap_or_default(),
        ..step.clone()
    }
}

fn section(text: &mut String, title: &str, left: &[NotImported]) {
    if left.is_empty() {
        return;
    }
    line(text, format_args!("\n{title}:"));
    for left in left {
        let id = paint(DIM, &left.id);
        line(
            text,
            format_args!("      {}  {id}  {}", paint(BOLD, &left.terraform), paint(DIM, format!("# {}", left.reason))),
        );
    }
}

/// What is found by the beginning of its name when the state is lost, and has another.
fn unprefixed_names(context: &WorkspaceContext, adoption_plan: &AdoptionPlan) -> Vec<Address> {
    let prefix = format!("{}-", context.owner.workspace);
    let by_name = |step: &&Step| {
        let name = step.before.as_ref().and_then(|spec| spec.get("name").or(spec.get("family")).or(spec.get("id")));
        let named = ["ecs.", "ecr.", "logs.", "elasticache.", "elbv2.target_group"];
        named.iter().any(|kind| step.kind.starts_with(kind))
            && name.and_then(Value::as_str).is_some_and(|name| !name.starts_with(&prefix))
    };
    adoption_plan.plan.writes().filter(by_name).map(|step| step.address.clone()).collect()
}

/// The same as a value.
pub fn json(request: &ImportRequest, adoption_plan: &AdoptionPlan) -> Value {
    json!({ "plan": adoption_plan.plan, "terraform": request.mapping, "afterwards": afterwards_json(&adoption_plan.afterwards) })
}

/// What gets which address, what differs, and what a deploy would do afterwards.
pub fn moved(context: &WorkspaceContext, moved: &MovePlan) -> String {
    let was = |step: &Step| step.from.as_ref().map(|from| format!("was {from}")).unwrap_or_default();
    // What a deploy changes afterwards is the plan's to show; what it would not keep has to be seen here.
    let forced = |step: Step| {
        let changes =
            step.changes.iter().filter(|change| step.replacement_fields.contains(&change.path)).cloned().collect();
        Step { changes, ..step }
    };
    let steps = moved.plan.steps.iter().map(|step| forced(with_effect(step, &was(step), &moved.afterwards)));
    let plan = Plan { steps: steps.collect(), ..Plan::default() };
    let mut text = format!(
        "To move in {}, by its tags and nothing else; names stay:\n\n{}",
        context.title(),
        render::plan::steps(&plan, false)
    );
    afterwards(&mut text, &moved.afterwards);
    text
}

/// The same as a value.
pub fn moved_json(moved: &MovePlan) -> Value {
    json!({ "plan": moved.plan, "afterwards": afterwards_json(&moved.afterwards) })
}

fn afterwards_json(afterwards: &Result<Plan, Vec<PlanError>>) -> Value {
    match afterwards {
        Ok(plan) => json!({ "plan": plan }),
        Err(refused) => json!({ "refused": refused }),
    }
}

/// What is let go of.
pub fn forget(context: &WorkspaceContext, plan: &Plan) -> String {
    format!(
        "To forget in {}, which leaves all of it as it is:\n\n{}\nAs long as the configuration wants these, a deploy makes \
         others, or is refused where they stand in its names.\n",
        context.title(),
        render::plan::steps(plan, false)
    )
}

/// How it ended.
pub fn done(word: &str, count: usize, workspace: &str) -> String {
    let things = render::count(count, "resource");
    let next = match word {
        "adopt" => format!(
            "See what differs: pb-deploy plan {workspace}\nIf Terraform manages any of these, it has to forget them before it \
             runs again: its `apply` would take the tags off, and its `destroy` would delete the resources."
        ),
        "move" => format!("See what differs: pb-deploy plan {workspace}"),
        _ => format!("See what is left: pb-deploy state show {workspace}"),
    };
    let did = match word {
        "adopt" => "Adopted",
        "move" => "Moved",
        _ => "Forgot",
    };
    format!("\n{} {things} in {}.\n{next}", paint(GOOD, did), paint(BOLD, workspace))
}

/// The resources that Terraform has to forget: those that were taken over now, and those that are ours already.
pub fn removal(planned: &TaskPlan, outcome: &Outcome) -> Option<Removal> {
    let done = outcome.done.iter().map(|(address, _)| address);
    let before = planned.plan.steps.iter().filter(|step| step.action == Action::NoOp).map(|step| &step.address);
    let removal = Removal::of(&planned.mapping, &done.chain(before).collect());
    (!removal.addresses.is_empty()).then_some(removal)
}

/// The commands that make Terraform forget it.
pub fn terraform(removal: &Removal) -> String {
    let mut text = String::new();
    line(
        &mut text,
        format_args!(
            "\n{} Do not run `terraform apply` before Terraform has forgotten these: it would take the tags off again, and \
             `terraform destroy` would delete the resources. In its workspace, run:\n",
            paint(WARN, "Important:")
        ),
    );
    removal.commands().iter().for_each(|command| line(&mut text, format_args!("{command}")));
    line(&mut text, format_args!("\nand take their blocks out of its configuration, or it makes others."));
    if !removal.blocks.is_empty() {
        line(
            &mut text,
            format_args!("From Terraform 1.7 on, these blocks in place of theirs, and one apply, do the same:\n"),
        );
        removal.removed_blocks().iter().for_each(|block| line(&mut text, format_args!("{block}\n")));
    }
    text.trim_end().to_owned()
}

/// The last line of JSON.
pub fn finished(outcome: &Outcome, removal: Option<&Removal>) -> Value {
    let mut value = json!({ "complete": outcome.is_complete() });
    if let Some(removal) = removal {
        value["terraform"] = json!({ "state_rm": removal.addresses, "removed": removal.blocks });
    }
    value
}

/// What was not done, and why.
pub fn incomplete(word: &str, outcome: &Outcome, workspace: &str) -> String {
    let mut text = String::new();
    line(&mut text, format_args!("\n{} {workspace}: {} done.", paint(BAD, "Not complete:"), outcome.done.len()));
    for unfinished in &outcome.failed {
        line(&mut text, format_args!("  {} {}", paint(BOLD, format!("{}:", unfinished.address)), unfinished.failure));
        if let Some(hint) = &unfinished.failure.hint {
            line(&mut text, format_args!("    {} {hint}", paint(WARN, "hint:")));
        }
    }
    if !outcome.skipped.is_empty() {
        line(&mut text, format_args!("  {} not begun.", render::count(outcome.skipped.len(), "step")));
    }
    line(&mut text, format_args!("What was done is recorded. Run the same {word} again to finish."));
    text
}

fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{content}");
}
