//! ECS clusters.

use crate::resources::checks;
use crate::tags::{Tags, from_ecs, retag, same_owner, to_ecs};
use crate::tasks::one_off::{self, STARTED_BY_RELEASE_COMMAND, STARTED_BY_RUN};
use crate::text::counted;
use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::{Cluster, ClusterField, ClusterSetting, ClusterSettingName};
use futures_util::future::try_join;
use pb_aws::ForOperation;
use pb_engine::{
    Backoff, Change, Class, Context, Failure, Found, Ownership, Progress, ReadScope, Resource, list_with_details,
    unknown,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Valid values of the setting for Container Insights. (ECS API: ClusterSetting)
const INSIGHTS: [&str; 3] = ["disabled", "enabled", "enhanced"];

/// Maximum number of names in one DescribeClusters call. (ECS API: DescribeClusters)
const NAMES_PER_CALL: usize = 100;

/// Spec of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterSpec {
    /// Name of the cluster.
    pub name: String,
    /// Container Insights: `disabled`, `enabled` or `enhanced`. If absent, it is not managed: a new cluster has the
    /// account's default.
    pub container_insights: Option<String>,
    /// Tags, in addition to the ownership tags.
    pub tags: Tags,
}

/// Attributes of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterAttrs {
    /// Name of the cluster.
    pub name: String,
    /// ARN of the cluster.
    pub arn: String,
}

/// Resource kind for ECS clusters (`ecs.cluster`).
#[derive(Debug, Clone)]
pub struct Clusters {
    client: Client,
}

/// Clusters whose names start with the prefix of the workspace. The reads of clusters and of services share them.
pub(crate) struct WorkspaceClusters(pub Vec<Cluster>);

impl WorkspaceClusters {
    /// Returns the clusters of this read. The first resource kind that needs them requests them; the others reuse the
    /// result.
    pub(crate) async fn shared<R: Resource>(scope: &ReadScope<R>, client: &Client) -> Result<Arc<Self>, Failure> {
        scope.shared(Self::read(scope, client)).await
    }

    async fn read<R: Resource>(scope: &ReadScope<R>, client: &Client) -> Result<Self, Failure> {
        let prefix = crate::names::name_prefix(scope.owner());
        let remembered = scope.recorded_of::<Clusters>().into_iter().map(|attrs| attrs.name);
        let remembered: Vec<String> = remembered.filter(|name| name.starts_with(&prefix)).collect();
        let all = async {
            if !remembered.is_empty() && scope.index_is_complete(|arn| arn.contains(":cluster/")) {
                return Ok(remembered.clone());
            }
            let arns = client.list_clusters().into_paginator().items().send().collect::<Result<Vec<String>, _>>().await;
            let names =
                arns.for_operation("ecs:ListClusters")?.into_iter().map(|arn| crate::names::last_part(&arn).to_owned());
            Ok(names.filter(|name| name.starts_with(&prefix)).collect())
        };
        let ask = |names| async {
            let found = describe(client, names).await?.into_iter();
            Ok(found.map(|cluster| (cluster.cluster_name().unwrap_or_default().to_owned(), cluster)).collect())
        };
        let clusters = list_with_details(all, remembered.clone(), |name: &String| Some(name.clone()), ask).await?;
        Ok(Self(clusters.into_iter().filter_map(|(_, cluster)| cluster).collect()))
    }
}

impl Clusters {
    /// Creates the resource kind, which calls AWS through `client`.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Stops one-off tasks and release commands, which would otherwise keep running and cost money. The delete of the
    /// cluster is retried, so a task that cannot be stopped now is stopped before a later attempt, or named in the
    /// failure.
    async fn stop_one_off_tasks(&self, name: &str) {
        for started_by in [STARTED_BY_RUN, STARTED_BY_RELEASE_COMMAND] {
            let listed = self.client.list_tasks().cluster(name).started_by(started_by).send().await;
            for arn in listed.map(|listed| listed.task_arns.unwrap_or_default()).unwrap_or_default() {
                one_off::stop(&self.client, name, &arn, "the cluster is being deleted").await.ok();
            }
        }
    }

