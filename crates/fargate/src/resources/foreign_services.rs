//! Preflight check that finds services of others in a cluster that the plan deletes. ECS deletes no cluster with active
//! services. (ECS API: DeleteCluster)

use crate::resources::cluster::Clusters;
use crate::resources::service::Services;
use crate::resources::service::discovery::list_names;
use crate::rollout::poller::describe;
use crate::tags::from_ecs;
use aws_sdk_ecs::Client;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use pb_aws::in_region;
use pb_engine::{Failure, PlanError, Planned, PreflightCheck};
use std::collections::BTreeSet;

/// Preflight check that refuses a plan if unmanaged services block the deletion of their cluster.
pub(crate) struct ForeignServices(pub Client);

impl PreflightCheck for ForeignServices {
    fn check<'a>(&'a self, planned: &'a Planned<'_>) -> BoxFuture<'a, Result<Vec<PlanError>, Failure>> {
        async move {
            let mut blockers = Vec::new();
            for (address, cluster, _) in planned.deleted::<Clusters>() {
                let found = self.foreign(planned, &cluster.name).await?;
                blockers.extend(
                    found.iter().map(|service| PlanError::new(address.clone(), self.why(&cluster.name, service))),
                );
            }
            Ok(blockers)
        }
        .boxed()
    }
}

impl ForeignServices {
    /// Returns the names of the unmanaged services in a cluster.
    async fn foreign(&self, planned: &Planned<'_>, cluster: &str) -> Result<Vec<String>, Failure> {
        let managed = planned.managed::<Services>();
        let ours: BTreeSet<&str> = managed
            .iter()
            .filter(|(_, _, attrs)| attrs.cluster == cluster)
            .map(|(_, _, attrs)| attrs.name.as_str())
            .collect();
        let mut others = list_names(&self.0, cluster).await?;
        others.retain(|name| !ours.contains(name.as_str()));
        if others.is_empty() {
            return Ok(Vec::new());
        }
        // A service of this workspace that was just created may not have been observed.
        let described = describe(&self.0, cluster, &others, true).await?;
        let foreign = described.into_iter().filter(|service| !planned.owns(&from_ecs(service.tags())));
        Ok(foreign.filter_map(|service| service.service_name).collect())
    }

    fn why(&self, cluster: &str, service: &str) -> String {
        let command = format!("aws ecs delete-service --cluster {cluster} --service {service} --force");
        format!(
            "service {service}, which is not managed by this workspace, runs in the cluster {cluster}; delete it: {}",
            in_region(&command, self.0.config().region())
        )
    }
}
