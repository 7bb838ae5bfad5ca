//! The verdict about the resources of a Terraform state: whether pb-deploy can manage them as they are.

use super::imports::ImportRequest;
use super::task::Blocked;
use crate::output;
use pb_engine::{Action, Address, AdoptionPlan, ErrorCode, PlanError, Step};
use pb_terraform::{CertificateReason, Difference, DifferenceKind, NotImported, Reason};
use serde::Serialize;
use std::collections::BTreeSet;

/// Verdict about the import of a stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    pub result: Fit,
    /// Differences in architecture because of which nothing is imported.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub architecture: Vec<Difference>,
    /// Everything that does not fit.
    pub exceptions: Vec<Exception>,
}

/// Result of a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// A deploy after the import replaces nothing, and the import leaves nothing out that belongs to the stack.
    Fits,
    /// The stack can be imported, except for some resources or settings.
    FitsExcept,
    /// The stack has an architecture that pb-deploy does not support.
    AnotherArchitecture,
    /// The stack serves HTTPS, and the configuration has no HTTPS.
    HttpsNotConfigured,
    /// A deploy after the import would be refused.
    Refused,
    /// No resource of the state can be imported.
    NothingToImport,
}

/// Resource or setting that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Exception {
    /// Address of the resource, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// Addresses in Terraform.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub terraform: Vec<String>,
    /// Fields that differ.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    pub text: String,
}

impl Verdict {
    /// Returns the verdict about the resources of a Terraform state; `None` if the import is from no state.
    pub fn of(request: &ImportRequest, adoption_plan: &AdoptionPlan) -> Option<Self> {
        request.state.as_ref()?;
        let (https, others): (Vec<_>, Vec<_>) =
            request.differences.iter().cloned().partition(|difference| difference.what.is_https());
        let (compatible, architecture): (Vec<_>, Vec<_>) =
            others.into_iter().partition(|difference| difference.what.is_compatible());
        let refused: Vec<Exception> =
            refusals(adoption_plan).map(|refused| of_refusal(adoption_plan, refused)).collect();
        let is_refused = !refused.is_empty();
        let mut exceptions: Vec<Exception> = architecture.iter().map(of_difference).collect();
        exceptions.extend(https.iter().map(|difference| of_https(difference, &request.https_advice)));
        // With another architecture, the other differences do not matter. Without the configuration of HTTPS, they are
        // not known yet.
        if architecture.is_empty() && https.is_empty() {
            let is_new = |one: &Exception| one.address.is_none() || refused.iter().all(|it| it.address != one.address);
            exceptions.extend(replacements(&adoption_plan.later).into_iter().filter(is_new));
            exceptions.extend(refused);
            exceptions.extend(compatible.iter().map(of_difference));
            exceptions.extend(request.mapping.unmapped.iter().filter_map(of_unmapped));
        }
        let result = match exceptions.is_empty() {
            _ if !architecture.is_empty() => Fit::AnotherArchitecture,
            _ if request.claims.is_empty() => Fit::NothingToImport,
            _ if !https.is_empty() => Fit::HttpsNotConfigured,
            _ if is_refused => Fit::Refused,
            true => Fit::Fits,
            false => Fit::FitsExcept,
        };
        Some(Self { result, architecture, exceptions })
    }

    /// Returns the descriptions of the differences in architecture.
    pub fn titles(&self) -> String {
        let titles: Vec<&str> = self.architecture.iter().map(|difference| difference.what.title()).collect();
        titles.join(", ")
    }
}

