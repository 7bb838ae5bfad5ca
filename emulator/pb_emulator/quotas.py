"""Service Quotas: limits of an account, which tests can change; the quota of virtual CPUs on Fargate limits running
tasks.
"""

from __future__ import annotations

from typing import Any

from moto.servicequotas.models import ServiceQuotasBackend

from . import settings
from .ecs_model import Definition, EcsState
from .patching import Place, wrap

#: A quota: service code and quota code.
Quota = tuple[str, str]

VPCS, GATEWAYS = ("vpc", "L-F678F1CE"), ("vpc", "L-A4707A72")
RULES_OF_A_GROUP = ("vpc", "L-0EA8095F")
BALANCERS = ("elasticloadbalancing", "L-53DA6B97")
TARGET_GROUPS = ("elasticloadbalancing", "L-B22855CB")
RULES_OF_A_BALANCER = ("elasticloadbalancing", "L-7EED9B64")
TARGET_GROUPS_OF_A_BALANCER = ("elasticloadbalancing", "L-822D1B1B")
CACHE_NODES = ("elasticache", "L-DFE45DF3")
VCPUS = ("fargate", "L-3032A538")
CERTIFICATES, CERTIFICATE_NAMES = ("acm", "L-F141DD1D"), ("acm", "L-FB94F0B0")
#: Value of a quota that is practically unlimited.
UNLIMITED = 10_000.0
#: Default values of AWS, except for virtual CPUs, which are practically unlimited here. (VPC user guide: Amazon VPC
#: quotas; Elastic Load Balancing: Quotas for your Application Load Balancers; AWS General Reference: Amazon ElastiCache
#: endpoints and quotas; ACM user guide: Quotas)
DEFAULTS: dict[Quota, float] = {
    RULES_OF_A_GROUP: 60.0,
    BALANCERS: 50.0,
    TARGET_GROUPS: 3000.0,
    RULES_OF_A_BALANCER: 100.0,
    TARGET_GROUPS_OF_A_BALANCER: 100.0,
    CACHE_NODES: 300.0,
    VCPUS: UNLIMITED,
    CERTIFICATES: 2500.0,
    CERTIFICATE_NAMES: 10.0,
}
LIMIT_REACHED = "You've reached the limit on the number of vCPUs you can run concurrently"
_applied: dict[tuple[str, str, Quota], float] = {}


def apply(account: str, region: str, code: str, value: float) -> None:
    """Sets the value of a quota for an account."""
    quota = next((known for known in DEFAULTS if known[1] == code), None)
    if quota is None:
        raise ValueError(f"the quota {code} is not enforced; expected one of {', '.join(code for _, code in DEFAULTS)}")
    _applied[account, region, quota] = value


def limit(account: str, region: str, quota: Quota) -> float:
    """Returns the value of a quota for an account."""
    return _applied.get((account, region, quota), DEFAULTS[quota])


def reset() -> None:
    """Resets all accounts to the defaults."""
    _applied.clear()


def remaining_tasks(place: Place, state: EcsState, definition: Definition) -> int:
    """Returns how many more tasks of a definition the account may run."""
    units = sum(int(task.definition.fields["cpu"]) for task in state.tasks.values() if task.last != "STOPPED")
    free = limit(place.account, place.region, VCPUS) * 1024 - units
    return max(0, int(free // int(definition.fields["cpu"])))


def install_rules() -> None:
    """Makes GetServiceQuota return the values that are enforced."""

    @wrap(ServiceQuotasBackend)
    def get_service_quota(original: Any, self: Any, service_code: str, quota_code: str) -> Any:
        asked = (service_code, quota_code)
        if asked in (VPCS, GATEWAYS):
            value = float(settings.vpc_quota or UNLIMITED)
        elif asked in DEFAULTS:
            value = limit(self.account_id, self.region_name, asked)
        else:
            return original(self, service_code, quota_code)
        arn = f"arn:aws:servicequotas:{self.region_name}:{self.account_id}:{service_code}/{quota_code}"
        return {"QuotaArn": arn, "QuotaCode": quota_code, "ServiceCode": service_code, "Value": value, "Unit": "None"}
