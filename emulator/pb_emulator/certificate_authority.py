"""The authority that signs the certificates of the emulated ACM. Clients trust it by its certificate, which
`GET /_pb/ca` returns.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

#: Validity of the public certificates that ACM issues. (ACM user guide: Certificate characteristics)
VALIDITY = timedelta(days=198, seconds=-1)
#: Key algorithms of RequestCertificate, with the curve of each algorithm that is not RSA.
CURVES: dict[str, type[ec.EllipticCurve]] = {"EC_prime256v1": ec.SECP256R1, "EC_secp384r1": ec.SECP384R1}
ALGORITHMS = ("RSA_2048", *CURVES)
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Material:
    """A signed certificate with its private key, both in PEM form."""

    certificate: x509.Certificate
    pem: str
    key: str


@functools.cache
def authority() -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """Returns the authority's certificate and key, which are new in each process."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Amazon"),
            x509.NameAttribute(NameOID.COMMON_NAME, "Amazon RSA 2048 M01 (emulated)"),
        ]
    )
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    certificate = (
        builder(name, name, key, now - timedelta(days=3650), now + timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate, key


def builder(
    subject: x509.Name, issuer: x509.Name, key: Key, begins: datetime, ends: datetime
) -> x509.CertificateBuilder:
    """Returns a certificate for a key that still lacks most of its extensions."""
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def authority_pem() -> str:
    """Returns the authority's certificate in PEM form."""
    return authority()[0].public_bytes(Encoding.PEM).decode("ascii")


@functools.cache
def key_of(algorithm: str) -> Key:
    """Returns the key of all certificates with an algorithm: one, because the generation of an RSA key is slow."""
    if algorithm in CURVES:
        return ec.generate_private_key(CURVES[algorithm]())
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def issue(names: list[str], algorithm: str, days_left: float | None = None) -> Material:
    """Signs a certificate for names. With `days_left`, it was issued earlier and expires in this number of days."""
    issuer, signer = authority()
    key, midnight = key_of(algorithm), datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    ends = midnight + VALIDITY if days_left is None else datetime.now(UTC) + timedelta(days=days_left)
    begins = min(midnight, ends - VALIDITY)
    alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    certificate = (
        builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])]), issuer.subject, key, begins, ends)
        .add_extension(alternatives, critical=False)
        .add_extension(identifier, critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(signer, hashes.SHA256())
    )
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")
    return Material(certificate, certificate.public_bytes(Encoding.PEM).decode("ascii"), text)
