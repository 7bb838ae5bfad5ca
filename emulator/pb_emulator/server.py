"""The HTTP server: passes API calls to moto under one lock, logs them, and serves the control endpoints."""

from __future__ import annotations

import io
import json
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

from cheroot.server import HTTPConnection, HTTPRequest
from cheroot.wsgi import Server
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from . import (
    acm_model, certificate_authority, ecs_rollout, elasticache_model, prerequisites, queued_jobs, route53, rules, s3,
    timings,
)  # fmt: skip
from .data_plane import DataPlane
from .dns_server import PublicDns
from .patching import Place, wrap
from .request_log import Recorder, RequestLog
from .wire import Call, error_answer, error_code, identify

StartResponse = Callable[..., Any]
#: Maximum number of requests that are handled in parallel; most of them wait for the lock.
THREADS = 32
STATUS_TEXT = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 412: "Precondition Failed"}
RECORDED_HEADERS = ("CONTENT_TYPE", "CONTENT_LENGTH")


#: Moto's WSGI application by host.
_backends: dict[str | None, Any] = {}


@wrap(DomainDispatcherApplication)
def get_backend_for_host(original: Callable[..., Any], self: DomainDispatcherApplication, host: str | None) -> Any:
    """Caches the backend of a host, because moto lists its own folders and tries hundreds of patterns to find it for
    each call.
    """
    if host not in _backends:
        _backends[host] = original(self, host)
    return _backends[host]


