//! Waiting for a rollout and, if it failed, for its rollback.

use crate::resources::service::attrs::{ServiceAttrs, expected};
use crate::resources::service::spec::primary;
use crate::rollout::crash_loop::{CrashCheck, CrashWatch};
use crate::rollout::deployments::{self, NO_PREVIOUS_REVISION, RollbackOutcome, ServiceDeployment};
use crate::rollout::failure_report::FailureReport;
use crate::rollout::poller::Poller;
use crate::rollout::readiness::{ReadyCheck, ReadyWatch};
use crate::rollout::status::{self, RolloutStatus};
use crate::tasks::logs::Logs;
use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::{Deployment, Service, ServiceDeploymentStatus as Status};
use pb_engine::{Backoff, Class, Context, Failure, Progress};
use std::time::Duration;
use tokio::time::Instant;

/// Time after a successful call during which ECS may still describe a service as it was before the call. (ECS API:
/// RunTask, on eventual consistency)
const CONSISTENCY_WINDOW: Duration = Duration::from_secs(15);

/// Waiter for rollouts, whose reads of services are shared.
#[derive(Debug, Clone)]
pub(crate) struct RolloutWaiter {
    pub client: Client,
    pub poller: Poller,
    /// Client for logs; if absent, a failure has no log lines.
    pub logs: Option<aws_sdk_cloudwatchlogs::Client>,
    /// `true` if a crash-looping rollout is stopped and rolled back.
    pub abort_on_crash_loop: bool,
}

/// Result of waiting for a rollout.
enum RolloutEnd {
    Succeeded,
    /// Failed according to ECS, with the reason.
    Failed(String),
    /// Completed by ECS, but some of its tasks will not be ready; the text is the reason.
    NotReady(String),
    /// Failed because its tasks are in a crash loop, which ECS does not detect; the text describes the crashes.
    CrashLoop(String),
}

/// State of the wait for a rollout.
struct RolloutWait {
    attrs: ServiceAttrs,
    last: Option<Service>,
    crashes: CrashWatch,
    /// Watch for the text that the tasks log when they are ready, with the reader of their logs.
    ready: Option<(ReadyWatch, Logs)>,
}

impl RolloutWait {
    fn not_ready(&self) -> &[String] {
        self.ready.as_ref().map(|(watch, _)| watch.waiting()).unwrap_or_default()
    }
}

impl RolloutWaiter {
    /// Waits until the deployment that this program started has completed with its revision and, with `ready_log`, each
    /// of its tasks has logged this text.
    ///
    /// # Errors
    /// `Failed` if the rollout failed, `TimedOut` after `within`, both with a failure report; any failure of the ECS
    /// calls.
    pub(crate) async fn wait_for_rollout(
        &self,
        cx: &Context,
        attrs: &ServiceAttrs,
        within: Duration,
        ready_log: Option<&str>,
    ) -> Result<ServiceAttrs, Failure> {
        let watch = self.poller.watch(&attrs.cluster, &attrs.name);
        let ready = ready_log.map(ReadyWatch::new).zip(self.logs.clone().map(Logs::of));
        let wait = RolloutWait { attrs: attrs.clone(), last: None, crashes: CrashWatch::new(), ready };
        let wait = tokio::sync::Mutex::new(wait);
        let since = Instant::now();
        let limits =
            Backoff { initial: Duration::from_millis(300), max_interval: Duration::from_secs(3), timeout: within };
        let waited = cx
            .wait("ecs:DescribeServices", limits, || async {
                let seen = watch.service().await?;
                let mut wait = wait.lock().await;
                self.progress(&mut wait, seen, since).await
            })
            .await;
        let wait = wait.into_inner();
        let attrs = &wait.attrs;
        let (class, reason, rollback) = match waited {
            Ok(RolloutEnd::Succeeded) => return Ok(ServiceAttrs { awaits_ready_log: false, ..attrs.clone() }),
            Ok(RolloutEnd::NotReady(reason)) => (Class::Failed, reason, Some(replaced())),
            Ok(RolloutEnd::Failed(reason)) => (Class::Failed, reason, self.wait_for_rollback(cx, attrs, within).await),
            Ok(RolloutEnd::CrashLoop(reason)) => (Class::Failed, reason, self.abort_rollout(attrs, within).await),
            Err(failure) if failure.class == Class::TimedOut && !wait.not_ready().is_empty() => {
                (Class::TimedOut, failure.message, Some(replaced()))
            }
            Err(failure) if failure.class == Class::TimedOut => (
                Class::TimedOut,
                failure.message,
                Some(RollbackOutcome::not_rolled_back("the rollout continues in ECS")),
            ),
            Err(failure) => return Err(failure),
        };
        let now = self.poller.watch(&attrs.cluster, &attrs.name).service().await.ok().flatten();
        let (expected, not_ready) = (expected(attrs), wait.not_ready());
        let report = FailureReport { ecs: &self.client, logs: self.logs.as_ref(), expected: &expected, not_ready };
        Err(report.failure((class, &reason), wait.last.as_ref(), now.as_ref(), rollback).await)
    }

