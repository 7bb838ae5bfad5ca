//! Lookup of the image that a tag in ECR refers to. Task definitions name images by digest, so that moving a tag shows
//! up as a change, and an old revision keeps running the same image.

use aws_sdk_ecr::Client;
use aws_sdk_ecr::types::{DescribeImagesFilter, ImageDetail, ImageIdentifier, ImageStatus, ImageStatusFilter};
use aws_types::SdkConfig;
use aws_types::region::Region;
use futures_util::future::try_join_all;
use pb_aws::ForOperation;
use pb_engine::{Class, Failure};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Prefix of an image digest.
const DIGEST_PREFIX: &str = "sha256:";

/// Maximum number of images in one DescribeImages call. (ECR API: DescribeImages)
const IDS_PER_CALL: usize = 100;

/// Tag of an image reference that names no tag.
const DEFAULT_TAG: &str = "latest";

/// Result of looking up a tag or digest in ECR.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageLookup {
    /// The image has this digest.
    Digest(String),
    /// The image is archived, or being restored from the archive: it exists, but cannot be pulled.
    Archived,
    /// Not found: the repository has other images.
    NoSuchTag,
    /// Not found: the repository has no images.
    Empty,
    /// Not found: the repository does not exist.
    NoRepository,
}

/// An image in an ECR repository, identified by a tag or a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EcrImage {
    /// Account and region of the registry; if absent, those of the SDK configuration.
    pub registry: Option<(String, String)>,
    /// Name of the repository.
    pub repository: String,
    /// Tag, or digest with the prefix `sha256:`.
    pub tag: String,
}

impl EcrImage {
    /// Parses a full image reference, such as `ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME:TAG`; returns `None` if it
    /// does not refer to ECR.
    #[must_use]
    pub fn of_reference(reference: &str) -> Option<Self> {
        let (host, rest) = reference.split_once('/')?;
        let (account, rest_of_host) = host.split_once(".dkr.ecr.")?;
        let region = rest_of_host.strip_suffix(".amazonaws.com").or(rest_of_host.strip_suffix(".amazonaws.com.cn"))?;
        if account.len() != 12 || !account.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let (repository, tag) = match rest.split_once('@') {
            Some((name, digest)) => (name.split_once(':').map_or(name, |(name, _)| name), digest),
            None => rest.split_once(':').unwrap_or((rest, DEFAULT_TAG)),
        };
        let registry = Some((account.to_owned(), region.to_owned()));
        Some(Self { registry, repository: repository.to_owned(), tag: tag.to_owned() })
    }

    /// Looks up the image.
    ///
    /// # Errors
    /// Any failure of the ECR calls; `Denied` also for a registry whose images the caller may pull but not describe.
    pub async fn look_up(&self, config: &SdkConfig) -> Result<ImageLookup, Failure> {
        let mut builder = aws_sdk_ecr::config::Builder::from(config);
        if let Some((_, region)) = &self.registry {
            builder = builder.region(Region::new(region.clone()));
        }
        self.look_up_with(&Client::from_conf(builder.build())).await
    }

    fn id(&self) -> ImageIdentifier {
        let id = ImageIdentifier::builder();
        if self.tag.starts_with(DIGEST_PREFIX) {
            id.image_digest(&self.tag).build()
        } else {
            id.image_tag(&self.tag).build()
        }
    }

