"""Load balancers and web tasks of an account as real servers on loopback addresses, so that tests can send requests.

Each task behind a load balancer listens on a separate address in 127.0.0.0/8, on its container's port. Each listener
has a port of 127.0.0.1, which `GET /_pb/listeners` returns. HTTPS listeners speak TLS there. Servers start and stop as the state of the account
advances.
"""

from __future__ import annotations

import http.client
import itertools
import json
import ssl
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from moto.ecs.models import ecs_backends
from moto.elbv2.models import elbv2_backends

from . import elbv2, listeners_https, reachability, routing, targets, tls
from .ecs_model import Task, ecs_state
from .patching import Place

TIMEOUT_SECONDS = 30.0
#: Numbers of the tasks' addresses, from 127.1.0.1; lower addresses are left to other programs.
_addresses = itertools.count((1 << 16) + 1)


class Endpoint(ThreadingHTTPServer):
    """An HTTP server whose threads do not keep the process alive."""

    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Omits the report of the base class for clients that end a connection or refuse a certificate."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


@dataclass(frozen=True)
class Routed:
    """A routed request: a response, or the address of the task to which the request is forwarded with `forwarded`
    headers. `added` headers are set in the response to the client.
    """

    found: routing.Response | tuple[str, int]
    added: dict[str, str] = field(default_factory=dict)
    forwarded: dict[str, str] = field(default_factory=dict)


class DataPlane:
    """The servers of all accounts that have enabled the data plane."""

    def __init__(self, lock: threading.Lock, advance: Callable[[str, str], None], everywhere: bool = False) -> None:
        self._lock, self._advance, self._everywhere = lock, advance, everywhere
        self._places: set[Place] = set()
        self._tasks: dict[str, Endpoint] = {}
        self._listeners: dict[str, Endpoint] = {}

    def open(self, place: Place) -> None:
        """Enables the data plane of an account."""
        self._places.add(place)
        self.sync(place)

    def reset(self) -> None:
        """Stops all servers."""
        for known in (self._tasks, self._listeners):
            for arn in list(known):
                self._close(known, arn)
        self._places.clear()

    def sync(self, place: Place) -> None:
        """Starts and stops servers to match the state of the account; the caller holds the lock."""
        if not self._everywhere and place not in self._places:
            return
        if not dict.__contains__(ecs_backends[place.account], place.region):
            return
        prefix = f":{place.region}:{place.account}:"
        tasks = {task.arn: task for task in ecs_state(place).tasks.values() if task.balancers and is_answering(task)}
        for arn in [arn for arn in self._tasks if prefix in arn and arn not in tasks]:
            self._close(self._tasks, arn)
        for arn in tasks.keys() - self._tasks.keys():
            self._tasks[arn] = task_server(place, tasks[arn])
        listeners = listeners_of(place)
        for arn in [arn for arn in self._listeners if prefix in arn and arn not in listeners]:
            self._close(self._listeners, arn)
        for arn in listeners.keys() - self._listeners.keys():
            self._listeners[arn] = start_server(Endpoint(("127.0.0.1", 0), listener_handler(self, place, arn)))

    def listener_addresses(self, place: Place) -> list[dict[str, Any]]:
        """Returns the listeners of an account with the addresses of their servers."""
        known = listeners_of(place)
        return [
            {"ListenerArn": arn, "LoadBalancerArn": known[arn].load_balancer_arn, "Port": int(known[arn].port),
             "Protocol": known[arn].protocol, "Address": "127.0.0.1:{}".format(self._listeners[arn].server_address[1])}
            for arn in known if arn in self._listeners
        ]  # fmt: skip

    def tls_context(self, place: Place, listener_arn: str) -> ssl.SSLContext | None:
        """Returns the TLS settings with which a listener accepts a connection now; None if it speaks HTTP."""
        with self._lock:
            self._advance(place.account, place.region)
            listener = listeners_of(place).get(listener_arn)
            return tls.context_of(place, listener) if listener else None

    def route(self, place: Place, listener_arn: str, request: routing.Request) -> Routed:
        """Routes a request that a listener has accepted."""
        with self._lock:
            self._advance(place.account, place.region)
            self.sync(place)
            listener = listeners_of(place).get(listener_arn)
            if listener is None:
                return Routed(routing.Response(503, "the listener was deleted"))
            added = listeners_https.response_headers(listener)
            found = routing.route(place, listener, request)
            if isinstance(found, routing.Response):
                return Routed(found, added)
            server = self._tasks.get(found.task.arn)
            if server is None or server.server_address[1] != found.port:
                return Routed(routing.Response(502, f"nothing listens on port {found.port} of {found.task.id}"), added)
            forwarded = {"X-Forwarded-Proto": listener.protocol.lower(), "X-Forwarded-Port": str(listener.port)}
            return Routed((str(server.server_address[0]), found.port), added, forwarded)

    def _close(self, known: dict[str, Endpoint], arn: str) -> None:
        """Stops a server; it finishes the requests in progress."""
        server = known.pop(arn)
        server.socket.close()
        threading.Thread(target=server.shutdown, daemon=True).start()


