"""A client that sends a request through a listener every 20 ms and keeps the answers."""

from __future__ import annotations

import http.client
import json
import threading
import time
from dataclasses import dataclass
from itertools import groupby

from endpoint import control
from harness import TestWorkspace, until

INTERVAL_SECONDS = 0.02
TIMEOUT_SECONDS = 10.0
#: Number of requests that must have an outcome before a test changes anything.
WARMUP_REQUESTS = 3


@dataclass(frozen=True)
class Answer:
    """The outcome of a request: the revision that answered with 200, or the failure."""

    at: float
    revision: str = ""
    failure: str = ""


def address(workspace: TestWorkspace, name: str = "staging", port: int = 80, seconds: float = 30.0) -> str:
    """Waits until a workspace's load balancer has a listener that answers, and returns the listener's address."""
    owner = {"account": workspace.account, "region": workspace.aws.region}
    control(workspace.url, "data-plane", owner)
    query = "&".join(f"{key}={value}" for key, value in owner.items())

    def ready_address() -> str | None:
        on_port = [
            listener
            for listener in control(workspace.url, f"listeners?{query}")["listeners"]
            if listener["Port"] == port
        ]
        # An adopted load balancer keeps its name, which need not contain the workspace's name.
        named = [listener for listener in on_port if f"/{name}-" in listener["LoadBalancerArn"]] or on_port[:1]
        return str(named[0]["Address"]) if named else None

    return str(until(ready_address, seconds))


def ask(where: str, host: str, path: str) -> tuple[str, str]:
    """Sends a request. Returns the revision that answered and the failure; one of the two is empty."""
    connection = http.client.HTTPConnection(where, timeout=TIMEOUT_SECONDS)
    try:
        return ask_on(connection, host, path)
    finally:
        connection.close()


def ask_on(connection: http.client.HTTPConnection, host: str, path: str) -> tuple[str, str]:
    """Sends a request and returns the same as `ask`, on a connection that stays open unless there is no answer."""
    try:
        connection.request("GET", path, headers={"Host": host})
        answer = connection.getresponse()
        body = answer.read().decode("utf-8", "replace")
        return (str(json.loads(body)["revision"]), "") if answer.status == 200 else ("", f"{answer.status} {body}")
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        return "", f"no answer: {error!r}"
    except (ValueError, KeyError) as error:
        return "", f"the response did not come from a task: {error!r}"


class Prober:
    """A client that sends requests for a host and a path, between `start` and `stop` or inside a `with` block."""

    def __init__(self, workspace: TestWorkspace, host: str = "", path: str = "/", where: str = "") -> None:
        self.where, self.host, self.path = where or address(workspace), host or str(workspace.config["hostname"]), path
        self.answers: list[Answer] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True)

    def start(self) -> Prober:
        """Starts sending requests, and returns when the first of them have an outcome."""
        self._thread.start()
        until(lambda: len(self.answers) >= WARMUP_REQUESTS)
        return self

    def stop(self) -> None:
        """Stops sending requests."""
        self._stopping.set()
        self._thread.join()

    def __enter__(self) -> Prober:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _send(self) -> None:
        connection = http.client.HTTPConnection(self.where, timeout=TIMEOUT_SECONDS)
        while not self._stopping.wait(INTERVAL_SECONDS):
            self.answers.append(Answer(time.monotonic(), *ask_on(connection, self.host, self.path)))
        connection.close()

    def until_answered_by(self, service: str) -> None:
        """Waits until this service of staging answers."""
        until(lambda: self.answers[-1].revision.startswith(f"staging-{service}:"))

    @property
    def failures(self) -> list[str]:
        """The failures, each with its time in seconds since the first request."""
        started_at = self.answers[0].at
        return [f"{answer.at - started_at:.2f} s: {answer.failure}" for answer in self.answers if answer.failure]

    @property
    def revisions(self) -> list[str]:
        """The revisions that answered, in order, without consecutive duplicates."""
        return [revision for revision, _ in groupby(answer.revision for answer in self.answers if answer.revision)]

    def report(self) -> str:
        """Returns the number of requests and of failures, the first five failures, and the revisions that answered."""
        counts = f"{self.host}{self.path}: {len(self.failures)} of {len(self.answers)} requests failed"
        return "\n  ".join([counts, *self.failures[:5], f"answered by: {', '.join(self.revisions) or 'nobody'}"])

    def served(self) -> list[str]:
        """Asserts that no request failed, and returns the revisions that answered."""
        assert len(self.answers) > WARMUP_REQUESTS, "no request was sent after the first ones"
        assert self.failures == [], self.report()
        return self.revisions

    def services(self) -> list[str]:
        """Asserts that no request failed, and returns the services of staging that answered, in order."""
        names = (revision.split(":")[0].removeprefix("staging-") for revision in self.served())
        return [name for name, _ in groupby(names)]
