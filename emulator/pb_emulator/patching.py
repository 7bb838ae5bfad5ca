"""Modifications of moto: wrapped backend methods, and replaced operations."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from moto.core.responses import ActionResult, BaseResponse
from moto.core.utils import camelcase_to_underscores

T = TypeVar("T")


def wrap(cls: type, name: str | None = None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Replaces `cls.name` with a function that receives the original as its first argument."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        method = name or function.__name__
        original = getattr(cls, method)

        @functools.wraps(original)
        def replacement(self: Any, *args: Any, **kwargs: Any) -> Any:
            return function(original, self, *args, **kwargs)

        setattr(cls, method, replacement)
        return function

    return decorate


@dataclass(frozen=True)
class Place:
    """Account and region of a call or resource."""

    account: str
    region: str

    def arn(self, service: str, resource: str) -> str:
        """Returns the ARN of a resource in this account and region."""
        return f"arn:aws:{service}:{self.region}:{self.account}:{resource}"


Operation = Callable[[Place, dict[str, Any]], dict[str, Any] | None]


def install(response_class: type[BaseResponse], action: str, operation: Operation) -> None:
    """Makes `operation` serve `action`; its parameters and results have their wire names.

    Parsing and serialising follow the service model, so an operation works with plain dictionaries.
    """

    def method(self: BaseResponse) -> ActionResult:
        self.parse_parameters(self.normalized_request)
        place = Place(self.current_account, self.region)
        return ActionResult(operation(place, to_plain(self.params)) or {})

    method.__name__ = camelcase_to_underscores(action)
    setattr(response_class, method.__name__, method)


def disable(response_class: type[BaseResponse], actions: tuple[str, ...]) -> None:
    """Makes actions fail with 501 if moto would serve them from its own state, which differs from the state of this
    package.
    """

    def refuse(action: str) -> None:
        def method(self: BaseResponse) -> ActionResult:
            raise NotImplementedError(f"{action} is not emulated")

        setattr(response_class, camelcase_to_underscores(action), method)

    for action in actions:
        refuse(action)


def to_plain(value: Any) -> Any:
    """Returns a copy that consists of plain dictionaries and lists."""
    if isinstance(value, dict):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    return value


def attached_state(owner: Any, key: str, factory: Callable[[], T]) -> T:
    """Returns state that this package stores in a moto backend or resource, so that a reset clears it."""
    store = owner.__dict__.setdefault("_pb", {})
    if key not in store:
        store[key] = factory()
    return store[key]
