"""ECR images: digests as registries compute them, pages and batches of at most the documented size, image indexes,
archived images, the image of a task, and stand-ins for images that were not pushed.
"""

from __future__ import annotations

import hashlib
import json
import re
from contextvars import ContextVar
from typing import Any

from moto.ecr.exceptions import ImageNotFoundException
from moto.ecr.models import ECRBackend, Image, ecr_backends
from moto.ecr.responses import ECRResponse

from .errors import AwsError
from .patching import Place, attached_state, install, wrap

#: Status of the images that the current request asks for; moto ignores the parameter.
requested_status: ContextVar[str] = ContextVar("requested_status", default="ANY")

REFERENCE = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com/(?P<name>[^:@]+)"
    r"(:(?P<tag>[^@]+))?(@(?P<digest>sha256:[0-9a-f]{64}))?"
)
#: Maximum number of images in a BatchDeleteImage request, and default and maximum number of entries in a list.
BATCH_MAX, PAGE_DEFAULT, PAGE_MAX = 100, 100, 1000


def install_rules() -> None:
    """Computes digests as hashes of the manifests; with stand-ins, every tag of an existing repository has an image.
    Limits batches and pages to the documented sizes, and keeps images to which an image index refers.
    """

    @wrap(Image)
    def _create_digest(_original: Any, self: Any) -> None:
        self._image_digest = digest_of(self.image_manifest)

    @wrap(ECRBackend)
    def describe_images(
        original: Any, self: Any, repository_name: str, registry_id: str | None = None, image_ids: Any = None
    ) -> Any:
        def one(wanted: dict[str, str]) -> list[Image]:
            try:
                return original(self, repository_name, registry_id, [wanted])
            except ImageNotFoundException:
                found = stand_in(self, repository_name, wanted.get("imageTag"), wanted.get("imageDigest"))
                if found is None:
                    raise
                return [found]

        if not stand_ins(self)["on"] or not image_ids:
            return original(self, repository_name, registry_id, image_ids)
        return [image for wanted in image_ids for image in one(wanted)]

    @wrap(ECRBackend)
    def batch_delete_image(
        original: Any, self: Any, repository_name: str, registry_id: str | None = None, image_ids: Any = None
    ) -> Any:
        if len(image_ids or []) > BATCH_MAX:
            raise invalid("imageIds", f"Member must have length less than or equal to {BATCH_MAX}")
        repository = self.repositories.get(repository_name)
        referenced = referenced_digests(repository.images) if repository else set()
        kept = [image_id for image_id in image_ids or [] if image_id.get("imageDigest") in referenced]
        rest = [image_id for image_id in image_ids or [] if image_id not in kept]
        answer = (
            original(self, repository_name, registry_id, rest) if rest or not kept else {"imageIds": [], "failures": []}
        )
        answer["failures"] += [
            {
                "imageId": image_id,
                "failureCode": "ImageReferencedByManifestList",
                "failureReason": "Requested image referenced by manifest list",
            }
            for image_id in kept
        ]
        return answer

    @wrap(ECRResponse, "list_images")
    def list_images(original: Any, self: Any) -> Any:
        answer = original(self)
        size = int(self._get_param("maxResults") or PAGE_DEFAULT)
        if not 1 <= size <= PAGE_MAX:
            raise invalid("maxResults", f"Member must have value less than or equal to {PAGE_MAX}")
        start = int(self._get_param("nextToken") or 0)
        listed = answer.result["imageIds"]
        answer.result["imageIds"] = listed[start : start + size]
        if start + size < len(listed):
            answer.result["nextToken"] = str(start + size)
        return answer

    install_archive()


