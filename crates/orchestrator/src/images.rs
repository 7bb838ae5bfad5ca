//! The images of the services: what their tags mean now, and which are yet to be pushed.

use crate::exit::Error;
use aws_config::SdkConfig;
use futures_util::future::{join, join_all};
use pb_config::{Image, Service, Workspace};
use pb_engine::{Action, Class, Failure, Plan, PlanError};
use pb_fargate::{EcrImage, ImageLookup, look_up_tags, pinned};
use pb_rules::fargate as rules;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What a digest begins with.
const DIGEST: &str = "sha256:";

/// Images that were given on the command line, by service; they take the place of the configured ones for one run.
pub type ImageOverrides = BTreeMap<String, String>;

/// The images of all services, by service.
#[derive(Debug, Clone, Default)]
pub struct Images(BTreeMap<String, ServiceImage>);

/// A configured service that is not deployed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotDeployed {
    /// Its key in the configuration.
    pub service: String,
    /// Its name in ECS.
    pub name: String,
    /// The reference of its image.
    pub image: String,
    /// Why it is not deployed; absent where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Why a service is not deployed whose image is not in the repository yet.
pub const NOT_PUSHED: &str = "image not pushed";

/// The image of one service.
#[derive(Debug, Clone)]
struct ServiceImage {
    /// What is asked for: a tag of the own repository, or a full reference.
    requested: String,
    /// What it is; absent: not pushed yet.
    image: Option<pb_fargate::Image>,
}

/// Puts the given images into a workspace's configuration.
///
/// # Errors
/// `Usage` for a service that is not configured, and for what is no tag, digest or reference.
pub fn apply_overrides(workspace: &mut Workspace, given: &ImageOverrides) -> Result<(), Error> {
    for (key, text) in given {
        let known: Vec<String> = workspace.services.all().map(|(key, _)| key.to_owned()).collect();
        let Some(service) = workspace.services.get_mut(key) else {
            let hint = format!("there are: {}", known.join(", "));
            return Err(Error::usage(format!("there is no service {key:?} to give an image to"), hint));
        };
        let (image, verdict) = match text {
            text if text.contains('/') => (Image::Reference(text.clone()), rules::image(text)),
            digest if digest.starts_with(DIGEST) => (Image::Tag(digest.clone()), Ok(())),
            tag => (Image::Tag(tag.clone()), rules::image_tag(tag)),
        };
        verdict.map_err(|why| {
            let hint = "give a tag of the workspace's own repository, a digest (sha256:...) or a full reference";
            Error::usage(format!("invalid image of {key}: {why}"), hint)
        })?;
        service.image = image;
    }
    Ok(())
}

impl Images {
    /// Looks up what the tags mean now: each tag of ECR once, all at a time.
    ///
    /// # Errors
    /// Every tag that does not exist in a repository which has images.
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

    /// The image of a service; none while it waits to be pushed.
    #[must_use]
    pub fn of(&self, key: &str) -> Option<&pb_fargate::Image> {
        self.0.get(key)?.image.as_ref()
    }

    /// Whether some image of the workspace's own repository was seen in it.
    #[must_use]
    pub fn has_pushed(&self) -> bool {
        self.0.values().any(|service| matches!(service.image, Some(pb_fargate::Image::Digest(_))))
    }

    /// Whether the image of a service is yet to be pushed.
    #[must_use]
    pub fn is_missing(&self, key: &str) -> bool {
        self.0.get(key).is_some_and(|service| service.image.is_none())
    }

    /// The services whose images are yet to be pushed, each with the tag that it waits for.
    pub fn missing(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .filter(|(_, service)| service.image.is_none())
            .map(|(key, service)| (key.as_str(), service.requested.as_str()))
    }

    /// Returns the services that are not deployed, because their images are yet to be pushed to the repository at `uri`.
    #[must_use]
    pub fn not_deployed(&self, workspace: &Workspace, uri: &str) -> Vec<NotDeployed> {
        let one = |(key, service): (&str, &Service)| {
            let reason = self.is_missing(key).then(|| NOT_PUSHED.to_owned());
            reason.is_some().then(|| NotDeployed { reason, ..not_deployed(workspace, key, service, uri) })
        };
        workspace.services.all().filter_map(one).collect()
    }

    /// What each service is to run, for people and for comparing: `sha256:...` or a full reference; empty when it waits.
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

    /// What was asked for, as a person wrote it.
    #[must_use]
    pub fn requested(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(|service| service.requested.as_str())
    }

    /// A service that runs must not be taken away because its image is not in the repository any more.
    ///
    /// # Errors
    /// The services that the plan would delete for want of an image.
    pub fn check_deletions(&self, plan: &Plan) -> Result<(), Error> {
        let waits: BTreeMap<String, &str> = self
            .missing()
            .flat_map(|(key, tag)| [(format!("fargate/{key}"), tag), (format!("fargate/{key}_task"), tag)])
            .collect();
        let lost = plan.steps.iter().filter(|step| step.action == Action::Delete);
        let refused: Vec<PlanError> = lost
            .filter_map(|step| {
                let tag = waits.get(step.address.as_str())?;
                let why = format!("its image `{tag}` is not in the repository any more; push it, or name another one");
                Some(PlanError { address: step.address.clone(), why })
            })
            .collect();
        if refused.is_empty() { Ok(()) } else { Err(Error::Refused(refused)) }
    }