    /// Returns whether an image that is not ACTIVE exists.
    async fn is_archived(&self, client: &Client, registry: Option<String>) -> Result<bool, Failure> {
        let call = client.describe_images().repository_name(&self.repository).image_ids(self.id());
        let call = call.filter(any_status()).set_registry_id(registry);
        match call.send().await.for_operation("ecr:DescribeImages") {
            Ok(found) => {
                let status = found.image_details().first().and_then(ImageDetail::image_status);
                Ok(matches!(status, Some(ImageStatus::Archived | ImageStatus::Activating)))
            }
            // An endpoint without the filter, or one that refuses it together with a tag, knows no archived images.
            Err(failure) if failure.class == Class::NotFound || failure.is("InvalidParameterException") => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    async fn look_up_with(&self, client: &Client) -> Result<ImageLookup, Failure> {
        let registry = self.registry.as_ref().map(|(account, _)| account.clone());
        let call = client.describe_images().repository_name(&self.repository).image_ids(self.id());
        let answer = call.set_registry_id(registry.clone()).send().await.for_operation("ecr:DescribeImages");
        let failure = match answer {
            Ok(found) => {
                let digest = found.image_details().first().and_then(|image| image.image_digest());
                return Ok(digest.map_or(ImageLookup::NoSuchTag, |digest| ImageLookup::Digest(digest.to_owned())));
            }
            Err(failure) => failure,
        };
        if failure.is("RepositoryNotFoundException") {
            return Ok(ImageLookup::NoRepository);
        }
        if !failure.is("ImageNotFoundException") {
            return Err(failure);
        }
        if self.is_archived(client, registry.clone()).await? {
            return Ok(ImageLookup::Archived);
        }
        let call = client.list_images().repository_name(&self.repository).set_registry_id(registry).max_results(1);
        match call.send().await.for_operation("ecr:ListImages") {
            Ok(listed) if listed.image_ids().is_empty() => Ok(ImageLookup::Empty),
            Ok(_) => Ok(ImageLookup::NoSuchTag),
            Err(failure) if failure.class == Class::NotFound => Ok(ImageLookup::NoRepository),
            Err(failure) => Err(failure),
        }
    }
}

/// Returns the filter that lists images in every status. Without it, ECR lists only ACTIVE images. (ECR API:
/// DescribeImagesFilter)
fn any_status() -> DescribeImagesFilter {
    DescribeImagesFilter::builder().image_status(ImageStatusFilter::Any).build()
}

/// Looks up tags of a repository in the registry of the SDK configuration, with one call if all tags exist.
///
/// # Errors
/// The same as for [`EcrImage::look_up`].
pub async fn look_up_tags(
    config: &SdkConfig,
    repository: &str,
    tags: &BTreeSet<String>,
) -> Result<BTreeMap<String, ImageLookup>, Failure> {
    look_up_all(&Client::new(config), repository, tags).await
}

async fn look_up_all(
    client: &Client,
    repository: &str,
    tags: &BTreeSet<String>,
) -> Result<BTreeMap<String, ImageLookup>, Failure> {
    let own = |tag: &String| EcrImage { registry: None, repository: repository.to_owned(), tag: tag.clone() };
    if tags.len() > 1 && tags.len() <= IDS_PER_CALL {
        let ids = tags.iter().map(|tag| own(tag).id()).collect();
        let call = client.describe_images().repository_name(repository).set_image_ids(Some(ids)).send();
        // The whole call fails if one of the images is missing.
        if let Ok(answer) = call.await {
            return Ok(tags.iter().map(|tag| (tag.clone(), lookup_of(tag, answer.image_details()))).collect());
        }
    }
    let each =
        tags.iter().map(|tag| async move { Ok::<_, Failure>((tag.clone(), own(tag).look_up_with(client).await?)) });
    Ok(try_join_all(each).await?.into_iter().collect())
}

/// Returns the lookup result for a tag or digest, given the described images.
fn lookup_of(tag: &str, images: &[ImageDetail]) -> ImageLookup {
    let matches =
        |image: &&ImageDetail| image.image_digest() == Some(tag) || image.image_tags().iter().any(|known| known == tag);
    let digest = images.iter().find(matches).and_then(ImageDetail::image_digest);
    digest.map_or(ImageLookup::NoSuchTag, |digest| ImageLookup::Digest(digest.to_owned()))
}

/// Returns `reference` with its tag or digest replaced by `digest`.
#[must_use]
pub fn pinned(reference: &str, digest: &str) -> String {
    let name = reference.split_once('@').map_or(reference, |(name, _)| name);
    let (path, last) = name.rsplit_once('/').map_or(("", name), |(path, last)| (path, last));
    let last = last.split_once(':').map_or(last, |(last, _)| last);
    if path.is_empty() { format!("{last}@{digest}") } else { format!("{path}/{last}@{digest}") }
}

#[cfg(test)]
mod tests {
    use super::{Client, EcrImage, ImageLookup, look_up_all, pinned};
    use crate::testing::refused;
    use aws_sdk_ecr::operation::describe_images::DescribeImagesOutput;
    use aws_sdk_ecr::operation::list_images::ListImagesOutput;
    use aws_sdk_ecr::types::{ImageDetail, ImageIdentifier, ImageStatus, ImageStatusFilter};
    use aws_smithy_mocks::{Rule, mock};
    use pb_engine::Class;

    fn own(tag: &str) -> EcrImage {
        EcrImage { registry: None, repository: "r".to_owned(), tag: tag.to_owned() }
    }

    #[test]
    fn only_ecr_references_are_parsed() {
        let image = EcrImage::of_reference("123456789012.dkr.ecr.us-east-2.amazonaws.com/team/app:1.2").unwrap();
        assert_eq!(image.registry, Some(("123456789012".to_owned(), "us-east-2".to_owned())));
        assert_eq!((image.repository.as_str(), image.tag.as_str()), ("team/app", "1.2"));
        let bare = EcrImage::of_reference("123456789012.dkr.ecr.us-east-2.amazonaws.com/app").unwrap();
        assert_eq!(bare.tag, "latest");
        let digest = EcrImage::of_reference("123456789012.dkr.ecr.us-east-2.amazonaws.com/app:1@sha256:ab").unwrap();
        assert_eq!((digest.repository.as_str(), digest.tag.as_str()), ("app", "sha256:ab"));
        for other in ["ghcr.io/team/app:1", "app:1", "public.ecr.aws/x/y:1", "1.dkr.ecr.us-east-2.amazonaws.com/a"] {
            assert_eq!(EcrImage::of_reference(other), None, "{other}");
        }
    }

    #[test]
    fn digest_replaces_the_tag() {
        assert_eq!(pinned("h.example:5000/team/app:1", "sha256:ab"), "h.example:5000/team/app@sha256:ab");
        assert_eq!(pinned("app", "sha256:ab"), "app@sha256:ab");
        assert_eq!(pinned("h/app:1@sha256:cd", "sha256:ab"), "h/app@sha256:ab");
    }

    async fn look_up(rules: &[&Rule], tag: &str) -> Result<ImageLookup, pb_engine::Failure> {
        let client = pb_aws::mock_client!(aws_sdk_ecr, rules);
        own(tag).look_up_with(&client).await
    }

    #[tokio::test]
    async fn image_is_looked_up_by_tag_or_by_digest() {
        let found = |tag: Option<&'static str>, digest: Option<&'static str>| {
            mock!(Client::describe_images)
                .match_requests(move |input| {
                    let id = &input.image_ids()[0];
                    (id.image_tag(), id.image_digest()) == (tag, digest)
                })
                .then_output(|| {
                    let image = ImageDetail::builder().image_digest("sha256:ab").build();
                    DescribeImagesOutput::builder().image_details(image).build()
                })
        };
        let digest = ImageLookup::Digest("sha256:ab".to_owned());
        assert_eq!(look_up(&[&found(Some("one"), None)], "one").await.unwrap(), digest);
        assert_eq!(look_up(&[&found(None, Some("sha256:ab"))], "sha256:ab").await.unwrap(), digest);
    }

    #[tokio::test]
    async fn image_tags_take_one_call_unless_one_is_missing() {
        let tags = ["one", "two"].map(str::to_owned).into();
        let image = |tag: &str| ImageDetail::builder().image_digest(format!("sha256:{tag}")).image_tags(tag).build();
        let both = mock!(Client::describe_images).match_requests(|input| input.image_ids().len() == 2).then_output(
            move || DescribeImagesOutput::builder().image_details(image("two")).image_details(image("one")).build(),
        );
        let client = pb_aws::mock_client!(aws_sdk_ecr, [&both]);
        let found = look_up_all(&client, "r", &tags).await.unwrap();
        assert_eq!(found["one"], ImageLookup::Digest("sha256:one".to_owned()));
        assert_eq!((found["two"].clone(), both.num_calls()), (ImageLookup::Digest("sha256:two".to_owned()), 1));

        let together = mock!(Client::describe_images).match_requests(|input| input.image_ids().len() == 2);
        let together = together.then_http_response(|| refused("ImageNotFoundException", "no"));
        let two =
            mock!(Client::describe_images).match_requests(|input| input.image_ids()[0].image_tag() == Some("two"));
        let two = two.then_output(move || DescribeImagesOutput::builder().image_details(image("two")).build());
        let one = mock!(Client::describe_images).then_http_response(|| refused("ImageNotFoundException", "no"));
        let listed = mock!(Client::list_images).then_output(|| {
            ListImagesOutput::builder().image_ids(ImageIdentifier::builder().image_tag("two").build()).build()
        });
        let client = pb_aws::mock_client!(aws_sdk_ecr, [&together, &two, &one, &listed]);
        let found = look_up_all(&client, "r", &tags).await.unwrap();
        assert_eq!(found["two"], ImageLookup::Digest("sha256:two".to_owned()));
        assert_eq!(found["one"], ImageLookup::NoSuchTag);
    }

    #[tokio::test]
    async fn archived_image_is_found_by_its_status() {
        let active = mock!(Client::describe_images)
            .match_requests(|input| input.filter().is_none())
            .then_http_response(|| refused("ImageNotFoundException", "no"));
        let any = |status: ImageStatus| {
            mock!(Client::describe_images)
                .match_requests(|input| {
                    input.filter().and_then(|filter| filter.image_status()) == Some(&ImageStatusFilter::Any)
                })
                .then_output(move || {
                    let image = ImageDetail::builder().image_digest("sha256:ab").image_status(status.clone());
                    DescribeImagesOutput::builder().image_details(image.build()).build()
                })
        };
        for status in [ImageStatus::Archived, ImageStatus::Activating] {
            assert_eq!(look_up(&[&active, &any(status)], "one").await.unwrap(), ImageLookup::Archived);
        }
    }

    #[tokio::test]
    async fn missing_image_says_what_is_missing() {
        let missing = || mock!(Client::describe_images).then_http_response(|| refused("ImageNotFoundException", "no"));
        let nothing = mock!(Client::list_images).then_output(|| ListImagesOutput::builder().build());
        assert_eq!(look_up(&[&missing(), &nothing], "one").await.unwrap(), ImageLookup::Empty);
        let others = mock!(Client::list_images).then_output(|| {
            ListImagesOutput::builder().image_ids(ImageIdentifier::builder().image_tag("x").build()).build()
        });
        assert_eq!(look_up(&[&missing(), &others], "one").await.unwrap(), ImageLookup::NoSuchTag);
        let gone = mock!(Client::describe_images).then_http_response(|| refused("RepositoryNotFoundException", "no"));
        assert_eq!(look_up(&[&gone], "one").await.unwrap(), ImageLookup::NoRepository);
        let denied = mock!(Client::describe_images).then_http_response(|| refused("AccessDeniedException", "no"));
        assert_eq!(look_up(&[&denied], "one").await.unwrap_err().class, Class::Denied);
    }
}
