//! Images of the services: the digests behind their tags, and the images that are not pushed yet.

use crate::exit::Error;
use crate::stack::names;
use aws_config::{Region, SdkConfig};
use futures_util::future::{join, join_all};
use pb_config::{Image, Service, Workspace};
use pb_engine::{Action, Cause, Class, Failure, Plan, PlanError};
use pb_fargate::{EcrImage, ImageLookup, look_up_tags, pinned};
use pb_rules::image as rules;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Prefix of a digest.
pub const DIGEST: &str = "sha256:";

/// Images from the command line, by service. They override the configured images for one run.
pub type ImageOverrides = BTreeMap<String, String>;

/// Images of all services, by service.
#[derive(Debug, Clone, Default)]
pub struct Images(BTreeMap<String, ServiceImage>);

/// A configured service that is not deployed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotDeployed {
    /// Key in the configuration.
    pub service: String,
    /// Name in ECS.
    pub name: String,
    /// Reference of the service's image.
    pub image: String,
    /// Reason why it is not deployed; absent if unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Reason that is shown for a service whose image is not in the repository yet.
pub const NOT_PUSHED: &str = "image not pushed";

/// Image of one service.
#[derive(Debug, Clone)]
struct ServiceImage {
    /// Requested image: a tag in the workspace's own repository, or a full reference.
    requested: String,
    /// Resolved image; absent if not pushed yet.
    image: Option<pb_fargate::Image>,
}

/// Replaces configured images of a workspace with those from the command line.
///
/// # Errors
/// `Usage` for a service that is not configured, and for text that is not a valid tag, digest or reference.
pub fn apply_overrides(workspace: &mut Workspace, given: &ImageOverrides) -> Result<(), Error> {
    for (key, text) in given {
        let known: Vec<String> = workspace.services.all().map(|(key, _)| key.to_owned()).collect();
        let Some(service) = workspace.services.get_mut(key) else {
            let hint = format!("configured services: {}", known.join(", "));
            return Err(Error::unknown_name(format!("unknown service {key:?} in --image"), hint));
        };
        let (image, verdict) = match text {
            text if text.contains('/') => (Image::Reference(text.clone()), rules::image(text)),
            digest if digest.starts_with(DIGEST) => (Image::Tag(digest.clone()), rules::digest(digest)),
            tag => (Image::Tag(tag.clone()), rules::image_tag(tag)),
        };
        verdict.map_err(|why| {
            let hint = match why.suggestion() {
                Some(reference) => format!("use --image {key}={reference}"),
                None => {
                    "use a tag in the workspace's own repository, a digest (sha256:...) or a full reference".to_owned()
                }
            };
            Error::usage(format!("invalid image for {key}: {why}"), hint)
        })?;
        service.image = image;
    }
    Ok(())
}

impl Images {
    /// Resolves the tags of all services concurrently, and looks up each tag in ECR only once.
    ///
    /// # Errors
    /// One failure for each tag that does not exist in a repository that contains images.
    pub async fn look_up(aws: &SdkConfig, workspace: &Workspace) -> Result<Self, Vec<Failure>> {
        let services = workspace.services.all();
        let requested: Vec<(String, Image)> =
            services.map(|(key, service)| (key.to_owned(), service.image.clone())).collect();
        let distinct: BTreeMap<&str, &Image> =
            requested.iter().map(|(_, image)| (reference_text(image), image)).collect();
        let own = distinct.values().filter_map(|image| match image {
            Image::Tag(tag) => Some(tag.clone()),
            Image::Reference(_) => None,
        });
        let own = own_images(aws, &workspace.names.repository, own.collect());
        let others = distinct.values().filter_map(|image| match image {
            Image::Reference(reference) => {
                Some(async move { (reference.clone(), external_image(aws, reference).await) })
            }
            Image::Tag(_) => None,
        });
        let (own, others) = join(own, join_all(others)).await;
        let (mut known, mut failures) = (BTreeMap::new(), Vec::new());
        for (text, answer) in own.into_iter().chain(others) {
            match answer {
                Ok(image) => drop(known.insert(text, image)),
                Err(failure) => failures.push(failure),
            }
        }
        if !failures.is_empty() {
            return Err(failures);
        }
        let image = |(key, image): (String, Image)| {
            let requested = reference_text(&image).to_owned();
            let image = known.get(&requested).cloned().flatten();
            (key, ServiceImage { requested, image })
        };
        Ok(Self(requested.into_iter().map(image).collect()))
    }

