//! Discovery of services: the clusters and service names that are read.

use super::Services;
use crate::resources::cluster::WorkspaceClusters;
use crate::resources::service::spec::ACTIVE;
use crate::rollout::poller::describe;
use crate::tags::from_ecs;
use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::Service;
use futures_util::future::try_join;
use futures_util::{StreamExt, TryStreamExt, stream};
use pb_aws::ForOperation;
use pb_engine::{Failure, ReadScope, Resource, fetch_each, is_unknown, list_with_details};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Number of clusters whose services are requested concurrently.
const CONCURRENCY: usize = 4;

/// Names of services, by cluster.
type ServiceNames = BTreeMap<String, BTreeSet<String>>;

/// The configured, recorded and imported services. The reads of services and of task definitions share them.
pub(crate) struct KnownServices(Vec<Service>);

impl KnownServices {
    /// Returns the known services of this read. The first resource kind that needs them requests them; the others reuse
    /// the result.
    ///
    /// # Errors
    /// Any failure of `ecs:DescribeServices`.
    pub(crate) async fn shared<R: Resource>(scope: &ReadScope<R>, client: &Client) -> Result<Arc<Self>, Failure> {
        // The names are computed inside the future, so that only the first caller computes them: there may be a hundred
        // callers, one for each family, and a hundred services.
        scope.shared(async { Self::described(client, known_names(&scope.for_kind())).await }).await
    }

    async fn described(client: &Client, names: ServiceNames) -> Result<Self, Failure> {
        describe_all(client, names).await.map(Self)
    }

    /// Returns the ARN of the revision of `family` that a managed service uses, or the latest one if managed services
    /// use several.
    pub(crate) fn in_use<R: Resource>(&self, scope: &ReadScope<R>, family: &str) -> Option<&str> {
        let is_managed = |service: &&Service| {
            service.status() == Some(ACTIVE) && scope.address_from_tags(&from_ecs(service.tags())).is_some()
        };
        let used = self.0.iter().filter(is_managed).filter_map(Service::task_definition);
        let used = used.filter(|arn| crate::revisions::family(arn) == family);
        used.max_by_key(|arn| arn.rsplit(':').next().and_then(|number| number.parse::<i32>().ok()))
    }
}

impl Services {
    /// Returns the known services that exist, and all other services in managed clusters.
    pub(super) async fn discover(&self, scope: &ReadScope<Self>) -> Result<Vec<Service>, Failure> {
        let names = known_names(scope);
        let known = scope.shared(KnownServices::described(&self.client, names.clone()));
        let (all, known) = try_join(self.all_names(scope, &names), known).await?;
        let mut services = describe_all(&self.client, without(all, &names)).await?;
        services.extend(known.0.iter().cloned());
        Ok(services)
    }

    /// Returns the names of all services in the managed clusters and in the clusters of `names`, by cluster. Returns
    /// `names` if the tag index rules out other managed services.
    async fn all_names(&self, scope: &ReadScope<Self>, names: &ServiceNames) -> Result<ServiceNames, Failure> {
        if scope.index_is_complete(|arn| arn.contains(":service/") || arn.contains(":cluster/")) {
            return Ok(names.clone());
        }
        let clusters = async {
            let clusters = WorkspaceClusters::shared(scope, &self.client).await?;
            let ours = clusters.0.iter().filter(|cluster| scope.address_from_tags(&from_ecs(cluster.tags())).is_some());
            let ours = ours.map(|cluster| cluster.cluster_name().unwrap_or_default().to_owned());
            let distinct: BTreeSet<String> = ours.chain(names.keys().cloned()).collect();
            Ok(distinct.into_iter().collect())
        };
        let ask = |clusters| {
            fetch_each(clusters, |cluster| async move { list_names(&self.client, &cluster).await.map(Some) })
        };
        let name = |cluster: &String| Some(cluster.clone());
        let mut all = names.clone();
        for (cluster, names) in list_with_details(clusters, names.keys().cloned(), name, ask).await? {
            all.entry(cluster).or_default().extend(names.into_iter().flatten());
        }
        Ok(all)
    }
}

/// Lists the names of all services of a cluster. Returns an empty list for a cluster that does not exist.
pub(crate) async fn list_names(client: &Client, cluster: &str) -> Result<Vec<String>, Failure> {
    let pages = client.list_services().cluster(cluster).into_paginator().page_size(100);
    let arns: Result<Vec<String>, _> = pages.items().send().collect().await;
    match arns.for_operation("ecs:ListServices") {
        Ok(arns) => Ok(arns.iter().map(|arn| crate::names::last_part(arn).to_owned()).collect()),
        Err(failure) if failure.is("ClusterNotFoundException") => Ok(Vec::new()),
        Err(failure) => Err(failure),
    }
}

/// Returns the names of the configured, recorded and imported services, by cluster.
fn known_names(scope: &ReadScope<Services>) -> ServiceNames {
    let mut names = ServiceNames::new();
    let wanted = scope.desired.iter().map(|(_, spec)| (spec.cluster.as_str(), spec.name.as_str()));
    let remembered = scope.recorded.iter().map(|(_, attrs)| (attrs.cluster.as_str(), attrs.name.as_str()));
    let wanted_cluster = scope.desired.first().map(|(_, spec)| spec.cluster.as_str());
    let claimed = scope.imports().filter_map(|(_, id)| parse_claim(id, wanted_cluster));
    let known = wanted.chain(remembered).filter(|(cluster, _)| !is_unknown(cluster));
    for (cluster, name) in claimed.chain(known) {
        names.entry(cluster.to_owned()).or_default().insert(name.to_owned());
    }
    names
}

/// Returns the services with these names that exist.
async fn describe_all(client: &Client, names: ServiceNames) -> Result<Vec<Service>, Failure> {
    let described = names.into_iter().map(|(cluster, names)| async move {
        describe(client, &cluster, &names.into_iter().collect::<Vec<_>>(), true).await
    });
    let services: Vec<Vec<Service>> = stream::iter(described).buffer_unordered(CONCURRENCY).try_collect().await?;
    Ok(services.into_iter().flatten().collect())
}

/// Returns the names in `all` that are not in `known`.
fn without(all: ServiceNames, known: &ServiceNames) -> ServiceNames {
    let is_known = |cluster: &str, name: &String| known.get(cluster).is_some_and(|names| names.contains(name));
    let others = all.into_iter().map(|(cluster, mut names)| {
        names.retain(|name| !is_known(&cluster, name));
        (cluster, names)
    });
    others.filter(|(_, names)| !names.is_empty()).collect()
}

/// Parses the id of an import, which is `cluster/service`, an ARN, or a name in the configured cluster, into cluster
/// and service.
fn parse_claim<'a>(id: &'a str, wanted_cluster: Option<&'a str>) -> Option<(&'a str, &'a str)> {
    let mut parts = id.rsplit('/');
    let name = parts.next()?;
    Some((parts.next().or(wanted_cluster)?, name))
}
