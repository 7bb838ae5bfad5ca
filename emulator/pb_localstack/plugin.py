"""Additions to LocalStack: services, rules, and counts of answers by source."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

from localstack.aws import handlers
from localstack.aws.api import CommonServiceException, RequestContext
from localstack.aws.spec import load_service
from localstack.http import Response
from localstack.services import moto as inner
from localstack.services.edge import ROUTER
from localstack.services.plugins import SERVICE_PLUGINS, Service, ServiceManager
from localstack.utils.bootstrap import get_enabled_apis
from moto.core.exceptions import ServiceException
from pb_emulator import caching, ec2, ecs, ecs_rollout, elasticache, elbv2, interfaces, quota_rules, simple_services
from pb_emulator.patching import Operation, Place, to_plain

from .tally import Tally

#: Services that the open edition lacks, with the operations that pb_emulator serves; moto serves all other operations.
SERVICES: dict[str, dict[str, Operation]] = {
    "ecs": ecs.OPERATIONS,
    "ecr": {},
    "elbv2": {},
    "elasticache": elasticache.OPERATIONS,
    "application-autoscaling": {},
}
#: Rules for LocalStack's moto. The Route 53 rules are missing because they need a newer moto, and LocalStack has a
#: Route 53 of its own.
RULES = (interfaces, ec2, elbv2, ecs, elasticache, quota_rules, simple_services, caching)

#: Lets only one call at a time reach moto, as in pb_emulator, because the rules first check and then act.
_lock = threading.RLock()
_tally = Tally()


class _TableService:
    """A service that consists only of a dispatch table."""

    def __init__(self, service: str) -> None:
        self.service = service


def install() -> None:
    """Installs rules, services and counts. This must run once, before LocalStack starts. PROVIDER_OVERRIDE_DYNAMODB
    selects moto for DynamoDB.
    """
    for rules in RULES:
        rules.install_rules()
    inner.dispatch_to_moto = serialized(inner.dispatch_to_moto)
    for name in SERVICES:
        SERVICE_PLUGINS.api_provider_specs.setdefault(name, []).append("default")
    SERVICE_PLUGINS.api_provider_specs["dynamodb"].append("moto")
    # LocalStack caches the list of enabled services; without this, it would treat the added services as disabled.
    get_enabled_apis.cache_clear()
    for name, operations in (SERVICES | {"dynamodb": {}}).items():
        add_service(name, operations)
    handlers.run_custom_response_handlers.append(count_source)
    ROUTER.add("/_pb/served", lambda _request, **_: Response(json.dumps(_tally.document())))


def add_service(name: str, operations: dict[str, Operation]) -> None:
    """Adds a service: pb_emulator serves `operations`, moto serves all others."""
    model = load_service(name)
    table = {operation: inner._proxy_moto for operation in model.operation_names}
    table |= {action: as_localstack_operation(operation) for action, operation in operations.items()}
    service = Service.for_provider(_TableService(name), dispatch_table_factory=lambda _: table)
    ServiceManager.add_service(SERVICE_PLUGINS, service)


def advance(context: RequestContext) -> Place:
    """Applies all changes that are due in the account and region of a call."""
    place = Place(context.account_id, context.region)
    ecs_rollout.advance(place)
    elasticache.advance(place)
    interfaces.remove_released(place)
    return place


def as_localstack_operation(operation: Operation) -> Callable[[RequestContext, dict[str, Any]], dict[str, Any]]:
    """Adapts an operation of pb_emulator to LocalStack's interface."""

    def call(context: RequestContext, request: dict[str, Any]) -> dict[str, Any]:
        context.pb_answered = "emulator"
        try:
            with _lock:
                return operation(advance(context), to_plain(request)) or {}
        except ServiceException as error:
            raise CommonServiceException(error.code, error.message, sender_fault=True) from error

    return call


def serialized(original: Callable[[RequestContext], Response]) -> Callable[[RequestContext], Response]:
    """Wraps the dispatch to moto, so that it handles one call at a time and applies all due changes first."""

    def dispatch(context: RequestContext) -> Response:
        context.pb_answered = "moto"
        with _lock:
            advance(context)
            return original(context)

    return dispatch


def count_source(_chain: Any, context: RequestContext, _response: Response) -> None:
    """Counts an answer by its source."""
    if context.service and context.operation and not context.is_internal_call:
        who = getattr(context, "pb_answered", "localstack")
        _tally.add(context.service.service_name, context.operation.name, who)