    /// Returns the image of a service; `None` if it is not pushed yet.
    #[must_use]
    pub fn of(&self, key: &str) -> Option<&pb_fargate::Image> {
        self.0.get(key)?.image.as_ref()
    }

    /// Returns whether at least one image was found in the workspace's own repository.
    #[must_use]
    pub fn has_pushed(&self) -> bool {
        self.0.values().any(|service| matches!(service.image, Some(pb_fargate::Image::Digest(_))))
    }

    /// Returns whether the image of a service is not pushed yet.
    #[must_use]
    pub fn is_missing(&self, key: &str) -> bool {
        self.0.get(key).is_some_and(|service| service.image.is_none())
    }

    /// Returns the services whose images are not pushed yet, each with the missing tag.
    pub fn missing(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .filter(|(_, service)| service.image.is_none())
            .map(|(key, service)| (key.as_str(), service.requested.as_str()))
    }

    /// Returns the services that are not deployed because their images are missing from the repository at `uri`.
    #[must_use]
    pub fn not_deployed(&self, workspace: &Workspace, uri: &str) -> Vec<NotDeployed> {
        let one = |(key, service): (&str, &Service)| {
            let reason = self.is_missing(key).then(|| NOT_PUSHED.to_owned());
            reason.is_some().then(|| NotDeployed { reason, ..not_deployed(workspace, key, service, uri) })
        };
        workspace.services.all().filter_map(one).collect()
    }

    /// Returns the image of each service, for display and comparison: `sha256:...` or a full reference; empty if the
    /// image is not pushed yet.
    #[must_use]
    pub fn identities(&self) -> BTreeMap<String, String> {
        let identity = |service: &ServiceImage| match &service.image {
            Some(
                pb_fargate::Image::Tag(text) | pb_fargate::Image::Digest(text) | pb_fargate::Image::Reference(text),
            ) => text.clone(),
            None => String::new(),
        };
        self.0.iter().map(|(key, service)| (key.clone(), identity(service))).collect()
    }

    /// Returns the image of a service as the user wrote it.
    #[must_use]
    pub fn requested(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(|service| service.requested.as_str())
    }

    /// Refuses a plan that would delete a running service because its image has disappeared from the repository.
    ///
    /// # Errors
    /// The services that the plan would delete because of missing images.
    pub fn check_deletions(&self, plan: &Plan) -> Result<(), Error> {
        let waits: BTreeMap<String, &str> = self
            .missing()
            .flat_map(|(key, tag)| [(names::service(key), tag), (names::task_definition(key), tag)])
            .collect();
        let lost = plan.steps.iter().filter(|step| step.action == Action::Delete);
        let refused: Vec<PlanError> = lost
            .filter_map(|step| {
                let tag = waits.get(step.address.as_str())?;
                let why = format!(
                    "it would be deleted because image `{tag}` is not in the repository; push it, or use another one"
                );
                Some(PlanError::new(step.address.clone(), why))
            })
            .collect();
        if refused.is_empty() { Ok(()) } else { Err(Error::Refused(refused)) }
    }
}

/// Returns the entry of a service that is not deployed for an unknown reason. `uri` is the URI of the workspace's own
/// repository.
pub fn not_deployed(workspace: &Workspace, key: &str, service: &Service, uri: &str) -> NotDeployed {
    NotDeployed {
        service: key.to_owned(),
        name: workspace.names.service(key).unwrap_or(key).to_owned(),
        image: match &service.image {
            Image::Tag(digest) if digest.starts_with(DIGEST) => format!("{uri}@{digest}"),
            Image::Tag(tag) => format!("{uri}:{tag}"),
            Image::Reference(reference) => reference.clone(),
        },
        reason: None,
    }
}

