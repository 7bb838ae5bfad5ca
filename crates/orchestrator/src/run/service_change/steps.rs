//! The requested changes of services, as steps of a plan.

use crate::exit::Error;
use crate::run::releases::SERVICE;
use pb_engine::{Action, Address, Live, Observed, Step, diff};
use pb_fargate::{RevisionInfo, ServiceSpec};
use serde_json::Value;
use std::collections::BTreeMap;

/// A revision that a service is to run.
#[derive(Debug, Clone)]
pub struct Revision {
    arn: String,
    /// Family and number, such as `staging-flask:3`.
    name: String,
    /// The ports of each container.
    ports: BTreeMap<String, Vec<u16>>,
}

impl From<RevisionInfo> for Revision {
    fn from(info: RevisionInfo) -> Self {
        Self { arn: info.arn, name: info.name, ports: info.ports }
    }
}

/// A requested change of a service.
#[derive(Debug, Clone)]
pub enum ServiceChange {
    /// A revision that was given on the command line.
    Revision(Revision),
    /// The revision that ran before the current one.
    PreviousRevision(Revision),
    /// A number of tasks.
    Count(i32),
    /// A replacement of all tasks, with the same revision.
    Restart,
}

/// Returns a step for each service that does not match the requested change yet.
///
/// # Errors
/// A service that does not exist; a revision that has no port for the requests to its service.
pub fn steps(requested: &BTreeMap<Address, ServiceChange>, observed: &Observed) -> Result<Vec<Step>, Error> {
    let mut steps = Vec::new();
    for (address, change) in requested {
        let Some(live) = observed.managed.get(address).and_then(|found| found.first()) else {
            return Err(Error::other(format!("{address} does not exist"), "deploy it first"));
        };
        let mut before = live.spec.clone();
        let mut after: ServiceSpec = typed(&before)?;
        after.failed = false;
        match change {
            ServiceChange::Revision(revision) | ServiceChange::PreviousRevision(revision) => {
                use_revision(&mut after, revision)?;
            }
            ServiceChange::Count(count) => after.desired_count = *count,
            // An update of a service whose spec says `failed` forces a new deployment.
            ServiceChange::Restart => before["failed"] = Value::Bool(true),
        }
        let after = json(&after)?;
        let changes = diff(&before, &after);
        let action = match (changes.is_empty(), live.ready) {
            (true, true) => continue,
            (true, false) => Action::Wait,
            (false, _) => Action::Update,
        };
        let step = step(address, SERVICE, action, Some(live));
        steps.push(Step { changes, before: Some(before), after: Some(after), ..step });
    }
    Ok(steps)
}

/// Sets the revision of a service, and the port of its targets, which can differ between revisions.
fn use_revision(spec: &mut ServiceSpec, revision: &Revision) -> Result<(), Error> {
    let targets = std::mem::take(&mut spec.load_balancers);
    for mut target in targets {
        let ports = revision.ports.get(&target.container).map_or(&[][..], Vec::as_slice);
        if !ports.contains(&target.port) {
            target.port = *ports.first().ok_or_else(|| no_port(revision, &target.container))?;
        }
        spec.load_balancers.insert(target);
    }
    spec.task_definition.clone_from(&revision.arn);
    Ok(())
}

fn no_port(revision: &Revision, container: &str) -> Error {
    let message = format!("{} cannot serve requests: it has no container {container} with a port", revision.name);
    Error::other(message, "roll back to another revision")
}

/// Returns a step without changes.
pub fn step(address: &Address, kind: &str, action: Action, live: Option<&Live>) -> Step {
    Step {
        address: address.clone(),
        kind: kind.to_owned(),
        action,
        origin: None,
        drift: Vec::new(),
        reason: None,
        changes: Vec::new(),
        replacement_fields: Vec::new(),
        from: None,
        id: live.and_then(|live| live.attrs.get("id")?.as_str()).map(str::to_owned),
        before: live.map(|live| live.spec.clone()),
        after: None,
        attrs: live.map(|live| live.attrs.clone()),
    }
}

/// Converts a spec from JSON.
///
/// # Errors
/// A spec without the fields of `S`, which is a bug.
pub fn typed<S: serde::de::DeserializeOwned>(spec: &Value) -> Result<S, Error> {
    serde_json::from_value(spec.clone())
        .map_err(|e| Error::other(format!("cannot read a spec: {e}"), "this is a bug in pb-deploy"))
}

/// Converts a spec to JSON.
///
/// # Errors
/// A spec that cannot be written as JSON, which is a bug.
pub fn json<S: serde::Serialize>(spec: &S) -> Result<Value, Error> {
    serde_json::to_value(spec)
        .map_err(|e| Error::other(format!("cannot write a spec: {e}"), "this is a bug in pb-deploy"))
}
