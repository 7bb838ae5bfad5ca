//! `elasticache.parameter_group`: parameters of an engine family.

use crate::{Client, ownership, tags};
use aws_sdk_elasticache::types::{CacheParameterGroup, Parameter, ParameterNameValue};
use pb_aws::ForOperation;
use pb_engine::{Change, Class, Context, Failure, Found, Ownership, ReadScope, Resource};
use pb_engine::{fetch_each, is_unknown, list_with_details, unknown};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Tags by key.
type Tags = BTreeMap<String, String>;

/// Maximum number of parameters in one call. (ElastiCache API: ModifyCacheParameterGroup)
const MAX_PARAMETERS_PER_CALL: usize = 20;

/// Description, which AWS requires. It is not a field of the spec because it is immutable, and a new wording must not
/// cause a replacement of the queue.
const DESCRIPTION: &str = "Parameters of the queue";

/// Resource kind for cache parameter groups.
pub struct ParameterGroup {
    client: Client,
}

impl ParameterGroup {
    /// Creates the resource kind, which makes its calls through `client`.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }
}

/// Spec of a cache parameter group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ParameterGroupSpec {
    /// Name in lower case. A name that contains the family allows a group of another family to exist at the same time.
    pub name: String,
    /// Family, such as `redis7`.
    pub family: String,
    /// Parameters whose values differ from the family's defaults. Any other parameter that somebody sets shows as a
    /// change.
    pub parameters: BTreeMap<String, String>,
    /// Tags other than the ownership tags.
    pub tags: BTreeMap<String, String>,
}

/// Attributes of a cache parameter group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ParameterGroupAttrs {
    /// Name of the group.
    pub name: String,
    /// ARN of the group.
    pub arn: String,
}

