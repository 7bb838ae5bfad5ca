"""Something between the tool and the endpoint that holds calls, loses their answers or refuses them."""

from __future__ import annotations

import http.client
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlparse

SERVICE = re.compile(r"Credential=[^/]+/\d{8}/[^/]+/([^/]+)/aws4_request")
ALL = 1_000_000
HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}
#: The calls of the services whose operations are told by method and path.
REST = [
    ("s3", "PUT", re.compile(r"^/[^/]+/.+"), "PutObject"),
    ("s3", "GET", re.compile(r"^/[^/]+/.+"), "GetObject"),
    ("route53", "POST", re.compile(r"/rrset/?$"), "ChangeResourceRecordSets"),
    ("route53", "GET", re.compile(r"/rrset$"), "ListResourceRecordSets"),
    ("route53", "GET", re.compile(r"/hostedzonesbyname$"), "ListHostedZonesByName"),
]


@dataclass
class Interception:
    """A call that something is done to, so many times."""

    call: str
    #: `before`: the endpoint does not see it yet; `after`: it was done, and the answer is withheld; `lose`: it was
    #: done, and the connection is closed; `refuse`: it is answered with `answer`, and not done; `drop`: neither.
    how: str
    answer: tuple[int, bytes] = (503, b"")
    times: int = 1
    #: Only calls with this in their body.
    having: bytes = b""
    reached: threading.Event = field(default_factory=threading.Event)
    open: threading.Event = field(default_factory=threading.Event)

    def wait(self, seconds: float = 30.0) -> None:
        """Wait until the call is made."""
        assert self.reached.wait(seconds), f"{self.call} was not called within {seconds} s"

    def release(self) -> None:
        """Let the call go on."""
        self.open.set()


class Server(ThreadingHTTPServer):
    """A server that takes the calls of all tests at once."""

    daemon_threads = True
    # The default is 5: the kernel drops the rest of a burst, and resets connections that it has accepted itself by then.
    request_queue_size = 512


class FaultProxy:
    """A server that hands on every call, but for those that it is told to treat otherwise."""

    def __init__(self, upstream: str) -> None:
        self.upstream = urlparse(upstream).netloc
        self._stops: list[Interception] = []
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

    def hold_before(self, call: str, having: bytes = b"") -> Interception:
        """Calls of `service:Action` are held before the endpoint sees them, and when they are repeated as well."""
        return self._add(Interception(call, "before", times=ALL, having=having))

    def hold_after(self, call: str) -> Interception:
        """Calls of `service:Action` are done, and their answers are held."""
        return self._add(Interception(call, "after", times=ALL))

    def lose(self, call: str) -> Interception:
        """The next `service:Action` is done, and its answer is lost."""
        return self._add(Interception(call, "lose"))

    def refuse(self, call: str, status: int, body: bytes, times: int = 1, having: bytes = b"") -> Interception:
        """The next calls of `service:Action` (with `having` in their body) are answered here, and not done."""
        return self._add(Interception(call, "refuse", (status, body), times, having))

    def drop(self, stop: Interception) -> None:
        """A call that is held before the endpoint saw it never gets there."""
        stop.how = "drop"
        stop.release()

    def release_all(self) -> None:
        """Let everything go on, and stop nothing more."""
        with self._lock:
            stops, self._stops = self._stops, []
        for stop in stops:
            stop.release()

    def control(self, target: str) -> bytes | None:
        """An answer of the proxy's own, in JSON; None if the call is the endpoint's."""
        return None

    def answered(self, method: str, target: str, headers: dict[str, str], body: bytes, status: int) -> None:
        """The endpoint has answered a call."""

    def _add(self, stop: Interception) -> Interception:
        with self._lock:
            self._stops.append(stop)
        return stop

    def take(self, call: str, body: bytes = b"") -> Interception | None:
        """What is to be done to this call."""
        with self._lock:
            for stop in self._stops:
                if stop.call == call and stop.times > 0 and stop.having in body:
                    stop.times -= 1
                    return stop
        return None