    /// Returns `failure` with a message that names the services and tasks that block the deletion of the cluster.
    async fn name_blockers(&self, name: &str, cluster_arn: &str, failure: Failure) -> Failure {
        let services = self.client.list_services().cluster(name).max_results(100).send().await;
        let tasks = self.client.list_tasks().cluster(name).send().await;
        let services = services.map(|found| found.service_arns.unwrap_or_default()).unwrap_or_default();
        let tasks = tasks.map(|found| found.task_arns.unwrap_or_default()).unwrap_or_default();
        // Daemons are not listed as services, and may not be known to every endpoint.
        let daemons = self.client.list_daemons().cluster_arn(cluster_arn).max_results(100).send().await;
        let daemons = daemons.map(|found| found.daemon_summaries_list.unwrap_or_default()).unwrap_or_default();
        let daemons: Vec<String> = daemons.into_iter().filter_map(|daemon| daemon.daemon_arn).collect();
        let all = services.iter().chain(&daemons).chain(&tasks);
        let names: Vec<&str> = all.map(|arn| crate::names::last_part(arn)).take(5).collect();
        let (service_count, task_count) = (counted(services.len(), "service"), counted(tasks.len(), "task"));
        let daemon_count =
            if daemons.is_empty() { String::new() } else { format!(", {}", counted(daemons.len(), "daemon")) };
        let mut message = format!("the cluster still contains {service_count}{daemon_count} and {task_count}");
        if !names.is_empty() {
            message = format!("{message}: {}", names.join(", "));
        }
        Failure { message, ..failure }
    }
}

/// Returns the names of the configured and recorded clusters.
fn known(scope: &ReadScope<Clusters>) -> impl Iterator<Item = &str> {
    let wanted = scope.desired.iter().map(|(_, spec)| spec.name.as_str());
    wanted.chain(scope.recorded.iter().map(|(_, attrs)| attrs.name.as_str()))
}

async fn describe(client: &Client, names: Vec<String>) -> Result<Vec<Cluster>, Failure> {
    let mut found = Vec::new();
    for names in names.chunks(NAMES_PER_CALL) {
        let call = client.describe_clusters().set_clusters(Some(names.to_vec()));
        let call = call.include(ClusterField::Tags).include(ClusterField::Settings);
        found.extend(call.send().await.for_operation("ecs:DescribeClusters")?.clusters.unwrap_or_default());
    }
    found.retain(|cluster| cluster.status() != Some("INACTIVE"));
    Ok(found)
}

fn insights(value: &str) -> ClusterSetting {
    ClusterSetting::builder().name(ClusterSettingName::ContainerInsights).value(value).build()
}

fn attrs(cluster: &Cluster) -> ClusterAttrs {
    ClusterAttrs {
        name: cluster.cluster_name().unwrap_or_default().to_owned(),
        arn: cluster.cluster_arn().unwrap_or_default().to_owned(),
    }
}

fn spec(cluster: &Cluster, tags: &Tags) -> ClusterSpec {
    let is_insights = |setting: &&ClusterSetting| setting.name() == Some(&ClusterSettingName::ContainerInsights);
    let setting = cluster.settings().iter().find(is_insights).and_then(ClusterSetting::value);
    ClusterSpec {
        name: cluster.cluster_name().unwrap_or_default().to_owned(),
        container_insights: Some(setting.unwrap_or("disabled").to_owned()),
        tags: Ownership::user_tags(tags),
    }
}

