//! Releases that do not serve, or whose success no run has observed.

use crate::output::console;
use crate::output::{BAD, DIM, GOOD, WARN, paint};
use crate::run::releases;
use crate::stack::names;
use pb_config::Workspace;
use pb_engine::{Address, ReleaseOutcome, Snapshot};
use pb_fargate::{ServiceStatus, Services};
use serde::Serialize;

/// A release to a service, compared with the state of the service.
#[derive(Serialize)]
pub struct ReleaseStatus<'a> {
    pub service: &'a str,
    revision: &'a str,
    operation: &'a str,
    outcome: &'a ReleaseOutcome,
    /// Set if the rollout has completed according to ECS.
    completed: bool,
    at: &'a str,
    who: &'a str,
    #[serde(skip)]
    verdict: Verdict,
}

/// The state of the last release to a service, according to its record and to ECS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// The release serves: it has succeeded, or the service runs its revision.
    Serving,
    /// ECS completed the rollout after the run that waited for it had ended.
    CompletedUnobserved,
    /// The rollout is in progress, and no run waits for it.
    InProgress,
    /// The release failed, although its rollout has completed according to ECS.
    FailedThoughCompleted,
    /// The release does not serve: the service has another revision, or the rollout has not completed.
    Failed,
}

/// The state of a service in ECS, compared with the last release to it.
#[derive(Debug, Clone, Copy, Default)]
struct EcsStatus {
    /// Set if the service has the released revision.
    runs_revision: bool,
    /// Set if the current deployment is the one that the release started.
    is_own_deployment: bool,
    completed: bool,
    in_progress: bool,
}

/// Returns the last releases that do not serve, and those whose rollout ECS completed while no run waited for it.
pub fn unserved<'a>(
    workspace: &'a Workspace,
    services: &'a [ServiceStatus],
    snapshot: &'a Snapshot,
) -> (Vec<ReleaseStatus<'a>>, Vec<ReleaseStatus<'a>>) {
    let last = workspace.services.all().filter_map(|(key, _)| release_status(workspace, key, services, snapshot));
    let last = last.filter(|last| last.verdict != Verdict::Serving);
    last.partition(|last| last.verdict != Verdict::CompletedUnobserved)
}

fn release_status<'a>(
    workspace: &'a Workspace,
    key: &str,
    services: &'a [ServiceStatus],
    snapshot: &'a Snapshot,
) -> Option<ReleaseStatus<'a>> {
    let name = workspace.names.service(key)?;
    let service = services.iter().find(|service| service.name == name)?;
    let address = Address::new(names::service(key)).ok()?;
    let (release, released) = releases::last_release(snapshot, &address)?;
    let revision = releases::revision(&released.to);
    let record = snapshot.get::<Services>(address.as_str()).ok().flatten();
    let deployment = record.as_ref().and_then(|record| record.attrs.deployment.as_deref());
    let runs_revision = service.revision.as_deref() == Some(revision);
    let ecs = EcsStatus {
        runs_revision,
        // Only after a restart does a deployment have the same revision as the previous one.
        is_own_deployment: runs_revision
            && (released.from.as_ref() != Some(&released.to) || service.deployment.as_deref() == deployment),
        completed: runs_revision && service.rollout.as_deref() == Some("COMPLETED"),
        in_progress: runs_revision && service.rollout.as_deref() == Some("IN_PROGRESS"),
    };
    let verdict = verdict(&released.outcome, ecs, record.is_some_and(|record| record.ready));
    let (operation, at, who) = (release.operation.as_str(), release.at.as_str(), release.who.as_str());
    let (outcome, completed) = (&released.outcome, ecs.completed);
    Some(ReleaseStatus { service: name, revision, operation, outcome, completed, at, who, verdict })
}

