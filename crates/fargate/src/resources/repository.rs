//! Image repositories of ECR.

mod images;
#[cfg(test)]
mod tests;

use crate::resources::checks;
use crate::tags::{TagChanges, Tags};
use aws_sdk_ecr::Client;
use aws_sdk_ecr::types::{ImageScanningConfiguration, ImageTagMutability, Repository, Tag};
use futures_util::future::try_join;
use pb_aws::{ForOperation, tag_map};
use pb_engine::{Address, Change, Class, Context, Failure, Found, Ownership, ReadScope, Resource};
use pb_engine::{UNKNOWN, fetch_each, list_with_details, unknown};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Number of repositories, or of images, per page. (ECR API: DescribeRepositories, ListImages)
const PAGE_SIZE: i32 = 1000;

/// Spec of an image repository.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RepositorySpec {
    /// Name of the repository.
    pub name: String,
    /// `true` if each pushed image is scanned for known vulnerabilities.
    pub scan_on_push: bool,
    /// Tag mutability, which decides whether a tag can be moved to another image: `MUTABLE` or `IMMUTABLE`. If absent, it
    /// is not managed.
    pub tag_mutability: Option<String>,
    /// Lifecycle policy, in ECR's JSON format; for example, the result of [`keep_untagged`].
    pub lifecycle: Option<Value>,
    /// Tags, in addition to the ownership tags.
    pub tags: Tags,
}

/// Attributes of an image repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryAttrs {
    /// Name of the repository.
    pub name: String,
    /// ARN of the repository.
    pub arn: String,
    /// URI of the repository: the part of image references before `:tag`.
    pub uri: String,
    /// `true` if the repository contains images that must not be deleted with it.
    pub keeps_images: bool,
    /// Number of images in the repository; absent if they were not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<usize>,
}

/// Resource kind for image repositories of ECR (`ecr.repository`).
#[derive(Debug, Clone)]
pub struct Repositories {
    client: Client,
    delete_images: bool,
    /// `true` if the repository contains images; absent if that is not known yet.
    has_images: Option<bool>,
}

/// Returns a lifecycle policy that keeps the last `count` untagged images. (ECR user guide: Lifecycle policy
/// properties)
#[must_use]
pub fn keep_untagged(count: u32) -> Value {
    json!({"rules": [{
        "rulePriority": 1,
        "description": format!("keep the last {count} images without a tag"),
        "selection": {"tagStatus": "untagged", "countType": "imageCountMoreThan", "countNumber": count},
        "action": {"type": "expire"},
    }]})
}

/// Properties of a repository that DescribeRepositories does not return.
struct Contents {
    lifecycle: Option<Value>,
    /// Number of images; absent if they were not counted, because the caller knows that there are some.
    images: Option<usize>,
}

impl Repositories {
    /// Creates the resource kind, which calls AWS through `client`. A repository that contains images is deleted only
    /// if `delete_images` is set.
    #[must_use]
    pub fn new(client: Client, delete_images: bool) -> Self {
        Self { client, delete_images, has_images: None }
    }

    /// Sets whether the repository contains images, if the caller already knows. They are then not counted.
    #[must_use]
    pub fn has_images(self, has_images: Option<bool>) -> Self {
        Self { has_images, ..self }
    }

