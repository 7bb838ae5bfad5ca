"""A corporate network on the loopback interface: a forward proxy, a private certificate authority, and an endpoint with
TLS.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from fault_proxy import Server, forward, read_body

Address = tuple[str, int]


class PrivateAuthority:
    """A certificate authority that no system trusts. `file` contains its certificate."""

    def __init__(self, folder: Path, name: str = "Private Authority") -> None:
        self._key, self._folder = ec.generate_private_key(ec.SECP256R1()), folder
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        limits = x509.BasicConstraints(ca=True, path_length=0)
        certificate = self._builder(self._name, self._key, days=1).add_extension(limits, critical=True)
        self.file = folder / f"{name.replace(' ', '_')}.pem"
        self.file.write_bytes(pem(certificate.sign(self._key, hashes.SHA256())))

    def server_context(self, *names: str, days: int = 1) -> ssl.SSLContext:
        """Returns the TLS context of a server with these names; its certificate has expired if `days` is negative."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "endpoint")])
        alternatives = x509.SubjectAlternativeName([general_name(name) for name in names])
        certificate = self._builder(subject, key, days).add_extension(alternatives, critical=False)
        file = self._folder / f"server{days}-{len(names)}.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + pem(certificate.sign(self._key, hashes.SHA256()))
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, days: int) -> x509.CertificateBuilder:
        end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number())
        return builder.not_valid_before(end - datetime.timedelta(days=3)).not_valid_after(end)


def general_name(name: str) -> x509.GeneralName:
    """Returns a host name or address in the form in which certificates contain it."""
    with contextlib.suppress(ValueError):
        return x509.IPAddress(ipaddress.ip_address(name))
    return x509.DNSName(name)


def pem(certificate: x509.Certificate) -> bytes:
    """Returns a certificate in PEM form."""
    return certificate.public_bytes(serialization.Encoding.PEM)


class TlsEndpoint:
    """A server that accepts connections with TLS, and passes what it receives to an endpoint without TLS. It counts
    connections, and those whose client refused the certificate.
    """

    def __init__(self, upstream: str, context: ssl.SSLContext) -> None:
        self._upstream, self._context = address_of(upstream), context
        self.connections, self.refusals = 0, 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.address: Address = ("127.0.0.1", self._listener.getsockname()[1])
        self.url = f"https://127.0.0.1:{self.address[1]}"

    def __enter__(self) -> TlsEndpoint:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            secure = self._context.wrap_socket(client, server_side=True)
        except (ssl.SSLError, OSError):
            self.refusals += 1
            client.close()
            return
        with secure, socket.create_connection(self._upstream) as upstream:
            pass_on(secure, upstream)


class ForwardProxy:
    """An HTTP proxy: CONNECT for URLs with TLS, and forwarding for others. It resolves host names itself, with
    `resolve`, and refuses hosts for which `resolve` returns None. With credentials (`user:password`), it requires them.
    """

    def __init__(self, resolve: Callable[[str], Address | None], credentials: str = "") -> None:
        self.resolve, self.credentials = resolve, credentials
        #: Hosts of the CONNECT requests and of the forwarded requests, and the number of requests without credentials.
        self.connects: list[str] = []
        self.forwarded: list[str] = []
        self.unauthorized = 0
        self._server = Server(("127.0.0.1", 0), proxy_handler(self))
        user = f"{credentials}@" if credentials else ""
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self.url = f"http://{user}{self.address}"

    def __enter__(self) -> ForwardProxy:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def is_authorized(self, header: str | None) -> bool:
        """Returns whether a request has the credentials that the proxy requires."""
        expected = "Basic " + base64.b64encode(self.credentials.encode()).decode()
        return not self.credentials or header == expected


class ProxyHandler(BaseHTTPRequestHandler):
    """A request handler that answers with complete responses."""

    protocol_version = "HTTP/1.1"
    timeout = 120

    def answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        """Sends a response."""
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        if not any(name.lower() == "content-length" for name, _ in headers):
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content if self.command != "HEAD" else b"")

    def log_message(self, *_: Any) -> None:
        """Logs nothing."""


def with_methods(handler: Any) -> type[BaseHTTPRequestHandler]:
    """Makes `handle_any` serve all methods that the tool uses."""
    for method in ("GET", "PUT", "POST", "DELETE", "HEAD"):
        setattr(handler, f"do_{method}", handler.handle_any)
    return handler  # type: ignore[no-any-return]


def proxy_handler(proxy: ForwardProxy) -> type[BaseHTTPRequestHandler]:
    """Returns the request handler class of a forward proxy."""

    class Handler(ProxyHandler):
        def target(self, host: str) -> Address | None:
            """Returns the address of a host; answers the request itself if there is none."""
            if not proxy.is_authorized(self.headers.get("Proxy-Authorization")):
                proxy.unauthorized += 1
                return self.refuse(407)
            return proxy.resolve(host) or self.refuse(502)

        def refuse(self, status: int) -> None:
            self.close_connection = True
            self.answer(status, [], b"")

        def do_CONNECT(self) -> None:
            host = self.path.rsplit(":", 1)[0]
            proxy.connects.append(host)
            if address := self.target(host):
                with socket.create_connection(address) as upstream:
                    self.send_response_only(200)
                    self.end_headers()
                    pass_on(self.connection, upstream)
                self.close_connection = True

        def handle_any(self) -> None:
            url, body = urlsplit(self.path), read_body(self)
            proxy.forwarded.append(url.hostname or "")
            if address := self.target(url.hostname or ""):
                self.path = url.path + (f"?{url.query}" if url.query else "")
                del self.headers["Proxy-Authorization"]
                self.answer(*forward("{}:{}".format(*address), self, body))

    return with_methods(Handler)


def address_of(url: str) -> Address:
    """Returns host and port of a URL."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 80


def pass_on(one: socket.socket, other: socket.socket) -> None:
    """Passes all data between two connections in both directions, until one of them is closed."""

    def copy(source: socket.socket, destination: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                destination.sendall(data)
        with contextlib.suppress(OSError):
            destination.shutdown(socket.SHUT_WR)

    back = threading.Thread(target=copy, args=(other, one), daemon=True)
    back.start()
    copy(one, other)
    back.join(5)


class MountedEndpoint:
    """An endpoint under a path, as behind an API gateway: `url` has no slash at its end. Requests for other paths are
    answered with 404 and recorded.
    """

    def __init__(self, upstream: str, path: str) -> None:
        self.upstream, self.path = address_of(upstream), path
        self.misses: list[str] = []
        self._server = Server(("127.0.0.1", 0), mount_handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}{path}"

    def __enter__(self) -> MountedEndpoint:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def mount_handler(endpoint: MountedEndpoint) -> type[BaseHTTPRequestHandler]:
    """Returns the request handler class of an endpoint under a path."""

    class Handler(ProxyHandler):
        def handle_any(self) -> None:
            body = read_body(self)
            if not self.path.startswith(f"{endpoint.path}/"):
                endpoint.misses.append(self.path)
                return self.answer(404, [], b"")
            self.path = self.path.removeprefix(endpoint.path)
            return self.answer(*forward("{}:{}".format(*endpoint.upstream), self, body))

    return with_methods(Handler)