impl Resource for ParameterGroup {
    const KIND: &'static str = "elasticache.parameter_group";
    const TAG_INDEXED: bool = true;
    const RETAINED_FIELDS: &'static [&'static str] = &["name"];
    type Spec = ParameterGroupSpec;
    type Attrs = ParameterGroupAttrs;

    fn validate(spec: &ParameterGroupSpec) -> Result<(), String> {
        if is_unknown(&spec.name) {
            return Ok(());
        }
        pb_rules::names::cache_parameter_group(&spec.name).map_err(|violation| violation.to_string())
    }

    fn planned_attrs(spec: &ParameterGroupSpec) -> ParameterGroupAttrs {
        ParameterGroupAttrs { name: spec.name.clone(), arn: unknown() }
    }

    fn requires_replacement(field: &str) -> bool {
        matches!(field, "name" | "family")
    }

    fn can_coexist(old: &ParameterGroupSpec, new: &ParameterGroupSpec) -> bool {
        old.name != new.name
    }

    fn id(attrs: &ParameterGroupAttrs) -> Option<String> {
        Some(attrs.name.clone())
    }

    async fn read(&self, scope: &ReadScope<Self>) -> Result<Vec<Found<Self>>, Failure> {
        let arn = |group: &CacheParameterGroup| group.arn().map(str::to_owned);
        let tagged = async {
            let recorded = scope.recorded.iter().map(|(_, attrs)| attrs.arn.clone());
            let tags = |arns| tags::of(scope, &self.client, arns);
            let tagged = list_with_details(self.candidates(scope), recorded, arn, tags).await?;
            Ok(tagged.into_iter().filter_map(|(group, tags)| Some((group, tags?))).collect())
        };
        let recorded = scope.recorded.iter().map(|(_, attrs)| attrs.name.clone());
        let managed_name = |(group, tags): &(CacheParameterGroup, Tags)| {
            let name = group.cache_parameter_group_name()?;
            scope.managed_address(tags, &[name]).map(|_| name.to_owned())
        };
        let parameters = |names| fetch_each(names, |name| async move { self.parameters(&name).await });
        let all: Vec<((CacheParameterGroup, Tags), _)> =
            list_with_details(tagged, recorded, managed_name, parameters).await?;
        let untagged = all.iter().filter_map(|((group, tags), _)| scope.untagged(tags, &attrs_of(group)));
        let found =
            all.iter().filter_map(|((group, tags), parameters)| classify(scope, group, tags, parameters.as_deref()));
        Ok(found.chain(untagged).collect())
    }

    async fn create(&self, cx: &Context, spec: &ParameterGroupSpec) -> Result<ParameterGroupAttrs, Failure> {
        let call = self
            .client
            .create_cache_parameter_group()
            .cache_parameter_group_name(&spec.name)
            .cache_parameter_group_family(&spec.family)
            .description(DESCRIPTION)
            .set_tags(Some(tags::to_sdk(&cx.tags(&spec.tags))));
        let output = call.send().await.for_operation("elasticache:CreateCacheParameterGroup")?;
        Ok(output.cache_parameter_group().map_or_else(|| Self::planned_attrs(spec), attrs_of))
    }

    async fn configure(
        &self,
        _cx: &Context,
        attrs: &ParameterGroupAttrs,
        spec: &ParameterGroupSpec,
    ) -> Result<(), Failure> {
        let all: Vec<(&String, &String)> = spec.parameters.iter().collect();
        for part in all.chunks(MAX_PARAMETERS_PER_CALL) {
            let pairs = part.iter().map(|(name, value)| parameter(name, Some(value.as_str()))).collect();
            let call = self.client.modify_cache_parameter_group().cache_parameter_group_name(&attrs.name);
            let call = call.set_parameter_name_values(Some(pairs)).send();
            call.await.for_operation("elasticache:ModifyCacheParameterGroup").map_err(not_ready_while_applying)?;
        }
        Ok(())
    }

    async fn update(
        &self,
        cx: &Context,
        attrs: &ParameterGroupAttrs,
        spec: &ParameterGroupSpec,
        changes: &[Change],
    ) -> Result<ParameterGroupAttrs, Failure> {
        tags::change(&self.client, &attrs.arn, &spec.tags, changes).await?;
        let changes: Vec<&Change> = changes.iter().filter(|change| change.field() == "parameters").collect();
        if changes.iter().any(|change| change.after.is_some()) {
            self.configure(cx, attrs, spec).await?;
        }
        let removed: Vec<ParameterNameValue> = changes
            .iter()
            .filter(|change| change.after.is_none())
            .filter_map(|change| change.path.strip_prefix("parameters."))
            .map(|name| parameter(name, None))
            .collect();
        for part in removed.chunks(MAX_PARAMETERS_PER_CALL) {
            let call = self.client.reset_cache_parameter_group().cache_parameter_group_name(&attrs.name);
            let call = call.set_parameter_name_values(Some(part.to_vec())).send();
            call.await.for_operation("elasticache:ResetCacheParameterGroup").map_err(not_ready_while_applying)?;
        }
        Ok(attrs.clone())
    }

    async fn delete(&self, _cx: &Context, attrs: &ParameterGroupAttrs) -> Result<(), Failure> {
        let call = self.client.delete_cache_parameter_group().cache_parameter_group_name(&attrs.name).send();
        // In the response to a delete, this code means that clusters still use the group; in responses to other calls,
        // it means that a change is being applied.
        let in_use = |failure: Failure| failure.when(&["InvalidCacheParameterGroupState"], Class::InUse);
        call.await.for_operation("elasticache:DeleteCacheParameterGroup").map_err(in_use).map(drop)
    }

    async fn adopt(&self, cx: &Context, attrs: &Self::Attrs) -> Result<(), Failure> {
        tags::adopt(&self.client, cx, &attrs.arn).await
    }

    async fn forget(&self, _cx: &Context, attrs: &Self::Attrs) -> Result<(), Failure> {
        tags::forget(&self.client, &attrs.arn).await
    }
}

impl ParameterGroup {
    async fn candidates(&self, scope: &ReadScope<Self>) -> Result<Vec<CacheParameterGroup>, Failure> {
        let all = self.client.describe_cache_parameter_groups().into_paginator().items().send();
        let mut all: Vec<CacheParameterGroup> =
            all.collect::<Result<_, _>>().await.for_operation("elasticache:DescribeCacheParameterGroups")?;
        all.retain(|group| {
            let name = group.cache_parameter_group_name().unwrap_or_default();
            ownership::is_candidate(scope, name, |spec| &spec.name, |attrs: &ParameterGroupAttrs| &attrs.name)
        });
        Ok(all)
    }

    /// Returns all parameters of a group, or `None` if it no longer exists.
    async fn parameters(&self, name: &str) -> Result<Option<Vec<Parameter>>, Failure> {
        let all = self.client.describe_cache_parameters().cache_parameter_group_name(name).into_paginator();
        match all.items().send().collect::<Result<_, _>>().await.for_operation("elasticache:DescribeCacheParameters") {
            Err(failure) if failure.class == Class::NotFound => Ok(None),
            answer => answer.map(Some),
        }
    }
}

