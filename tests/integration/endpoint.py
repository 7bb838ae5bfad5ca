"""The tests' AWS endpoint: the emulator process, its control interface, and boto3 clients for one account."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

ROOT = Path(__file__).resolve().parents[2]
REGION = "us-east-2"
START_SECONDS = 60
_session = boto3.Session()


def start(folder: Path, *options: str) -> tuple[subprocess.Popen[bytes], str]:
    """Starts an emulator and returns its process and URL; fails after 60 s."""
    ready, log = folder / "url", folder / "log"
    command = [sys.executable, "-m", "pb_emulator", "serve", "--port", "0", "--ready-file", str(ready), *options]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT / "emulator", env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    deadline = time.monotonic() + START_SECONDS
    while not ready.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise RuntimeError(f"the emulator did not start:\n{log.read_text(encoding='utf-8')}")
        time.sleep(0.05)
    return process, ready.read_text(encoding="utf-8").strip()


def stop(process: subprocess.Popen[bytes]) -> None:
    """Stops the emulator; kills it if it takes more than 10 s."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()


def control(url: str, path: str, body: Any = None) -> Any:
    """Calls a control endpoint of the emulator and returns the response."""
    data = json.dumps(body).encode() if body is not None else None
    with urllib.request.urlopen(urllib.request.Request(f"{url}/_pb/{path}", data), timeout=30) as answer:
        return json.loads(answer.read())


def has_journal(url: str) -> bool:
    """Returns whether the endpoint keeps a journal of its calls."""
    try:
        return "requests" in control(url, "requests?account=none")
    except (OSError, ValueError, TypeError):
        return False


def answer_sources(url: str) -> Any:
    """Returns which code answered the calls, if the endpoint distinguishes LocalStack's own code from our plugin's."""
    try:
        return control(url, "served")
    except (OSError, ValueError):
        return {}


class Aws:
    """Boto3 clients for one account, one attribute per service: `aws.ec2.describe_vpcs()`."""

    def __init__(self, url: str, account: str, region: str = REGION) -> None:
        self.url, self.account, self.region = url, account, region
        self._clients: dict[str, Any] = {}

    def __getattr__(self, service: str) -> Any:
        if service.startswith("_"):
            raise AttributeError(service)
        if service not in self._clients:
            config = Config(retries={"max_attempts": 0, "mode": "standard"}, s3={"addressing_style": "path"})
            self._clients[service] = _session.client(
                service,
                endpoint_url=self.url,
                region_name=self.region,
                aws_access_key_id=self.account,
                aws_secret_access_key="test",
                config=config,
            )
        return self._clients[service]

    def all(self, service: str, operation: str, key: str, **parameters: Any) -> list[Any]:
        """Returns the items of all pages of a list operation."""
        client = getattr(self, service)
        if not client.can_paginate(operation):
            return list(getattr(client, operation)(**parameters)[key])
        return [item for page in client.get_paginator(operation).paginate(**parameters) for item in page[key]]
