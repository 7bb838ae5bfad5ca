"""Installs all rules into moto, and advances the state of an account to the current time."""

from __future__ import annotations

from moto.core.base_backend import BackendDict
from moto.moto_api._internal.models import reset_model_data

from . import (
    acm, acm_model, caching, ec2, ecr_images, ecs, ecs_rollout, elasticache, elasticache_model, elbv2, iam, interfaces,
    listeners_https, operator_calls, quota_rules, quotas, redirects, route53, s3, simple_services, ssl_policies,
    tagging_api,
)  # fmt: skip
from .patching import Place

_installed = False


def install() -> None:
    """Installs all rules, once."""
    global _installed
    if _installed:
        return
    for module in (
        interfaces, acm, ec2, ecr_images, elbv2, redirects, ssl_policies, listeners_https, ecs, elasticache, iam,
        quotas, quota_rules, route53, s3, simple_services, operator_calls, tagging_api, caching,
    ):  # fmt: skip
        module.install_rules()
    _installed = True


def advance(account: str, region: str) -> None:
    """Applies all changes that are due in an account and region."""
    place = Place(account, region)
    ecs_rollout.advance(place)
    elasticache.advance(place)
    acm_model.advance(place)
    interfaces.remove_released(place)


def reset() -> None:
    """Deletes all resources of all accounts."""
    BackendDict.reset()
    reset_model_data()
    quotas.reset()
    s3.reset()
    elasticache_model.reset()
    ecs_rollout.reset()
    acm_model.reset()
