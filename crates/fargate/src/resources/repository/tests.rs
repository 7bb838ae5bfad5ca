use super::{Client, Repositories, Repository, RepositorySpec, Tag, keep_untagged, scanning};
use crate::testing::{Fake, name_tag, owned_tags, refused, standalone};
use aws_sdk_ecr::operation::create_repository::CreateRepositoryOutput;
use aws_sdk_ecr::operation::delete_repository::DeleteRepositoryOutput;
use aws_sdk_ecr::operation::describe_repositories::DescribeRepositoriesOutput;
use aws_sdk_ecr::operation::get_lifecycle_policy::GetLifecyclePolicyOutput;
use aws_sdk_ecr::operation::list_images::ListImagesOutput;
use aws_sdk_ecr::operation::list_tags_for_resource::ListTagsForResourceOutput;
use aws_sdk_ecr::operation::put_image_scanning_configuration::PutImageScanningConfigurationOutput;
use aws_sdk_ecr::operation::put_lifecycle_policy::PutLifecyclePolicyOutput;
use aws_sdk_ecr::types::{ImageIdentifier, ImageStatusFilter, ImageTagMutability, ListImagesFilter};
use aws_smithy_mocks::{MockResponse, Rule, mock};
use pb_engine::{Graph, Standalone};
use serde_json::Value;

#[derive(Default)]
struct Ecr {
    repository: Option<Repository>,
    tags: Vec<Tag>,
    policy: Option<String>,
    images: bool,
    scan: bool,
    forced: Option<bool>,
    /// Number of reads that still find the repository after its delete.
    lingers: usize,
}

fn repository(scan: bool) -> Repository {
    Repository::builder()
        .repository_name("staging-app")
        .repository_arn("arn:aws:ecr:us-east-2:1:repository/staging-app")
        .repository_uri("1.dkr.ecr.us-east-2.amazonaws.com/staging-app")
        .image_tag_mutability(ImageTagMutability::Mutable)
        .image_scanning_configuration(scanning(scan))
        .build()
}

fn reads(fake: &Fake<Ecr>) -> Vec<Rule> {
    let [all, tags, policy, images] = [(); 4].map(|()| fake.clone());
    vec![
        mock!(Client::describe_repositories).then_compute_response(move |input| {
            let mut ecr = all.get();
            if ecr.forced.is_some() && ecr.lingers > 0 {
                ecr.lingers -= 1;
            } else if ecr.forced.is_some() {
                ecr.repository = None;
            }
            if ecr.repository.is_none() && !input.repository_names().is_empty() {
                return MockResponse::Http(refused("RepositoryNotFoundException", "none"));
            }
            let found = ecr.repository.iter().map(|_| repository(ecr.scan)).collect();
            MockResponse::Output(DescribeRepositoriesOutput::builder().set_repositories(Some(found)).build())
        }),
        mock!(Client::list_tags_for_resource).then_compute_output(move |_| {
            ListTagsForResourceOutput::builder().set_tags(Some(tags.get().tags.clone())).build()
        }),
        mock!(Client::get_lifecycle_policy).then_compute_response(move |_| match policy.get().policy.clone() {
            Some(text) => MockResponse::Output(GetLifecyclePolicyOutput::builder().lifecycle_policy_text(text).build()),
            None => MockResponse::Http(refused("LifecyclePolicyNotFoundException", "none")),
        }),
        mock!(Client::list_images).then_compute_output(move |input| {
            let status = input.filter().and_then(ListImagesFilter::image_status);
            assert_eq!(status, Some(&ImageStatusFilter::Any), "archived images prevent the delete, too");
            // Two pages: the second has another tag of the second image.
            let (digests, next) = match input.next_token() {
                None => (["a", "b"], Some("2".to_owned())),
                Some(_) => (["b", "c"], None),
            };
            let images = images.get().images.then(|| {
                let image = |digest: &str| ImageIdentifier::builder().image_digest(digest).build();
                digests.map(image).to_vec()
            });
            let next = next.filter(|_| images.is_some());
            ListImagesOutput::builder().set_image_ids(images).set_next_token(next).build()
        }),
    ]
}

