"""A client that sends a request every 20 ms through a listener, and keeps what it is answered."""

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
#: Requests that are answered before anything may change.
WARMUP_REQUESTS = 3


@dataclass(frozen=True)
class Answer:
    """What one request came to: the revision that answered with 200, or what went wrong."""

    at: float
    revision: str = ""
    failure: str = ""


def address(workspace: TestWorkspace, name: str = "staging", port: int = 80, seconds: float = 30.0) -> str:
    """Returns where a listener of a workspace's load balancer answers, as soon as it does."""
    owner = {"account": workspace.account, "region": workspace.aws.region}
    control(workspace.url, "data-plane", owner)
    query = "&".join(f"{key}={value}" for key, value in owner.items())

    def ready_address() -> str | None:
        on_port = [
            listener
            for listener in control(workspace.url, f"listeners?{query}")["listeners"]
            if listener["Port"] == port
        ]
        # What was taken over keeps its name, whatever that is.
        named = [listener for listener in on_port if f"/{name}-" in listener["LoadBalancerArn"]] or on_port[:1]
        return str(named[0]["Address"]) if named else None

    return str(until(ready_address, seconds))


def ask(where: str, host: str, path: str) -> tuple[str, str]:
    """The revision that answers a request, or why it failed."""
    connection = http.client.HTTPConnection(where, timeout=TIMEOUT_SECONDS)
    try:
        return ask_on(connection, host, path)
    finally:
        connection.close()


def ask_on(connection: http.client.HTTPConnection, host: str, path: str) -> tuple[str, str]:
    """As `ask`, on a connection that stays open unless the request gets no answer."""
    try:
        connection.request("GET", path, headers={"Host": host})
        answer = connection.getresponse()
        body = answer.read().decode("utf-8", "replace")
        return (str(json.loads(body)["revision"]), "") if answer.status == 200 else ("", f"{answer.status} {body}")
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        return "", f"no answer: {error!r}"
    except (ValueError, KeyError) as error:
        return "", f"no answer of a task: {error!r}"


class Prober:
    """Sends requests for a host and a path, from `start` to `stop` or as long as it is entered."""

    def __init__(self, workspace: TestWorkspace, host: str = "", path: str = "/", where: str = "") -> None:
        self.where, self.host, self.path = where or address(workspace), host or str(workspace.config["hostname"]), path
        self.answers: list[Answer] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True)

    def start(self) -> Prober:
        """Begins to send, and returns when the first requests are answered: before anything changes."""
        self._thread.start()
        until(lambda: len(self.answers) >= WARMUP_REQUESTS)
        return self

    def stop(self) -> None:
        """Sends nothing more."""
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
        """Waits for an answer of a service of staging."""
        until(lambda: self.answers[-1].revision.startswith(f"staging-{service}:"))

    @property
    def failures(self) -> list[str]:
        """What went wrong, each with the second in which it did."""
        started_at = self.answers[0].at
        return [f"{answer.at - started_at:.2f} s: {answer.failure}" for answer in self.answers if answer.failure]

    @property
    def revisions(self) -> list[str]:
        """The revisions that have answered, in order, each as often as it began to."""
        return [revision for revision, _ in groupby(answer.revision for answer in self.answers if answer.revision)]

    def report(self) -> str:
        """Counts of the requests and of those that failed, the first failures, and who has answered."""
        counts = f"{self.host}{self.path}: {len(self.failures)} of {len(self.answers)} requests failed"
        return "\n  ".join([counts, *self.failures[:5], f"answered by: {', '.join(self.revisions) or 'nobody'}"])

    def served(self) -> list[str]:
        """The revisions that have answered; no request has failed."""
        assert len(self.answers) > WARMUP_REQUESTS, "no request since the first ones"
        assert self.failures == [], self.report()
        return self.revisions

    def services(self) -> list[str]:
        """The services of staging that have answered, in order; no request has failed."""
        names = (revision.split(":")[0].removeprefix("staging-") for revision in self.served())
        return [name for name, _ in groupby(names)]