/// Returns the reason why nothing is imported; `None` if the import can be completed.
///
/// A deploy after the import must not be refused because of an imported resource. After the import of a whole stack, it
/// must not be refused at all. Resources that are already managed do not count, nor do those whose lost tags are
/// restored.
pub fn blocker(
    request: &ImportRequest,
    adoption_plan: &AdoptionPlan,
    verdict: Option<&Verdict>,
    workspace: &str,
) -> Option<Blocked> {
    let begun = |step: &&Step| step.action == Action::Adopt && !adoption_plan.restored.contains(&step.address);
    let new: BTreeSet<&Address> = adoption_plan.plan.steps.iter().filter(begun).map(|step| &step.address).collect();
    match verdict.map(|verdict| verdict.result) {
        Some(Fit::NothingToImport) => Some(nothing_to_import(request)),
        _ if new.is_empty() && !request.claims.is_empty() => None,
        Some(Fit::AnotherArchitecture) => {
            let titles = verdict.map(Verdict::titles).unwrap_or_default();
            let message = format!("the stack has another architecture: {titles}; nothing was changed");
            let hint = format!(
                "leave it to Terraform, or deploy a new stack beside it and then move the traffic there. To import \
                 single resources: pb-deploy adopt {workspace} ADDRESS=ID"
            );
            Some(Blocked::new(ErrorCode::TerraformState, message, hint))
        }
        Some(Fit::HttpsNotConfigured) => {
            let message = "the stack serves HTTPS, and the configuration does not; nothing was changed";
            let hint = format!("{}, then run the same command again", request.https_advice);
            Some(Blocked::new(ErrorCode::TerraformState, message, hint))
        }
        Some(Fit::Refused) => {
            let message = "a deploy after the import would be refused; nothing was changed";
            let hint = "change the configuration so that the listed fields match, or add ADDRESS=ID for each resource \
                        that exists but is not in the state, then run the same command again";
            Some(Blocked::new(ErrorCode::PlanRefused, message, hint))
        }
        Some(Fit::Fits | Fit::FitsExcept) => None,
        None => {
            let refused: Vec<PlanError> = refusals(adoption_plan)
                .filter(|refused| new.contains(&refused.address))
                .map(|refused| described(adoption_plan, refused))
                .collect();
            (!refused.is_empty()).then_some(Blocked::Resources(refused))
        }
    }
}

fn nothing_to_import(request: &ImportRequest) -> Blocked {
    let unmapped = &request.mapping.unmapped;
    let ambiguous = unmapped.iter().filter(|left| matches!(left.reason, Reason::Ambiguous(_))).count();
    let (message, hint) = match ambiguous {
        0 => (
            "nothing to import: no resource of the state has a counterpart in the configuration".to_owned(),
            "check that this is the state of the stack, and that its images are pushed",
        ),
        some => (
            format!("nothing to import: {} could have several addresses", output::count(some, "resource")),
            "choose an address for each with ADDRESS=ID",
        ),
    };
    Blocked::new(ErrorCode::TerraformState, message, hint)
}

/// Returns the reasons for which a deploy after the import would be refused.
pub fn refusals(adoption_plan: &AdoptionPlan) -> impl Iterator<Item = &PlanError> {
    adoption_plan.afterwards.as_ref().err().into_iter().flatten()
}

/// Returns the reason in terms of the import. If an imported resource would have to be replaced, names the fields that
/// differ, and not the way to make the replacement possible: it could be the load balancer of another stack.
pub fn described(adoption_plan: &AdoptionPlan, refused: &PlanError) -> PlanError {
    let is_imported = adoption_plan.plan.steps.iter().any(|step| step.address == refused.address);
    let later = adoption_plan.later.iter().find(|step| step.address == refused.address);
    match later.filter(|step| is_imported && is_replacement(step)) {
        Some(step) => PlanError { why: replaced_text(step), ..refused.clone() },
        None => refused.clone(),
    }
}

fn of_refusal(adoption_plan: &AdoptionPlan, refused: &PlanError) -> Exception {
    let step = adoption_plan.later.iter().find(|step| step.address == refused.address);
    let fields = step.map(|step| step.replacement_fields.clone()).unwrap_or_default();
    let PlanError { address, why, .. } = described(adoption_plan, refused);
    Exception { text: format!("{address}: {why}"), address: Some(address), terraform: Vec::new(), fields }
}

