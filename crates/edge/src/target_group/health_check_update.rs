//! Update of the health check of targets that receive requests, with a rollback if no target passes the new check.

use super::{HealthCheck, TargetGroup, TargetGroupAttrs};
use crate::health::{self, TargetHealth};
use aws_sdk_elasticloadbalancingv2::types::Matcher;
use pb_aws::ForOperation;
use pb_engine::{Backoff, Cause, Class, Context, FailedHealth, Failure, Progress};
use std::time::Duration;
use tokio::time::Instant;

const READ: &str = "elasticloadbalancing:DescribeTargetHealth";

impl TargetGroup {
    /// Changes the health check of a group from `before` to `wanted`. If the path or the matcher changes while targets
    /// are healthy, waits for one health period to see whether a target passes the new check.
    ///
    /// # Errors
    /// `Failed` if no target passes the new check; the old check is then restored.
    pub(super) async fn update_health_check(
        &self,
        cx: &Context,
        attrs: &TargetGroupAttrs,
        (before, wanted): (&HealthCheck, &HealthCheck),
    ) -> Result<(), Failure> {
        let has_other_criteria = before.has_other_criteria(wanted);
        let serves = has_other_criteria && is_any_healthy(&health::read_target_health(&self.client, &attrs.arn).await?);
        self.modify(&attrs.arn, wanted).await?;
        if !serves {
            return Ok(());
        }
        let Err(failure) = self.wait_one_health_period(cx, attrs, wanted).await else { return Ok(()) };
        self.modify(&attrs.arn, before).await?;
        let known = failure.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
        let hint = format!(
            "the tasks must answer GET {} with {} first; the old health check was restored{known}",
            wanted.path, wanted.matcher
        );
        let cause = match failure.cause {
            Cause::Health(health) => Cause::Health(FailedHealth { rolled_back: true, ..health }),
            // The wait itself failed; the old check is restored all the same.
            _ => Cause::Health(FailedHealth { rolled_back: true, ..FailedHealth::default() }),
        };
        Err(Failure { cause, ..failure }.hint(hint))
    }

    async fn modify(&self, arn: &str, health: &HealthCheck) -> Result<(), Failure> {
        let call = self
            .client
            .modify_target_group()
            .target_group_arn(arn)
            .health_check_path(&health.path)
            .matcher(Matcher::builder().http_code(&health.matcher).build())
            .health_check_interval_seconds(health.interval)
            .health_check_timeout_seconds(health.timeout)
            .healthy_threshold_count(health.healthy)
            .unhealthy_threshold_count(health.unhealthy);
        call.send().await.for_operation("elasticloadbalancing:ModifyTargetGroup").map(drop)
    }

    /// Waits for one health period, after which a target that fails every check is unhealthy. Fails as soon as no
    /// target is healthy.
    async fn wait_one_health_period(
        &self,
        cx: &Context,
        attrs: &TargetGroupAttrs,
        checks: &HealthCheck,
    ) -> Result<(), Failure> {
        let period = Duration::from_secs(u64::try_from(checks.period()).unwrap_or_default());
        let until = Instant::now() + period;
        let second = Duration::from_secs(1);
        let limits = Backoff { initial: second, max_interval: 2 * second, timeout: period + 10 * second };
        cx.wait(READ, limits, || async {
            let targets = health::read_target_health(&self.client, &attrs.arn).await?;
            if !is_any_healthy(&targets) {
                let message = format!("no target of {} passes the new health check", attrs.name);
                let mut failure = Failure::new(Class::Failed, "change the health checks", message);
                failure.hint = health::hint(&targets).map(str::to_owned);
                let targets = health::describe(&targets);
                return Err(failure.cause(Cause::Health(FailedHealth { targets, rolled_back: false })));
            }
            let left = until.saturating_duration_since(Instant::now());
            Ok(match left.is_zero() {
                true => Progress::Ready(()),
                false => Progress::Pending("the targets pass the new health check so far".to_owned()),
            })
        })
        .await
    }
}

fn is_any_healthy(targets: &[TargetHealth]) -> bool {
    targets.iter().any(|target| target.state == "healthy")
}