/// Returns the URI of the workspace's own repository, or its name if the repository does not exist yet.
pub fn repository<'a>(workspace: &'a Workspace, outputs: &'a BTreeMap<String, Value>) -> &'a str {
    outputs.get("repository").and_then(Value::as_str).unwrap_or(&workspace.names.repository)
}

fn reference_text(image: &Image) -> &str {
    match image {
        Image::Tag(text) | Image::Reference(text) => text,
    }
}

/// Requested image and its resolution; `None` if the image is not pushed yet.
type LookupResult = (String, Result<Option<pb_fargate::Image>, Failure>);

/// Resolves tags in the workspace's own repository.
async fn own_images(aws: &SdkConfig, repository: &str, tags: BTreeSet<String>) -> Vec<LookupResult> {
    let pushed = match look_up_tags(aws, repository, &tags).await {
        Ok(pushed) => pushed,
        // The failure concerns the whole repository, so it is reported once.
        Err(failure) => return tags.into_iter().take(1).map(|tag| (tag, Err(failure.clone()))).collect(),
    };
    let image = |(tag, pushed): (String, ImageLookup)| {
        let image = match pushed {
            ImageLookup::Digest(digest) => Ok(Some(pb_fargate::Image::Digest(digest))),
            ImageLookup::Empty | ImageLookup::NoRepository => Ok(None),
            ImageLookup::NoSuchTag => Err(image_not_found(repository, &tag)),
            ImageLookup::Archived => Err(image_archived(repository, &tag, aws.region())),
        };
        (tag, image)
    };
    pushed.into_iter().map(image).collect()
}

/// Resolves an image of another repository.
async fn external_image(aws: &SdkConfig, reference: &str) -> Result<Option<pb_fargate::Image>, Failure> {
    let as_written = Some(pb_fargate::Image::Reference(reference.to_owned()));
    let Some(external_image) = EcrImage::of_reference(reference) else { return Ok(as_written) };
    match external_image.look_up(aws).await {
        Ok(ImageLookup::Digest(digest)) => Ok(Some(pb_fargate::Image::Reference(pinned(reference, &digest)))),
        Ok(ImageLookup::NoRepository) => {
            let message = format!("repository {:?} of image {reference} not found", external_image.repository);
            Err(Failure::new(Class::NotFound, "ecr:DescribeImages", message).cause(Cause::Prerequisite))
        }
        Ok(ImageLookup::Archived) => Err(archived_elsewhere(aws, &external_image)),
        Ok(ImageLookup::Empty | ImageLookup::NoSuchTag) => {
            Err(image_not_found(&external_image.repository, &external_image.tag))
        }
        // Another account may allow its images to be pulled but not to be described. ECS then resolves the tag.
        Err(failure) if failure.class == Class::Denied => Ok(as_written),
        Err(failure) => Err(failure),
    }
}

/// Returns the failure for an archived image of another repository, whose region can differ.
fn archived_elsewhere(aws: &SdkConfig, image: &EcrImage) -> Failure {
    let region = image.registry.as_ref().map(|(_, region)| Region::new(region.clone()));
    image_archived(&image.repository, &image.tag, region.as_ref().or(aws.region()))
}

/// Returns the failure for an image that ECR has archived, for example by a lifecycle policy. Tasks cannot pull it.
fn image_archived(repository: &str, tag: &str, region: Option<&Region>) -> Failure {
    let id = if tag.starts_with(DIGEST) { format!("imageDigest={tag}") } else { format!("imageTag={tag}") };
    let message = format!("image {tag:?} of the repository {repository} is archived, so tasks cannot pull it");
    Failure::new(Class::NotFound, "ecr:DescribeImages", message).cause(Cause::Prerequisite).hint(format!(
        "restore it: {}",
        pb_aws::in_region(
            &format!(
                "aws ecr update-image-storage-class --repository-name {repository} --image-id {id} \
                 --target-storage-class STANDARD"
            ),
            region
        )
    ))
}

fn image_not_found(repository: &str, tag: &str) -> Failure {
    let message = format!("the repository {repository} has no image {tag:?}");
    Failure::new(Class::NotFound, "ecr:DescribeImages", message)
        .cause(Cause::Prerequisite)
        .hint("push the image, or choose another one in the configuration or with --image SERVICE=TAG")
}
