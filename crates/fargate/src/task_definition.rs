//! ECS task definitions. A change makes another revision; the old ones stay, so that a rollout can go back.

use crate::checks;
use crate::container::{self, ContainerSpec};
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
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// The tag with the hash of a revision's content, by which a registration whose answer was lost is found.
pub const CONTENT_TAG: &str = "pb-deploy:content";

/// A task definition for Fargate, as it is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskDefinitionSpec {
    /// The family: the name that all revisions share.
    pub family: String,
    /// CPU units; 1024 are one virtual CPU.
    pub cpu: i32,
    /// Memory in MiB.
    pub memory: i32,
    /// ARN of the role with which ECS starts tasks: pulls images, writes logs.
    pub execution_role_arn: String,
    /// ARN of the role that the application itself has.
    pub task_role_arn: Option<String>,
    /// The containers by name.
    pub containers: BTreeMap<String, ContainerSpec>,
    /// Fields that are set and that a spec does not speak of: `volumes`, `containers.web.user`. None are wanted.
    pub other: BTreeSet<String>,
    /// Tags beside those that say whose it is.
    pub tags: Tags,
}

/// A revision, as AWS names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskDefinitionAttrs {
    /// The family.
    pub family: String,
    /// The ARN, with the revision.
    pub arn: String,
    /// The revision; absent as long as it is not known.
    pub revision: Option<i32>,
    /// Hash of the content: all but the tags.
    pub content: String,
}

/// ECS task definitions for Fargate (`ecs.task_definition`).
#[derive(Debug, Clone)]
pub struct TaskDefinitions {
    client: Client,
}

impl TaskDefinitions {
    /// Task definitions behind `client`.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Makes another revision. AWS does that for each call, so the SDK must not repeat it.
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

    /// Returns the latest revision, where it is newer than `attrs`, of this resource, and has the content of `spec`: one whose
    /// registration was not answered, or from which a rollback went back. Its tags are made what `spec` says.
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
                // People who make a revision of another in the console copy its tags.
                && latest.tags.get(CONTENT_TAG) == Some(&wanted)
                && content(&self::spec(latest)) == wanted
        };
        let Some(latest) = latest.filter(is_reusable) else { return Ok(None) };
        let found = self::attrs(&latest.definition, spec);
        let changes = diff(&json!({ "tags": Ownership::user_tags(&latest.tags) }), &json!({ "tags": spec.tags }));
        retag(&self.client, &found.arn, &spec.tags, &changes).await?;
        Ok(Some(found))
    }

    /// The families that may be ours, by their names. None where an index rules out that there are others than those that are
    /// remembered.
    async fn families(&self, scope: &ReadScope<Self>) -> Result<Vec<String>, Failure> {
        if scope.index_is_complete(|arn| arn.contains(":task-definition/")) {
            return Ok(Vec::new());
        }
        let call = self.client.list_task_definition_families().family_prefix(crate::name_prefix(scope.owner()));
        let pages = call.status(TaskDefinitionFamilyStatus::Active).into_paginator();
        let listed: Result<Vec<String>, _> = pages.items().send().collect().await;
        listed.for_operation("ecs:ListTaskDefinitionFamilies")
    }

    async fn read_family(&self, scope: &ReadScope<Self>, family: String) -> Result<Option<Vec<Found<Self>>>, Failure> {
        let claimed = scope.imports().find(|(_, id)| revisions::family(id) == family);
        let revision = match claimed {
            Some((_, id)) => revisions::describe(&self.client, id).await?,
            None => revisions::in_use(&self.client, scope, &family).await?,
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
        let foreign = foreign.map(|address| Found::Unmanaged { address: address.clone(), what });
        Ok(Some(foreign.into_iter().chain(self.untagged(scope, &family, revision).await?).collect()))
    }

    /// The recorded revision of a family in which no revision is ours any more. Another one may have been registered since.
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

/// Hash of all that makes a revision; tags can be changed without another one.
fn content(spec: &TaskDefinitionSpec) -> String {
    let bare = TaskDefinitionSpec { tags: Tags::new(), ..spec.clone() };
    let text = serde_json::to_string(&bare).unwrap_or_default();
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
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
    // ECS gives back numbers as texts, also for sizes that were given as `1 vCPU`.
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

/// Whether the platform is another than the one that tasks have by themselves.
fn is_not_default(platform: &aws_sdk_ecs::types::RuntimePlatform) -> bool {
    platform.cpu_architecture().is_some_and(|cpu| cpu.as_str() != "X86_64")
        || platform.operating_system_family().is_some_and(|system| system.as_str() != "LINUX")
}

impl Resource for TaskDefinitions {
    const KIND: &'static str = "ecs.task_definition";
    /// RegisterTaskDefinition makes another revision each time.
    const UNIQUE_NAME: bool = false;
    const REDACTS: bool = true;
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
            return Err("invalid other: fields that a spec does not speak of cannot be wanted".to_owned());
        }
        checks::tags(&spec.tags)
    }

    fn redact(spec: &mut TaskDefinitionSpec) {
        spec.containers.values_mut().for_each(container::redact);
    }

    fn planned_attrs(spec: &TaskDefinitionSpec) -> TaskDefinitionAttrs {
        let content = content(spec);
        TaskDefinitionAttrs { family: spec.family.clone(), arn: unknown(), revision: None, content }
    }

    /// Other tags leave the revision; all else makes another one.
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
        Some(crate::last_part(&attrs.arn).to_owned())
    }

    /// Revisions are kept, and the one that a service uses is in use.
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

    /// Registers another revision, unless the latest one is what is wanted.
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

    /// Deregisters every ACTIVE revision of the family that is ours. They stay as INACTIVE, and cost nothing.
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
