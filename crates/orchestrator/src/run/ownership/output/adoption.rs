//! The output about an import.

use super::{afterwards, afterwards_json, line, with_effect};
use crate::output;
use crate::output::{BAD, BOLD, DIM, GOOD, WARN, paint};
use crate::run::ownership::imports::ImportRequest;
use crate::run::ownership::verdict::{self, Fit, Verdict};
use crate::workspace::stack_context::StackContext;
use pb_engine::{Address, AdoptionPlan, Change, Plan, PlanError, Step};
use pb_terraform::NotImported;
use serde_json::{Value, json};

/// An import, with everything that its output is about.
pub struct Shown<'a> {
    pub context: &'a StackContext,
    pub request: &'a ImportRequest,
    pub adoption_plan: &'a AdoptionPlan,
    pub verdict: Option<&'a Verdict>,
}

/// Returns the text about an import: the verdict, the resources, the differences, what has no counterpart, and what a
/// deploy would do afterwards. `blocked` is set if nothing is imported.
pub fn text(shown: &Shown<'_>, blocked: bool) -> String {
    let Shown { context, request, adoption_plan, verdict } = shown;
    let mut text = verdict.map(verdict_text).unwrap_or_default();
    if !adoption_plan.restored.is_empty() {
        let count = output::count(adoption_plan.restored.len(), "recorded resource");
        let lost = if adoption_plan.restored.len() == 1 { "has lost its" } else { "have lost their" };
        let note = format!("{count} {lost} ownership tags, most likely to `terraform apply`; they are restored");
        line(&mut text, format_args!("{} {note}.", paint(WARN, "note:")));
    }
    text.push_str(&heading(shown, blocked));
    let steps = adoption_plan.plan.steps.iter().map(|step| with_source(request, adoption_plan, step));
    let plan = Plan { steps: steps.collect(), ..Plan::default() };
    text.push_str(&output::plan::steps(&plan, false));
    section(&mut text, "Parts of the imported resources", &request.mapping.parts);
    section(&mut text, "Without a counterpart, not imported", &request.mapping.unmapped);
    for address in unprefixed_names(context, adoption_plan) {
        line(
            &mut text,
            format_args!(
                "{} the name of {address} does not start with the workspace's name. The resource is found through the \
                 state; if the state is lost, adopt it again.",
                paint(WARN, "note:")
            ),
        );
    }
    tainted(&mut text, request, adoption_plan);
    if adoption_plan.later.iter().any(stops_redirecting) {
        let note = "port 80 redirects to HTTPS by the default action of its listener. The first deploy adds the \
                    rule edge/redirect, and then changes this action to forward.";
        line(&mut text, format_args!("{} {note}", paint(WARN, "note:")));
    }
    // If nothing is imported from a state, the verdict has said why.
    if !(blocked && verdict.is_some()) {
        afterwards(&mut text, &described_afterwards(adoption_plan));
    }
    text
}

/// Returns the verdict, which comes before everything else.
fn verdict_text(verdict: &Verdict) -> String {
    let (style, result) = match verdict.result {
        Fit::Fits => (GOOD, "fits.".to_owned()),
        Fit::FitsExcept => (WARN, "fits, except:".to_owned()),
        Fit::AnotherArchitecture => (BAD, format!("another architecture: {}", verdict.titles())),
        Fit::HttpsNotConfigured => (BAD, "does not fit: the configuration has no HTTPS:".to_owned()),
        Fit::Refused => (BAD, "does not fit: a deploy after the import would be refused:".to_owned()),
        Fit::NothingToImport => (BAD, "nothing to import.".to_owned()),
    };
    let mut text = format!("{} {result}\n", paint(style, "Verdict:"));
    verdict.exceptions.iter().for_each(|exception| line(&mut text, format_args!("  - {}", exception.text)));
    text.push('\n');
    text
}