class Response:
    """A complete response, captured from moto's WSGI application."""

    def __init__(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body


class Application:
    """The WSGI application of the emulator: API calls and control endpoints."""

    def __init__(self, latency: float = 0.0, recorder: Recorder | None = None, data_plane: bool = False) -> None:
        rules.install()
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._lock = threading.Lock()
        self._latency = latency
        self._recorder = recorder
        self.request_log = RequestLog()
        self._data_plane = DataPlane(self._lock, rules.advance, everywhere=data_plane)
        self._dns = PublicDns(self._lock)

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        body = read_body(environ)
        if environ.get("PATH_INFO", "").startswith("/_pb/"):
            answer = self._control(environ, body)
        else:
            answer = self._serve(environ, body)
        reason = STATUS_TEXT.get(answer.status, "Status")
        start_response(f"{answer.status} {reason}", answer.headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [answer.body]

    def _serve(self, environ: dict[str, Any], body: bytes) -> Response:
        """Answers one API call and logs it."""
        began = time.monotonic()
        call = identify(environ, body)
        if self._latency:
            time.sleep(self._latency)
        environ["HTTP_X_MOTO_ACCOUNT_ID"] = call.account
        environ["wsgi.input"] = io.BytesIO(body)
        environ["CONTENT_LENGTH"] = str(len(body))
        environ["RAW_URI"] = environ.get("REQUEST_URI", "")
        with self._lock:
            answer = self._dispatch(call, environ)
            self._data_plane.sync(Place(call.account, call.region))
        self.request_log.add(
            began,
            service=call.service,
            action=call.action,
            account=call.account,
            region=call.region,
            status=answer.status,
            error=error_code(answer.status, answer.headers, answer.body),
            user_agent=environ.get("HTTP_USER_AGENT", ""),
        )
        if self._recorder:
            self._record(call, environ, body, answer)
        return answer

    def _dispatch(self, call: Call, environ: dict[str, Any]) -> Response:
        """Advances the account's state to the current time, then passes the call to moto."""
        try:
            rules.advance(call.account, call.region)
            if call.service == "ec2" and call.parameters.get("DryRun") == "true":
                return error_response(
                    call, environ, 412, "DryRunOperation", "Request would have succeeded, but DryRun flag is set."
                )
            answer = run_wsgi(self._moto, environ)
        except NotImplementedError as error:
            return error_response(call, environ, 501, "NotImplemented", f"{call.service} {call.action}: {error}")
        except Exception as error:  # noqa: BLE001 - a fault of the emulator must not look like one of AWS
            traceback.print_exc(file=sys.stderr)
            return error_response(call, environ, 501, "EmulatorFault", f"{call.service} {call.action}: {error!r}")
        kind = dict(answer.headers).get("Content-Type", "")
        if (
            answer.status >= 400
            and kind.startswith("text/html")
            and answer.body.lstrip().lower().startswith(b"<!doctype")
        ):
            return error_response(call, environ, 501, "NotImplemented", f"{call.service} {call.action} is not emulated")
        return answer

    def _record(self, call: Call, environ: dict[str, Any], body: bytes, answer: Response) -> None:
        """Appends the exchange to the recording."""
        assert self._recorder
        headers = {k[5:].lower().replace("_", "-"): v for k, v in environ.items() if k.startswith("HTTP_")}
        headers.pop("x-moto-account-id", None)
        headers.update({k.lower().replace("_", "-"): environ[k] for k in RECORDED_HEADERS if environ.get(k)})
        request = {
            "method": environ["REQUEST_METHOD"],
            "path": environ.get("PATH_INFO", ""),
            "query": environ.get("QUERY_STRING", ""),
            "headers": headers,
            "service": call.service,
            "action": call.action,
            "account": call.account,
            "region": call.region,
        }
        self._recorder.write(
            request, body, {"status": answer.status, "response_headers": dict(answer.headers)}, answer.body
        )

    def _control(self, environ: dict[str, Any], body: bytes) -> Response:
        """Serves the control endpoints."""
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"][len("/_pb/") :]
        query = {name: values[0] for name, values in parse_qs(environ.get("QUERY_STRING", "")).items()}
        try:
            return self._control_route(method, path, query, body)
        except (ValueError, KeyError, TypeError) as error:
            return json_response({"error": f"{type(error).__name__}: {error}"}, 400)

    def _control_route(self, method: str, path: str, query: dict[str, str], body: bytes) -> Response:
        if (method, path) == ("GET", "health"):
            return json_response({"status": "ok", "pace": timings.table()})
        if (method, path) == ("GET", "requests"):
            entries = self.request_log.entries(int(query.get("since", "0")), query.get("account"))
            return json_response({"requests": entries})
        if (method, path) == ("DELETE", "requests"):
            self.request_log.clear()
            return json_response({})
        if (method, path) == ("POST", "reset"):
            with self._lock:
                rules.reset()
                self._data_plane.reset()
                self._dns.reset()
            return json_response({})
        if (method, path) == ("POST", "preconditions"):
            with self._lock:
                made = prerequisites.ensure(json.loads(body or b"{}"))
            return json_response(made)
        if (method, path) == ("POST", "s3"):
            wanted = json.loads(body or b"{}")
            s3.set_conditions_ignored(wanted["bucket"], bool(wanted["without_conditions"]))
            return json_response(wanted)
        if method == "POST" and path.startswith("cache-"):
            return self._control_cache(path, json.loads(body or b"{}"))
        if (method, path) == ("POST", "queued-jobs"):
            wanted = json.loads(body or b"{}")
            with self._lock:
                queued_jobs.prescribe(Place(wanted["account"], wanted["region"]), wanted["group"], wanted["jobs"])
            return json_response(wanted)
        if (method, path) == ("POST", "record-protections"):
            wanted = json.loads(body or b"{}")
            with self._lock:
                route53.protect(wanted["account"], wanted)
            return json_response(wanted)
        if (method, path) == ("POST", "certificates"):
            wanted = json.loads(body or b"{}")
            with self._lock:
                acm_model.prescribe(wanted)
            return json_response(wanted)
        if (method, path) == ("GET", "ca"):
            return json_response({"certificate": certificate_authority.authority_pem()})
        if (method, path) == ("POST", "rollouts"):
            wanted = json.loads(body or b"{}")
            with self._lock:
                ecs_rollout.pause(wanted["account"], bool(wanted["paused"]))
            return json_response(wanted)
        if (method, path) == ("POST", "data-plane"):
            wanted = json.loads(body or b"{}")
            place = Place(wanted["account"], wanted["region"])
            with self._lock:
                self._data_plane.open(place)
            return json_response(wanted)
        if (method, path) == ("POST", "dns"):
            with self._lock:
                return json_response(self._dns.open(json.loads(body)))
        if (method, path) == ("GET", "listeners"):
            place = Place(query["account"], query["region"])
            with self._lock:
                rules.advance(place.account, place.region)
                self._data_plane.sync(place)
                return json_response({"listeners": self._data_plane.listener_addresses(place)})
        return json_response({"error": f"no control endpoint {method} /_pb/{path}"}, 404)

    def _control_cache(self, path: str, wanted: dict[str, Any]) -> Response:
        """Serves the control endpoints of ElastiCache."""
        with self._lock:
            if path == "cache-capacity":
                elasticache_model.set_capacity(wanted["account"], bool(wanted["available"]))
            elif path == "cache-versions":
                elasticache_model.hide_versions(wanted["account"], wanted["hidden"])
            elif path == "cache-status":
                place = Place(wanted["account"], wanted["region"])
                rules.advance(place.account, place.region)
                elasticache_model.hold(place, wanted["group"], wanted["status"])
            else:
                return json_response({"error": f"no control endpoint POST /_pb/{path}"}, 404)
        return json_response(wanted)


def read_body(environ: dict[str, Any]) -> bytes:
    """Returns the whole request body, whether it was sent with a length or in chunks."""
    stream = environ["wsgi.input"]
    if environ.get("wsgi.input_terminated"):
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        return stream.read()
    length = int(environ.get("CONTENT_LENGTH") or 0)
    return stream.read(length) if length else b""


def run_wsgi(app: Any, environ: dict[str, Any]) -> Response:
    """Calls a WSGI application and captures its response."""
    caught: dict[str, Any] = {}

    def start_response(status: str, headers: list[tuple[str, str]], _: Any = None) -> Callable[[bytes], None]:
        caught["status"], caught["headers"] = int(status.split(" ", 1)[0]), headers
        return lambda _data: None

    result = app(environ, start_response)
    try:
        body = b"".join(result)
    finally:
        if hasattr(result, "close"):
            result.close()
    headers = caught["headers"]
    if environ["REQUEST_METHOD"] != "HEAD":
        headers = [(k, v) for k, v in headers if k.lower() not in ("content-length", "connection")]
        headers.append(("Content-Length", str(len(body))))
    return Response(caught["status"], headers, body)


def error_response(call: Call, environ: dict[str, Any], status: int, code: str, message: str) -> Response:
    """Returns an error response in the protocol of the request."""
    kind, body = error_answer(call, environ, code, message)
    headers = [("Content-Type", kind), ("Content-Length", str(len(body))), ("x-amzn-ErrorType", code)]
    return Response(status, headers, body)


def json_response(value: Any, status: int = 200) -> Response:
    """Returns a JSON response of a control endpoint."""
    body = json.dumps(value).encode("utf-8")
    return Response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))], body)


