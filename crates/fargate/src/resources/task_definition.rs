//! ECS task definitions. A change registers another revision; old revisions are kept for rollbacks.

use crate::resources::checks;
use crate::resources::container::{self, ContainerSpec};
use crate::resources::revision_in_use::revision_in_use;
use crate::revisions::{self, Revision};
use crate::tags::{Tags, retag, to_ecs};
use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::{
    Compatibility, NetworkMode, TaskDefinition, TaskDefinitionFamilyStatus, TaskDefinitionStatus,
};
use pb_aws::{ForOperation, no_retry};
use pb_engine::{
    Change, Context, Failure, Found, Ownership, ReadScope, Resource, diff, fetch_each, list_with_details, unknown,
};
use pb_rules::task_definition::{ADDED_BY_ECS, container_size};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// Tag that contains the content hash of a revision, by which the revision is found if the response to its registration
/// was lost.
pub const CONTENT_TAG: &str = "pb-deploy:content";

/// Spec of a task definition for Fargate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskDefinitionSpec {
    /// Family: the name that all revisions share.
    pub family: String,
    /// CPU units; 1024 units are one vCPU.
    pub cpu: i32,
    /// Memory in MiB.
    pub memory: i32,
    /// ARN of the execution role, with which ECS pulls images, writes logs and reads secrets.
    pub execution_role_arn: String,
    /// ARN of the task role: the role of the application itself.
    pub task_role_arn: Option<String>,
    /// Containers by name.
    pub containers: BTreeMap<String, ContainerSpec>,
    /// Names of fields that are set although a spec cannot express them, such as `volumes` or `containers.web.user`;
    /// empty in a configured spec.
    pub other: BTreeSet<String>,
    /// Tags, in addition to the ownership tags.
    pub tags: Tags,
}

/// Attributes of a revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskDefinitionAttrs {
    /// Family of the revision.
    pub family: String,
    /// ARN, which includes the number of the revision.
    pub arn: String,
    /// Number of the revision; absent while it is unknown.
    pub revision: Option<i32>,
    /// Hash of the content, which is everything except the tags.
    pub content: String,
}

/// Resource kind for ECS task definitions for Fargate (`ecs.task_definition`).
#[derive(Debug, Clone)]
pub struct TaskDefinitions {
    client: Client,
}

impl TaskDefinitions {
    /// Creates the resource kind, which calls AWS through `client`.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Registers another revision. Every call registers one, so the SDK must not retry the call.
    async fn register(&self, cx: &Context, spec: &TaskDefinitionSpec) -> Result<TaskDefinitionAttrs, Failure> {
        let mut tags = cx.tags(&spec.tags);
        tags.insert(CONTENT_TAG.to_owned(), content(spec));
        let containers = spec.containers.iter().map(|(name, container)| container::to_ecs(name, container));
        let call = self
            .client
            .register_task_definition()
            .family(&spec.family)
            .requires_compatibilities(Compatibility::Fargate)
            .network_mode(NetworkMode::Awsvpc)
            .cpu(spec.cpu.to_string())
            .memory(spec.memory.to_string())
            .execution_role_arn(&spec.execution_role_arn)
            .set_task_role_arn(spec.task_role_arn.clone())
            .set_container_definitions(Some(containers.collect::<Result<_, _>>()?))
            .set_tags(Some(to_ecs(tags)));
        let once = aws_sdk_ecs::config::Builder::new().retry_config(no_retry());
        let answer = call.customize().config_override(once).send().await.for_operation("ecs:RegisterTaskDefinition")?;
        let definition = answer.task_definition();
        Ok(TaskDefinitionAttrs {
            family: spec.family.clone(),
            arn: definition.and_then(TaskDefinition::task_definition_arn).unwrap_or_default().to_owned(),
            revision: definition.map(TaskDefinition::revision),
            content: content(spec),
        })
    }

