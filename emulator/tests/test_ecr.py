"""Tests of the rules of ECR."""

from __future__ import annotations

import json

from conftest import Aws

MANIFEST = json.dumps({
    "schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
    "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "size": 2, "digest": "sha256:" + "0" * 64},
    "layers": [],
})  # fmt: skip


def test_ecr(aws: Aws) -> None:
    ecr = aws.ecr
    made = ecr.create_repository(
        repositoryName="app", tags=[{"Key": "a", "Value": "b"}], imageTagMutability="IMMUTABLE",
        imageScanningConfiguration={"scanOnPush": True},
    )["repository"]  # fmt: skip
    assert made["repositoryUri"] == f"{aws.account}.dkr.ecr.{aws.region}.amazonaws.com/app"
    assert (made["imageTagMutability"], made["imageScanningConfiguration"]["scanOnPush"]) == ("IMMUTABLE", True)
    assert aws.code(ecr.create_repository, repositoryName="app") == "RepositoryAlreadyExistsException"
    policy = {
        "rules": [
            {
                "rulePriority": 1,
                "selection": {"tagStatus": "untagged", "countType": "imageCountMoreThan", "countNumber": 3},
                "action": {"type": "expire"},
            }
        ]
    }
    ecr.put_lifecycle_policy(repositoryName="app", lifecyclePolicyText=json.dumps(policy))
    assert json.loads(ecr.get_lifecycle_policy(repositoryName="app")["lifecyclePolicyText"]) == policy
    ecr.put_image(repositoryName="app", imageManifest=MANIFEST, imageTag="v1")
    assert ecr.describe_images(repositoryName="app", imageIds=[{"imageTag": "v1"}])["imageDetails"][0]["imageTags"] == [
        "v1"
    ]
    assert (
        aws.code(ecr.describe_images, repositoryName="app", imageIds=[{"imageTag": "v2"}]) == "ImageNotFoundException"
    )
    assert ecr.list_tags_for_resource(resourceArn=made["repositoryArn"])["tags"] == [{"Key": "a", "Value": "b"}]
    assert aws.code(ecr.delete_repository, repositoryName="app") == "RepositoryNotEmptyException"
    ecr.delete_repository(repositoryName="app", force=True)
    assert aws.code(ecr.describe_repositories, repositoryNames=["app"]) == "RepositoryNotFoundException"


def index_of(digest: str) -> str:
    """Returns an image index that refers to one image."""
    entry = {
        "mediaType": json.loads(MANIFEST)["mediaType"],
        "digest": digest,
        "size": 1,
        "platform": {"architecture": "amd64", "os": "linux"},
    }
    kind = "application/vnd.oci.image.index.v1+json"
    return json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": [entry]})


def test_ecr_deletes_and_lists_images_in_batches(aws: Aws) -> None:
    ecr = aws.ecr
    ecr.create_repository(repositoryName="app")
    ids = []
    for number in range(101):
        manifest = json.dumps({**json.loads(MANIFEST), "annotations": {"number": str(number)}})
        ids.append(
            ecr.put_image(repositoryName="app", imageManifest=manifest, imageTag=f"v{number}")["image"]["imageId"]
        )
    first = ecr.list_images(repositoryName="app")
    second = ecr.list_images(repositoryName="app", nextToken=first["nextToken"])
    assert (len(first["imageIds"]), len(second["imageIds"]), "nextToken" in second) == (100, 1, False)
    assert aws.code(ecr.list_images, repositoryName="app", maxResults=1001) == "InvalidParameterException"
    assert aws.code(ecr.batch_delete_image, repositoryName="app", imageIds=ids) == "InvalidParameterException"
    assert len(ecr.batch_delete_image(repositoryName="app", imageIds=ids[:100])["imageIds"]) == 100


def test_ecr_keeps_images_of_an_image_index(aws: Aws) -> None:
    ecr = aws.ecr
    ecr.create_repository(repositoryName="app")
    child = ecr.put_image(repositoryName="app", imageManifest=MANIFEST, imageTag="v1")["image"]["imageId"][
        "imageDigest"
    ]
    index = ecr.put_image(
        repositoryName="app", imageManifest=index_of(child), imageTag="all",
        imageManifestMediaType="application/vnd.oci.image.index.v1+json",
    )["image"]["imageId"]["imageDigest"]  # fmt: skip

    def delete(digest: str) -> list[str]:
        answer = ecr.batch_delete_image(repositoryName="app", imageIds=[{"imageDigest": digest}])
        return [failure["failureCode"] for failure in answer["failures"]]

    assert [delete(child), delete(index), delete(child)] == [["ImageReferencedByManifestList"], [], []]
    assert ecr.list_images(repositoryName="app")["imageIds"] == []


def test_archived_image_is_found_only_on_request(aws: Aws) -> None:
    aws.ecr.create_repository(repositoryName="app")
    manifest = {
        "schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {"digest": "sha256:" + "0" * 64}, "layers": [],
    }  # fmt: skip
    aws.ecr.put_image(repositoryName="app", imageManifest=json.dumps(manifest), imageTag="flask")
    ids = {"repositoryName": "app", "imageIds": [{"imageTag": "flask"}]}
    image = {"repositoryName": "app", "imageId": {"imageTag": "flask"}}
    aws.ecr.update_image_storage_class(**image, targetStorageClass="ARCHIVE")
    assert aws.code(aws.ecr.describe_images, **ids) == "ImageNotFoundException"
    assert aws.ecr.list_images(repositoryName="app")["imageIds"] == []
    (found,) = aws.ecr.describe_images(**ids, filter={"imageStatus": "ANY"})["imageDetails"]
    assert found["imageStatus"] == "ARCHIVED"
    aws.ecr.update_image_storage_class(**image, targetStorageClass="STANDARD")
    assert aws.ecr.describe_images(**ids)["imageDetails"]
