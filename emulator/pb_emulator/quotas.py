"""Service Quotas: what an account may have, and the virtual CPUs of Fargate, of which a new account has few."""

from __future__ import annotations

from typing import Any

from moto.servicequotas.models import ServiceQuotasBackend

from . import settings
from .ecs_model import Definition, World
from .patching import Place, wrap

VPCS, GATEWAYS = ("vpc", "L-F678F1CE"), ("vpc", "L-A4707A72")
VCPUS = ("fargate", "L-3032A538")
#: of an account that nobody has limited
PLENTY = 10_000.0
LIMIT_REACHED = "You've reached the limit on the number of vCPUs you can run concurrently"
_vcpus: dict[tuple[str, str], float] = {}


def limit_vcpus(account: str, region: str, count: float) -> None:
    """Let an account have so many virtual CPUs on Fargate at a time."""
    _vcpus[account, region] = count


def reset() -> None:
    """All accounts have plenty again."""
    _vcpus.clear()


def more_tasks(place: Place, everything: World, definition: Definition) -> int:
    """How many more tasks of a definition the account may run."""
    units = sum(int(task.definition.fields["cpu"]) for task in everything.tasks.values() if task.last != "STOPPED")
    free = _vcpus.get((place.account, place.region), PLENTY) * 1024 - units
    return max(0, int(free // int(definition.fields["cpu"])))


def install_rules() -> None:
    """GetServiceQuota tells what holds here."""

    @wrap(ServiceQuotasBackend)
    def get_service_quota(original: Any, self: Any, service_code: str, quota_code: str) -> Any:
        held = {
            VPCS: float(settings.vpc_quota or PLENTY),
            GATEWAYS: float(settings.vpc_quota or PLENTY),
            VCPUS: _vcpus.get((self.account_id, self.region_name), PLENTY),
        }
        if (service_code, quota_code) not in held:
            return original(self, service_code, quota_code)
        arn = f"arn:aws:servicequotas:{self.region_name}:{self.account_id}:{service_code}/{quota_code}"
        value = held[service_code, quota_code]
        return {"QuotaArn": arn, "QuotaCode": quota_code, "ServiceCode": service_code, "Value": value, "Unit": "None"}