def install_archive() -> None:
    """Hides archived images from requests that do not ask for them, as ECR does, and serves UpdateImageStorageClass."""
    install(ECRResponse, "UpdateImageStorageClass", update_image_storage_class)

    def with_status(original: Any, self: Any) -> Any:
        token = requested_status.set((self._get_param("filter") or {}).get("imageStatus") or "ACTIVE")
        try:
            return original(self)
        finally:
            requested_status.reset(token)

    for name in ("describe_images", "list_images"):
        wrap(ECRResponse, name)(with_status)

    @wrap(ECRBackend, "describe_images")
    def describe_images(
        original: Any, self: Any, repository_name: str, registry_id: str | None = None, image_ids: Any = None
    ) -> Any:
        found = [image for image in original(self, repository_name, registry_id, image_ids) if matches_status(image)]
        if image_ids and len(found) < len(image_ids):
            raise ImageNotFoundException(str(image_ids), repository_name, registry_id or self.account_id)
        return found

    @wrap(ECRBackend, "list_images")
    def list_images(original: Any, self: Any, *args: Any, **kwargs: Any) -> Any:
        return [image for image in original(self, *args, **kwargs) if matches_status(image)]


def matches_status(image: Image) -> bool:
    """Returns whether the current request asks for images in the status of this one."""
    return requested_status.get() in ("ANY", getattr(image, "image_status", "ACTIVE"))


def update_image_storage_class(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """Archives or restores an image."""
    backend, name = ecr_backends[place.account][place.region], request["repositoryName"]
    (image,) = backend.describe_images(name, None, [request["imageId"]])
    image.image_status = "ARCHIVED" if request["targetStorageClass"] == "ARCHIVE" else "ACTIVE"
    return {"repositoryName": name, "imageId": request["imageId"], "imageStatus": image.image_status}


def invalid(parameter: str, constraint: str) -> AwsError:
    """Returns ECR's error for a parameter that breaks a constraint of the service model."""
    message = f"Invalid parameter at '{parameter}' failed to satisfy constraint: '{constraint}'"
    return AwsError("InvalidParameterException", message)


def referenced_digests(images: list[Image]) -> set[str]:
    """Returns the digests to which the image indexes among these images refer."""
    manifests = (json.loads(image.image_manifest) for image in images)
    return {entry["digest"] for manifest in manifests for entry in manifest.get("manifests", [])}


def digest_of(text: str) -> str:
    """Returns the digest of a manifest, as a registry computes it."""
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def stand_ins(backend: Any) -> dict[str, Any]:
    """Returns whether an account uses stand-ins, and the tags for which it has returned digests."""
    return attached_state(backend, "stand_ins", lambda: {"on": False, "tags": {}})


def use_stand_ins(account: str, region: str) -> None:
    """Enables stand-ins: in all repositories of an account and region, each tag that was not pushed has one."""
    stand_ins(ecr_backends[account][region])["on"] = True


def stand_in(backend: Any, repository: str, tag: str | None, digest: str | None) -> Image | None:
    """Returns the stand-in of a tag, or the one with a digest that was returned earlier. Stand-ins are not listed, and
    do not prevent deletion of the repository.
    """
    tags = stand_ins(backend)["tags"]
    if tag is None:
        tag = tags.get((repository, digest))
    if tag is None:
        return None
    made = digest_of(f"{repository}:{tag}")
    tags[(repository, made)] = tag
    return Image(backend.account_id, tag, "{}", repository, digest=made)


def tag_of(place: Place, reference: str) -> str | None:
    """Returns `repository:tag` of an image in this account's registry, or None if the image does not exist.

    Any other reference is returned unchanged, because its registry is not emulated.
    """
    match = REFERENCE.fullmatch(reference)
    if match is None or match["account"] != place.account:
        return reference
    backend = ecr_backends[place.account][match["region"]]
    repository = backend.repositories.get(match["name"])
    if repository is None:
        return None
    for image in repository.images:
        if getattr(image, "image_status", "ACTIVE") != "ACTIVE":
            continue
        if match["digest"] and image.get_image_digest() == match["digest"]:
            return f"{match['name']}:{image.image_tag}"
        if not match["digest"] and (match["tag"] or "latest") in image.image_tags:
            return f"{match['name']}:{match['tag'] or 'latest'}"
    if not stand_ins(backend)["on"]:
        return None
    found = stand_in(backend, match["name"], None if match["digest"] else match["tag"] or "latest", match["digest"])
    return f"{match['name']}:{found.image_tag}" if found else None