    /// Returns the latest revision if it is newer than `attrs`, carries the ownership tags of this resource, and has
    /// the content of `spec`. Such a revision exists if the response to its registration was lost, or if a rollback
    /// left it unused. Applies the tags of `spec` to it.
    async fn find_registered(
        &self,
        cx: &Context,
        attrs: &TaskDefinitionAttrs,
        spec: &TaskDefinitionSpec,
    ) -> Result<Option<TaskDefinitionAttrs>, Failure> {
        let (wanted, ours) = (content(spec), cx.tags(&Tags::new()));
        let latest = revisions::describe(&self.client, &spec.family).await?;
        let is_reusable = |latest: &Revision| {
            Some(latest.definition.revision()) > attrs.revision
                && ours.iter().all(|(key, value)| latest.tags.get(key) == Some(value))
                // The tag alone proves nothing: a revision that is created from another one in the console gets a copy
                // of its tags.
                && latest.tags.get(CONTENT_TAG) == Some(&wanted)
                && content(&self::spec(latest)) == wanted
        };
        let Some(latest) = latest.filter(is_reusable) else { return Ok(None) };
        let found = self::attrs(&latest.definition, spec);
        let changes = diff(&json!({ "tags": Ownership::user_tags(&latest.tags) }), &json!({ "tags": spec.tags }));
        retag(&self.client, &found.arn, &spec.tags, &changes).await?;
        Ok(Some(found))
    }

    /// Lists the families whose names start with the prefix of the workspace. Returns an empty list if the tag index
    /// rules out managed families that are not recorded.
    async fn families(&self, scope: &ReadScope<Self>) -> Result<Vec<String>, Failure> {
        if scope.index_is_complete(|arn| arn.contains(":task-definition/")) {
            return Ok(Vec::new());
        }
        let call = self.client.list_task_definition_families().family_prefix(crate::names::name_prefix(scope.owner()));
        let pages = call.status(TaskDefinitionFamilyStatus::Active).into_paginator();
        let listed: Result<Vec<String>, _> = pages.items().send().collect().await;
        listed.for_operation("ecs:ListTaskDefinitionFamilies")
    }

    /// Reads the revision of a family that is to be imported, or else the revision in use. Returns `None` if the family
    /// does not exist.
    async fn read_family(&self, scope: &ReadScope<Self>, family: String) -> Result<Option<Vec<Found<Self>>>, Failure> {
        let claimed = scope.imports().find(|(_, id)| revisions::family(id) == family);
        let revision = match claimed {
            Some((_, id)) => revisions::describe(&self.client, id).await?,
            None => revision_in_use(&self.client, scope, &family).await?,
        };
        let Some(revision) = revision else {
            return Ok(None);
        };
        if let Some(address) = scope.managed_address(&revision.tags, &[claimed.map_or("", |(_, id)| id)]) {
            let spec = spec(&revision);
            let attrs = attrs(&revision.definition, &spec);
            let untagged = scope.untagged(&revision.tags, &attrs);
            return Ok(Some(
                untagged.into_iter().chain([Found::Managed { address, spec, attrs, ready: true }]).collect(),
            ));
        }
        let foreign = scope.find_desired(|spec| spec.family == family);
        let what = format!("task definition family {family}");
        let id = crate::names::last_part(revision.definition.task_definition_arn().unwrap_or_default());
        let foreign = foreign.map(|address| scope.unmanaged(address, what, &revision.tags, id));
        Ok(Some(foreign.into_iter().chain(self.untagged(scope, &family, revision).await?).collect()))
    }

    /// Returns the recorded revision of a family without managed revisions, as an untagged resource. The recorded
    /// revision need not be the latest.
    async fn untagged(
        &self,
        scope: &ReadScope<Self>,
        family: &str,
        latest: Revision,
    ) -> Result<Option<Found<Self>>, Failure> {
        let Some((_, recorded)) = scope.recorded.iter().find(|(_, attrs)| attrs.family == family) else {
            return Ok(None);
        };
        let is_latest = latest.definition.task_definition_arn() == Some(recorded.arn.as_str());
        let revision = if is_latest { Some(latest) } else { revisions::describe(&self.client, &recorded.arn).await? };
        let active = |revision: &Revision| revision.definition.status() == Some(&TaskDefinitionStatus::Active);
        Ok(revision
            .filter(active)
            .and_then(|revision| scope.untagged(&revision.tags, &attrs(&revision.definition, &spec(&revision)))))
    }
}

