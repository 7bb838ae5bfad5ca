"""A docker for tests: accepts `login`, `build`, `push` and `images` in the form that messages print, and nothing else.

A build needs a folder with a Dockerfile, which must have the stage that is named. A push needs a login to the registry
and an image that was built; it stores a manifest, which names stage and folder, in the registry of the endpoint.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import botocore.session

STATE = Path(os.environ["PB_STUB_STATE"]) / "docker.json"
REGISTRY = re.compile(r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com")
REFERENCE = re.compile(rf"({REGISTRY.pattern})/([a-z0-9./_-]+):([A-Za-z0-9_][A-Za-z0-9._-]{{0,127}})")
KIND = "application/vnd.oci.image.manifest.v1+json"


def ecr(registry: str) -> Any:
    """Returns a client for the registry's region."""
    match = REGISTRY.fullmatch(registry)
    assert match, f"not a registry of ECR: {registry}"
    return botocore.session.Session().create_client("ecr", region_name=match[2])


def login(state: dict[str, Any], words: list[str]) -> None:
    """Logs in if the password is that of the registry."""
    *options, registry = words
    assert options == ["--username", "AWS", "--password-stdin"], f"unknown options of login: {options}"
    token = ecr(registry).get_authorization_token()["authorizationData"][0]["authorizationToken"]
    assert sys.stdin.read().strip() == base64.b64decode(token).decode().split(":", 1)[1], "wrong password"
    state["registries"].append(registry)


def stages(folder: Path) -> list[str]:
    """Returns the names of the stages of a folder's Dockerfile."""
    text = (folder / "Dockerfile").read_text(encoding="utf-8")
    return [name.lower() for name in re.findall(r"^FROM\s+.*\sAS\s+(\S+)\s*$", text, re.M | re.I)]


def build(state: dict[str, Any], words: list[str]) -> None:
    """Builds an image, if folder and stage exist and the platform is that of Fargate."""
    *options, folder = words
    values = dict(zip(options[::2], options[1::2], strict=True))
    assert set(values) <= {"--platform", "--target", "-t"}, f"unknown options of build: {options}"
    assert values["--platform"] == "linux/amd64", "Fargate runs X86_64"
    assert REFERENCE.fullmatch(values["-t"]), f"invalid reference: {values['-t']}"
    assert Path(folder).is_dir(), f"unable to prepare context: path {folder!r} not found"
    target = values.get("--target")
    known = stages(Path(folder))
    assert target is None or target in known, f"target stage {target!r} could not be found; stages: {known}"
    state["images"][values["-t"]] = {"folder": folder, "target": target or (known or [""])[-1]}


def push(state: dict[str, Any], words: list[str]) -> None:
    """Pushes an image that was built to a registry that was logged in to."""
    (reference,) = words
    match = REFERENCE.fullmatch(reference)
    assert match and match[1] in state["registries"], f"no basic auth credentials for {reference}"
    assert reference in state["images"], f"an image does not exist locally with the tag: {reference}"
    annotations = {"org.example.source": json.dumps(state["images"][reference])}
    manifest = json.dumps({"schemaVersion": 2, "mediaType": KIND, "annotations": annotations})
    ecr(match[1]).put_image(repositoryName=match[4], imageManifest=manifest, imageTag=match[5])


def images(state: dict[str, Any], words: list[str]) -> None:
    """Lists the images that were built, with their digests."""
    assert words == ["--digests"], f"unknown options of images: {words}"
    for reference, source in state["images"].items():
        digest = hashlib.sha256(json.dumps(source, sort_keys=True).encode()).hexdigest()
        repository, tag = reference.rsplit(":", 1)
        print(repository, tag, f"sha256:{digest}")


def main() -> None:
    """Runs one command."""
    state = json.loads(STATE.read_text(encoding="utf-8")) if STATE.exists() else {"registries": [], "images": {}}
    command, *words = sys.argv[1:]
    {"login": login, "build": build, "push": push, "images": images}[command](state, words)
    STATE.write_text(json.dumps(state), encoding="utf-8")


try:
    main()
except (AssertionError, KeyError, ValueError) as error:
    sys.exit(f"docker: {error}")
