"""A fault-injecting proxy between the tool and the endpoint: it holds or refuses calls, or loses their responses."""

from __future__ import annotations

import http.client
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlparse

SIGNED_SERVICE = re.compile(r"Credential=[^/]+/\d{8}/[^/]+/([^/]+)/aws4_request")
UNLIMITED = 1_000_000
HOP_BY_HOP_HEADERS = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}
#: Operations of the REST services, which are identified by HTTP method and path.
REST_OPERATIONS = [
    ("s3", "PUT", re.compile(r"^/[^/]+/.+"), "PutObject"),
    ("s3", "GET", re.compile(r"^/[^/]+/.+"), "GetObject"),
    ("route53", "POST", re.compile(r"/rrset/?$"), "ChangeResourceRecordSets"),
    ("route53", "GET", re.compile(r"/rrset$"), "ListResourceRecordSets"),
    ("route53", "GET", re.compile(r"/hostedzonesbyname$"), "ListHostedZonesByName"),
]


@dataclass
class Interception:
    """A call that the proxy intercepts, with the number of times."""

    call: str
    #: Treatment of the call. `before`: it is held before it reaches the endpoint. `after`: it is executed and its
    #: response is held. `lose`: it is executed and the connection is closed without a response. `refuse`: it is not
    #: executed and `response` is returned. `drop`: it is not executed and the connection is closed without a response.
    mode: str
    response: tuple[int, bytes] = (503, b"")
    times: int = 1
    #: Bytes that the body of the call must contain.
    body_contains: bytes = b""
    reached: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    def wait(self, seconds: float = 30.0) -> None:
        """Waits until the call is made."""
        assert self.reached.wait(seconds), f"{self.call} was not called within {seconds} s"

    def release(self) -> None:
        """Lets the call continue."""
        self.released.set()


class Server(ThreadingHTTPServer):
    """An HTTP server that accepts the concurrent calls of all tests."""

    daemon_threads = True
    # With the default of 5, the kernel drops the rest of a burst of connections, and resets some already accepted.
    request_queue_size = 512


