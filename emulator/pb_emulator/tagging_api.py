"""Resources that the tagging API lists in addition to moto's. The moto inside LocalStack is older, and is not changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from moto.ecr.models import ecr_backends
from moto.elbv2.models import ELBv2Backend
from moto.logs.models import LogsBackend

from .patching import wrap

try:
    from moto.core.resource_tagging import TaggedResource
    from moto.resourcegroupstaggingapi import models
except ImportError:
    from dataclasses import dataclass

    models = None  # type: ignore[assignment]

    @dataclass
    class TaggedResource:  # type: ignore[no-redef]
        """A stand-in for moto's class of this name in an older moto, which lacks the class and never uses this one."""

        arn: str
        tags: dict[str, str]
        resource_type: str


__all__ = ["TaggedResource", "install_rules"]


def install_rules() -> None:
    """Makes the tagging API also list listeners, their rules and image repositories, and use AWS's resource type for
    log groups.
    """
    if models is None:
        return

    @wrap(LogsBackend, "iter_tagged_resources")
    def log_groups(original: Any, self: Any) -> Iterator[TaggedResource]:
        for found in original(self):
            yield TaggedResource(found.arn, found.tags, "logs:log-group")

    @wrap(ELBv2Backend, "iter_tagged_resources")
    def load_balancing(original: Any, self: Any) -> Iterator[TaggedResource]:
        yield from original(self)
        listeners = [listener for balancer in self.load_balancers.values() for listener in balancer.listeners.values()]
        rules = [rule for listener in listeners for rule in listener.rules.values()]
        for kind, things in (("listener/app", listeners), ("listener-rule/app", rules)):
            for thing in things:
                found = self.tagging_service.get_tag_dict_for_resource(thing.arn)
                yield TaggedResource(thing.arn, found, f"elasticloadbalancing:{kind}")

    @wrap(models.ResourceGroupsTaggingAPIBackend, "_get_resources_generator")
    def with_repositories(
        original: Any, self: Any, tag_filters: Any = None, resource_type_filters: Any = None, **others: Any
    ) -> Iterator[TaggedResource]:
        yield from original(
            self, tag_filters=tag_filters, resource_type_filters=resource_type_filters, **others
        )
        if not models.match_resource_type("ecr:repository", resource_type_filters):
            return
        backend, matches = ecr_backends[self.account_id][self.region_name], models.make_tag_matcher(tag_filters)
        for repository in backend.repositories.values():
            found = backend.tagger.get_tag_dict_for_resource(repository.arn)
            if found and matches(found):
                yield TaggedResource(repository.arn, found, "ecr:repository")
