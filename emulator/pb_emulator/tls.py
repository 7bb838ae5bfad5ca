"""TLS of HTTPS listeners: versions and ciphers of the security policy, and the certificate for the server name.

AWS rule: among the certificates that match the name, the load balancer prefers ECDSA keys, then certificates that have
not expired, and then those that are valid longest; without a match, it uses the default certificate.
"""

from __future__ import annotations

import functools
import ssl
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from moto.acm.models import AWS_ROOT_CA

from . import acm_model, ssl_policies
from .listener_certificates import all_of
from .patching import Place

HANDSHAKE_SECONDS = 10.0
VERSIONS = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}


@dataclass(frozen=True)
class Served:
    """A certificate of a listener with its chain and key in PEM form."""

    chain: str
    key: str

    @functools.cached_property
    def certificate(self) -> x509.Certificate:
        """The parsed certificate."""
        return x509.load_pem_x509_certificate(self.chain.encode())

    @functools.cached_property
    def names(self) -> list[str]:
        """The names for which the certificate is valid, in lower case."""
        try:
            found = self.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        except x509.ExtensionNotFound:
            return []
        return [name.lower() for name in found.value.get_values_for_type(x509.DNSName)]

    def matches(self, name: str) -> bool:
        """Returns whether the certificate is valid for a name; `*` stands for exactly one label."""
        return name in self.names or f"*.{name.partition('.')[2]}" in self.names

    def preference(self, now: float) -> tuple[bool, bool, float]:
        """Returns the sort key by which the best certificate is the greatest."""
        ends = self.certificate.not_valid_after_utc.timestamp()
        return isinstance(self.certificate.public_key(), ec.EllipticCurvePublicKey), ends > now, ends


def served(place: Place, listener: Any) -> tuple[Served, ...]:
    """Returns the certificates of a listener that exist, the default one first."""
    known = acm_model.certificates(place)
    found = []
    for arn in all_of(listener):
        certificate = known.get(arn)
        if isinstance(certificate, acm_model.Requested) and certificate.material:
            found.append(Served(certificate.material.pem, certificate.material.key))
        elif certificate is not None and not isinstance(certificate, acm_model.Requested):
            chain = certificate.cert + b"\n" + certificate.chain.replace(AWS_ROOT_CA, b"")
            found.append(Served(chain.decode(), certificate.key.decode()))
    return tuple(found)


def context_of(place: Place, listener: Any) -> ssl.SSLContext | None:
    """Returns the TLS settings of a listener, or None for an HTTP listener."""
    if listener.protocol != "HTTPS":
        return None
    return listener_context(served(place, listener), listener.ssl_policy)


@functools.lru_cache(maxsize=256)
def listener_context(certificates: tuple[Served, ...], policy: str) -> ssl.SSLContext:
    """Returns TLS settings that select a certificate by the server name of the client."""
    contexts = {one: certificate_context(one, policy) for one in certificates}

    def select(connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, _context: ssl.SSLContext) -> None:
        chosen = best(certificates, (name or "").lower())
        if chosen:
            connection.context = contexts[chosen]

    context = certificate_context(certificates[0], policy) if certificates else empty_context(policy)
    context.sni_callback = select
    return context


def best(certificates: Iterable[Served], name: str) -> Served | None:
    """Returns the certificate that AWS prefers among those that match a name."""
    now = time.time()
    return max((one for one in certificates if one.matches(name)), key=lambda one: one.preference(now), default=None)


def certificate_context(one: Served, policy: str) -> ssl.SSLContext:
    """Returns TLS settings with a certificate."""
    context = empty_context(policy)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "certificate.pem"
        file.write_text(f"{one.chain}\n{one.key}", encoding="ascii")
        context.load_cert_chain(file)
    return context


def empty_context(policy: str) -> ssl.SSLContext:
    """Returns TLS settings with the versions and ciphers of a security policy. TLS 1.0 and 1.1 are never offered,
    because OpenSSL no longer supports them by default.
    """
    offered = [VERSIONS[version] for version in ssl_policies.protocols(policy) if version in VERSIONS]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version, context.maximum_version = min(offered), max(offered)
    context.set_alpn_protocols(["http/1.1"])
    if ciphers := ssl_policies.openssl_ciphers(policy):
        context.set_ciphers(":".join(ciphers))
    return context
