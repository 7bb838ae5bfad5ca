//! Saved plans: bound to everything that they were computed from, readable, and applied at most once.

use crate::exit::Error;
use crate::workspace::images::{ImageOverrides, NotDeployed};
use pb_engine::{Drift, ErrorCode, Goal, Graph, Observed, Operation, Plan, PlanScope};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;

/// Format that this version writes, and the only one that it reads.
const FORMAT: u32 = 1;

/// Plan with everything that it is bound to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedPlan {
    /// Format of this file.
    pub format: u32,
    /// Id of the plan, which ensures that the plan is applied at most once.
    pub id: String,
    /// `deploy`, `destroy` or `refresh`.
    pub operation: Operation,
    /// Images from the command line, by service.
    #[serde(default, skip_serializing_if = "ImageOverrides::is_empty")]
    pub images: ImageOverrides,
    /// Set if the images are deleted with the repository, because of an option.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub delete_images: bool,
    /// Set if jobs in a queue that is deleted may be lost, because of an option.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lose_jobs: bool,
    /// Values that the plan is bound to.
    #[serde(rename = "bound")]
    pub binding: PlanBinding,
    /// Scope of the plan.
    #[serde(rename = "part", default, skip_serializing_if = "is_everything")]
    pub scope: PlanScope,
    /// Changes in AWS.
    pub plan: Plan,
    /// Services that the plan leaves out because their images are not pushed yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_deployed: Vec<NotDeployed>,
    /// Drift that will be recorded without any change in AWS (`refresh`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drift: Vec<Drift>,
}

fn is_everything(scope: &PlanScope) -> bool {
    *scope == PlanScope::default()
}

/// Values that a plan is bound to: if any of them differs, the plan is refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanBinding {
    /// Id of the AWS account.
    pub account: String,
    /// AWS region.
    pub region: String,
    /// Name of the stack.
    pub stack: String,
    /// Name of the workspace.
    pub workspace: String,
    /// Lineage of the snapshot; empty if there was none.
    pub lineage: String,
    /// Serial of the snapshot.
    pub serial: u64,
    /// Hash of the resolved configuration.
    pub configuration: String,
    /// Image of each service: a digest or a full reference; empty if the image is not pushed yet.
    #[serde(default)]
    pub images: BTreeMap<String, String>,
    /// Hash of the observed resources.
    pub observed: String,
}

impl PlanBinding {
    /// Returns the differences from `now` in account, region, stack and workspace, as messages.
    fn location_mismatches(&self, now: &Self) -> Vec<String> {
        let mut reasons = Vec::new();
        let pairs = [
            ("account", &self.account, &now.account),
            ("region", &self.region, &now.region),
            ("stack", &self.stack, &now.stack),
            ("workspace", &self.workspace, &now.workspace),
        ];
        for (what, planned, current) in pairs {
            if planned != current {
                reasons.push(format!("it was created for {what} {planned}, not {current}"));
            }
        }
        reasons
    }

    /// Returns the differences from `now`, as messages.
    pub fn mismatches(&self, now: &Self) -> Vec<String> {
        let mut reasons = self.location_mismatches(now);
        if self.lineage != now.lineage {
            reasons.push("the state has another lineage".to_owned());
        } else if self.serial != now.serial {
            reasons.push(format!(
                "another run has changed the state since (serial {} then, {} now)",
                self.serial, now.serial
            ));
        }
        if self.configuration != now.configuration {
            reasons.push("the configuration has changed since".to_owned());
        }
        let moved = self.images.iter().filter(|(service, image)| now.images.get(*service) != Some(image));
        let moved: Vec<&str> = moved.map(|(service, _)| service.as_str()).collect();
        if !moved.is_empty() {
            reasons.push(format!("image tags now point to other images ({})", moved.join(", ")));
        }
        if self.observed != now.observed {
            reasons.push("resources in AWS have changed since".to_owned());
        }
        reasons
    }
}

impl SavedPlan {
    /// Creates a saved plan with a new id.
    pub fn new(operation: Operation, binding: PlanBinding, scope: PlanScope, plan: Plan) -> Self {
        let id = uuid::Uuid::new_v4().to_string();
        let (images, not_deployed, drift) = (ImageOverrides::default(), Vec::new(), Vec::new());
        let (delete_images, lose_jobs) = (false, false);
        Self {
            format: FORMAT,
            id,
            operation,
            images,
            delete_images,
            lose_jobs,
            binding,
            scope,
            plan,
            not_deployed,
            drift,
        }
    }

    /// Returns the goal of the plan; `None` for a refresh, which has none.
    ///
    /// # Errors
    /// An operation that cannot be planned.
    pub fn goal(&self, file: &Path) -> Result<Option<Goal>, Error> {
        match self.operation {
            Operation::Deploy => Ok(Some(Goal::Deploy)),
            Operation::Destroy => Ok(Some(Goal::Destroy)),
            Operation::Refresh => Ok(None),
            other => {
                let message = format!("{} has the operation {other}, which cannot be saved", file.display());
                Err(Error::other(
                    ErrorCode::SavedPlan,
                    message,
                    "create a new plan with `pb-deploy plan WORKSPACE --out FILE`",
                ))
            }
        }
    }

    /// Returns whether there is nothing to do and no check fails.
    pub fn is_empty(&self) -> bool {
        self.plan.is_empty() && self.plan.failing().next().is_none() && self.drift.is_empty()
    }