class SingleWriteRequest(HTTPRequest):
    """Sends head and body of a response in one write, as AWS does for short responses.

    Terraform's DynamoDB client sometimes treats a response whose body arrives after its head as broken. It then repeats
    the call, which is refused because Terraform already holds the lock.
    """

    def respond(self) -> None:
        out = self.conn.wfile
        self.conn.wfile = held = io.BytesIO()
        try:
            super().respond()
        finally:
            self.conn.wfile = out
            out.write(held.getvalue())


class Connection(HTTPConnection):
    """A connection that sends each response in one write."""

    RequestHandlerClass = SingleWriteRequest
    is_new = True


class EmulatorServer(Server):
    """A server that assigns a thread to a connection only when a request has arrived.

    Clients open connections in advance, and may never use them. Cheroot 11.1.2 assigns a thread to each new connection,
    and this thread waits up to `timeout` for the first request; a few such clients would block all threads.
    """

    def process_conn(self, conn: Connection) -> None:
        if conn.is_new:
            conn.is_new = False
            self._connections.put(conn)
        else:
            super().process_conn(conn)


def make_server(host: str, port: int, app: Application) -> Server:
    """Returns a threaded HTTP/1.1 server with keep-alive, bound and ready to accept connections."""
    server = EmulatorServer((host, port), app, numthreads=THREADS, request_queue_size=128)
    server.ConnectionClass = Connection
    server.timeout = 300
    server.keep_alive_conn_limit = 256
    server.prepare()
    return server
