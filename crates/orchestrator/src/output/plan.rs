//! Plans as text, with Terraform's signs.

use super::{BAD, BOLD, DIM, GOOD, WARN, paint};
use crate::stack::queue_effects;
use crate::stack::traffic;
use crate::stack::traffic::Effect;
use crate::workspace::images::{NOT_PUSHED, NotDeployed};
use crate::workspace::lost_images;
use anstyle::Style;
use pb_engine::{Action, Change, Order, Origin, Plan, Step, UNKNOWN};
use serde_json::Value;
use std::fmt::Write;

/// Returns the steps that do something, each with its changed fields. `verbose` includes unchanged resources.
pub fn steps(plan: &Plan, verbose: bool) -> String {
    let mut text = String::new();
    for step in &plan.steps {
        if verbose || !step.action.is_idle() {
            step_text(&mut text, step);
        }
    }
    text
}

/// Returns the [`steps`], the counts and the failing checks.
pub fn text(plan: &Plan, verbose: bool) -> String {
    text_with_not_deployed(plan, &[], verbose)
}

/// Returns the [`text`] with the services that the plan leaves out.
pub fn text_with_not_deployed(plan: &Plan, not_deployed: &[NotDeployed], verbose: bool) -> String {
    let mut text = steps(plan, verbose);
    if !text.is_empty() {
        text.push('\n');
    }
    line(&mut text, format_args!("{}", summary_with_not_deployed(plan, not_deployed)));
    for NotDeployed { service, image, reason, .. } in not_deployed {
        let reason = reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let state = paint(WARN, format!("not deployed{reason}"));
        line(&mut text, format_args!("  {} {state}  {}", paint(BOLD, format!("{service}:")), paint(DIM, image)));
    }
    if let Some(lost) = lost_images::description(plan) {
        line(&mut text, format_args!("\n{}", paint(BAD, format!("The repository is deleted with {lost}."))));
    }
    text.push_str(&requests(plan));
    text.push_str(&queue(plan));
    text.push_str(&guards(plan));
    text.push_str(&failing(plan));
    text
}

/// Returns the effects of a plan on the jobs in the queue; empty if there are none.
fn queue(plan: &Plan) -> String {
    let mut text = String::new();
    for effect in queue_effects::effects(plan) {
        let (style, verdict) = if effect.is_loss() { (BAD, "jobs are lost") } else { (GOOD, "jobs stay") };
        line(&mut text, format_args!("\nQueue:\n  {}: {}", paint(style, verdict), effect.text()));
    }
    text
}

/// Returns the guards of a plan, one line each: `jobs: counted before the queue is deleted`.
fn guards(plan: &Plan) -> String {
    let mut text = String::new();
    for guard in &plan.guards {
        let (_, name) = guard.address.as_str().rsplit_once('/').unwrap_or_default();
        line(&mut text, format_args!("\n{} {}", paint(BOLD, format!("{name}:")), paint(WARN, &guard.notice)));
    }
    text
}

/// Returns the effects of a plan on requests, one line for each web service; empty if there are none.
fn requests(plan: &Plan) -> String {
    let effects = traffic::effects(plan);
    if effects.is_empty() {
        return String::new();
    }
    let mut text = "\nRequests:\n".to_owned();
    for effect in &effects {
        let style = if effect.interrupted.is_some() { BAD } else { GOOD };
        let (service, verdict) = (paint(BOLD, format!("{}:", effect.service)), paint(style, verdict(effect)));
        line(&mut text, format_args!("  {service} {verdict}: {}", effect.text));
    }
    text
}

/// Returns `not interrupted`, or `interrupted for about 5 min`.
pub(super) fn verdict(effect: &Effect) -> String {
    let about = |seconds: u64| super::age(i64::try_from(seconds).unwrap_or(i64::MAX));
    effect
        .interrupted
        .map_or("not interrupted".to_owned(), |seconds| format!("interrupted for about {}", about(seconds)))
}

/// Returns the failing checks with their details, such as the unhealthy targets; empty if none fails.
pub fn failing(plan: &Plan) -> String {
    let count = plan.failing().count();
    if count == 0 {
        return String::new();
    }
    let verb = if count == 1 { "is" } else { "are" };
    let mut text = format!("\n{}\n", paint(BAD, format!("{} {verb} failing:", super::count(count, "check"))));
    for (check, message, details) in plan.failing() {
        line(&mut text, format_args!("  {}: {message}", paint(BOLD, &check.address)));
        details.iter().for_each(|detail| line(&mut text, format_args!("    {detail}")));
    }
    text
}