/// Returns the hash of a spec's content, which is everything except the tags: tags can change without another revision.
fn content(spec: &TaskDefinitionSpec) -> String {
    let bare = TaskDefinitionSpec { tags: Tags::new(), ..spec.clone() };
    let text = serde_json::to_string(&bare).unwrap_or_default();
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns the number of bytes of a task definition: its fields as JSON, without the tags, and a reserve for what ECS
/// adds.
fn size(spec: &TaskDefinitionSpec) -> usize {
    let mut rest = TaskDefinitionSpec { tags: Tags::new(), ..spec.clone() };
    let mut containers = 0;
    for container in rest.containers.values_mut() {
        let (environment, secrets) =
            (std::mem::take(&mut container.environment), std::mem::take(&mut container.secrets));
        let command = std::mem::take(&mut container.command);
        containers += container_size(pairs(&environment), pairs(&secrets), command.iter().map(String::as_str));
    }
    containers + serde_json::to_string(&rest).map_or(0, |text| text.len()) + ADDED_BY_ECS
}

fn pairs(map: &BTreeMap<String, String>) -> impl Iterator<Item = (&str, &str)> {
    map.iter().map(|(name, value)| (name.as_str(), value.as_str()))
}

fn attrs(definition: &TaskDefinition, spec: &TaskDefinitionSpec) -> TaskDefinitionAttrs {
    TaskDefinitionAttrs {
        family: spec.family.clone(),
        arn: definition.task_definition_arn().unwrap_or_default().to_owned(),
        revision: Some(definition.revision()),
        content: content(spec),
    }
}

fn spec(Revision { definition, tags }: &Revision) -> TaskDefinitionSpec {
    // ECS returns sizes as strings of digits, even if they were specified as `1 vCPU`.
    let number = |text: Option<&str>| text.and_then(|text| text.parse().ok()).unwrap_or_default();
    let containers = definition.container_definitions();
    let name = |name: Option<&str>| name.unwrap_or_default().to_owned();
    TaskDefinitionSpec {
        family: name(definition.family()),
        cpu: number(definition.cpu()),
        memory: number(definition.memory()),
        execution_role_arn: name(definition.execution_role_arn()),
        task_role_arn: definition.task_role_arn().map(str::to_owned),
        containers: containers.iter().map(|found| (name(found.name()), container::from_ecs(found))).collect(),
        other: unmanaged_fields(definition),
        tags: Ownership::user_tags(tags),
    }
}

fn unmanaged_fields(definition: &TaskDefinition) -> BTreeSet<String> {
    let network = definition.network_mode();
    let fields = [
        ("network_mode", network != Some(&NetworkMode::Awsvpc)),
        ("volumes", !definition.volumes().is_empty()),
        ("placement_constraints", !definition.placement_constraints().is_empty()),
        ("runtime_platform", definition.runtime_platform().is_some_and(is_not_default)),
        ("pid_mode", definition.pid_mode().is_some()),
        ("ipc_mode", definition.ipc_mode().is_some()),
        ("proxy_configuration", definition.proxy_configuration().is_some()),
        ("ephemeral_storage", definition.ephemeral_storage().is_some()),
        ("enable_fault_injection", definition.enable_fault_injection().unwrap_or_default()),
    ];
    let mut found: BTreeSet<String> =
        fields.into_iter().filter(|(_, is_set)| *is_set).map(|(field, _)| field.to_owned()).collect();
    for container in definition.container_definitions() {
        let name = container.name().unwrap_or_default();
        found.extend(container::unmanaged_fields(container).map(|field| format!("containers.{name}.{field}")));
    }
    found
}

/// Returns whether the platform differs from the default.
fn is_not_default(platform: &aws_sdk_ecs::types::RuntimePlatform) -> bool {
    platform.cpu_architecture().is_some_and(|cpu| cpu.as_str() != "X86_64")
        || platform.operating_system_family().is_some_and(|system| system.as_str() != "LINUX")
}

impl Resource for TaskDefinitions {
    const KIND: &'static str = "ecs.task_definition";
    /// Every RegisterTaskDefinition call registers another revision, so AWS does not refuse a second one.
    const UNIQUE_NAME: bool = false;
    const REDACTS: bool = true;
    const MERGES_LIVE: bool = true;
    const RETAINED_FIELDS: &'static [&'static str] = &["family"];
    type Spec = TaskDefinitionSpec;
    type Attrs = TaskDefinitionAttrs;

    fn validate(spec: &TaskDefinitionSpec) -> Result<(), String> {
        checks::text("family", &spec.family, pb_rules::names::family)?;
        checks::verdict("size", pb_rules::fargate::task_size(spec.cpu.into(), spec.memory.into()))?;
        checks::role("execution_role_arn", &spec.execution_role_arn)?;
        if let Some(role) = &spec.task_role_arn {
            checks::role("task_role_arn", role)?;
        }
        for (name, container) in &spec.containers {
            container::check(name, container)?;
        }
        if !spec.containers.values().any(|container| container.essential) {
            return Err("invalid containers: at least one must be essential".to_owned());
        }
        if !spec.other.is_empty() {
            return Err("invalid other: must be empty in a configured spec".to_owned());
        }
        checks::verdict("task definition", pb_rules::task_definition::size(size(spec)))?;
        checks::tags(&spec.tags)
    }

    fn redact(spec: &mut TaskDefinitionSpec) {
        spec.containers.values_mut().for_each(container::redact);
    }

    /// Keeps log configurations that have the effect of the desired ones, if nothing else differs: they alone cause no
    /// new revision, and no rollout.
    fn merge_live(desired: &mut TaskDefinitionSpec, live: &TaskDefinitionSpec) {
        let containers = container::with_implied_logs(&desired.containers, &live.containers);
        let kept = TaskDefinitionSpec { containers, tags: live.tags.clone(), ..desired.clone() };
        if kept == *live {
            desired.containers = kept.containers;
        }
    }

    fn planned_attrs(spec: &TaskDefinitionSpec) -> TaskDefinitionAttrs {
        let content = content(spec);
        TaskDefinitionAttrs { family: spec.family.clone(), arn: unknown(), revision: None, content }
    }

    /// Returns `attrs` if only tags change, because the revision stays the same. Any other change registers another
    /// revision.
    fn attrs_after_update(attrs: &TaskDefinitionAttrs, spec: &TaskDefinitionSpec) -> TaskDefinitionAttrs {
        if attrs.content == content(spec) { attrs.clone() } else { Self::planned_attrs(spec) }
    }

    fn requires_replacement(field: &str) -> bool {
        field == "family"
    }

    fn can_coexist(old: &TaskDefinitionSpec, new: &TaskDefinitionSpec) -> bool {
        old.family != new.family
    }

    fn id(attrs: &TaskDefinitionAttrs) -> Option<String> {
        Some(crate::names::last_part(&attrs.arn).to_owned())
    }

    /// Returns whether `found` is another revision of the same family: the revision in use can differ from the recorded
    /// one.
    fn is_other_revision(recorded: &TaskDefinitionAttrs, found: &TaskDefinitionAttrs) -> bool {
        recorded.family == found.family && recorded.arn != found.arn
    }

    async fn read(&self, scope: &ReadScope<Self>) -> Result<Vec<Found<Self>>, Failure> {
        let wanted = scope.desired.iter().map(|(_, spec)| spec.family.clone());
        let known = wanted.chain(scope.recorded.iter().map(|(_, attrs)| attrs.family.clone()));
        let known = known.chain(scope.imports().map(|(_, id)| revisions::family(id).to_owned()));
        let known: BTreeSet<String> = known.collect();
        let all = async { Ok(self.families(scope).await?.into_iter().chain(known.clone()).collect()) };
        let ask = |families| fetch_each(families, |family| self.read_family(scope, family));
        let found = list_with_details(all, known.clone(), |family: &String| Some(family.clone()), ask).await?;
        Ok(found.into_iter().filter_map(|(_, found)| found).flatten().collect())
    }

    async fn create(&self, cx: &Context, spec: &TaskDefinitionSpec) -> Result<TaskDefinitionAttrs, Failure> {
        self.register(cx, spec).await
    }

    /// Changes only the tags if nothing else differs. Otherwise registers another revision, unless the latest revision
    /// already has the desired content.
    async fn update(
        &self,
        cx: &Context,
        attrs: &TaskDefinitionAttrs,
        spec: &TaskDefinitionSpec,
        changes: &[Change],
    ) -> Result<TaskDefinitionAttrs, Failure> {
        if attrs.content == content(spec) {
            retag(&self.client, &attrs.arn, &spec.tags, changes).await?;
            return Ok(attrs.clone());
        }
        match self.find_registered(cx, attrs, spec).await? {
            Some(found) => Ok(found),
            None => self.register(cx, spec).await,
        }
    }

    /// Deregisters all managed ACTIVE revisions of the family. The revisions remain INACTIVE and cost nothing.
    async fn delete(&self, cx: &Context, attrs: &TaskDefinitionAttrs) -> Result<(), Failure> {
        revisions::deregister_all(&self.client, cx, &attrs.family).await
    }

    async fn adopt(&self, cx: &Context, attrs: &Self::Attrs) -> Result<(), Failure> {
        crate::tags::adopt(&self.client, cx, &attrs.arn).await
    }

    async fn forget(&self, cx: &Context, attrs: &Self::Attrs) -> Result<(), Failure> {
        revisions::forget_all(&self.client, cx, &attrs.family).await
    }
}

#[cfg(test)]
mod tests;
