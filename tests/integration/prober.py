"""A client that sends a request through a listener every 20 ms and keeps the answers.

Over HTTPS, the client trusts only the authority of the emulated ACM, so a wrong or expired certificate is a failure.
"""

from __future__ import annotations

import functools
import http.client
import json
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field
from itertools import groupby
from urllib.parse import urlsplit

from endpoint import control
from harness import TestWorkspace, until

INTERVAL_SECONDS = 0.02
TIMEOUT_SECONDS = 10.0
#: Number of requests that must have an outcome before a test changes anything.
WARMUP_REQUESTS = 3
#: Number of requests on one connection over TLS: a new connection verifies the certificate again.
REQUESTS_PER_HANDSHAKE = 5
PORTS = {"http": 80, "https": 443}
REDIRECTS = (301, 302)


@dataclass(frozen=True)
class Answer:
    """The outcome of a request: the revision that answered with 200, or the failure. `status` is that of the first
    response, 0 without one: 301 or 302 if the client followed a redirect.
    """

    at: float
    revision: str = ""
    failure: str = ""
    status: int = 0


@dataclass(frozen=True)
class Reply:
    """A response, or the reason for which there is none. The names of the headers are in lower case."""

    status: int = 0
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    failure: str = ""


class SecureConnection(http.client.HTTPConnection):
    """A connection over TLS to an address, verified for the name of a server."""

    def __init__(self, where: str, name: str, trusted: ssl.SSLContext) -> None:
        super().__init__(where, timeout=TIMEOUT_SECONDS)
        self._name, self._trusted = name, trusted

    def connect(self) -> None:
        """Connects, and verifies the certificate."""
        plain = socket.create_connection((self.host, self.port), TIMEOUT_SECONDS)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.sock = self._trusted.wrap_socket(plain, server_hostname=self._name)
        except OSError:
            plain.close()
            raise


@functools.cache
def authority(url: str) -> ssl.SSLContext:
    """Returns the TLS settings of a client that trusts the authority of an emulator."""
    return ssl.create_default_context(cadata=control(url, "ca")["certificate"])


def listener_address(workspace: TestWorkspace, name: str = "staging", port: int = 80) -> str:
    """Returns the address of the listener on a port of a workspace's load balancer; empty if none answers."""
    query = f"account={workspace.account}&region={workspace.aws.region}"
    listeners = control(workspace.url, f"listeners?{query}")["listeners"]
    on_port = [listener for listener in listeners if listener["Port"] == port]
    # An adopted load balancer keeps its name, which need not contain the workspace's name.
    named = [listener for listener in on_port if f"/{name}-" in listener["LoadBalancerArn"]] or on_port[:1]
    return str(named[0]["Address"]) if named else ""


def address(workspace: TestWorkspace, name: str = "staging", port: int = 80, seconds: float = 30.0) -> str:
    """Waits until a workspace's load balancer has a listener that answers, and returns the listener's address."""
    control(workspace.url, "data-plane", {"account": workspace.account, "region": workspace.aws.region})
    return str(until(lambda: listener_address(workspace, name, port), seconds))


def connect(workspace: TestWorkspace, scheme: str, host: str, where: str) -> http.client.HTTPConnection:
    """Returns a connection to a listener's address for requests to a host."""
    if scheme == "https":
        return SecureConnection(where, host, authority(workspace.url))
    return http.client.HTTPConnection(where, timeout=TIMEOUT_SECONDS)


def get(workspace: TestWorkspace, url: str, name: str = "staging") -> Reply:
    """Requests a URL from a workspace's load balancer, and returns the response; redirects are not followed."""
    parts = urlsplit(url)
    port, host = parts.port or PORTS[parts.scheme], parts.hostname or ""
    connection = connect(workspace, parts.scheme, host, address(workspace, name, port))
    try:
        return exchange(connection, host, request_target(url))
    finally:
        connection.close()


def request_target(url: str) -> str:
    """Returns path and query of a URL."""
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def exchange(connection: http.client.HTTPConnection, host: str, path: str) -> Reply:
    """Sends a request on a connection that stays open unless there is no answer."""
    try:
        connection.request("GET", path, headers={"Host": host})
        answer = connection.getresponse()
        body = answer.read().decode("utf-8", "replace")
        return Reply(answer.status, body, {key.lower(): value for key, value in answer.headers.items()})
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        return Reply(failure=f"no answer: {error!r}")


def ask(where: str, host: str, path: str) -> tuple[str, str]:
    """Sends a request. Returns the revision that answered and the failure; one of the two is empty."""
    connection = http.client.HTTPConnection(where, timeout=TIMEOUT_SECONDS)
    try:
        return ask_on(connection, host, path)
    finally:
        connection.close()


def ask_on(connection: http.client.HTTPConnection, host: str, path: str) -> tuple[str, str]:
    """Sends a request and returns the same as `ask`, on a connection that stays open unless there is no answer."""
    return outcome(exchange(connection, host, path))


def outcome(reply: Reply) -> tuple[str, str]:
    """Returns the revision that answered and the failure; one of the two is empty."""
    if reply.failure or reply.status != 200:
        return "", reply.failure or f"{reply.status} {reply.headers.get('location', '')}{reply.body}"
    try:
        return str(json.loads(reply.body)["revision"]), ""
    except (ValueError, KeyError) as error:
        return "", f"the response did not come from a task: {error!r}"


class Prober:
    """A client that sends requests for a host and a path, between `start` and `stop` or inside a `with` block.

    With the scheme `https`, it uses the listener on port 443. With `follow`, a redirect is no failure: the client
    requests the new URL, which must lead to the same host.
    """

    def __init__(
        self, workspace: TestWorkspace, host: str = "", path: str = "/", where: str = "", scheme: str = "http",
        follow: bool = False,
    ) -> None:  # fmt: skip
        self.where = where or address(workspace, port=PORTS[scheme])
        self.host, self.path, self.scheme = host or str(workspace.config["hostname"]), path, scheme
        self.answers: list[Answer] = []
        self._workspace, self._follow = workspace, follow
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
        connections = {PORTS[self.scheme]: connect(self._workspace, self.scheme, self.host, self.where)}
        while not self._stopping.wait(INTERVAL_SECONDS):
            reply = last = exchange(connections[PORTS[self.scheme]], self.host, self.path)
            if self._follow and reply.status in REDIRECTS:
                last = self._redirected(connections, reply.headers["location"])
            self.answers.append(Answer(time.monotonic(), *outcome(last), status=reply.status))
            if len(self.answers) % REQUESTS_PER_HANDSHAKE == 0:
                for connection in connections.values():
                    if isinstance(connection, SecureConnection):
                        connection.close()
        for connection in connections.values():
            connection.close()

    def _redirected(self, connections: dict[int, http.client.HTTPConnection], url: str) -> Reply:
        """Follows a redirect, and returns the response or the reason for which there is none."""
        parts = urlsplit(url)
        port = parts.port or PORTS[parts.scheme]
        if parts.hostname != self.host:
            return Reply(failure=f"redirected to another host: {url}")
        if port not in connections:
            where = listener_address(self._workspace, port=port)
            if not where:
                return Reply(failure=f"redirected to {url}, but no listener answers there")
            connections[port] = connect(self._workspace, parts.scheme, self.host, where)
        return exchange(connections[port], self.host, request_target(url))

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

    @property
    def statuses(self) -> list[int]:
        """The statuses of the first responses, in order, without consecutive duplicates."""
        return [status for status, _ in groupby(answer.status for answer in self.answers)]

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
