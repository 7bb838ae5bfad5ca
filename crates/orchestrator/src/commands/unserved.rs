//! Releases that do not serve, or of which no run has seen that they do.

use crate::releases;
use crate::render::{BAD, DIM, GOOD, WARN, paint};
use pb_config::Workspace;
use pb_engine::{Address, ReleaseOutcome, Snapshot};
use pb_fargate::ServiceStatus;
use serde::Serialize;

/// A release to a service, beside what the service runs.
#[derive(Serialize)]
pub struct Unserved<'a> {
    pub service: &'a str,
    revision: &'a str,
    operation: &'a str,
    outcome: &'a ReleaseOutcome,
    /// Set when ECS calls its rollout completed.
    completed: bool,
    at: &'a str,
    who: &'a str,
    #[serde(skip)]
    verdict: Verdict,
}

/// The state of the last release to a service, by its record and by ECS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It serves.
    Serves,
    /// ECS has completed its rollout after the run that followed it had ended.
    Completed,
    /// Its rollout goes on, and no run follows it.
    GoesOn,
    /// It failed, though ECS calls its rollout completed.
    FailedAll,
    /// It does not serve.
    Failed,
}

/// A service in ECS, compared with what was released to it.
#[derive(Debug, Clone, Copy, Default)]
struct InEcs {
    /// The service is to run the revision.
    is_there: bool,
    /// So does the deployment that the release started.
    is_ours: bool,
    completed: bool,
    going: bool,
}

/// Returns the last releases that do not serve, and those that ECS has completed without any run that has seen it.
pub fn look<'a>(
    workspace: &'a Workspace,
    services: &'a [ServiceStatus],
    snapshot: &'a Snapshot,
) -> (Vec<Unserved<'a>>, Vec<Unserved<'a>>) {
    let last = workspace.services.all().filter_map(|(key, _)| of(workspace, key, services, snapshot));
    let last = last.filter(|last| last.verdict != Verdict::Serves);
    last.partition(|last| last.verdict != Verdict::Completed)
}

fn of<'a>(
    workspace: &'a Workspace,
    key: &str,
    services: &'a [ServiceStatus],
    snapshot: &'a Snapshot,
) -> Option<Unserved<'a>> {
    let name = workspace.names.service(key)?;
    let service = services.iter().find(|service| service.name == name)?;
    let address = Address::new(releases::address(key)).ok()?;
    let (release, released) = releases::last(snapshot, &address)?;
    let revision = releases::revision(&released.to);
    let record = snapshot.resources.get(&address);
    let deployment = record.and_then(|record| record.attrs.get("deployment")?.as_str());
    let is_there = service.revision.as_deref() == Some(revision);
    let in_ecs = InEcs {
        is_there,
        // Only a deployment that was started again has the revision of the one before.
        is_ours: is_there
            && (released.from.as_ref() != Some(&released.to) || service.deployment.as_deref() == deployment),
        completed: is_there && service.rollout.as_deref() == Some("COMPLETED"),
        going: is_there && service.rollout.as_deref() == Some("IN_PROGRESS"),
    };
    let verdict = verdict(&released.outcome, in_ecs, record.is_some_and(|record| record.ready));
    let (operation, at, who) = (release.operation.as_str(), release.at.as_str(), release.who.as_str());
    let (outcome, completed) = (&released.outcome, in_ecs.completed);
    Some(Unserved { service: name, revision, operation, outcome, completed, at, who, verdict })
}

/// Judges a release. `ready`: another run has found the service ready since.
fn verdict(outcome: &ReleaseOutcome, in_ecs: InEcs, ready: bool) -> Verdict {
    let InEcs { is_there, is_ours, completed, going } = in_ecs;
    match outcome {
        ReleaseOutcome::Succeeded => Verdict::Serves,
        ReleaseOutcome::NotWaited if is_there => Verdict::Serves,
        ReleaseOutcome::Interrupted | ReleaseOutcome::GaveUp(_) if is_ours && completed && !ready => Verdict::Completed,
        ReleaseOutcome::Interrupted | ReleaseOutcome::GaveUp(_) if is_ours && going => Verdict::GoesOn,
        ReleaseOutcome::NotWaited => Verdict::Failed,
        _ if completed && ready => Verdict::Serves,
        _ if completed => Verdict::FailedAll,
        _ => Verdict::Failed,
    }
}

/// Prints one.
pub fn show(last: &Unserved<'_>, workspace: &str) {
    let Unserved { revision, operation, outcome, at, who, verdict, .. } = last;
    let ended = match outcome {
        ReleaseOutcome::GaveUp(why) => format!("was not followed to its end ({why})"),
        _ => "was interrupted".to_owned(),
    };
    let (style, words) = match verdict {
        Verdict::Completed => (
            GOOD,
            format!(
                "{ended}, and ECS has completed its rollout since; `pb-deploy wait {workspace}` checks and records it"
            ),
        ),
        Verdict::GoesOn => {
            (WARN, format!("{ended}, and its rollout goes on; follow it with `pb-deploy wait {workspace}`"))
        }
        Verdict::FailedAll => (BAD, format!("failed, though ECS calls it completed: {outcome}")),
        Verdict::Failed | Verdict::Serves => (BAD, format!("does not serve: {outcome}")),
    };
    let words = format!("the last {operation}, of {revision}, {words}");
    anstream::println!("  {:<20} {}  {}", "", paint(style, words), paint(DIM, format!("{at}, {who}")));
}

#[cfg(test)]
mod tests {
    use super::{InEcs, Verdict, verdict};
    use pb_engine::ReleaseOutcome;

    const THERE: InEcs = InEcs { is_there: true, is_ours: true, completed: false, going: false };
    const COMPLETED: InEcs = InEcs { completed: true, ..THERE };
    const GOING: InEcs = InEcs { going: true, ..THERE };
    const BACK: InEcs = InEcs { is_there: false, is_ours: false, completed: false, going: false };

    #[test]
    fn interrupted_release_is_judged_by_its_rollout_in_ecs() {
        for outcome in [ReleaseOutcome::Interrupted, ReleaseOutcome::GaveUp("gave up after 3 s".to_owned())] {
            let judged = |in_ecs, ready| verdict(&outcome, in_ecs, ready);
            assert_eq!(judged(COMPLETED, false), Verdict::Completed);
            assert_eq!(judged(COMPLETED, true), Verdict::Serves, "another run has seen it");
            assert_eq!(judged(GOING, false), Verdict::GoesOn);
            assert_eq!(judged(THERE, false), Verdict::Failed, "ECS calls it failed");
            assert_eq!(judged(BACK, true), Verdict::Failed, "ECS went back");
            let restarted = InEcs { is_ours: false, ..COMPLETED };
            assert_eq!(judged(restarted, false), Verdict::FailedAll, "the deployment before runs the same revision");
        }
    }

    #[test]
    fn release_with_a_known_result_is_judged_by_it() {
        let failed = ReleaseOutcome::Failed("tasks failed".to_owned());
        assert_eq!(verdict(&failed, COMPLETED, false), Verdict::FailedAll);
        assert_eq!(verdict(&failed, COMPLETED, true), Verdict::Serves);
        assert_eq!(verdict(&failed, GOING, false), Verdict::Failed);
        assert_eq!(verdict(&ReleaseOutcome::Succeeded, BACK, true), Verdict::Serves);
        assert_eq!(verdict(&ReleaseOutcome::NotWaited, GOING, false), Verdict::Serves);
        assert_eq!(verdict(&ReleaseOutcome::NotWaited, BACK, false), Verdict::Failed);
    }
}