fn writes(fake: &Fake<Ecr>) -> Vec<Rule> {
    let [create, policy, scan, delete] = [(); 4].map(|()| fake.clone());
    vec![
        mock!(Client::create_repository).then_compute_output(move |input| {
            let mut ecr = create.get();
            ecr.scan = input.image_scanning_configuration().unwrap().scan_on_push();
            ecr.repository = Some(repository(ecr.scan));
            ecr.tags = input.tags().to_vec();
            CreateRepositoryOutput::builder().set_repository(ecr.repository.clone()).build()
        }),
        mock!(Client::put_lifecycle_policy).then_compute_output(move |input| {
            // The text that ECR returns can differ from the text that was sent, but the policy is the same: policies
            // are compared as JSON values.
            let value: Value = serde_json::from_str(input.lifecycle_policy_text().unwrap()).unwrap();
            policy.get().policy = Some(serde_json::to_string_pretty(&value).unwrap());
            PutLifecyclePolicyOutput::builder().build()
        }),
        mock!(Client::put_image_scanning_configuration).then_compute_output(move |input| {
            scan.get().scan = input.image_scanning_configuration().unwrap().scan_on_push();
            PutImageScanningConfigurationOutput::builder().build()
        }),
        mock!(Client::delete_repository).then_compute_output(move |input| {
            let mut ecr = delete.get();
            ecr.forced = input.force;
            if ecr.lingers == 0 {
                ecr.repository = None;
            }
            DeleteRepositoryOutput::builder().build()
        }),
    ]
}

fn stack(fake: &Fake<Ecr>, scan: bool, delete_images: bool) -> Standalone {
    let rules: Vec<Rule> = reads(fake).into_iter().chain(writes(fake)).collect();
    let mut graph = Graph::new();
    let client = pb_aws::mock_client!(aws_sdk_ecr, &rules);
    let kind = graph.kind(Repositories::new(client, delete_images));
    let spec = move |()| RepositorySpec {
        name: "staging-app".to_owned(),
        scan_on_push: scan,
        tag_mutability: Some("MUTABLE".to_owned()),
        lifecycle: Some(keep_untagged(5)),
        tags: name_tag(),
    };
    graph.add("fargate/repository", &kind, (), spec).unwrap();
    standalone(graph)
}

#[tokio::test(start_paused = true)]
async fn repository_is_created_with_tags_then_a_no_op() {
    let fake = Fake::<Ecr>::new();
    stack(&fake, true, false).deploy().await.unwrap();
    assert_eq!(fake.get().tags, super::to_ecr(owned_tags("fargate/repository")).unwrap());
    assert!(stack(&fake, true, false).plan().await.unwrap().is_empty());
    stack(&fake, false, false).deploy().await.unwrap();
    assert!(stack(&fake, false, false).plan().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn changed_lifecycle_policy_is_restored() {
    let fake = Fake::<Ecr>::new();
    stack(&fake, true, false).deploy().await.unwrap();
    fake.get().policy = None;
    stack(&fake, true, false).deploy().await.unwrap();
    assert!(fake.get().policy.is_some());
}

#[tokio::test(start_paused = true)]
async fn repository_with_images_is_kept_unless_allowed() {
    let fake = Fake::<Ecr>::new();
    stack(&fake, true, false).deploy().await.unwrap();
    fake.get().images = true;
    let failure = stack(&fake, true, false).destroy().await.unwrap_err();
    assert!(failure.message.contains("it contains 3 images, and `delete_images` is not set"), "{failure}");
    assert!(fake.get().repository.is_some());
    stack(&fake, true, true).destroy().await.unwrap();
    assert_eq!(fake.get().forced, Some(true));
}

#[tokio::test(start_paused = true)]
async fn delete_with_images_waits_until_they_are_gone() {
    let fake = Fake::<Ecr>::new();
    stack(&fake, true, true).deploy().await.unwrap();
    (fake.get().images, fake.get().lingers) = (true, 3);
    stack(&fake, true, true).destroy().await.unwrap();
    let ecr = fake.get();
    assert_eq!((ecr.forced, ecr.lingers, ecr.repository.is_none()), (Some(true), 0, true));
}

#[tokio::test(start_paused = true)]
async fn empty_repository_is_deleted_without_force() {
    let fake = Fake::<Ecr>::new();
    stack(&fake, true, false).deploy().await.unwrap();
    stack(&fake, true, false).destroy().await.unwrap();
    assert_eq!(fake.get().forced, Some(false));
}
