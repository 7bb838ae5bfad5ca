"""A client that sends a request every 20 ms through a listener, and keeps what it is answered."""

from __future__ import annotations

import http.client
import json
import threading
import time
from dataclasses import dataclass
from itertools import groupby

from endpoint import control
from harness import Site, until

PAUSE_SECONDS = 0.02
TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True)
class Answer:
    """What one request came to: the revision that answered with 200, or what went wrong."""

    at: float
    revision: str = ""
    failure: str = ""


def address(site: Site, port: int = 80) -> str:
    """Where the listener on a port answers, once it does."""
    place = {"account": site.account, "region": site.aws.region}
    control(site.url, "data-plane", place)
    query = "&".join(f"{name}={value}" for name, value in place.items())

    def found() -> str | None:
        known = control(site.url, f"listeners?{query}")["listeners"]
        return next((str(one["Address"]) for one in known if one["Port"] == port), None)

    return str(until(found))


def ask(where: str, host: str, path: str) -> tuple[str, str]:
    """The revision that answers a request, or why it failed."""
    connection = http.client.HTTPConnection(where, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", path, headers={"Host": host})
        answer = connection.getresponse()
        body = answer.read().decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        return "", f"no answer: {error!r}"
    finally:
        connection.close()
    return (str(json.loads(body)["revision"]), "") if answer.status == 200 else ("", f"{answer.status} {body}")


class Prober:
    """Sends requests for a host and a path as long as it is entered."""

    def __init__(self, site: Site, host: str = "", path: str = "/") -> None:
        self.where, self.host, self.path = address(site), host or str(site.config["hostname"]), path
        self.answers: list[Answer] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True)

    def __enter__(self) -> Prober:
        self._thread.start()
        # It is at work before anything changes.
        until(lambda: len(self.answers) > 2)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _send(self) -> None:
        while not self._over.wait(PAUSE_SECONDS):
            self.answers.append(Answer(time.monotonic(), *ask(self.where, self.host, self.path)))

    @property
    def failures(self) -> list[str]:
        """What went wrong, each with the second in which it did."""
        began = self.answers[0].at
        return [f"{one.at - began:.2f} s: {one.failure}" for one in self.answers if one.failure]

    @property
    def revisions(self) -> list[str]:
        """The revisions that have answered, in order, each as often as it began to."""
        return [revision for revision, _ in groupby(one.revision for one in self.answers if one.revision)]

    def served(self) -> list[str]:
        """The revisions that have answered; no request has failed."""
        assert len(self.answers) > 10, "too few requests"
        assert self.failures == [], f"{len(self.failures)} of {len(self.answers)}: {self.failures[:5]}"
        return self.revisions
