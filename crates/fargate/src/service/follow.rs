//! Follows a rollout to its end, and what comes after one that failed.

use super::{ServiceAttrs, Services, wanted};
use crate::deployments::{self, NOTHING_BEFORE, Rolled};
use crate::report::Report;
use crate::rollout::{self, Rollout};
use crate::service_spec::primary;
use aws_sdk_ecs::types::{Deployment, Service, ServiceDeploymentStatus as Status};
use pb_engine::{Class, Context, Failure, Limits, Progress};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long ECS may go on telling what a service was like before a call that was answered. (ECS API: RunTask, on eventual
/// consistency)
const STALE: Duration = Duration::from_secs(15);

impl Services {
    /// Waits until our deployment serves our revision.
    pub(super) async fn rolled_out(
        &self,
        cx: &Context,
        attrs: &ServiceAttrs,
        within: Duration,
    ) -> Result<ServiceAttrs, Failure> {
        let watch = self.poller.watch(&attrs.cluster, &attrs.name);
        let last: Mutex<(Option<Service>, ServiceAttrs)> = Mutex::new((None, attrs.clone()));
        let asked = Instant::now();
        let limits = Limits { first: Duration::from_millis(300), longest: Duration::from_secs(3), within };
        let waited = cx
            .wait("ecs:DescribeServices", limits, || async {
                let look = watch.look().await?;
                let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                let service = match look {
                    Some(service) => service,
                    None if last.0.is_some() => return Ok(Progress::Ready(Some("the service is gone".to_owned()))),
                    None => return Ok(Progress::Pending("service not visible yet".to_owned())),
                };
                if last.1.deployment.is_none() {
                    last.1.deployment = primary(&service).and_then(Deployment::id).map(str::to_owned);
                }
                let wanted = wanted(&last.1);
                let is_ours = |deployment: &Deployment| deployment.id() == Some(wanted.deployment);
                let unseen = last.0.is_none() && !service.deployments().iter().any(is_ours);
                if unseen && asked.elapsed() < STALE {
                    return Ok(Progress::Pending("deployment not visible yet".to_owned()));
                }
                let progress = match rollout::judge(&service, &wanted) {
                    Rollout::Done => Progress::Ready(None),
                    Rollout::Going(words) => Progress::Pending(words),
                    Rollout::Failed(reason) => Progress::Ready(Some(reason)),
                };
                last.0 = Some(service);
                Ok(progress)
            })
            .await;
        let (service, attrs) = last.into_inner().unwrap_or_else(PoisonError::into_inner);
        let (class, reason) = match waited {
            Ok(None) => return Ok(attrs),
            Ok(Some(reason)) => (Class::Failed, reason),
            Err(failure) if failure.class == Class::TimedOut => (Class::TimedOut, failure.message),
            Err(failure) => return Err(failure),
        };
        let afterwards = match class {
            Class::Failed => self.rolled_back(cx, &attrs, within).await,
            _ => Some("the rollout was left to go on".to_owned()),
        };
        let now = self.poller.watch(&attrs.cluster, &attrs.name).look().await.ok().flatten();
        let wanted = wanted(&attrs);
        let report = Report { ecs: &self.client, logs: self.logs.as_ref(), wanted: &wanted };
        Err(report.failed((class, &reason), service.as_ref(), now.as_ref(), afterwards).await)
    }

    /// Waits for the rollback of our rollout, which failed, and says what came of it; nothing when ECS does not tell.
    async fn rolled_back(&self, cx: &Context, attrs: &ServiceAttrs, within: Duration) -> Option<String> {
        let (wanted, failed) = (wanted(attrs), Instant::now());
        let watch = self.poller.watch(&attrs.cluster, &attrs.name);
        let limits = Limits { first: Duration::from_millis(300), longest: Duration::from_secs(3), within };
        let waited = cx.wait("ecs:ListServiceDeployments", limits, || async {
            let all = deployments::list(&self.client, &attrs.cluster, &attrs.name).await?;
            let Some(rolled) = deployments::ours(&all, &wanted) else { return Ok(Progress::Ready(None)) };
            let is_first = !all.iter().any(Rolled::succeeded);
            if rolled.status == Status::RollbackSuccessful.as_str() || !(rolled.is_open() || is_first) {
                return Ok(Progress::Ready(Some(deployments::aftermath(rolled))));
            }
            // A first rollout that failed may stay open for ever: ECS starts no tasks and has nothing to go back to.
            let stays = failed.elapsed() >= STALE
                && watch.look().await?.is_some_and(|service| rollout::is_left_failed(&service, &wanted));
            Ok(match is_first && (!rolled.is_open() || stays) {
                true => Progress::Ready(Some(NOTHING_BEFORE.to_owned())),
                false => Progress::Pending(format!("it failed, {}", rolled.status)),
            })
        });
        match waited.await {
            Ok(came) => came,
            Err(failure) if matches!(failure.class, Class::TimedOut | Class::Interrupted) => {
                Some("the rollback still goes on".to_owned())
            }
            Err(_) => None,
        }
    }
}