/// Returns the [`summary`] with the number of services that the plan leaves out.
pub fn summary_with_not_deployed(plan: &Plan, not_deployed: &[NotDeployed]) -> String {
    let services = match not_deployed.len() {
        0 => return summary(plan),
        1 => "1 service is".to_owned(),
        several => format!("{several} services are"),
    };
    match plan.is_empty() {
        true => format!("No changes, but {services} not deployed: {NOT_PUSHED} yet."),
        false => format!("{} {services} left out: {NOT_PUSHED} yet.", summary(plan)),
    }
}

/// Returns the counts of a plan: `Plan: 1 to add, 2 to change, 0 to replace, 0 to destroy.`
pub fn summary(plan: &Plan) -> String {
    if plan.is_empty() {
        let left = plan.steps.iter().filter(|step| step.action == Action::Untargeted).count();
        let targeted = if left > 0 { "targeted " } else { "" };
        return match plan.steps.len() - left {
            1 => format!("No changes. 1 {targeted}resource matches the configuration."),
            unchanged => format!("No changes. All {unchanged} {targeted}resources match the configuration."),
        };
    }
    let count = |is: fn(&Action) -> bool| plan.steps.iter().filter(|step| is(&step.action)).count();
    let awaited = count(|action| *action == Action::Wait);
    let mut text = format!(
        "Plan: {} to add, {} to change, {} to replace, {} to destroy",
        count(|action| *action == Action::Create),
        count(|action| *action == Action::Update),
        count(|action| matches!(action, Action::Replace { .. })),
        count(|action| *action == Action::Delete),
    );
    let left = count(|action| *action == Action::Untargeted);
    if awaited > 0 {
        text.push_str(&format!(", {awaited} to wait for"));
    }
    if left > 0 {
        text.push_str(&format!("; {left} not targeted"));
    }
    text.push('.');
    text
}

/// Returns the sign of an action and its style.
pub fn sign(action: Action) -> (&'static str, Style) {
    match action {
        Action::NoOp => ("  =", DIM),
        Action::Untargeted => ("   ", DIM),
        Action::Create => ("  +", GOOD),
        Action::Update => ("  ~", WARN),
        Action::Replace { order: Order::DestroyBeforeCreate } => ("-/+", BAD),
        Action::Replace { order: Order::CreateBeforeDestroy } => ("+/-", BAD),
        Action::Delete => ("  -", BAD),
        Action::Wait => ("  .", DIM),
        Action::Adopt => ("  >", GOOD),
        Action::Forget => ("  <", WARN),
        Action::Move => (" ->", GOOD),
        Action::Check => ("  ?", DIM),
    }
}

fn step_text(text: &mut String, step: &Step) {
    let (sign, style) = sign(step.action);
    let id = step.id.as_deref().map(|id| format!("  {}", paint(DIM, id))).unwrap_or_default();
    let note = note(step).map(|note| format!("  {}", paint(DIM, format!("# {note}")))).unwrap_or_default();
    line(text, format_args!("{} {}  {}{id}{note}", paint(style, sign), paint(BOLD, &step.address), step.kind));
    for change in &step.changes {
        line(text, format_args!("      {}", field(change, &remark(step, change))));
    }
}

pub(super) fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{content}");
}