    /// Evaluates the state of the rollout. `seen` is the service that ECS returned, or `None` if ECS returned none.
    async fn progress(
        &self,
        wait: &mut RolloutWait,
        seen: Option<Service>,
        since: Instant,
    ) -> Result<Progress<RolloutEnd>, Failure> {
        let service = match seen {
            Some(service) => service,
            None if wait.last.is_some() => {
                return Ok(Progress::Ready(RolloutEnd::Failed("the service was deleted".to_owned())));
            }
            None => return Ok(Progress::Pending("waiting for the service to appear".to_owned())),
        };
        if wait.attrs.deployment.is_none() {
            wait.attrs.deployment = primary(&service).and_then(Deployment::id).map(str::to_owned);
        }
        let expected = expected(&wait.attrs);
        let is_expected = |deployment: &Deployment| deployment.id() == Some(expected.deployment);
        let unseen = wait.last.is_none() && !service.deployments().iter().any(is_expected);
        if unseen && since.elapsed() < CONSISTENCY_WINDOW {
            return Ok(Progress::Pending("waiting for the deployment to appear".to_owned()));
        }
        let mut rollout = status::rollout_status(&service, &expected);
        if let RolloutStatus::InProgress(words) = &mut rollout
            && status::may_pause(&service)
            && let Some(paused) = deployments::paused_at(&self.client, &wait.attrs).await
        {
            *words = format!("{words}; {paused}");
        }
        let ready = match (&mut wait.ready, &rollout) {
            (Some((watch, logs)), RolloutStatus::Succeeded) => {
                watch.check(&self.client, logs, &expected, &service).await?
            }
            _ => ReadyCheck::Ready,
        };
        let is_done = (&rollout, &ready) == (&RolloutStatus::Succeeded, &ReadyCheck::Ready);
        let crashes = match &rollout {
            RolloutStatus::Failed(_) => CrashCheck::None,
            _ => wait.crashes.check(&self.client, &expected, &service, is_done).await,
        };
        wait.last = Some(service);
        Ok(evaluate(rollout, crashes, ready))
    }

    /// Stops a crash-looping rollout and rolls it back, if `abort_on_crash_loop` is set and an earlier rollout has
    /// succeeded. Describes the outcome.
    async fn abort_rollout(&self, attrs: &ServiceAttrs, within: Duration) -> Option<RollbackOutcome> {
        if !self.abort_on_crash_loop {
            return Some(RollbackOutcome::not_rolled_back("the rollout continues in ECS"));
        }
        let before = deployments::list(&self.client, &attrs.cluster, &attrs.name).await;
        if before.is_ok_and(|all| !all.iter().any(ServiceDeployment::succeeded)) {
            let text = format!("{NO_PREVIOUS_REVISION}; ECS keeps starting tasks");
            return Some(RollbackOutcome::not_rolled_back(text));
        }
        match deployments::stop(&self.client, attrs, within).await {
            Ok(outcome) => Some(outcome),
            Err(failure) => {
                let text = format!("the rollout may still be in progress: {failure}");
                Some(RollbackOutcome::not_rolled_back(text))
            }
        }
    }

