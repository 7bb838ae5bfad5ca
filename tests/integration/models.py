"""Interpretation of requests by the services' published models: their operations and inputs."""

from __future__ import annotations

import functools
import json
import re
import xml.etree.ElementTree as Xml
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote, urlsplit

import botocore.session
from botocore.model import OperationModel, ServiceModel, Shape

CREDENTIAL = re.compile(r"Credential=([^/,\s]+)/\d{8}/([^/]+)/([^/]+)/aws4_request")
#: Names of models, by the service name in the request signature, where the two differ.
MODEL_NAMES = {
    "elasticloadbalancing": "elbv2", "monitoring": "cloudwatch", "servicequotas": "service-quotas",
    "tagging": "resourcegroupstaggingapi",
}  # fmt: skip
NAMESPACE = re.compile(r"\{[^}]*\}")


@dataclass
class Request:
    """An HTTP request to a service."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    def __post_init__(self) -> None:
        self.headers = {name.lower(): value for name, value in self.headers.items()}
        self.path, self.query_text = urlsplit(self.target).path, urlsplit(self.target).query
        self.query = parse_qs(self.query_text, keep_blank_values=True)
        match = CREDENTIAL.search(self.headers.get("authorization", ""))
        #: The access key, region and service in the signature.
        self.key, self.region, self.service = match.groups() if match else ("", "", "unknown")

    @functools.cached_property
    def form(self) -> dict[str, str]:
        """The form parameters of a request in the EC2 or query protocol."""
        if not self.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            return {}
        return dict(parse_qsl(self.body.decode("utf-8"), keep_blank_values=True))

    @functools.cached_property
    def operation(self) -> OperationModel | None:
        """The operation; None if no operation in the model matches."""
        model = service_model(self.service)
        if model is None:
            return None
        target = self.headers.get("x-amz-target", "")
        name = target.rsplit(".", 1)[-1] if target else self.form.get("Action", "")
        if name:
            return model.operation_model(name) if name in model.operation_names else None
        return operation_by_path(model, self)

    @property
    def action(self) -> str:
        """The name of the operation; the method and the path if the operation is unknown."""
        return self.operation.name if self.operation else f"{self.method} {self.path}"


@functools.cache
def service_model(service: str) -> ServiceModel | None:
    """Returns the model of the service with this name in request signatures; None if there is no such model."""
    session = botocore.session.get_session()
    name = MODEL_NAMES.get(service, service)
    return session.get_service_model(name) if name in session.get_available_services() else None


def operation_by_path(model: ServiceModel, request: Request) -> OperationModel | None:
    """Returns the operation of a REST request by method and path: of several, the one with most required parameters."""
    candidates = []
    for operation, pattern, needed in path_templates(model, request.method):
        if pattern.fullmatch(request.path) and all(
            has_parameter(request, where, name, value) for where, name, value in needed
        ):
            candidates.append((len(needed), operation))
    return max(candidates, key=lambda pair: pair[0])[1] if candidates else None


def has_parameter(request: Request, where: str, name: str, value: str) -> bool:
    """Returns whether a request has a header or query parameter; if a value is given, the parameter must have it."""
    if where == "header":
        return name.lower() in request.headers
    return name in request.query and (not value or value in request.query[name])


@functools.cache
def path_templates(model: ServiceModel, method: str) -> list[tuple[OperationModel, re.Pattern[str], list[Any]]]:
    """Returns the operations with an HTTP method, each with its path pattern, required parameters and headers."""
    found = []
    for name in model.operation_names:
        operation = model.operation_model(name)
        if operation.http["method"] != method:
            continue
        path, _, query = operation.http["requestUri"].partition("?")
        needed: list[Any] = [("query", key, value) for key, value in parse_qsl(query, keep_blank_values=True)]
        shape = operation.input_shape
        for member in shape.required_members if shape else []:
            serialization = shape.members[member].serialization
            if serialization.get("location") in ("querystring", "header"):
                where = "header" if serialization["location"] == "header" else "query"
                needed.append((where, serialization["name"], ""))
        found.append((operation, path_pattern(path), needed))
    return found


def path_pattern(path: str) -> re.Pattern[str]:
    """Returns a path template as a pattern with its labels as groups; a label that ends in `+` may contain slashes."""
    parts = re.split(r"\{([^}]+)\}", path)
    text = re.escape(parts[0])
    for label, rest in zip(parts[1::2], parts[2::2], strict=True):
        text += f"(?P<{label.rstrip('+')}>{'.+' if label.endswith('+') else '[^/]+'}){re.escape(rest)}"
    return re.compile(text.rstrip("/") + "/?" if text != "/" else "/")


class UnknownMember(Exception):
    """An operation, or a member of a request, that is missing from the model."""


def parsed_input(request: Request) -> dict[str, Any]:
    """Returns the parsed input of a request's operation."""
    operation = request.operation
    if operation is None:
        raise UnknownMember(f"{request.service} has no operation for {request.method} {request.target}")
    shape, protocol = operation.input_shape, operation.service_model.metadata["protocol"]
    if shape is None:
        return {}
    if protocol in ("query", "ec2"):
        return form_input(shape, request.form, protocol)
    # A service may support several protocols; a request that names its operation in a header uses JSON.
    if protocol == "json" or request.headers.get("x-amz-target"):
        return json.loads(request.body or b"{}")
    return rest_input(operation, shape, request)


