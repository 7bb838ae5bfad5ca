//! Follows a rollout to its end, and what comes after one that failed.

use super::{ServiceAttrs, Services, wanted};
use crate::crashes::{Crashes, Crashing};
use crate::deployments::{self, NOTHING_BEFORE, Rolled};
use crate::report::Report;
use crate::rollout::{self, Rollout};
use crate::service_spec::primary;
use aws_sdk_ecs::types::{Deployment, Service, ServiceDeploymentStatus as Status};
use pb_engine::{Class, Context, Failure, Backoff, Progress};
use std::time::Duration;
use tokio::time::Instant;

/// How long ECS may go on telling what a service was like before a call that was answered. (ECS API: RunTask, on eventual
/// consistency)
const STALE: Duration = Duration::from_secs(15);

/// How a rollout that is waited for came to its end.
enum End {
    Done,
    /// ECS says so.
    Failed(String),
    /// Its tasks end again and again, and ECS does not count that.
    Crashed(String),
}

/// What is known about a rollout while it is waited for.
struct Following {
    attrs: ServiceAttrs,
    last: Option<Service>,
    crashing: Crashing,
}

impl Services {
    /// Waits until our deployment serves our revision.
    pub(super) async fn rolled_out(
        &self,
        cx: &Context,
        attrs: &ServiceAttrs,
        within: Duration,
    ) -> Result<ServiceAttrs, Failure> {
        let watch = self.poller.watch(&attrs.cluster, &attrs.name);
        let following = Following { attrs: attrs.clone(), last: None, crashing: Crashing::new() };
        let following = tokio::sync::Mutex::new(following);
        let asked = Instant::now();
        let limits = Backoff { initial: Duration::from_millis(300), max_interval: Duration::from_secs(3), timeout: within };
        let waited = cx
            .wait("ecs:DescribeServices", limits, || async {
                let look = watch.look().await?;
                let mut following = following.lock().await;
                Ok(self.looked(&mut following, look, asked).await)
            })
            .await;
        let Following { attrs, last: service, .. } = following.into_inner();
        let (class, reason, afterwards) = match waited {
            Ok(End::Done) => return Ok(attrs),
            Ok(End::Failed(reason)) => (Class::Failed, reason, self.rolled_back(cx, &attrs, within).await),
            Ok(End::Crashed(reason)) => (Class::Failed, reason, self.given_up(&attrs, within).await),
            Err(failure) if failure.class == Class::TimedOut => {
                (Class::TimedOut, failure.message, Some("the rollout was left to go on".to_owned()))
            }
            Err(failure) => return Err(failure),
        };
        let now = self.poller.watch(&attrs.cluster, &attrs.name).look().await.ok().flatten();
        let wanted = wanted(&attrs);
        let report = Report { ecs: &self.client, logs: self.logs.as_ref(), wanted: &wanted };
        Err(report.failed((class, &reason), service.as_ref(), now.as_ref(), afterwards).await)
    }

    async fn looked(&self, following: &mut Following, look: Option<Service>, asked: Instant) -> Progress<End> {
        let service = match look {
            Some(service) => service,
            None if following.last.is_some() => return Progress::Ready(End::Failed("the service is gone".to_owned())),
            None => return Progress::Pending("service not visible yet".to_owned()),
        };
        if following.attrs.deployment.is_none() {
            following.attrs.deployment = primary(&service).and_then(Deployment::id).map(str::to_owned);
        }
        let wanted = wanted(&following.attrs);
        let is_ours = |deployment: &Deployment| deployment.id() == Some(wanted.deployment);
        let unseen = following.last.is_none() && !service.deployments().iter().any(is_ours);
        if unseen && asked.elapsed() < STALE {
            return Progress::Pending("deployment not visible yet".to_owned());
        }
        let rollout = rollout::judge(&service, &wanted);
        let crashes = match &rollout {
            Rollout::Failed(_) => Crashes::None,
            going => following.crashing.look(&self.client, &wanted, &service, *going == Rollout::Done).await,
        };
        following.last = Some(service);
        match (rollout, crashes) {
            (Rollout::Failed(reason), _) => Progress::Ready(End::Failed(reason)),
            (_, Crashes::TooMany(words)) => Progress::Ready(End::Crashed(words)),
            (Rollout::Done, Crashes::None) => Progress::Ready(End::Done),
            (Rollout::Going(words), Crashes::None) => Progress::Pending(words),
            (Rollout::Going(words), Crashes::Some(ended)) => Progress::Pending(format!("{words}; {ended}")),
            (Rollout::Done, Crashes::Some(ended)) => Progress::Pending(format!("all tasks run, but {ended}")),
        }
    }

    /// Has ECS give up our rollout, where that is ours to do, and says what came of it.
    async fn given_up(&self, attrs: &ServiceAttrs, within: Duration) -> Option<String> {
        if !self.gives_up {
            return Some("the rollout was left to go on".to_owned());
        }
        let before = deployments::list(&self.client, &attrs.cluster, &attrs.name).await;
        if before.is_ok_and(|all| !all.iter().any(Rolled::succeeded)) {
            return Some(format!("{NOTHING_BEFORE}; ECS goes on starting tasks"));
        }
        match deployments::stop(&self.client, attrs, within).await {
            Ok(came) => Some(came),
            Err(failure) => Some(format!("it may still go on: {failure}")),
        }
    }

    /// Waits for the rollback of our rollout, which failed, and says what came of it; nothing when ECS does not tell.
    async fn rolled_back(&self, cx: &Context, attrs: &ServiceAttrs, within: Duration) -> Option<String> {
        let (wanted, failed) = (wanted(attrs), Instant::now());
        let watch = self.poller.watch(&attrs.cluster, &attrs.name);
        let limits = Backoff { initial: Duration::from_millis(300), max_interval: Duration::from_secs(3), timeout: within };
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
