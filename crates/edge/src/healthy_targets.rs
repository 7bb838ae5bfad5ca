//! `elbv2.healthy_targets`: the check that enough targets of a group are healthy.

#[cfg(test)]
mod tests;

use crate::LoadBalancerClient as Client;
use crate::health::{self, TargetHealth};
use pb_engine::{Backoff, Cause, Check, Class, Context, FailedHealth, Failure, Progress, Verdict};
use serde::{Deserialize, Serialize};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Call that reads the health of targets.
const CALL: &str = "elasticloadbalancing:DescribeTargetHealth";

/// Check that enough targets of a group are healthy.
pub struct HealthyTargets {
    client: Client,
    timeout: Duration,
}

impl HealthyTargets {
    /// Creates the check; a run waits at most `timeout` for the targets.
    #[must_use]
    pub fn new(client: Client, timeout: Duration) -> Self {
        Self { client, timeout }
    }
}

/// Target group, and the number of its targets that must be healthy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthyTargetsSpec {
    /// ARN of the target group.
    pub target_group_arn: String,
    /// Name of the service that the targets belong to, for messages.
    pub service: String,
    /// Number of targets that must be healthy.
    pub at_least: i32,
}

impl Check for HealthyTargets {
    const KIND: &'static str = "elbv2.healthy_targets";
    type Spec = HealthyTargetsSpec;

    async fn read(&self, spec: &HealthyTargetsSpec) -> Result<Verdict, Failure> {
        if spec.at_least <= 0 {
            return Ok(Verdict::Holds);
        }
        let targets = health::read_target_health(&self.client, &spec.target_group_arn).await?;
        Ok(if healthy(&targets) >= spec.at_least {
            Verdict::Holds
        } else {
            let message = shortage(healthy(&targets), spec.at_least, &format!(" of {}", spec.service), "");
            Verdict::Fails { message, details: health::describe(&targets) }
        })
    }

    async fn wait(&self, cx: &Context, spec: &HealthyTargetsSpec) -> Result<(), Failure> {
        if spec.at_least <= 0 {
            return Ok(());
        }
        let last = Mutex::new(Vec::new());
        let waited = cx.wait(CALL, Backoff::seconds(self.timeout), || async {
            let targets = health::read_target_health(&self.client, &spec.target_group_arn).await?;
            let progress = match healthy(&targets) {
                healthy if healthy >= spec.at_least => Progress::Ready(()),
                healthy => Progress::Pending(shortage(healthy, spec.at_least, "", "")),
            };
            *last.lock().unwrap_or_else(PoisonError::into_inner) = targets;
            Ok(progress)
        });
        let Err(failure) = waited.await else { return Ok(()) };
        let targets = last.into_inner().unwrap_or_else(PoisonError::into_inner);
        let class = match failure.class {
            Class::TimedOut => Class::Failed,
            Class::Interrupted => Class::Interrupted,
            _ => return Err(failure),
        };
        let counts = |after: &str| shortage(healthy(&targets), spec.at_least, "", after);
        let message = match class {
            Class::Interrupted => format!("stopped while waiting: {}", counts("")),
            _ => counts(&format!(" after {} s", self.timeout.as_secs())),
        };
        let cause = Cause::Health(FailedHealth { targets: health::describe(&targets), rolled_back: false });
        let mut failure = Failure::new(class, format!("reach {}", spec.service), message).cause(cause);
        failure.hint = health::hint(&targets).map(str::to_owned);
        Err(failure)
    }
}

fn healthy(targets: &[TargetHealth]) -> i32 {
    i32::try_from(targets.iter().filter(|target| target.state == "healthy").count()).unwrap_or(i32::MAX)
}

/// Returns that fewer targets are healthy than needed. `of` follows the noun and `after` the verb; both begin with a
/// space, unless they are empty.
fn shortage(healthy: i32, needed: i32, of: &str, after: &str) -> String {
    match healthy {
        0 => format!("no target{of} is healthy{after} ({needed} needed)"),
        1 => format!("1 of {needed} targets{of} is healthy{after}"),
        _ => format!("{healthy} of {needed} targets{of} are healthy{after}"),
    }
}