impl Resource for Clusters {
    const KIND: &'static str = "ecs.cluster";
    const TAG_INDEXED: bool = true;
    const RETAINED_FIELDS: &'static [&'static str] = &["name"];
    const OPTIONAL_FIELDS: &'static [&'static str] = &["container_insights"];
    type Spec = ClusterSpec;
    type Attrs = ClusterAttrs;

    fn validate(spec: &ClusterSpec) -> Result<(), String> {
        checks::text("name", &spec.name, pb_rules::names::cluster)?;
        if let Some(wrong) = spec.container_insights.as_deref().filter(|insights| !INSIGHTS.contains(insights)) {
            let right = INSIGHTS.join(", ");
            return Err(format!("invalid container_insights: expected one of {right}, got `{wrong}`"));
        }
        checks::tags(&spec.tags)
    }

    fn planned_attrs(spec: &ClusterSpec) -> ClusterAttrs {
        ClusterAttrs { name: spec.name.clone(), arn: unknown() }
    }

    fn requires_replacement(field: &str) -> bool {
        field == "name"
    }

    fn can_coexist(old: &ClusterSpec, new: &ClusterSpec) -> bool {
        old.name != new.name
    }

    fn id(attrs: &ClusterAttrs) -> Option<String> {
        Some(attrs.name.clone())
    }

    async fn read(&self, scope: &ReadScope<Self>) -> Result<Vec<Found<Self>>, Failure> {
        let others = async {
            let prefix = crate::names::name_prefix(scope.owner());
            let names = scope.imports().map(|(_, id)| crate::names::last_part(id)).chain(known(scope));
            let names: BTreeSet<&str> = names.filter(|name| !name.starts_with(&prefix)).collect();
            describe(&self.client, names.into_iter().map(str::to_owned).collect()).await
        };
        let (shared, others) = try_join(WorkspaceClusters::shared(scope, &self.client), others).await?;
        let mut found = Vec::new();
        for cluster in shared.0.iter().chain(&others) {
            let (tags, attrs) = (from_ecs(cluster.tags()), attrs(cluster));
            found.extend(scope.untagged(&tags, &attrs));
            if let Some(address) = scope.managed_address(&tags, &[&attrs.name, &attrs.arn]) {
                let ready = cluster.status() == Some("ACTIVE");
                found.push(Found::Managed { address, spec: spec(cluster, &tags), attrs, ready });
            } else if let Some(address) = scope.find_desired(|spec| spec.name == attrs.name) {
                let what = format!("ECS cluster {}", attrs.name);
                found.push(scope.unmanaged(address, what, &tags, &attrs.name));
            }
        }
        Ok(found)
    }

    async fn create(&self, cx: &Context, spec: &ClusterSpec) -> Result<ClusterAttrs, Failure> {
        let settings = spec.container_insights.as_deref().map(|value| vec![insights(value)]);
        let call = self.client.create_cluster().cluster_name(&spec.name).set_settings(settings);
        let answer =
            call.set_tags(Some(to_ecs(cx.tags(&spec.tags)))).send().await.for_operation("ecs:CreateCluster")?;
        Ok(answer.cluster().map_or_else(|| Self::planned_attrs(spec), attrs))
    }

    async fn update(
        &self,
        _cx: &Context,
        attrs: &ClusterAttrs,
        spec: &ClusterSpec,
        changes: &[Change],
    ) -> Result<ClusterAttrs, Failure> {
        let changed = changes.iter().any(|change| change.field() == "container_insights");
        if let (true, Some(value)) = (changed, &spec.container_insights) {
            let call = self.client.update_cluster_settings().cluster(&attrs.name).settings(insights(value));
            call.send().await.for_operation("ecs:UpdateClusterSettings")?;
        }
        retag(&self.client, &attrs.arn, &spec.tags, changes).await?;
        Ok(attrs.clone())
    }

    /// Waits until the cluster is ACTIVE, and checks that it is managed, because CreateCluster returns an existing
    /// cluster with the same name instead of failing.
    async fn wait_ready(&self, cx: &Context, attrs: ClusterAttrs) -> Result<ClusterAttrs, Failure> {
        let name = &attrs.name;
        cx.wait("ecs:DescribeClusters", Backoff::seconds(Duration::from_secs(120)), || async move {
            let cluster = describe(&self.client, vec![name.clone()]).await?.into_iter().next();
            let Some(cluster) = cluster else {
                return Ok(Progress::Pending("waiting for the cluster to appear".to_owned()));
            };
            if !same_owner(cx, &from_ecs(cluster.tags())) {
                let why = format!("ECS cluster {name} already exists and was not created by this workspace");
                let failure = Failure::new(Class::Unmanaged, "ecs:CreateCluster", why);
                return Err(Failure { hint: cx.adopt_hint(name), ..failure });
            }
            Ok(match cluster.status() {
                Some("ACTIVE") | None => Progress::Ready(self::attrs(&cluster)),
                Some(status) => Progress::Pending(format!("waiting for the cluster ({status})")),
            })
        })
        .await
    }

    async fn delete(&self, cx: &Context, attrs: &ClusterAttrs) -> Result<(), Failure> {
        let answer = self.client.delete_cluster().cluster(&attrs.name).send().await.for_operation("ecs:DeleteCluster");
        match answer.map_err(|failure| failure.when(&["UpdateInProgressException"], Class::NotReady)) {
            Err(failure) if failure.class == Class::InUse => {
                self.stop_one_off_tasks(&attrs.name).await;
                return Err(self.name_blockers(&attrs.name, &attrs.arn, failure).await);
            }
            answer => answer?,
        };
        cx.wait("ecs:DeleteCluster", Backoff::seconds(Duration::from_secs(300)), || async {
            let left = describe(&self.client, vec![attrs.name.clone()]).await?.into_iter().next();
            Ok(match left {
                None => Progress::Ready(()),
                Some(cluster) => {
                    let status = cluster.status().unwrap_or("still exists");
                    Progress::Pending(format!("waiting for the cluster to be deleted ({status})"))
                }
            })
        })
        .await
    }

    async fn adopt(&self, cx: &Context, attrs: &Self::Attrs) -> Result<(), Failure> {
        crate::tags::adopt(&self.client, cx, &attrs.arn).await
    }

    async fn forget(&self, _cx: &Context, attrs: &Self::Attrs) -> Result<(), Failure> {
        crate::tags::forget(&self.client, &attrs.arn).await
    }
}

#[cfg(test)]
mod tests;
