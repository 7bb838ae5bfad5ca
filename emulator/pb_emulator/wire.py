"""Identification of requests (service, action, account, region), and error responses in each protocol."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from moto.core.request import Request
from moto.core.routing import get_service_router

DEFAULT_ACCOUNT = "123456789012"
DEFAULT_REGION = "us-east-1"
CREDENTIAL = re.compile(r"Credential=([^/,\s]+)/\d{8}/([^/]+)/([^/]+)/aws4_request")
REST_MODELS = {"s3": "s3", "route53": "route53"}
ERROR_CODE = re.compile(rb"<Code>([^<]+)</Code>")


@dataclass(frozen=True)
class Call:
    """An API call with its account and region."""

    service: str
    action: str
    account: str
    region: str
    parameters: dict[str, str]

    @property
    def is_form(self) -> bool:
        """True if the request body is a form, as in the EC2 and query protocols."""
        return bool(self.parameters)


def identify(environ: dict[str, Any], body: bytes) -> Call:
    """Identifies a call: account, region and service by the request's signature, the operation by its target header,
    form or path.
    """
    key, region, service = DEFAULT_ACCOUNT, DEFAULT_REGION, "s3"
    signature = environ.get("HTTP_AUTHORIZATION", "") or presigned_credential(environ)
    if match := CREDENTIAL.search(signature):
        key, region, service = match.groups()
    account = key if re.fullmatch(r"\d{12}", key) else DEFAULT_ACCOUNT
    parameters: dict[str, str] = {}
    target = environ.get("HTTP_X_AMZ_TARGET", "")
    if target:
        action = target.rsplit(".", 1)[-1]
    else:
        if environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
            form = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True)
            parameters = {name: values[0] for name, values in form.items()}
        action = parameters.get("Action", "") or rest_action(service, environ)
    return Call(service, action, account, region, parameters)


def presigned_credential(environ: dict[str, Any]) -> str:
    """Returns the credential of a presigned URL in the form of an Authorization header."""
    query = parse_qs(environ.get("QUERY_STRING", ""))
    credential = query.get("X-Amz-Credential", [""])[0]
    return f"Credential={credential}" if credential else ""


def rest_action(service: str, environ: dict[str, Any]) -> str:
    """Returns the operation of a REST service that a method and path request."""
    if service in REST_MODELS:
        try:
            operation, _ = get_service_router(REST_MODELS[service]).match(Request(dict(environ)))
            return str(operation.name)
        except Exception:  # noqa: BLE001 - the router raises several kinds for a path it does not know
            pass
    return f"{environ['REQUEST_METHOD']} {environ.get('PATH_INFO', '/')}"


def error_code(status: int, headers: list[tuple[str, str]], body: bytes) -> str | None:
    """Returns the error code of a response, or None for a success."""
    if status < 400:
        return None
    if match := ERROR_CODE.search(body):
        return match.group(1).decode("utf-8", "replace")
    try:
        kind = json.loads(body).get("__type", "")
        return str(kind).rsplit("#", 1)[-1] or str(status)
    except (ValueError, AttributeError):
        named = {name.lower(): value for name, value in headers}.get("x-amzn-errortype")
        return named or str(status)


def error_answer(call: Call, environ: dict[str, Any], code: str, message: str) -> tuple[str, bytes]:
    """Returns content type and body of an error in the protocol of the request."""
    if environ.get("HTTP_X_AMZ_TARGET"):
        kind = environ.get("CONTENT_TYPE") or "application/x-amz-json-1.1"
        return kind, json.dumps({"__type": code, "message": message}).encode("utf-8")
    inner = f"<Code>{escape(code)}</Code><Message>{escape(message)}</Message>"
    if call.service == "ec2":
        text = f"<Response><Errors><Error>{inner}</Error></Errors><RequestID>pb-emulator</RequestID></Response>"
    elif call.service == "s3":
        text = f"<Error>{inner}<RequestId>pb-emulator</RequestId></Error>"
    else:
        text = (
            f"<ErrorResponse><Error><Type>Sender</Type>{inner}</Error>"
            "<RequestId>pb-emulator</RequestId></ErrorResponse>"
        )
    return "text/xml", ('<?xml version="1.0" encoding="UTF-8"?>' + text).encode("utf-8")