    /// Returns the lifecycle policy of a repository. A policy that is not valid JSON is returned as a JSON string, so
    /// it never compares equal to a configured policy, which is an object.
    async fn lifecycle(&self, name: &str) -> Result<Option<Value>, Failure> {
        let answer = self.client.get_lifecycle_policy().repository_name(name).send().await;
        match answer.for_operation("ecr:GetLifecyclePolicy") {
            Ok(found) => {
                let text = found.lifecycle_policy_text.unwrap_or_default();
                Ok(Some(serde_json::from_str(&text).unwrap_or(Value::String(text))))
            }
            Err(failure) if failure.is("LifecyclePolicyNotFoundException") => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    async fn set_lifecycle(&self, name: &str, policy: Option<&Value>) -> Result<(), Failure> {
        match policy {
            Some(policy) => {
                let call = self.client.put_lifecycle_policy().repository_name(name);
                call.lifecycle_policy_text(policy.to_string()).send().await.for_operation("ecr:PutLifecyclePolicy")?;
            }
            None => {
                let call = self.client.delete_lifecycle_policy().repository_name(name).send().await;
                if let Err(failure) = call.for_operation("ecr:DeleteLifecyclePolicy")
                    && !failure.is("LifecyclePolicyNotFoundException")
                {
                    return Err(failure);
                }
            }
        }
        Ok(())
    }

    async fn candidates(&self, scope: &ReadScope<Self>) -> Result<Vec<Repository>, Failure> {
        let prefix = crate::names::name_prefix(scope.owner());
        let pages = self.client.describe_repositories().into_paginator().page_size(PAGE_SIZE);
        let all: Result<Vec<Repository>, _> = pages.items().send().collect().await;
        let mut all = all.for_operation("ecr:DescribeRepositories")?;
        all.retain(|repository| {
            let name = repository.repository_name().unwrap_or_default();
            name.starts_with(&prefix)
                || scope.find_desired(|spec| spec.name == name).is_some()
                || scope.find_recorded(|attrs| attrs.name == name).is_some()
                || scope.imports().any(|(_, id)| id == name || Some(id) == repository.repository_arn())
        });
        Ok(all)
    }

    /// Returns the tags of a repository, or `None` if it has been deleted in the meantime.
    async fn tags(&self, arn: &str) -> Result<Option<Tags>, Failure> {
        match self
            .client
            .list_tags_for_resource()
            .resource_arn(arn)
            .send()
            .await
            .for_operation("ecr:ListTagsForResource")
        {
            Err(failure) if failure.class == Class::NotFound => Ok(None),
            answer => {
                let tags = answer?;
                Ok(Some(tag_map(tags.tags().iter().map(|tag| (Some(tag.key()), Some(tag.value()))))))
            }
        }
    }

    /// Returns the properties that DescribeRepositories does not return, or `None` if the repository has been deleted
    /// in the meantime.
    async fn contents(&self, name: &str) -> Result<Option<Contents>, Failure> {
        match try_join(self.lifecycle(name), self.count_images(name)).await {
            Ok((lifecycle, images)) => Ok(Some(Contents { lifecycle, images })),
            Err(failure) if failure.class == Class::NotFound => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    async fn retag(&self, arn: &str, tags: &Tags, changes: &[Change]) -> Result<(), Failure> {
        let TagChanges { set, removed } = TagChanges::of(tags, changes);
        if !set.is_empty() {
            let call = self.client.tag_resource().resource_arn(arn).set_tags(Some(to_ecr(set)?));
            call.send().await.for_operation("ecr:TagResource")?;
        }
        if !removed.is_empty() {
            let call = self.client.untag_resource().resource_arn(arn).set_tag_keys(Some(removed));
            call.send().await.for_operation("ecr:UntagResource")?;
        }
        Ok(())
    }
}

/// Returns the address of a repository, or `None` if the repository is unmanaged.
fn managed_address(scope: &ReadScope<Repositories>, repository: &Repository, tags: &Tags) -> Option<Address> {
    scope.managed_address(tags, &[repository.repository_arn()?, repository.repository_name()?])
}

/// Returns a repository as managed or unmanaged, or `None` if it is neither managed nor configured, or has been deleted
/// in the meantime.
fn classify(
    scope: &ReadScope<Repositories>,
    repository: &Repository,
    tags: &Tags,
    contents: Option<Contents>,
    delete_images: bool,
) -> Option<Found<Repositories>> {
    let mut attrs = attrs(repository);
    let Some(address) = managed_address(scope, repository, tags) else {
        let address = scope.find_desired(|spec| spec.name == attrs.name)?;
        return Some(scope.unmanaged(address, format!("ECR repository {}", attrs.name), tags, &attrs.name));
    };
    let Contents { lifecycle, images } = contents?;
    attrs.keeps_images = !delete_images && images != Some(0);
    attrs.images = images;
    let scanning = repository.image_scanning_configuration();
    let spec = RepositorySpec {
        name: attrs.name.clone(),
        scan_on_push: scanning.is_some_and(ImageScanningConfiguration::scan_on_push),
        tag_mutability: Some(
            repository.image_tag_mutability().map_or("MUTABLE", ImageTagMutability::as_str).to_owned(),
        ),
        lifecycle,
        tags: Ownership::user_tags(tags),
    };
    Some(Found::Managed { address, spec, attrs, ready: true })
}

fn attrs(repository: &Repository) -> RepositoryAttrs {
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    RepositoryAttrs {
        name: text(repository.repository_name()),
        arn: text(repository.repository_arn()),
        uri: text(repository.repository_uri()),
        keeps_images: false,
        images: None,
    }
}

fn to_ecr(tags: Tags) -> Result<Vec<Tag>, Failure> {
    let tags = tags.into_iter().map(|(key, value)| Tag::builder().key(key).value(value).build());
    tags.collect::<Result<_, _>>().map_err(|e| Failure::new(Class::Bug, "build tags", e.to_string()))
}

fn scanning(on_push: bool) -> ImageScanningConfiguration {
    ImageScanningConfiguration::builder().scan_on_push(on_push).build()
}

impl Resource for Repositories {
    const KIND: &'static str = "ecr.repository";
    const TAG_INDEXED: bool = true;
    const RETAINED_FIELDS: &'static [&'static str] = &["name"];
    const OPTIONAL_FIELDS: &'static [&'static str] = &["tag_mutability"];
    type Spec = RepositorySpec;
    type Attrs = RepositoryAttrs;

    fn validate(spec: &RepositorySpec) -> Result<(), String> {
        checks::text("name", &spec.name, pb_rules::names::repository)?;
        if let Some(mutability) = &spec.tag_mutability
            && !["MUTABLE", "IMMUTABLE"].contains(&mutability.as_str())
        {
            return Err(format!("invalid tag_mutability: expected MUTABLE or IMMUTABLE, got `{mutability}`"));
        }
        checks::tags(&spec.tags)
    }

    fn planned_attrs(spec: &RepositorySpec) -> RepositoryAttrs {
        let uri = format!("{UNKNOWN}/{}", spec.name);
        RepositoryAttrs { name: spec.name.clone(), arn: unknown(), uri, keeps_images: false, images: None }
    }

    fn requires_replacement(field: &str) -> bool {
        field == "name"
    }

    fn can_coexist(old: &RepositorySpec, new: &RepositorySpec) -> bool {
        old.name != new.name
    }

    fn deletion_blocker(_spec: &RepositorySpec, attrs: &RepositoryAttrs) -> Option<String> {
        let images = match attrs.images {
            Some(1) => "1 image".to_owned(),
            Some(count) => format!("{count} images"),
            None => "images".to_owned(),
        };
        attrs.keeps_images.then(|| format!("it contains {images}, and `delete_images` is not set"))
    }

    fn id(attrs: &RepositoryAttrs) -> Option<String> {
        Some(attrs.name.clone())
    }

    /// Lists all repositories of the registry, up to 1000 per call, instead of requesting the known names, because
    /// DescribeRepositories fails if one of the requested names does not exist.
    async fn read(&self, scope: &ReadScope<Self>) -> Result<Vec<Found<Self>>, Failure> {
        let arn = |repository: &Repository| repository.repository_arn().map(str::to_owned);
        let tagged = async {
            let likely = scope.recorded.iter().map(|(_, attrs)| attrs.arn.clone());
            let ask = |arns| fetch_each(arns, |arn| async move { self.tags(&arn).await });
            let tagged =
                list_with_details(self.candidates(scope), likely, arn, |arns| scope.tags_of(arns, ask)).await?;
            Ok(tagged.into_iter().filter_map(|(repository, tags)| Some((repository, tags?))).collect())
        };
        let likely = scope.recorded.iter().map(|(_, attrs)| attrs.name.clone());
        let ours = |(repository, tags): &(Repository, Tags)| {
            managed_address(scope, repository, tags).and_then(|_| repository.repository_name().map(str::to_owned))
        };
        let contents = |names| fetch_each(names, |name| async move { self.contents(&name).await });
        let all: Vec<((Repository, Tags), _)> = list_with_details(tagged, likely, ours, contents).await?;
        let untagged = all.iter().filter_map(|((repository, tags), _)| scope.untagged(tags, &attrs(repository)));
        let untagged: Vec<_> = untagged.collect();
        let found = all.into_iter().filter_map(|((repository, tags), contents)| {
            classify(scope, &repository, &tags, contents, self.delete_images)
        });
        Ok(found.chain(untagged).collect())
    }

    async fn create(&self, cx: &Context, spec: &RepositorySpec) -> Result<RepositoryAttrs, Failure> {
        let call = self.client.create_repository().repository_name(&spec.name);
        let call = call.image_scanning_configuration(scanning(spec.scan_on_push));
        // A kept live value may have exclusion filters, which the spec does not contain.
        let mutability = spec.tag_mutability.as_deref().map(|value| value.trim_end_matches("_WITH_EXCLUSION"));
        let call = call.set_image_tag_mutability(mutability.map(ImageTagMutability::from));
        let answer =
            call.set_tags(Some(to_ecr(cx.tags(&spec.tags))?)).send().await.for_operation("ecr:CreateRepository")?;
        Ok(answer.repository().map_or_else(|| Self::planned_attrs(spec), attrs))
    }

    async fn configure(&self, _cx: &Context, attrs: &RepositoryAttrs, spec: &RepositorySpec) -> Result<(), Failure> {
        match &spec.lifecycle {
            Some(policy) => self.set_lifecycle(&attrs.name, Some(policy)).await,
            None => Ok(()),
        }
    }

    async fn update(
        &self,
        _cx: &Context,
        attrs: &RepositoryAttrs,
        spec: &RepositorySpec,
        changes: &[Change],
    ) -> Result<RepositoryAttrs, Failure> {
        let differs = |field: &str| changes.iter().any(|change| change.field() == field);
        let name = &attrs.name;
        if differs("scan_on_push") {
            let call = self.client.put_image_scanning_configuration().repository_name(name);
            let call = call.image_scanning_configuration(scanning(spec.scan_on_push));
            call.send().await.for_operation("ecr:PutImageScanningConfiguration")?;
        }
        if let (true, Some(mutability)) = (differs("tag_mutability"), &spec.tag_mutability) {
            let call = self.client.put_image_tag_mutability().repository_name(name);
            let call = call.image_tag_mutability(ImageTagMutability::from(mutability.as_str()));
            call.send().await.for_operation("ecr:PutImageTagMutability")?;
        }
        if differs("lifecycle") {
            self.set_lifecycle(name, spec.lifecycle.as_ref()).await?;
        }
        self.retag(&attrs.arn, &spec.tags, changes).await?;
        Ok(attrs.clone())
    }

    /// One call deletes the repository with all its images, however many they are and whichever refers to another;
    /// BatchDeleteImage takes 100 images, and refuses those to which an image index refers. (ECR API: DeleteRepository)
    async fn delete(&self, cx: &Context, attrs: &RepositoryAttrs) -> Result<(), Failure> {
        let call = self.client.delete_repository().repository_name(&attrs.name).force(self.delete_images);
        call.send().await.for_operation("ecr:DeleteRepository")?;
        if self.delete_images { self.wait_deleted(cx, &attrs.name).await } else { Ok(()) }
    }

    async fn adopt(&self, cx: &Context, attrs: &Self::Attrs) -> Result<(), Failure> {
        let call = self.client.tag_resource().resource_arn(&attrs.arn);
        call.set_tags(Some(to_ecr(cx.tags(&Tags::new()))?)).send().await.for_operation("ecr:TagResource").map(drop)
    }

    async fn forget(&self, _cx: &Context, attrs: &Self::Attrs) -> Result<(), Failure> {
        let call = self.client.untag_resource().resource_arn(&attrs.arn);
        let call = call.set_tag_keys(Some(Ownership::KEYS.map(str::to_owned).to_vec()));
        call.send().await.for_operation("ecr:UntagResource").map(drop)
    }
}