class FaultProxy:
    """A server that forwards every call, except calls for which a test has added an interception."""

    def __init__(self, upstream: str) -> None:
        self.upstream = urlparse(upstream).netloc
        self._interceptions: list[Interception] = []
        self._lock = threading.Lock()
        self._server = Server(("127.0.0.1", 0), handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> FaultProxy:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release_all()
        self._server.shutdown()
        self._server.server_close()

    def hold_before(self, call: str, body_contains: bytes = b"") -> Interception:
        """Holds all calls of `service:Action`, including retries, before they reach the endpoint."""
        return self._add(Interception(call, "before", times=UNLIMITED, body_contains=body_contains))

    def hold_after(self, call: str) -> Interception:
        """Executes all calls of `service:Action`, and holds their responses."""
        return self._add(Interception(call, "after", times=UNLIMITED))

    def lose_response(self, call: str) -> Interception:
        """Executes the next call of `service:Action`, and loses its response."""
        return self._add(Interception(call, "lose"))

    def refuse(self, call: str, status: int, body: bytes, times: int = 1, body_contains: bytes = b"") -> Interception:
        """Answers the next calls of `service:Action` whose bodies contain `body_contains`, without executing them."""
        return self._add(Interception(call, "refuse", (status, body), times, body_contains))

    def drop(self, interception: Interception) -> None:
        """Drops a call that is held before it reaches the endpoint, so that it is never executed."""
        interception.mode = "drop"
        interception.release()

    def release_all(self) -> None:
        """Releases all held calls and removes all interceptions."""
        with self._lock:
            interceptions, self._interceptions = self._interceptions, []
        for interception in interceptions:
            interception.release()

    def control(self, target: str) -> bytes | None:
        """Returns the proxy's own response in JSON; None if the request must be forwarded to the endpoint."""
        return None

    def on_response(self, method: str, target: str, headers: dict[str, str], body: bytes, status: int) -> None:
        """Does nothing with the endpoint's response; subclasses record it."""

    def _add(self, interception: Interception) -> Interception:
        with self._lock:
            self._interceptions.append(interception)
        return interception

    def take(self, call: str, body: bytes = b"") -> Interception | None:
        """Returns the interception for a call, and decrements its count; None if the call must be forwarded."""
        with self._lock:
            for interception in self._interceptions:
                if interception.call == call and interception.times > 0 and interception.body_contains in body:
                    interception.times -= 1
                    return interception
        return None


class BatchProxy(FaultProxy):
    """A proxy that holds calls until a test releases the batch: calls in a batch do not depend on each other."""

    def __init__(self, upstream: str) -> None:
        super().__init__(upstream)
        self._held: list[Interception] = []
        self._changed = threading.Condition()

    def take(self, call: str, body: bytes = b"") -> Interception | None:
        """Returns an interception that holds the call."""
        interception = Interception(call, "before")
        with self._changed:
            self._held.append(interception)
            self._changed.notify_all()
        return interception

    def batch(self, count: int, seconds: float = 60.0) -> list[str]:
        """Waits until exactly this many calls are held, releases them, and returns their names, sorted."""
        with self._changed:
            complete = self._changed.wait_for(lambda: len(self._held) >= count, seconds)
            held, self._held = self._held, []
        calls = sorted(interception.call for interception in held)
        for interception in held:
            interception.release()
        assert complete and len(calls) == count, f"{len(calls)} calls were held at once, not {count}: {calls}"
        return calls

    def release_all(self) -> None:
        """Releases all held calls."""
        with self._changed:
            held, self._held = self._held, []
        for interception in held:
            interception.release()
        super().release_all()


def handler(proxy: FaultProxy) -> type[BaseHTTPRequestHandler]:
    """Returns the request handler class of a proxy."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 120

        def handle_any(self) -> None:
            body = read_body(self)
            if (control_response := proxy.control(self.path)) is not None:
                return self.respond(200, [("Content-Type", "application/json")], control_response)
            interception = proxy.take(call_name(self.command, self.path, dict(self.headers), body), body)
            if interception and interception.mode == "refuse":
                interception.reached.set()
                return self.respond(interception.response[0], [("Content-Type", "text/xml")], interception.response[1])
            if interception and interception.mode == "before":
                interception.reached.set()
                interception.released.wait(120)
            if interception and interception.mode == "drop":
                self.close_connection = True
                return None
            status, headers, content = forward(proxy.upstream, self, body)
            proxy.on_response(self.command, self.path, dict(self.headers), body, status)
            if interception and interception.mode == "after":
                interception.reached.set()
                interception.released.wait(120)
            if interception and interception.mode == "lose":
                interception.reached.set()
                self.close_connection = True
                return None
            return self.respond(status, headers, content)

        def respond(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
            try:
                self.send_response_only(status)
                for name, value in headers:
                    self.send_header(name, value)
                if not any(name.lower() == "content-length" for name, _ in headers):
                    self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)
            except OSError:
                # The tool was killed before it could receive the response.
                self.close_connection = True

        def log_message(self, *_: Any) -> None:
            pass

    for method in ("GET", "PUT", "POST", "DELETE", "HEAD"):
        setattr(Handler, f"do_{method}", Handler.handle_any)
    return Handler


def read_body(request: BaseHTTPRequestHandler) -> bytes:
    """Reads the whole body, whether it is sent with a length or in chunks."""
    if "chunked" in request.headers.get("Transfer-Encoding", "").lower():
        parts: list[bytes] = []
        while size := int(request.rfile.readline().split(b";")[0], 16):
            parts.append(request.rfile.read(size))
            request.rfile.readline()
        while request.rfile.readline().strip():
            pass
        return b"".join(parts)
    return request.rfile.read(int(request.headers.get("Content-Length") or 0))


def forward(upstream: str, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
    """Forwards a request to the endpoint and returns its status, headers and body."""
    headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP_HEADERS}
    headers["Content-Length"] = str(len(body))
    connection = http.client.HTTPConnection(upstream, timeout=120)
    try:
        connection.request(request.command, request.path, body, headers)
        response = connection.getresponse()
        content = response.read()
        dropped = HOP_BY_HOP_HEADERS - {"content-length"} if request.command == "HEAD" else HOP_BY_HOP_HEADERS
        return response.status, [pair for pair in response.getheaders() if pair[0].lower() not in dropped], content
    finally:
        connection.close()


def call_name(method: str, path: str, headers: dict[str, str], body: bytes) -> str:
    """Returns the `service:Action` of a request."""
    lower_case = {name.lower(): value for name, value in headers.items()}
    header: Callable[[str], str] = lower_case.get  # type: ignore[assignment]
    match = SIGNED_SERVICE.search(header("authorization") or "")
    service = match.group(1) if match else "unknown"
    if target := header("x-amz-target"):
        return f"{service}:{target.rsplit('.', 1)[-1]}"
    if (header("content-type") or "").startswith("application/x-www-form-urlencoded"):
        return f"{service}:{parse_qs(body.decode('utf-8', 'replace')).get('Action', ['unknown'])[0]}"
    path_only = path.split("?", 1)[0]
    for known_service, known_method, pattern, action in REST_OPERATIONS:
        if (known_service, known_method) == (service, method) and pattern.search(path_only):
            return f"{service}:{action}"
    return f"{service}:{method} {path_only}"