/// Classifies a group as managed or unmanaged; `None` if the group has been deleted since it was listed, or is
/// irrelevant.
fn classify(
    scope: &ReadScope<ParameterGroup>,
    group: &CacheParameterGroup,
    tags: &Tags,
    parameters: Option<&[Parameter]>,
) -> Option<Found<ParameterGroup>> {
    let attrs = attrs_of(group);
    let Some(address) = scope.managed_address(tags, &[&attrs.name]) else {
        let address = scope.find_desired(|spec| spec.name == attrs.name)?;
        return Some(scope.unmanaged(address, format!("cache parameter group {}", attrs.name), tags, &attrs.name));
    };
    let wanted = scope.desired.iter().find(|(at, _)| *at == address).map(|(_, spec)| spec);
    let spec = ParameterGroupSpec {
        name: attrs.name.clone(),
        family: group.cache_parameter_group_family().unwrap_or_default().to_owned(),
        parameters: managed_parameters(parameters?, wanted),
        tags: Ownership::user_tags(tags),
    };
    Some(Found::Managed { address, spec, attrs, ready: true })
}

/// Returns the parameters that a user has set, and all desired parameters. AWS does not always report a parameter as
/// set by a user if its value equals the family's default.
fn managed_parameters(all: &[Parameter], desired: Option<&ParameterGroupSpec>) -> BTreeMap<String, String> {
    let is_desired = |name: &str| desired.is_some_and(|spec| spec.parameters.contains_key(name));
    let managed = all.iter().filter_map(|parameter| {
        let name = parameter.parameter_name()?;
        let set = parameter.source() == Some("user") || is_desired(name);
        set.then(|| (name.to_owned(), parameter.parameter_value().unwrap_or_default().to_owned()))
    });
    managed.collect()
}

fn attrs_of(group: &CacheParameterGroup) -> ParameterGroupAttrs {
    ParameterGroupAttrs {
        name: group.cache_parameter_group_name().unwrap_or_default().to_owned(),
        arn: group.arn().unwrap_or_default().to_owned(),
    }
}

fn parameter(name: &str, value: Option<&str>) -> ParameterNameValue {
    ParameterNameValue::builder().parameter_name(name).set_parameter_value(value.map(str::to_owned)).build()
}

/// Marks a failure as temporary if it is due to a preceding change that is still being applied; until then, the group
/// cannot be changed.
fn not_ready_while_applying(failure: Failure) -> Failure {
    failure.when(&["InvalidCacheParameterGroupState"], Class::NotReady)
}

#[cfg(test)]
mod tests {
    use super::{ParameterGroup, ParameterGroupSpec};
    use crate::Client;
    use crate::testing::{error_metadata, name_tag, owned_tags, standalone};
    use aws_sdk_elasticache::operation::create_cache_parameter_group::CreateCacheParameterGroupOutput;
    use aws_sdk_elasticache::operation::delete_cache_parameter_group::{
        DeleteCacheParameterGroupError, DeleteCacheParameterGroupOutput,
    };
    use aws_sdk_elasticache::operation::describe_cache_parameter_groups::DescribeCacheParameterGroupsOutput;
    use aws_sdk_elasticache::operation::describe_cache_parameters::DescribeCacheParametersOutput;
    use aws_sdk_elasticache::operation::list_tags_for_resource::ListTagsForResourceOutput;
    use aws_sdk_elasticache::operation::modify_cache_parameter_group::ModifyCacheParameterGroupOutput;
    use aws_sdk_elasticache::operation::reset_cache_parameter_group::ResetCacheParameterGroupOutput;
    use aws_sdk_elasticache::types::{CacheParameterGroup, Parameter};
    use aws_smithy_mocks::{Rule, mock};
    use pb_engine::{Action, Graph, Order, Standalone};

    fn spec() -> ParameterGroupSpec {
        ParameterGroupSpec {
            name: "staging-jobqr-redis7".to_owned(),
            family: "redis7".to_owned(),
            parameters: [("maxmemory-policy".to_owned(), "noeviction".to_owned())].into(),
            tags: name_tag("staging-jobqr-redis7"),
        }
    }

    fn stack_of(spec: ParameterGroupSpec, rules: &[&Rule]) -> Standalone {
        let client = pb_aws::mock_client!(aws_sdk_elasticache, rules.iter().copied());
        let mut graph = Graph::new();
        let kind = graph.kind(ParameterGroup::new(client));
        graph.add("redis/parameters", &kind, (), move |()| spec.clone()).unwrap();
        standalone(graph)
    }

    fn group(name: &str) -> CacheParameterGroup {
        CacheParameterGroup::builder()
            .cache_parameter_group_name(name)
            .cache_parameter_group_family("redis7")
            .arn(format!("arn:{name}"))
            .build()
    }