    /// Refuses a plan of another account, region, stack or workspace, before a lease is acquired in the current one.
    ///
    /// # Errors
    /// All differences.
    pub fn check_location(&self, now: &PlanBinding) -> Result<(), Error> {
        let reasons = self.binding.location_mismatches(now);
        if reasons.is_empty() { Ok(()) } else { Err(refused(&reasons)) }
    }

    /// Refuses a plan that is outdated or has been applied. `now` has the values that a new plan would be bound to;
    /// `same` is set if a new plan would make the same changes.
    ///
    /// # Errors
    /// All differences.
    pub fn check(&self, now: &PlanBinding, applied: &[String], same: bool) -> Result<(), Error> {
        let mut reasons = self.binding.mismatches(now);
        if applied.contains(&self.id) {
            reasons = vec!["it has already been applied".to_owned()];
        } else if reasons.is_empty() && !same {
            reasons.push("this version of pb-deploy would compute a different plan".to_owned());
        }
        if reasons.is_empty() {
            return Ok(());
        }
        Err(refused(&reasons))
    }

    /// Writes the file. An existing file is replaced only once the new one is complete.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let cannot = |why: String| {
            Error::other(ErrorCode::File, format!("cannot write {}: {why}", path.display()), "choose another --out")
        };
        let text = serde_json::to_string_pretty(self).map_err(|e| cannot(e.to_string()))?;
        crate::files::replace(path, &text).map_err(|e| cannot(e.to_string()))
    }

    /// Reads a file.
    ///
    /// # Errors
    /// If it cannot be read, is not a plan, or has another format.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let name = path.display();
        let hint = "create it again: `pb-deploy plan WORKSPACE --out FILE`";
        let text = std::fs::read_to_string(path)
            .map_err(|e| Error::other(ErrorCode::File, format!("cannot read {name}: {e}"), hint))?;
        let value: serde_json::Value = serde_json::from_str(&text)
            .map_err(|e| Error::other(ErrorCode::SavedPlan, format!("{name} is not a saved plan: {e}"), hint))?;
        match value.get("format").and_then(serde_json::Value::as_u64) {
            Some(format) if format == u64::from(FORMAT) => Self::deserialize(value)
                .map_err(|e| Error::other(ErrorCode::SavedPlan, format!("{name} is not a saved plan: {e}"), hint)),
            Some(format) => {
                let message = format!("{name} has format {format}; this version of pb-deploy reads format {FORMAT}");
                Err(Error::other(
                    ErrorCode::SavedPlan,
                    message,
                    "apply it with the version of pb-deploy that created it",
                ))
            }
            None => Err(Error::other(ErrorCode::SavedPlan, format!("{name} is not a saved plan"), hint)),
        }
    }
}

fn refused(reasons: &[String]) -> Error {
    let message = format!("saved plan refused (nothing was changed): {}", reasons.join("; "));
    Error::other(ErrorCode::SavedPlan, message, "create a new plan and review it")
}

/// Returns a hash of the JSON form of a value: 64 hexadecimal digits.
pub fn fingerprint<T: Serialize>(value: &T) -> String {
    let text = serde_json::to_vec(value).unwrap_or_default();
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns a hash of the observed resources, without the values that change by themselves: readiness, and the fields in
/// `ignore_changes`.
pub fn observed_fingerprint(graph: &Graph, observed: &Observed) -> String {
    let managed: Vec<_> = observed
        .managed
        .iter()
        .flat_map(|(address, found)| found.iter().map(move |live| (address, live)))
        .map(|(address, live)| (address, &live.kind, graph.without_ignored(address, &live.spec)))
        .collect();
    let unmanaged: BTreeMap<_, _> = observed.unmanaged.iter().map(|(address, found)| (address, &found.what)).collect();
    fingerprint(&(managed, unmanaged))
}

#[cfg(test)]
mod tests {
    use super::PlanBinding;

    type Mutation = fn(&mut PlanBinding);

    fn bound() -> PlanBinding {
        PlanBinding {
            account: "1".into(),
            region: "r".into(),
            stack: "s".into(),
            workspace: "w".into(),
            lineage: "l".into(),
            serial: 1,
            configuration: "c".into(),
            images: [("flask".into(), "sha256:1".into())].into(),
            observed: "o".into(),
        }
    }

    #[test]
    fn changed_binding_refuses_saved_plan() {
        assert!(bound().mismatches(&bound()).is_empty());
        let cases: [(&str, Mutation); 9] = [
            ("account", |b| b.account = "2".into()),
            ("region", |b| b.region = "x".into()),
            ("stack", |b| b.stack = "x".into()),
            ("workspace", |b| b.workspace = "x".into()),
            ("lineage", |b| b.lineage = "x".into()),
            ("changed the state since", |b| b.serial = 2),
            ("configuration", |b| b.configuration = "x".into()),
            ("image tags", |b| drop(b.images.insert("flask".into(), "sha256:2".into()))),
            ("in AWS", |b| b.observed = "x".into()),
        ];
        for (word, change) in cases {
            let mut now = bound();
            change(&mut now);
            let reasons = bound().mismatches(&now);
            assert!(reasons.len() == 1 && reasons[0].contains(word), "{word}: {reasons:?}");
        }
    }
}
