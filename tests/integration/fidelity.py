"""Validation of requests against the services' published models: AWS may refuse a request that violates its model."""

from __future__ import annotations

import functools
import re
from typing import Any

from botocore.model import Shape
from models import Request, UnknownMember, parsed_input

#: Text format of the values of each type, for protocols that send values as text.
TEXT_FORMATS = {
    "integer": re.compile(r"-?\d+"),
    "long": re.compile(r"-?\d+"),
    "boolean": re.compile(r"true|false"),
    "double": re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?"),
    "float": re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?"),
}
#: Accepted Python types of a parsed JSON value, by the type in the model.
JSON_TYPES: dict[str, tuple[type, ...]] = {
    "structure": (dict,), "map": (dict,), "list": (list,), "string": (str,), "character": (str,),
    "integer": (int, str), "long": (int, str), "double": (int, float, str), "float": (int, float, str),
    "boolean": (bool, str), "blob": (bytes, str), "timestamp": (int, float, str),
}  # fmt: skip


def violations(request: Request) -> list[str]:
    """Returns the ways in which a request violates its operation's model."""
    try:
        values = parsed_input(request)
    except (UnknownMember, ValueError) as error:
        return [f"{request.service}:{request.action}: {error}"]
    shape = request.operation.input_shape if request.operation else None
    problems = value_problems(shape, values, "") if shape else []
    return [f"{request.service}:{request.action}{problem}" for problem in problems]


def value_problems(shape: Shape, value: Any, path: str) -> list[str]:
    """Returns the violations in a value and in the values nested in it."""
    kinds = JSON_TYPES.get(shape.type_name, (object,))
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        return [f"{path}: {value!r} is no {shape.type_name}"]
    if (
        isinstance(value, str)
        and shape.type_name in TEXT_FORMATS
        and not TEXT_FORMATS[shape.type_name].fullmatch(value)
    ):
        return [f"{path}: {value!r} is no {shape.type_name}"]
    problems = limit_problems(shape, value, path)
    if shape.type_name == "structure":
        problems += [f"{path}.{name} is required" for name in shape.required_members if value.get(name) is None]
        unknown = sorted(set(value) - set(shape.members))
        problems += [f"{path}: the model has no {name}" for name in unknown]
        members = [(shape.members[n], v, f"{path}.{n}") for n, v in value.items() if n in shape.members]
    elif shape.type_name == "list":
        members = [(shape.member, item, f"{path}[{i}]") for i, item in enumerate(value)]
    elif shape.type_name == "map":
        members = [(shape.key, key, f"{path}.{key}") for key in value]
        members += [(shape.value, item, f"{path}.{key}") for key, item in value.items()]
    else:
        members = []
    for member, item, member_path in members:
        # A JSON null counts as an absent member.
        problems += value_problems(member, item, member_path) if item is not None else []
    return problems


def limit_problems(shape: Shape, value: Any, path: str) -> list[str]:
    """Returns the violations of a shape's limits: enumeration, length, range and pattern."""
    metadata, problems = shape.metadata, []
    allowed = metadata.get("enum")
    if allowed and value not in allowed:
        problems.append(f"{path}: {value!r} is none of {', '.join(allowed)}")
    size = len(value) if isinstance(value, (list, dict, bytes)) or shape.type_name == "string" else None
    if size is None and shape.type_name in ("integer", "long", "double", "float"):
        size = float(value)
    if size is not None and not float(metadata.get("min", size)) <= size <= float(metadata.get("max", size)):
        limits = f"{metadata.get('min', '')}..{metadata.get('max', '')}"
        problems.append(f"{path}: {value!r} is outside of {limits}")
    text = metadata.get("pattern")
    if text and isinstance(value, str) and not pattern(text).fullmatch(value):
        problems.append(f"{path}: {value!r} does not fit {text}")
    return problems


@functools.cache
def pattern(text: str) -> re.Pattern[str]:
    """Compiles a pattern of a model. Models use Java's syntax, which has Unicode classes that Python's `re` lacks."""
    for java, python in ((r"\p{L}", r"\w"), (r"\p{Z}", r"\s"), (r"\p{N}", r"\d")):
        text = text.replace(java, python)
    return re.compile(text)