class BatchProxy(FaultProxy):
    """Holds every call until as many are there as a test says: calls that need no other's answer come together."""

    def __init__(self, upstream: str) -> None:
        super().__init__(upstream)
        self._held: list[Interception] = []
        self._changed = threading.Condition()

    def take(self, call: str, body: bytes = b"") -> Interception | None:
        """Hold it."""
        stop = Interception(call, "before")
        with self._changed:
            self._held.append(stop)
            self._changed.notify_all()
        return stop

    def batch(self, count: int, seconds: float = 60.0) -> list[str]:
        """Wait for so many calls, and let them go; gives what they are, sorted."""
        with self._changed:
            complete = self._changed.wait_for(lambda: len(self._held) >= count, seconds)
            held, self._held = self._held, []
        calls = sorted(stop.call for stop in held)
        for stop in held:
            stop.release()
        assert complete and len(calls) == count, f"{len(calls)} calls at once, not {count}: {calls}"
        return calls

    def release_all(self) -> None:
        """Let everything go on."""
        with self._changed:
            held, self._held = self._held, []
        for stop in held:
            stop.release()
        super().release_all()


def handler(proxy: FaultProxy) -> type[BaseHTTPRequestHandler]:
    """The handler of a proxy's requests."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 120

        def handle_any(self) -> None:
            body = read_body(self)
            if (own := proxy.control(self.path)) is not None:
                return self.answer(200, [("Content-Type", "application/json")], own)
            stop = proxy.take(call_of(self.command, self.path, dict(self.headers), body), body)
            if stop and stop.how == "refuse":
                stop.reached.set()
                return self.answer(stop.answer[0], [("Content-Type", "text/xml")], stop.answer[1])
            if stop and stop.how == "before":
                stop.reached.set()
                stop.open.wait(120)
            if stop and stop.how == "drop":
                self.close_connection = True
                return None
            status, headers, content = forward(proxy.upstream, self, body)
            proxy.answered(self.command, self.path, dict(self.headers), body, status)
            if stop and stop.how == "after":
                stop.reached.set()
                stop.open.wait(120)
            if stop and stop.how == "lose":
                stop.reached.set()
                self.close_connection = True
                return None
            return self.answer(status, headers, content)

        def answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
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
                # The tool was killed meanwhile.
                self.close_connection = True

        def log_message(self, *_: Any) -> None:
            pass

    for method in ("GET", "PUT", "POST", "DELETE", "HEAD"):
        setattr(Handler, f"do_{method}", Handler.handle_any)
    return Handler


def read_body(request: BaseHTTPRequestHandler) -> bytes:
    """The whole body, whether it came with a length or in chunks."""
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
    """The endpoint's answer to a request."""
    headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP}
    headers["Content-Length"] = str(len(body))
    connection = http.client.HTTPConnection(upstream, timeout=120)
    try:
        connection.request(request.command, request.path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        keep = HOP - {"content-length"} if request.command == "HEAD" else HOP
        return answer.status, [pair for pair in answer.getheaders() if pair[0].lower() not in keep], content
    finally:
        connection.close()


def call_of(method: str, path: str, headers: dict[str, str], body: bytes) -> str:
    """`service:Action` of a request."""
    lower: Callable[[str], str] = {name.lower(): value for name, value in headers.items()}.get  # type: ignore[assignment]
    match = SERVICE.search(lower("authorization") or "")
    service = match.group(1) if match else "unknown"
    if target := lower("x-amz-target"):
        return f"{service}:{target.rsplit('.', 1)[-1]}"
    if (lower("content-type") or "").startswith("application/x-www-form-urlencoded"):
        return f"{service}:{parse_qs(body.decode('utf-8', 'replace')).get('Action', ['unknown'])[0]}"
    plain = path.split("?", 1)[0]
    for known, verb, pattern, action in REST:
        if (known, verb) == (service, method) and pattern.search(plain):
            return f"{service}:{action}"
    return f"{service}:{method} {plain}"