    /// Waits for the rollback of a failed rollout and describes the outcome; returns `None` if the outcome cannot be
    /// read.
    async fn wait_for_rollback(&self, cx: &Context, attrs: &ServiceAttrs, within: Duration) -> Option<RollbackOutcome> {
        let (expected, failed) = (expected(attrs), Instant::now());
        let watch = self.poller.watch(&attrs.cluster, &attrs.name);
        let limits =
            Backoff { initial: Duration::from_millis(300), max_interval: Duration::from_secs(3), timeout: within };
        let waited = cx.wait("ecs:ListServiceDeployments", limits, || async {
            let all = deployments::list(&self.client, &attrs.cluster, &attrs.name).await?;
            let Some(deployment) = deployments::matching(&all, &expected) else { return Ok(Progress::Ready(None)) };
            let is_first = !all.iter().any(ServiceDeployment::succeeded);
            if deployment.status == Status::RollbackSuccessful.as_str() || !(deployment.is_open() || is_first) {
                return Ok(Progress::Ready(Some(deployments::rollback_outcome(deployment))));
            }
            // A failed first rollout may stay open forever: ECS starts no tasks and has nothing to roll back to.
            let stays = failed.elapsed() >= CONSISTENCY_WINDOW
                && watch
                    .service()
                    .await?
                    .is_some_and(|service| status::is_failed_without_rollback(&service, &expected));
            Ok(match is_first && (!deployment.is_open() || stays) {
                true => Progress::Ready(Some(RollbackOutcome::not_rolled_back(NO_PREVIOUS_REVISION))),
                false => Progress::Pending(format!("rollout failed; waiting for the rollback ({})", deployment.status)),
            })
        });
        match waited.await {
            Ok(outcome) => outcome,
            Err(failure) if matches!(failure.class, Class::TimedOut | Class::Interrupted) => {
                Some(RollbackOutcome::not_rolled_back("the rollback is still in progress"))
            }
            Err(_) => None,
        }
    }
}

/// Returns the progress of a rollout with this status, these crashes, and tasks of this readiness.
fn evaluate(rollout: RolloutStatus, crashes: CrashCheck, ready: ReadyCheck) -> Progress<RolloutEnd> {
    match (rollout, crashes, ready) {
        (RolloutStatus::Failed(reason), ..) => Progress::Ready(RolloutEnd::Failed(reason)),
        (_, CrashCheck::TooMany(words), _) => Progress::Ready(RolloutEnd::CrashLoop(words)),
        (RolloutStatus::Succeeded, _, ReadyCheck::Failed(words)) => Progress::Ready(RolloutEnd::NotReady(words)),
        (RolloutStatus::InProgress(words), CrashCheck::None, _)
        | (RolloutStatus::Succeeded, CrashCheck::None, ReadyCheck::Pending(words)) => Progress::Pending(words),
        (RolloutStatus::InProgress(words), CrashCheck::Recent(ended), _)
        | (RolloutStatus::Succeeded, CrashCheck::Recent(ended), ReadyCheck::Pending(words)) => {
            Progress::Pending(format!("{words}; {ended}"))
        }
        (RolloutStatus::Succeeded, CrashCheck::None, ReadyCheck::Ready) => Progress::Ready(RolloutEnd::Succeeded),
        (RolloutStatus::Succeeded, CrashCheck::Recent(ended), ReadyCheck::Ready) => {
            Progress::Pending(format!("all tasks are running, but {ended}"))
        }
    }
}

/// Returns the outcome of a rollout that ECS has completed, although its tasks are not ready.
fn replaced() -> RollbackOutcome {
    RollbackOutcome::not_rolled_back("not rolled back: ECS has completed the rollout, and the old tasks are gone")
}