def is_answering(task: Task) -> bool:
    """Returns whether the container of a task still answers: while it runs, and while a task that the scheduler stopped
    drains.
    """
    return task.last == "RUNNING" or (task.last == "DEPROVISIONING" and task.code == "ServiceSchedulerInitiated")


def listeners_of(place: Place) -> dict[str, Any]:
    """Returns the listeners of active load balancers that are reachable from the internet, by ARN."""
    found = {}
    for balancer in elbv2_backends[place.account][place.region].load_balancers.values():
        groups = set(balancer.security_groups)
        for listener in balancer.listeners.values() if elbv2.is_active(balancer) else []:
            if reachability.is_open_to_internet(place, groups, int(listener.port)):
                found[listener.arn] = listener
    return found


def start_server(server: Endpoint) -> Endpoint:
    """Starts serving. A closed server refuses connections at once, and its thread ends within half a second."""
    threading.Thread(target=server.serve_forever, args=(0.5,), daemon=True).start()
    return server


def task_server(place: Place, task: Task) -> Endpoint:
    """Starts the server of a task on its container's port."""
    port = int(task.balancers[0]["containerPort"])
    while True:
        number = next(_addresses)
        address = f"127.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        try:
            return start_server(Endpoint((address, port), task_handler(place, task)))
        except OSError:
            # Another process on this machine uses the address; the next number is tried.
            if number >> 16 > 250:
                raise


class Handler(BaseHTTPRequestHandler):
    """Common base of the request handlers of tasks and of listeners."""

    protocol_version = "HTTP/1.1"
    #: Buffers the response, so that headers and body are sent in one write.
    wbufsize = -1
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:
        """Suppresses the log line that the base class prints for each request."""

    def reply(self, status: int, headers: dict[str, str], body: bytes) -> None:
        """Sends a complete response."""
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def read_body(self) -> bytes:
        """Returns the body of the request."""
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))


def task_handler(place: Place, task: Task) -> type[Handler]:
    """Returns a handler that answers with the task and its revision."""

    class TaskHandler(Handler):
        def handle_any(self) -> None:
            self.read_body()
            revision = task.definition.arn.rsplit("/", 1)[-1]
            forwarded = self.headers.get("X-Forwarded-Proto") or ""
            shown = {"revision": revision, "task": task.id, "path": self.path, "forwarded_proto": forwarded}
            body = json.dumps(shown).encode()
            status = targets.response_status(place, task.definition, self.path)
            self.reply(status, {"Content-Type": "application/json"}, body)

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = handle_any  # noqa: N815 - the names are those of http.server

    return TaskHandler


def listener_handler(plane: DataPlane, place: Place, listener_arn: str) -> type[Handler]:
    """Returns a handler that routes requests as the load balancer of the listener does."""

    class ListenerHandler(Handler):
        def setup(self) -> None:
            self.connections: dict[tuple[str, int], http.client.HTTPConnection] = {}
            # This runs in the connection's thread, so that a slow handshake delays no other connection.
            if context := plane.tls_context(place, listener_arn):
                self.request.settimeout(tls.HANDSHAKE_SECONDS)
                self.request = context.wrap_socket(self.request, server_side=True)
                self.request.settimeout(None)
            super().setup()

        def finish(self) -> None:
            super().finish()
            if isinstance(self.request, ssl.SSLSocket):
                self.request.close()
            for connection in self.connections.values():
                connection.close()

        def to_task(self, place: tuple[str, int]) -> http.client.HTTPConnection:
            """Returns a connection to a task, which is reused for later requests of the same client."""
            if place not in self.connections:
                self.connections[place] = http.client.HTTPConnection(*place, timeout=TIMEOUT_SECONDS)
            return self.connections[place]

        def handle_any(self) -> None:
            body, parts = self.read_body(), urlsplit(self.path)
            host = (self.headers.get("Host") or "").partition(":")[0]
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = routing.Request(self.command, host, parts.path or "/", parts.query, headers)
            routed = plane.route(place, listener_arn, request)
            found, added = routed.found, routed.added
            if isinstance(found, routing.Response):
                return self.reply(found.status, {**found.headers, **added}, found.body.encode())
            try:
                connection = self.to_task(found)
                sent = {"Host": self.headers.get("Host") or host, "X-Forwarded-For": self.client_address[0]}
                connection.request(self.command, self.path, body or None, {**sent, **routed.forwarded})
                answer = connection.getresponse()
                kind = {"Content-Type": answer.headers.get("Content-Type") or "text/plain"}
                return self.reply(answer.status, {**kind, **added}, answer.read())
            except (OSError, http.client.HTTPException) as error:
                self.to_task(found).close()
                return self.reply(502, added, f"the task does not answer: {error}".encode())

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = handle_any  # noqa: N815 - the names are those of http.server

    return ListenerHandler