/// Returns the verdict on a release. `ready` is set if a later run has found the service ready.
fn verdict(outcome: &ReleaseOutcome, ecs: EcsStatus, ready: bool) -> Verdict {
    let EcsStatus { runs_revision, is_own_deployment, completed, in_progress } = ecs;
    match outcome {
        ReleaseOutcome::Succeeded => Verdict::Serving,
        ReleaseOutcome::NotWaited if runs_revision => Verdict::Serving,
        ReleaseOutcome::Interrupted | ReleaseOutcome::GaveUp(_) if is_own_deployment && completed && !ready => {
            Verdict::CompletedUnobserved
        }
        ReleaseOutcome::Interrupted | ReleaseOutcome::GaveUp(_) if is_own_deployment && in_progress => {
            Verdict::InProgress
        }
        ReleaseOutcome::NotWaited => Verdict::Failed,
        _ if completed && ready => Verdict::Serving,
        _ if completed => Verdict::FailedThoughCompleted,
        _ => Verdict::Failed,
    }
}

/// Prints a release that does not serve, or whose success is not recorded.
pub fn show(last: &ReleaseStatus<'_>, workspace: &str) {
    let ReleaseStatus { revision, operation, outcome, at, who, verdict, .. } = last;
    let ended = match outcome {
        ReleaseOutcome::GaveUp(why) => format!("did not finish in time ({why})"),
        _ => "was interrupted".to_owned(),
    };
    let (style, words) = match verdict {
        Verdict::CompletedUnobserved => (
            GOOD,
            format!(
                "{ended}; ECS has completed the rollout since. Check and record it with `pb-deploy wait {workspace}`"
            ),
        ),
        Verdict::InProgress => {
            (WARN, format!("{ended}; the rollout is still in progress. Follow it with `pb-deploy wait {workspace}`"))
        }
        Verdict::FailedThoughCompleted => (BAD, format!("failed, although ECS completed the rollout: {outcome}")),
        Verdict::Failed | Verdict::Serving => (BAD, format!("does not serve: {outcome}")),
    };
    let words = format!("last {operation} ({revision}) {words}");
    console::print(format!("  {:<20} {}  {}", "", paint(style, words), paint(DIM, format!("{at}, {who}"))));
}

#[cfg(test)]
mod tests {
    use super::{EcsStatus, Verdict, verdict};
    use pb_engine::ReleaseOutcome;

    const RUNNING: EcsStatus =
        EcsStatus { runs_revision: true, is_own_deployment: true, completed: false, in_progress: false };
    const COMPLETED: EcsStatus = EcsStatus { completed: true, ..RUNNING };
    const ROLLING: EcsStatus = EcsStatus { in_progress: true, ..RUNNING };
    const ROLLED_BACK: EcsStatus =
        EcsStatus { runs_revision: false, is_own_deployment: false, completed: false, in_progress: false };

    #[test]
    fn interrupted_release_verdict_follows_its_rollout_in_ecs() {
        for outcome in [ReleaseOutcome::Interrupted, ReleaseOutcome::GaveUp("gave up after 3 s".to_owned())] {
            let verdict_of = |ecs, ready| verdict(&outcome, ecs, ready);
            assert_eq!(verdict_of(COMPLETED, false), Verdict::CompletedUnobserved);
            assert_eq!(verdict_of(COMPLETED, true), Verdict::Serving, "another run has observed it");
            assert_eq!(verdict_of(ROLLING, false), Verdict::InProgress);
            assert_eq!(verdict_of(RUNNING, false), Verdict::Failed, "ECS reports a failure");
            assert_eq!(verdict_of(ROLLED_BACK, true), Verdict::Failed, "ECS rolled back");
            let restarted = EcsStatus { is_own_deployment: false, ..COMPLETED };
            assert_eq!(
                verdict_of(restarted, false),
                Verdict::FailedThoughCompleted,
                "the previous deployment runs the same revision"
            );
        }
    }

    #[test]
    fn release_with_a_recorded_outcome_keeps_it() {
        let failed = ReleaseOutcome::Failed("tasks failed".to_owned());
        assert_eq!(verdict(&failed, COMPLETED, false), Verdict::FailedThoughCompleted);
        assert_eq!(verdict(&failed, COMPLETED, true), Verdict::Serving);
        assert_eq!(verdict(&failed, ROLLING, false), Verdict::Failed);
        assert_eq!(verdict(&ReleaseOutcome::Succeeded, ROLLED_BACK, true), Verdict::Serving);
        assert_eq!(verdict(&ReleaseOutcome::NotWaited, ROLLING, false), Verdict::Serving);
        assert_eq!(verdict(&ReleaseOutcome::NotWaited, ROLLED_BACK, false), Verdict::Failed);
    }
}