    /// The commands that push what is missing to the repository at `uri`, for a shell.
    #[must_use]
    pub fn push_commands(&self, uri: &str, region: &str) -> Vec<String> {
        let tags: BTreeSet<&str> = self.missing().map(|(_, tag)| tag).collect();
        let registry = uri.split('/').next().unwrap_or(uri);
        let login = format!(
            "aws ecr get-login-password --region {region} | docker login --username AWS --password-stdin {registry}"
        );
        let push = |tag: &str| {
            [
                format!("docker build --platform linux/amd64 -t {uri}:{tag} FOLDER_OF_{}", folder_placeholder(tag)),
                format!("docker push {uri}:{tag}"),
            ]
        };
        std::iter::once(login).chain(tags.into_iter().flat_map(push)).collect()
    }
}

/// A service of a workspace that is not deployed for a reason that is not known. The own repository is at `uri`.
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

/// Returns the URI of the workspace's own repository, or its name where the repository is not there yet.
pub fn repository<'a>(workspace: &'a Workspace, outputs: &'a BTreeMap<String, Value>) -> &'a str {
    outputs.get("repository").and_then(Value::as_str).unwrap_or(&workspace.names.repository)
}

/// A word for the folder that an image is built from, which stands out in a command: it has to be filled in.
fn folder_placeholder(tag: &str) -> String {
    tag.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter.to_ascii_uppercase() } else { '_' }).collect()
}

fn reference_text(image: &Image) -> &str {
    match image {
        Image::Tag(text) | Image::Reference(text) => text,
    }
}

/// An image as it was asked for, and what it is now; none when it is yet to be pushed.
type LookupResult = (String, Result<Option<pb_fargate::Image>, Failure>);

/// What these tags of the workspace's own repository are now.
async fn own_images(aws: &SdkConfig, repository: &str, tags: BTreeSet<String>) -> Vec<LookupResult> {
    let pushed = match look_up_tags(aws, repository, &tags).await {
        Ok(pushed) => pushed,
        // Whatever it is, it is about the repository, and said once.
        Err(failure) => return tags.into_iter().take(1).map(|tag| (tag, Err(failure.clone()))).collect(),
    };
    let image = |(tag, pushed): (String, ImageLookup)| {
        let image = match pushed {
            ImageLookup::Digest(digest) => Ok(Some(pb_fargate::Image::Digest(digest))),
            ImageLookup::Empty | ImageLookup::NoRepository => Ok(None),
            ImageLookup::NoSuchTag => Err(image_not_found(repository, &tag)),
        };
        (tag, image)
    };
    pushed.into_iter().map(image).collect()
}

/// What an image of another repository is now.
async fn external_image(aws: &SdkConfig, reference: &str) -> Result<Option<pb_fargate::Image>, Failure> {
    let as_written = Some(pb_fargate::Image::Reference(reference.to_owned()));
    let Some(external_image) = EcrImage::of_reference(reference) else { return Ok(as_written) };
    match external_image.look_up(aws).await {
        Ok(ImageLookup::Digest(digest)) => Ok(Some(pb_fargate::Image::Reference(pinned(reference, &digest)))),
        Ok(ImageLookup::NoRepository) => {
            let message = format!("there is no repository {:?} for the image {reference}", external_image.repository);
            Err(Failure::new(Class::NotFound, "ecr:DescribeImages", message))
        }
        Ok(ImageLookup::Empty | ImageLookup::NoSuchTag) => {
            Err(image_not_found(&external_image.repository, &external_image.tag))
        }
        // Another account may let its images be pulled and not be described: ECS resolves the tag then.
        Err(failure) if failure.class == Class::Denied => Ok(as_written),
        Err(failure) => Err(failure),
    }
}

fn image_not_found(repository: &str, tag: &str) -> Failure {
    let message = format!("the repository {repository} has no image {tag:?}");
    Failure::new(Class::NotFound, "ecr:DescribeImages", message)
        .hint("push it, or name another one in the configuration or with --image SERVICE=TAG")
}

#[cfg(test)]
mod tests {
    use super::{Images, ServiceImage};
    use std::collections::BTreeMap;

    fn waiting(services: &[(&str, &str)]) -> Images {
        let image =
            |(key, tag): &(&str, &str)| ((*key).to_owned(), ServiceImage { requested: (*tag).to_owned(), image: None });
        Images(services.iter().map(image).collect::<BTreeMap<_, _>>())
    }

    #[test]
    fn push_commands_list_each_tag_once() {
        let images = waiting(&[("celery", "app"), ("flask", "web"), ("other", "app")]);
        let commands = images.push_commands("1.dkr.ecr.us-east-2.amazonaws.com/staging-celeryflask", "us-east-2");
        assert_eq!(
            commands,
            [
                "aws ecr get-login-password --region us-east-2 | docker login --username AWS --password-stdin \
                 1.dkr.ecr.us-east-2.amazonaws.com",
                "docker build --platform linux/amd64 -t 1.dkr.ecr.us-east-2.amazonaws.com/staging-celeryflask:app \
                 FOLDER_OF_APP",
                "docker push 1.dkr.ecr.us-east-2.amazonaws.com/staging-celeryflask:app",
                "docker build --platform linux/amd64 -t 1.dkr.ecr.us-east-2.amazonaws.com/staging-celeryflask:web \
                 FOLDER_OF_WEB",
                "docker push 1.dkr.ecr.us-east-2.amazonaws.com/staging-celeryflask:web",
            ]
        );
    }
}
