//! Waiting for a rollout and, if it failed, for its rollback.

use crate::resources::service::attrs::{ServiceAttrs, expected};
use crate::resources::service::spec::primary;
use crate::rollout::crash_loop::{CrashCheck, CrashWatch};
use crate::rollout::deployments::{self, NO_PREVIOUS_REVISION, RollbackOutcome, ServiceDeployment};
use crate::rollout::failure_report::FailureReport;
use crate::rollout::poller::Poller;
use crate::rollout::status::{self, RolloutStatus};
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
    /// Failed because its tasks are in a crash loop, which ECS does not detect; the text describes the crashes.
    CrashLoop(String),
}

/// State of the wait for a rollout.
struct RolloutWait {
    attrs: ServiceAttrs,
    last: Option<Service>,
    crashes: CrashWatch,
}

impl RolloutWaiter {
    /// Waits until the deployment that this program started has completed with its revision.
    ///
    /// # Errors
    /// `Failed` if the rollout failed, `TimedOut` after `within`, both with a failure report; any failure of the ECS
    /// calls.
    pub(crate) async fn wait_for_rollout(
        &self,
        cx: &Context,
        attrs: &ServiceAttrs,
        within: Duration,
    ) -> Result<ServiceAttrs, Failure> {
        let watch = self.poller.watch(&attrs.cluster, &attrs.name);
        let wait = RolloutWait { attrs: attrs.clone(), last: None, crashes: CrashWatch::new() };
        let wait = tokio::sync::Mutex::new(wait);
        let since = Instant::now();
        let limits =
            Backoff { initial: Duration::from_millis(300), max_interval: Duration::from_secs(3), timeout: within };
        let waited = cx
            .wait("ecs:DescribeServices", limits, || async {
                let seen = watch.service().await?;
                let mut wait = wait.lock().await;
                Ok(self.progress(&mut wait, seen, since).await)
            })
            .await;
        let RolloutWait { attrs, last: service, .. } = wait.into_inner();
        let (class, reason, rollback) = match waited {
            Ok(RolloutEnd::Succeeded) => return Ok(attrs),
            Ok(RolloutEnd::Failed(reason)) => (Class::Failed, reason, self.wait_for_rollback(cx, &attrs, within).await),
            Ok(RolloutEnd::CrashLoop(reason)) => (Class::Failed, reason, self.abort_rollout(&attrs, within).await),
            Err(failure) if failure.class == Class::TimedOut => (
                Class::TimedOut,
                failure.message,
                Some(RollbackOutcome::not_rolled_back("the rollout continues in ECS")),
            ),
            Err(failure) => return Err(failure),
        };
        let now = self.poller.watch(&attrs.cluster, &attrs.name).service().await.ok().flatten();
        let expected = expected(&attrs);
        let report = FailureReport { ecs: &self.client, logs: self.logs.as_ref(), expected: &expected };
        Err(report.failure((class, &reason), service.as_ref(), now.as_ref(), rollback).await)
    }

    /// Evaluates the state of the rollout. `seen` is the service that ECS returned, or `None` if ECS returned none.
    async fn progress(&self, wait: &mut RolloutWait, seen: Option<Service>, since: Instant) -> Progress<RolloutEnd> {
        let service = match seen {
            Some(service) => service,
            None if wait.last.is_some() => {
                return Progress::Ready(RolloutEnd::Failed("the service was deleted".to_owned()));
            }
            None => return Progress::Pending("waiting for the service to appear".to_owned()),
        };
        if wait.attrs.deployment.is_none() {
            wait.attrs.deployment = primary(&service).and_then(Deployment::id).map(str::to_owned);
        }
        let expected = expected(&wait.attrs);
        let is_expected = |deployment: &Deployment| deployment.id() == Some(expected.deployment);
        let unseen = wait.last.is_none() && !service.deployments().iter().any(is_expected);
        if unseen && since.elapsed() < CONSISTENCY_WINDOW {
            return Progress::Pending("waiting for the deployment to appear".to_owned());
        }
        let mut rollout = status::rollout_status(&service, &expected);
        if let RolloutStatus::InProgress(words) = &mut rollout
            && status::may_pause(&service)
            && let Some(paused) = deployments::paused_at(&self.client, &wait.attrs).await
        {
            *words = format!("{words}; {paused}");
        }
        let crashes = match &rollout {
            RolloutStatus::Failed(_) => CrashCheck::None,
            going => wait.crashes.check(&self.client, &expected, &service, *going == RolloutStatus::Succeeded).await,
        };
        wait.last = Some(service);
        match (rollout, crashes) {
            (RolloutStatus::Failed(reason), _) => Progress::Ready(RolloutEnd::Failed(reason)),
            (_, CrashCheck::TooMany(words)) => Progress::Ready(RolloutEnd::CrashLoop(words)),
            (RolloutStatus::Succeeded, CrashCheck::None) => Progress::Ready(RolloutEnd::Succeeded),
            (RolloutStatus::InProgress(words), CrashCheck::None) => Progress::Pending(words),
            (RolloutStatus::InProgress(words), CrashCheck::Recent(ended)) => {
                Progress::Pending(format!("{words}; {ended}"))
            }
            (RolloutStatus::Succeeded, CrashCheck::Recent(ended)) => {
                Progress::Pending(format!("all tasks are running, but {ended}"))
            }
        }
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