fn is_replacement(step: &Step) -> bool {
    matches!(step.action, Action::Replace { .. })
}

/// Returns the fields that force a replacement by their own values, not only because another resource is replaced.
fn own_fields(step: &Step) -> Vec<String> {
    let forced = step.changes.iter().filter(|change| step.replacement_fields.contains(&change.path));
    forced.filter(|change| !change.is_unknown()).map(|change| change.path.clone()).collect()
}

fn replaced_text(step: &Step) -> String {
    let (own, all) = (own_fields(step), step.replacement_fields.join(", "));
    match own.as_slice() {
        [] if all.is_empty() => "it would have to be replaced, because resources that it uses are replaced".to_owned(),
        [] => format!("it would have to be replaced, because resources that it uses are replaced: {all}"),
        fields => format!("it would have to be replaced, because these fields differ: {}", fields.join(", ")),
    }
}

/// Returns the resources that a deploy would replace or delete: each resource that differs by itself, and the number of
/// the others.
fn replacements(later: &[Step]) -> Vec<Exception> {
    let gone = later.iter().filter(|step| is_replacement(step) || step.action == Action::Delete);
    let (own, others): (Vec<&Step>, Vec<&Step>) =
        gone.partition(|step| step.action == Action::Delete || !own_fields(step).is_empty());
    let mut exceptions: Vec<Exception> = own
        .into_iter()
        .map(|step| {
            let fields = own_fields(step);
            let what = match step.action {
                Action::Delete => "a deploy would delete it, because it is not configured".to_owned(),
                _ => format!("a deploy would replace it, because these fields differ: {}", fields.join(", ")),
            };
            let text = format!("{}: {what}", step.address);
            Exception { address: Some(step.address.clone()), terraform: Vec::new(), fields, text }
        })
        .collect();
    if !others.is_empty() {
        let count = output::count(others.len(), "more resource");
        let text = format!("a deploy would also replace {count}, because resources that they use are replaced");
        exceptions.push(Exception { address: None, terraform: Vec::new(), fields: Vec::new(), text });
    }
    exceptions
}

fn of_difference(difference: &Difference) -> Exception {
    let Difference { what, terraform, services, .. } = difference;
    let mut text = format!("{}: {} ({})", what.title(), what.explanation(), terraform.join(", "));
    let fields: Vec<String> = match what {
        DifferenceKind::Autoscaling => services.iter().map(|address| format!("{address}.desired_count")).collect(),
        _ => Vec::new(),
    };
    if !fields.is_empty() {
        let quoted: Vec<String> = fields.iter().map(|field| format!("{field:?}")).collect();
        text.push_str(&format!(": ignore_changes = [{}]", quoted.join(", ")));
    }
    Exception { address: None, terraform: terraform.clone(), fields, text }
}

fn of_https(difference: &Difference, advice: &str) -> Exception {
    let Exception { terraform, text, .. } = of_difference(difference);
    Exception { address: None, terraform, fields: Vec::new(), text: format!("{text}: {advice}") }
}

/// Returns the exception for a resource that belongs to the stack, but is not imported.
fn of_unmapped(left: &NotImported) -> Option<Exception> {
    let is_exception = match left.reason {
        Reason::Certificate(CertificateReason::Configured) => false,
        Reason::Certificate(_)
        | Reason::ListenerCertificate
        | Reason::Ambiguous(_)
        | Reason::NoFurther
        | Reason::Elsewhere(_)
        | Reason::StandaloneNode
        | Reason::ImagesMissing(_) => true,
        Reason::Part(_) | Reason::NoCounterpart | Reason::LeftOver | Reason::Redirect | Reason::ValidationRecord => {
            false
        }
    };
    let text = format!("{} is not imported: {}", left.terraform, left.reason);
    is_exception.then(|| Exception { address: None, terraform: vec![left.terraform.clone()], fields: Vec::new(), text })
}