def form_input(shape: Shape, form: dict[str, str], protocol: str) -> dict[str, Any]:
    """Returns the input that a form contains."""
    parameters = {name: value for name, value in form.items() if name not in ("Action", "Version")}
    found = form_value(shape, "", parameters, protocol)
    if parameters:
        raise UnknownMember(f"the model has no {', '.join(sorted(parameters))}")
    return found or {}


def form_value(shape: Shape, prefix: str, parameters: dict[str, str], protocol: str) -> Any:
    """Removes the value at a prefix from a form and returns the value; None if there is no such value."""
    if shape.type_name == "structure":
        found = {}
        for name, member in shape.members.items():
            dotted = f"{prefix}.{form_name(name, member, protocol)}".lstrip(".")
            value = form_value(member, dotted, parameters, protocol)
            if value is not None:
                found[name] = value
        return found if found or parameters.pop(prefix, None) is not None else None
    if shape.type_name == "list":
        return form_list(shape, prefix, parameters, protocol)
    if shape.type_name == "map":
        return form_map(shape, prefix, parameters, protocol)
    return parameters.pop(prefix, None)


def form_name(name: str, member: Shape, protocol: str) -> str:
    """Returns the form parameter name of a member. The members of a flattened list have the name of the list."""
    serialization = member.serialization
    if protocol == "ec2":
        own = serialization.get("name", name)
        return str(serialization.get("queryName", own[0].upper() + own[1:]))
    return str(serialization.get("name", name))


def form_list(shape: Shape, prefix: str, parameters: dict[str, str], protocol: str) -> list[Any] | None:
    """Removes a list from a form and returns it: `Name.1`, or `Name.member.1` in the query protocol."""
    if prefix in parameters and parameters[prefix] == "":
        del parameters[prefix]
        return []
    if protocol == "query" and not shape.serialization.get("flattened"):
        prefix = f"{prefix}.{shape.member.serialization.get('name', 'member')}"
    found: list[Any] = []
    while (value := form_value(shape.member, f"{prefix}.{len(found) + 1}", parameters, protocol)) is not None:
        found.append(value)
    return found or None


def form_map(shape: Shape, prefix: str, parameters: dict[str, str], protocol: str) -> dict[str, Any] | None:
    """Removes a map from a form and returns it: `Name.entry.1.key` and `Name.entry.1.value`."""
    found: dict[str, Any] = {}
    while (key := parameters.pop(f"{prefix}.entry.{len(found) + 1}.key", None)) is not None:
        found[key] = form_value(shape.value, f"{prefix}.entry.{len(found) + 1}.value", parameters, protocol)
    return found or None


def rest_input(operation: OperationModel, shape: Shape, request: Request) -> dict[str, Any]:
    """Returns the input of a REST request, read from its path, query, headers and body."""
    pattern = path_pattern(operation.http["requestUri"].partition("?")[0])
    match = pattern.fullmatch(request.path)
    labels = {name: unquote(value) for name, value in match.groupdict().items()} if match else {}
    payload = shape.serialization.get("payload")
    found: dict[str, Any] = {}
    for name, member in shape.members.items():
        wire_name, location = member.serialization.get("name", name), member.serialization.get("location")
        if location == "uri" and wire_name in labels:
            found[name] = labels[wire_name]
        elif location == "querystring" and wire_name in request.query:
            values = request.query[wire_name]
            found[name] = values if member.type_name == "list" else values[0]
        elif location == "header" and wire_name.lower() in request.headers:
            found[name] = request.headers[wire_name.lower()]
        elif name == payload and member.type_name in ("blob", "string"):
            found[name] = request.body
        elif name == payload and request.body:
            found[name] = xml_value(member, Xml.fromstring(request.body))
    if payload is None and request.body:
        body_members = {n: m for n, m in shape.members.items() if not m.serialization.get("location")}
        found.update(xml_members(body_members, Xml.fromstring(request.body)))
    return found


def xml_value(shape: Shape, element: Xml.Element) -> Any:
    """Returns the value of an XML element."""
    if shape.type_name == "structure":
        return xml_members(shape.members, element)
    if shape.type_name == "list":
        return [xml_value(shape.member, child) for child in element]
    return element.text or ""


def xml_members(members: dict[str, Shape], element: Xml.Element) -> dict[str, Any]:
    """Returns the members of the structure in an XML element."""
    names = {m.serialization.get("name", n): n for n, m in members.items()}
    found: dict[str, Any] = {}
    for child in element:
        tag = NAMESPACE.sub("", child.tag)
        if tag not in names:
            raise UnknownMember(f"the model has no {tag} in {NAMESPACE.sub('', element.tag)}")
        member = members[names[tag]]
        if member.type_name == "list" and member.serialization.get("flattened"):
            found.setdefault(names[tag], []).append(xml_value(member.member, child))
        else:
            found[names[tag]] = xml_value(member, child)
    return found