pub(super) fn note(step: &Step) -> Option<String> {
    let origin = match step.origin {
        Some(Origin::Drift) if step.action != Action::Create => Some("changed outside of pb-deploy"),
        Some(Origin::Both) => Some("changed in the configuration and outside of pb-deploy"),
        _ => None,
    };
    let action = match step.action {
        Action::Replace { order: Order::DestroyBeforeCreate } => Some("deleted, then re-created"),
        Action::Replace { order: Order::CreateBeforeDestroy } => Some("replacement is created first"),
        Action::Wait => Some("not ready yet; will wait"),
        _ => None,
    };
    let parts: Vec<&str> = [action, step.reason.as_deref(), origin].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// Returns the remarks on a change: it forces a replacement, or it is drift.
fn remark(step: &Step, change: &Change) -> String {
    let mut text = String::new();
    if step.replacement_fields.contains(&change.path) {
        text.push_str(&paint(BAD, "  # forces replacement"));
    }
    if let Some(drift) = step.drift.iter().find(|drift| drift.path == change.path) {
        let before = drift.before.as_ref().map_or_else(|| "absent".to_owned(), value);
        text.push_str(&paint(DIM, format!("  # changed outside of pb-deploy: was {before}")));
    }
    text
}

pub(super) fn field(change: &Change, remark: &str) -> String {
    let path = &change.path;
    match (&change.before, &change.after) {
        (Some(before), Some(after)) => {
            format!("{} {path}: {} -> {}{remark}", paint(WARN, "~"), value(before), value(after))
        }
        (None, Some(after)) => format!("{} {path}: {}{remark}", paint(GOOD, "+"), value(after)),
        (Some(before), None) => format!("{} {path}: {}{remark}", paint(BAD, "-"), value(before)),
        (None, None) => format!("  {path}{remark}"),
    }
}

fn value(value: &Value) -> String {
    match value {
        Value::String(text) if text == UNKNOWN => UNKNOWN.to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::{note, text, text_with_not_deployed};
    use crate::workspace::images::{NOT_PUSHED, NotDeployed};
    use pb_engine::{Action, Address, Change, Order, Origin, Plan, PlannedCheck, Step, Verdict};
    use serde_json::json;

    fn step(address: &str, action: Action) -> Step {
        Step::new(Address::new(address).unwrap(), "sim.thing", action)
    }

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn plan_shows_signs_fields_and_counts() {
        let change = |path: &str, before: Option<&str>, after: Option<&str>| Change {
            path: path.to_owned(),
            before: before.map(|text| json!(text)),
            after: after.map(|text| json!(text)),
        };
        let update = Step {
            origin: Some(Origin::Drift),
            id: Some("sg-1".to_owned()),
            changes: vec![change("name", Some("a"), Some("b")), change("port", None, Some("(known after apply)"))],
            ..step("net/group", Action::Update)
        };
        let replace = Step {
            changes: vec![change("port", Some("1"), None)],
            replacement_fields: vec!["port".to_owned()],
            ..step("edge/targets", Action::Replace { order: Order::CreateBeforeDestroy })
        };
        let steps = vec![step("net/vpc", Action::NoOp), update, replace, step("net/old", Action::Delete)];
        let plan = Plan { steps, ..Plan::default() };
        insta::assert_snapshot!(plain(&text(&plan, false)), @r#"
          ~ net/group  sim.thing  sg-1  # changed outside of pb-deploy
              ~ name: "a" -> "b"
              + port: (known after apply)
        +/- edge/targets  sim.thing  # replacement is created first
              - port: "1"  # forces replacement
          - net/old  sim.thing

        Plan: 0 to add, 1 to change, 1 to replace, 1 to destroy.
        "#);
    }

    #[test]
    fn services_without_image_are_counted_and_listed() {
        let one = |service: &str| NotDeployed {
            service: service.to_owned(),
            name: format!("staging-{service}"),
            image: format!("repository:{service}"),
            reason: Some(NOT_PUSHED.to_owned()),
        };
        let shown = |action, waiting: &[NotDeployed]| {
            plain(&text_with_not_deployed(
                &Plan { steps: vec![step("net/vpc", action)], ..Plan::default() },
                waiting,
                false,
            ))
        };
        insta::assert_snapshot!(shown(Action::NoOp, &[one("celery"), one("flask")]), @r"
        No changes, but 2 services are not deployed: image not pushed yet.
          celery: not deployed: image not pushed  repository:celery
          flask: not deployed: image not pushed  repository:flask
        ");
        insta::assert_snapshot!(shown(Action::Create, &[one("flask")]), @r"
          + net/vpc  sim.thing

        Plan: 1 to add, 0 to change, 0 to replace, 0 to destroy. 1 service is left out: image not pushed yet.
          flask: not deployed: image not pushed  repository:flask
        ");
    }

    #[test]
    fn empty_plan_reports_no_changes() {
        let plan = Plan { steps: vec![step("net/vpc", Action::NoOp)], ..Plan::default() };
        assert_eq!(plain(&text(&plan, false)), "No changes. 1 resource matches the configuration.\n");
        let plan =
            Plan { steps: vec![step("net/vpc", Action::NoOp), step("net/igw", Action::NoOp)], ..Plan::default() };
        assert_eq!(plain(&text(&plan, false)), "No changes. All 2 resources match the configuration.\n");
        assert!(note(&step("net/vpc", Action::Wait)).unwrap().contains("not ready"));
    }

    #[test]
    fn failing_check_is_not_counted_as_resource() {
        let check = |verdict| PlannedCheck {
            address: Address::new("edge/flask_health").unwrap(),
            kind: "sim.check".to_owned(),
            about: Vec::new(),
            due: true,
            verdict,
        };
        let details = vec!["target 10.0.1.9:5050: unhealthy: Health checks failed".to_owned()];
        let message = "no target of staging-flask is healthy (1 needed)".to_owned();
        let steps = vec![step("net/vpc", Action::NoOp)];
        let checks = vec![check(Verdict::Fails { message, details })];
        let fails = Plan { steps: steps.clone(), checks, ..Plan::default() };
        insta::assert_snapshot!(plain(&text(&fails, false)), @r"
        No changes. 1 resource matches the configuration.

        1 check is failing:
          edge/flask_health: no target of staging-flask is healthy (1 needed)
            target 10.0.1.9:5050: unhealthy: Health checks failed
        ");
        let holds = Plan { steps, checks: vec![check(Verdict::Holds)], ..Plan::default() };
        assert_eq!(plain(&text(&holds, true)).lines().count(), 3);
    }
}
