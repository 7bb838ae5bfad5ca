//! Changes of deployed services without a deploy: another revision, another count, a restart.

use crate::resources::service::Services;
use crate::resources::service::spec::ServiceSpec;
use crate::revisions::RevisionInfo;
use pb_engine::{Address, Failure, Live, Refusal, Step, plan_update};

/// A change of a deployed service.
#[derive(Debug, Clone)]
pub enum ServiceChange {
    /// The service runs this revision.
    Revision(RevisionInfo),
    /// The service runs this number of tasks.
    Count(i32),
    /// All tasks are replaced, with the same revision.
    Restart,
}

impl ServiceChange {
    /// Returns the step that changes the service: a no-op if it matches already.
    ///
    /// # Errors
    /// `Refused` for a revision that has no port for the requests to the service; `Bug` for a service that does not
    /// have the form of [`ServiceSpec`].
    pub fn step(&self, address: &Address, live: &Live) -> Result<Step, Failure> {
        let mut before = live.typed::<Services>()?.spec;
        let mut after = ServiceSpec { failed: false, ..before.clone() };
        match self {
            Self::Revision(revision) => use_revision(&mut after, revision)?,
            Self::Count(count) => after.desired_count = *count,
            // An update of a service whose spec says `failed` forces a new deployment.
            Self::Restart => before.failed = true,
        }
        plan_update::<Services>(address, live, &before, &after)
    }

    /// Returns the spec to record: the recorded one, with the new values of the fields that a change concerns.
    pub fn recorded(recorded: ServiceSpec, applied: ServiceSpec) -> ServiceSpec {
        let ServiceSpec { task_definition, desired_count, load_balancers, .. } = applied;
        ServiceSpec { task_definition, desired_count, load_balancers, ..recorded }
    }
}

/// Sets the revision of a service, and the port of its targets, which can differ between revisions.
fn use_revision(spec: &mut ServiceSpec, revision: &RevisionInfo) -> Result<(), Failure> {
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

fn no_port(revision: &RevisionInfo, container: &str) -> Failure {
    let message = format!("it cannot serve requests: it has no container {container} with a port");
    Failure::refused(Refusal::Revision, format!("use {}", revision.name), message).hint("roll back to another revision")
}