    fn groups_rule(name: &'static str) -> Rule {
        mock!(Client::describe_cache_parameter_groups).then_output(move || {
            let answer = DescribeCacheParameterGroupsOutput::builder().cache_parameter_groups(group("default.redis7"));
            answer.cache_parameter_groups(group(name)).build()
        })
    }

    fn tags() -> Rule {
        mock!(Client::list_tags_for_resource).then_output(|| {
            let tags = owned_tags("redis/parameters", "staging-jobqr-redis7");
            ListTagsForResourceOutput::builder().set_tag_list(Some(tags)).build()
        })
    }

    fn parameters(listed: &'static [(&'static str, &'static str, &'static str)]) -> Rule {
        mock!(Client::describe_cache_parameters).then_output(move || {
            let parameters = listed.iter().map(|(name, value, source)| {
                Parameter::builder().parameter_name(*name).parameter_value(*value).source(*source).build()
            });
            DescribeCacheParametersOutput::builder().set_parameters(Some(parameters.collect())).build()
        })
    }

    fn modify() -> Rule {
        mock!(Client::modify_cache_parameter_group)
            .match_requests(|call| {
                let [pair] = call.parameter_name_values() else { return false };
                (pair.parameter_name(), pair.parameter_value()) == (Some("maxmemory-policy"), Some("noeviction"))
            })
            .then_output(|| ModifyCacheParameterGroupOutput::builder().build())
    }

    #[tokio::test(start_paused = true)]
    async fn parameter_group_create_sends_tags_then_sets_parameters() {
        let create = mock!(Client::create_cache_parameter_group)
            .match_requests(|call| {
                call.cache_parameter_group_family() == Some("redis7")
                    && owned_tags("redis/parameters", "staging-jobqr-redis7")
                        .iter()
                        .all(|tag| call.tags().contains(tag))
            })
            .then_output(|| {
                let group = group("staging-jobqr-redis7");
                CreateCacheParameterGroupOutput::builder().cache_parameter_group(group).build()
            });
        let modify = modify();
        stack_of(spec(), &[&groups_rule("other"), &create, &modify]).deploy().await.unwrap();
        assert_eq!((create.num_calls(), modify.num_calls()), (1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn family_defaults_are_no_change_other_parameters_are_reset() {
        let parameters = parameters(&[("maxmemory-policy", "noeviction", "user"), ("timeout", "0", "system")]);
        let plan =
            stack_of(spec(), &[&groups_rule("staging-jobqr-redis7"), &tags(), &parameters]).plan().await.unwrap();
        assert!(plan.is_empty(), "{plan:?}");

        let parameters = self::parameters(&[("maxmemory-policy", "volatile-lru", "system"), ("timeout", "9", "user")]);
        let reset = mock!(Client::reset_cache_parameter_group)
            .match_requests(|call| {
                let [pair] = call.parameter_name_values() else { return false };
                (pair.parameter_name(), pair.parameter_value()) == (Some("timeout"), None)
            })
            .then_output(|| ResetCacheParameterGroupOutput::builder().build());
        let modify = modify();
        let rules = [&groups_rule("staging-jobqr-redis7"), &tags(), &parameters, &reset, &modify];
        stack_of(spec(), &rules).deploy().await.unwrap();
        assert_eq!((modify.num_calls(), reset.num_calls()), (1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn another_family_replaces_the_group_create_first() {
        let wanted = ParameterGroupSpec {
            name: "staging-jobqr-valkey8".to_owned(),
            family: "valkey8".to_owned(),
            tags: name_tag("staging-jobqr-redis7"),
            ..spec()
        };
        let parameters = parameters(&[("maxmemory-policy", "noeviction", "user")]);
        let plan =
            stack_of(wanted, &[&groups_rule("staging-jobqr-redis7"), &tags(), &parameters]).plan().await.unwrap();
        assert_eq!(plan.steps[0].action, Action::Replace { order: Order::CreateBeforeDestroy });
    }

    #[tokio::test(start_paused = true)]
    async fn parameter_group_delete_waits_for_its_members() {
        let delete = mock!(Client::delete_cache_parameter_group)
            .sequence()
            .error(|| DeleteCacheParameterGroupError::generic(error_metadata("InvalidCacheParameterGroupState")))
            .output(|| DeleteCacheParameterGroupOutput::builder().build())
            .build();
        let parameters = parameters(&[]);
        let rules = [&groups_rule("staging-jobqr-redis7"), &tags(), &parameters, &delete];
        stack_of(spec(), &rules).destroy().await.unwrap();
        assert_eq!(delete.num_calls(), 2);
    }
}
