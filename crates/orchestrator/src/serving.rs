//! Whether what runs is reached: the targets behind the load balancer.

use crate::releases;
use crate::render::run::Show;
use crate::render::{BOLD, paint};
use aws_config::SdkConfig;
use pb_config::Workspace;
use pb_edge::TargetHealth;
use pb_engine::{Action, Address, Cancel, Class, Event, Failure, Outcome, Unfinished};
use pb_fargate::ServiceStatus;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long targets are waited for once ECS says that a rollout has completed. ECS counts a task with a load balancer only
/// when it is healthy, so that this is about what changed in between.
const WITHIN: Duration = Duration::from_secs(60);

/// How often they are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Where targets are looked for, and who is told.
pub struct Targets<'a> {
    pub show: &'a Show,
    pub aws: &'a SdkConfig,
    pub workspace: &'a Workspace,
    pub cancel: &'a Cancel,
    /// How long a rollout is waited for; absent: not at all.
    pub within: Option<Duration>,
}

impl Targets<'_> {
    /// The same outcome, but for services that were released and have fewer healthy targets than tasks: those have failed,
    /// whatever ECS says of their rollouts.
    pub async fn reached(&self, mut outcome: Outcome) -> Outcome {
        let Some(within) = self.within.filter(|_| outcome.is_complete()) else { return outcome };
        let until = Instant::now() + within.min(WITHIN);
        let released = outcome.done.iter().filter(|(_, action)| *action != Action::Delete);
        let released: Vec<(Address, Action)> = released.cloned().collect();
        for (address, action) in released {
            let Some(service) = self.workspace.names.service(releases::key(&address)) else { continue };
            if let Err(failure) = self.healthy(&address, service, until).await {
                let failed = Event::Failed { address: address.clone(), action, failure: failure.clone() };
                self.show.events().send(failed);
                outcome.failed.push(Unfinished { address, action, failure });
            }
        }
        outcome
    }

    async fn healthy(&self, address: &Address, service: &str, until: Instant) -> Result<(), Failure> {
        let names = [service.to_owned()];
        let services = pb_fargate::status(self.aws, &self.workspace.names.cluster, &names).await?;
        for (service, group) in
            services.iter().flat_map(|service| service.target_groups.iter().map(move |group| (service, group)))
        {
            self.in_group(address, service, group, until).await?;
        }
        Ok(())
    }

    async fn in_group(
        &self,
        address: &Address,
        service: &ServiceStatus,
        group: &str,
        until: Instant,
    ) -> Result<(), Failure> {
        let mut said = String::new();
        loop {
            let targets = pb_edge::target_health(self.aws, group).await?;
            let healthy = targets.iter().filter(|target| target.state == "healthy").count();
            if i32::try_from(healthy).unwrap_or(i32::MAX) >= service.desired {
                return Ok(());
            }
            let counts = format!("{healthy} of {} targets are healthy", service.desired);
            if Instant::now() >= until {
                let message = format!("{counts}, though ECS says that the rollout has completed");
                return Err(unhealthy(&service.name, Class::Failed, message, &targets));
            }
            if counts != said {
                self.show.say(&format!("  {}: {counts}, waiting for the others", paint(BOLD, address)));
                said = counts;
            }
            tokio::select! {
                () = sleep(LOOK) => {}
                () = self.cancel.stopped() => {
                    let message = format!("stopped while waiting: {said}");
                    return Err(unhealthy(&service.name, Class::Interrupted, message, &targets));
                }
            }
        }
    }
}

fn unhealthy(service: &str, class: Class, message: String, targets: &[TargetHealth]) -> Failure {
    let details = targets.iter().map(|target| {
        let reason = target.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
        format!("target {}: {}{reason}", target.address, target.state)
    });
    Failure::new(class, format!("reach {service}"), message).details(details.collect())
}