fn heading(shown: &Shown<'_>, blocked: bool) -> String {
    let Shown { context, request, adoption_plan, .. } = shown;
    let title = context.title();
    if request.claims.is_empty() && !request.restore_tags {
        return String::new();
    }
    match adoption_plan.plan.writes().count() {
        0 if request.restore_tags && adoption_plan.plan.steps.is_empty() => {
            format!("Nothing to adopt into {title}: no recorded resource has lost its ownership tags.\n")
        }
        0 => format!("Nothing to adopt into {title}: everything given is already managed.\n"),
        _ if blocked => format!("With a counterpart in {title}, not imported:\n\n"),
        _ => format!("To adopt into {title} (only tags are changed):\n\n"),
    }
}

/// Returns whether a step changes the default action of a listener from a redirect.
fn stops_redirecting(step: &Step) -> bool {
    let is_redirect = |change: &Change| {
        change.path == "target_group_arn" && change.before.as_ref().and_then(Value::as_str) == Some("redirect")
    };
    step.kind == "elbv2.listener" && step.changes.iter().any(is_redirect)
}

/// Adds a note about the tainted resources.
fn tainted(text: &mut String, request: &ImportRequest, adoption_plan: &AdoptionPlan) {
    let is_step = |address: &Address| adoption_plan.plan.steps.iter().any(|step| step.address == *address);
    let claims = request.mapping.imports.iter().filter(|(address, claim)| claim.tainted && is_step(address));
    let names: Vec<&str> = claims.map(|(_, claim)| claim.terraform.as_str()).collect();
    if !names.is_empty() {
        let note = format!(
            "{} tainted: Terraform would replace {} with its next apply. Check that {} as intended.",
            names.join(", ") + if names.len() == 1 { " is" } else { " are" },
            if names.len() == 1 { "it" } else { "them" },
            if names.len() == 1 { "it works" } else { "they work" },
        );
        line(text, format_args!("{} {note}", paint(WARN, "note:")));
    }
}

/// Returns what a deploy would do afterwards. If it would be refused, the reasons are in terms of the import.
fn described_afterwards(adoption_plan: &AdoptionPlan) -> Result<Plan, Vec<PlanError>> {
    let described = |all: &Vec<PlanError>| all.iter().map(|one| verdict::described(adoption_plan, one)).collect();
    adoption_plan.afterwards.clone().map_err(|refused| described(&refused))
}

/// Adds the address in Terraform, and the changes that a deploy would make, to a step.
fn with_source(request: &ImportRequest, adoption_plan: &AdoptionPlan, step: &Step) -> Step {
    let claim = request.mapping.imports.get(&step.address);
    let mut from = claim.map(|claim| claim.terraform.clone()).unwrap_or_default();
    if adoption_plan.restored.contains(&step.address) {
        from = if from.is_empty() { "has lost its tags".to_owned() } else { format!("{from}, has lost its tags") };
    }
    with_effect(step, &from, &adoption_plan.later)
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

/// Returns the resources that could not be found if the state were lost: resources that are then looked up by the
/// prefix of their names, and whose names have another prefix.
fn unprefixed_names(context: &StackContext, adoption_plan: &AdoptionPlan) -> Vec<Address> {
    let prefix = format!("{}-", context.base.owner.workspace);
    let by_name = |step: &&Step| {
        let name = step.before.as_ref().and_then(|spec| spec.get("name").or(spec.get("family")).or(spec.get("id")));
        let kinds = ["ecs.", "ecr.", "logs.", "elasticache.", "elbv2.target_group"];
        kinds.iter().any(|kind| step.kind.starts_with(kind))
            && name.and_then(Value::as_str).is_some_and(|name| !name.starts_with(&prefix))
    };
    adoption_plan.plan.writes().filter(by_name).map(|step| step.address.clone()).collect()
}

/// Returns the JSON output of an import.
pub fn json(shown: &Shown<'_>) -> Value {
    let Shown { request, adoption_plan, verdict, .. } = shown;
    let afterwards = afterwards_json(&described_afterwards(adoption_plan));
    let mut value = json!({ "plan": adoption_plan.plan, "terraform": request.mapping, "afterwards": afterwards });
    if let Some(verdict) = verdict {
        value["verdict"] = json!(verdict);
    }
    value
}
