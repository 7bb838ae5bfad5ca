"""Addresses of the queue, which pb-deploy sets in the environment of each container."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from typing import TypedDict
from urllib.parse import parse_qsl, urlsplit, urlunsplit

BROKER, RESULTS = "CELERY_BROKER_URL", "CELERY_RESULT_BACKEND"


class ConnectionUrls(TypedDict):
    """Keyword arguments of `celery.Celery`."""

    broker: str
    backend: str


class QueueNotConfigured(RuntimeError):
    """An address of the queue is missing, or cannot work. The message contains no password."""


def connection_urls(environment: MutableMapping[str, str] | None = None) -> ConnectionUrls:
    """Returns the addresses of broker and results from CELERY_BROKER_URL and CELERY_RESULT_BACKEND.

    An address with TLS gets `ssl_cert_reqs=required`, which Celery demands for results. Celery prefers the variables to
    any argument or setting, so the variables are changed, too.

    Raises `QueueNotConfigured` if a variable is missing, or if Celery would fail with its value at the first connection.
    """
    variables = os.environ if environment is None else environment
    urls = {name: _checked(name, variables.get(name, "")) for name in (BROKER, RESULTS)}
    variables.update(urls)
    return {"broker": urls[BROKER], "backend": urls[RESULTS]}


def _checked(name: str, url: str) -> str:
    """Returns the address in a variable, with the option that TLS needs."""
    if not url:
        raise QueueNotConfigured(f"the environment variable {name} with the address of the queue is missing")
    parts = urlsplit(url)
    if parts.scheme in ("valkey", "valkeys"):
        raise QueueNotConfigured(f"{name}: Celery does not know {parts.scheme}://; redis:// and rediss:// work with Valkey")
    options = [option for option, _ in parse_qsl(parts.query, keep_blank_values=True)]
    if others := [option for option in options if not option.startswith("ssl_")]:
        raise QueueNotConfigured(f"{name}: set {others[0]} in broker_transport_options: in the address, it is a TypeError")
    if parts.scheme == "rediss" and "ssl_cert_reqs" not in options:
        query = "&".join(filter(None, (parts.query, "ssl_cert_reqs=required")))
        return urlunsplit(parts._replace(query=query))
    return url
