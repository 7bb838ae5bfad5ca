//! Saved plans: bound to what they were made for, readable, applied at most once.

use crate::exit::Error;
use crate::images::{ImageOverrides, NotDeployed};
use pb_engine::{Drift, Graph, Observed, Plan, PlanScope};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;

/// The format that this version writes, and the only one it reads.
const FORMAT: u32 = 1;

/// A plan with everything that it is bound to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedPlan {
    /// The format of this file.
    pub format: u32,
    /// The id of the plan; a plan is applied at most once.
    pub id: String,
    /// `deploy`, `destroy` or `refresh`.
    pub operation: String,
    /// The images that were given on the command line, by service.
    #[serde(default, skip_serializing_if = "ImageOverrides::is_empty")]
    pub images: ImageOverrides,
    /// What it is bound to.
    #[serde(rename = "bound")]
    pub binding: PlanBinding,
    /// What of the stack it is about.
    #[serde(rename = "part", default, skip_serializing_if = "is_everything")]
    pub scope: PlanScope,
    /// What will be done in AWS.
    pub plan: Plan,
    /// The services that the plan leaves out, because their images are not pushed yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_deployed: Vec<NotDeployed>,
    /// What will be recorded, where nothing is done in AWS (`refresh`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drift: Vec<Drift>,
}

fn is_everything(part: &PlanScope) -> bool {
    *part == PlanScope::default()
}

/// What a plan is bound to: when any of it differs, the plan is refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanBinding {
    /// The account.
    pub account: String,
    /// The region.
    pub region: String,
    /// The stack.
    pub stack: String,
    /// The workspace.
    pub workspace: String,
    /// The lineage of the snapshot; empty when there was none.
    pub lineage: String,
    /// The serial of the snapshot.
    pub serial: u64,
    /// A hash of the resolved configuration.
    pub configuration: String,
    /// What each service is to run: a digest or a full reference; empty while it waits to be pushed.
    #[serde(default)]
    pub images: BTreeMap<String, String>,
    /// A hash of what was observed.
    pub observed: String,
}

impl PlanBinding {
    /// What of the place differs from `now`, in words.
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
                reasons.push(format!("it was made for {what} {planned}, and this is {current}"));
            }
        }
        reasons
    }

    /// What differs from `now`, in words.
    pub fn mismatches(&self, now: &Self) -> Vec<String> {
        let mut reasons = self.location_mismatches(now);
        if self.lineage != now.lineage {
            reasons.push("the state is another one (its lineage differs)".to_owned());
        } else if self.serial != now.serial {
            reasons.push(format!("something was deployed since (serial {} then, {} now)", self.serial, now.serial));
        }
        if self.configuration != now.configuration {
            reasons.push("the configuration was changed since".to_owned());
        }
        let moved = self.images.iter().filter(|(service, image)| now.images.get(*service) != Some(image));
        let moved: Vec<&str> = moved.map(|(service, _)| service.as_str()).collect();
        if !moved.is_empty() {
            reasons.push(format!("the tag of an image means another one since ({})", moved.join(", ")));
        }
        if self.observed != now.observed {
            reasons.push("what is in AWS was changed since".to_owned());
        }
        reasons
    }
}

impl SavedPlan {
    /// A plan with an id of its own.
    pub fn new(operation: &str, binding: PlanBinding, scope: PlanScope, plan: Plan) -> Self {
        let id = uuid::Uuid::new_v4().to_string();
        let operation = operation.to_owned();
        let (images, not_deployed, drift) = (ImageOverrides::default(), Vec::new(), Vec::new());
        Self { format: FORMAT, id, operation, images, binding, scope, plan, not_deployed, drift }
    }

    /// Returns whether there is nothing to do, and everything is as it should be.
    pub fn is_empty(&self) -> bool {
        self.plan.is_empty() && self.plan.failing().next().is_none() && self.drift.is_empty()
    }

    /// Refuses a plan of another place, before a lease is taken in this one.
    ///
    /// # Errors
    /// Everything that differs.
    pub fn check_location(&self, now: &PlanBinding) -> Result<(), Error> {
        let reasons = self.binding.location_mismatches(now);
        if reasons.is_empty() { Ok(()) } else { Err(refused(&reasons)) }
    }

    /// Refuses a plan whose world is gone, or that was applied. `now` is what it would be bound to now.
    ///
    /// # Errors
    /// Everything that differs.
    pub fn check(&self, now: &PlanBinding, applied: &[String], same: bool) -> Result<(), Error> {
        let mut reasons = self.binding.mismatches(now);
        if applied.contains(&self.id) {
            reasons = vec!["it was applied already".to_owned()];
        } else if reasons.is_empty() && !same {
            reasons.push("this version of pb-deploy would do something else".to_owned());
        }
        if reasons.is_empty() {
            return Ok(());
        }
        Err(refused(&reasons))
    }

    /// Writes the file; an older one is replaced only when the new one is complete.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let cannot =
            |why: String| Error::other(format!("cannot write {}: {why}", path.display()), "choose another --out");
        let text = serde_json::to_string_pretty(self).map_err(|e| cannot(e.to_string()))?;
        crate::files::replace(path, &text).map_err(|e| cannot(e.to_string()))
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, is no plan, or was written in another format.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let name = path.display();
        let hint = "make it anew: `pb-deploy plan WORKSPACE --out FILE`";
        let text = std::fs::read_to_string(path).map_err(|e| Error::other(format!("cannot read {name}: {e}"), hint))?;
        let value: serde_json::Value =
            serde_json::from_str(&text).map_err(|e| Error::other(format!("{name} is not a saved plan: {e}"), hint))?;
        match value.get("format").and_then(serde_json::Value::as_u64) {
            Some(format) if format == u64::from(FORMAT) => {
                Self::deserialize(value).map_err(|e| Error::other(format!("{name} is not a saved plan: {e}"), hint))
            }
            Some(format) => {
                let message = format!("{name} was written in format {format}, and this version reads {FORMAT}");
                Err(Error::other(message, "apply it with the version of pb-deploy that made it"))
            }
            None => Err(Error::other(format!("{name} is not a saved plan"), hint)),
        }
    }
}

fn refused(reasons: &[String]) -> Error {
    let message = format!("the saved plan is refused, nothing was changed: {}", reasons.join("; "));
    Error::other(message, "make a new plan and look at it")
}

/// A hash of anything that can be written as JSON: 64 hexadecimal digits.
pub fn fingerprint<T: Serialize>(value: &T) -> String {
    let text = serde_json::to_vec(value).unwrap_or_default();
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A hash of what was observed, without what changes by itself: whether something is ready yet, and the fields that others
/// may change.
pub fn observed_fingerprint(graph: &Graph, observed: &Observed) -> String {
    let ours: Vec<_> = observed
        .managed
        .iter()
        .flat_map(|(address, found)| found.iter().map(move |live| (address, live)))
        .map(|(address, live)| (address, &live.kind, graph.without_ignored(address, &live.spec)))
        .collect();
    fingerprint(&(ours, &observed.unmanaged))
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
            ("deployed since", |b| b.serial = 2),
            ("configuration", |b| b.configuration = "x".into()),
            ("tag of an image", |b| drop(b.images.insert("flask".into(), "sha256:2".into()))),
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
