"""Network interfaces of load balancers, Fargate tasks and cache nodes.

AWS rule: an interface is created with its owner, uses the owner's security groups and an address of its subnet, and
lingers for minutes after the owner is deleted. Until it is gone, these groups, the subnet and the internet gateway of
its VPC cannot be deleted or detached.
"""

from __future__ import annotations

import ipaddress
from contextvars import ContextVar
from typing import Any

from moto.ec2.models import EC2Backend, ec2_backends
from moto.ec2.models.elastic_network_interfaces import NetworkInterface, NetworkInterfaceBackend
from moto.ec2.responses import EC2Response
from moto.ec2.utils import generate_dns_from_ip, random_public_ip

from . import timings
from .errors import ec2_error
from .patching import Place, attached_state, install, wrap

MAX_GROUPS = 5
#: True if the current call sees interfaces that AWS services manage although the account hides them.
sees_all: ContextVar[bool] = ContextVar("sees_all", default=True)


class ManagedInterface(NetworkInterface):
    """An interface that an AWS service created and uses."""

    released_at: float | None = None
    attached_to: str = ""

    @property
    def attachment(self) -> dict[str, Any]:  # type: ignore[override]
        """The attachment, which names the service that owns the interface instead of an instance."""
        return {
            "AttachmentId": f"ela-attach-{self.id[4:]}",
            "DeleteOnTermination": False,
            "DeviceIndex": 1,
            "InstanceOwnerId": self.attached_to,
            "Status": "attached",
        }

    @property
    def association(self) -> dict[str, Any]:  # type: ignore[override]
        """The public address of the interface, if it has one."""
        if not self.public_ip:
            return {}
        return {
            "PublicIp": self.public_ip,
            "PublicDnsName": generate_dns_from_ip(self.public_ip),
            "IpOwnerId": self.attached_to,
        }

    def get_filter_value(self, filter_name: str, method_name: str | None = None) -> Any:
        """Returns the value that a filter compares, also for the filters that identify the owner."""
        simple = {
            "status": self.status,
            "requester-id": self.requester_id,
            "requester-managed": str(self.requester_managed).lower(),
            "interface-type": self.interface_type,
            "attachment.instance-owner-id": self.attached_to,
            "association.public-ip": self.public_ip,
        }
        if filter_name in simple:
            return simple[filter_name]
        return super().get_filter_value(filter_name, method_name)


def backend(place: Place) -> EC2Backend:
    """Returns moto's EC2 backend for an account and region."""
    return ec2_backends[place.account][place.region]


def free_address(ec2: EC2Backend, subnet: Any) -> str:
    """Returns the lowest free address of a subnet; AWS reserves the first four addresses and the last."""
    taken = {eni.private_ip_address for eni in ec2.enis.values() if eni.subnet.id == subnet.id}
    network = ipaddress.IPv4Network(subnet.cidr_block)
    for number in range(4, network.num_addresses - 1):
        address = str(network[number])
        if address not in taken:
            return address
    raise ec2_error("InsufficientFreeAddressesInSubnet", f"The subnet {subnet.id} has no free address.")


def attach(
    place: Place, subnet_id: str, groups: list[str], description: str, *, owner: str, kind: str, public: bool = False
) -> ManagedInterface:
    """Creates the interface of a resource of an AWS service; `owner` is the name of this service in EC2."""
    ec2 = backend(place)
    subnet = ec2.get_subnet(subnet_id)
    eni = ManagedInterface(
        ec2, subnet, free_address(ec2, subnet), group_ids=list(groups) or None, description=description
    )
    eni.attached_to = owner
    eni.requester_managed = True
    eni.requester_id = owner if owner.startswith("amazon-") else place.account
    eni.status = "in-use"
    eni.interface_type = kind
    if public:
        eni.public_ip = random_public_ip()
    ec2.enis[eni.id] = eni
    return eni


def set_groups(place: Place, eni: ManagedInterface, groups: list[str]) -> None:
    """Changes the security groups of an interface to those of its owner."""
    found = [backend(place).get_security_group_from_id(group) for group in groups]
    eni._group_set = [group for group in found if group]


def release(eni: ManagedInterface, at: float | None = None) -> None:
    """Releases an interface whose owner is deleted; it lingers before it is deleted."""
    if eni.released_at is None:
        eni.released_at = timings.now() if at is None else at


def remove_released(place: Place) -> None:
    """Deletes the released interfaces whose lingering time is over."""
    if not dict.__contains__(ec2_backends[place.account], place.region):
        return
    linger, moment = timings.seconds("interfaces_linger"), timings.now()
    enis = backend(place).enis
    for eni in list(enis.values()):
        if isinstance(eni, ManagedInterface) and eni.released_at is not None and moment >= eni.released_at + linger:
            del enis[eni.id]


def in_group(ec2: EC2Backend, group_id: str) -> list[NetworkInterface]:
    """Returns the interfaces that use a security group."""
    return [eni for eni in ec2.enis.values() if group_id in [group.id for group in eni.group_set]]


def in_subnet(ec2: EC2Backend, subnet_id: str) -> list[NetworkInterface]:
    """Returns the interfaces in a subnet."""
    return [eni for eni in ec2.enis.values() if eni.subnet.id == subnet_id]


def in_vpc(ec2: EC2Backend, vpc_id: str) -> list[NetworkInterface]:
    """Returns the interfaces in a VPC."""
    return [eni for eni in ec2.enis.values() if eni.subnet.vpc_id == vpc_id]


def modify_visibility(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """Shows or hides the resources that AWS services manage in the account."""
    visibility = request["DefaultVisibility"]
    attached_state(backend(place), "visibility", dict)["hidden"] = visibility == "hidden"
    return {"Visibility": {"DefaultVisibility": visibility}}


def install_rules() -> None:
    """Refuses to delete an interface that an AWS service uses, and hides such interfaces from an account that wants that."""
    install(EC2Response, "ModifyManagedResourceVisibility", modify_visibility)

    @wrap(EC2Response)
    def describe_network_interfaces(original: Any, self: Any) -> Any:
        token = sees_all.set(str(self._get_param("IncludeManagedResources")).lower() == "true")
        try:
            return original(self)
        finally:
            sees_all.reset(token)

    @wrap(NetworkInterfaceBackend)
    def get_all_network_interfaces(original: Any, self: Any, *args: Any, **kwargs: Any) -> Any:
        found = original(self, *args, **kwargs)
        if sees_all.get() or not attached_state(self, "visibility", dict).get("hidden"):
            return found
        return [eni for eni in found if not isinstance(eni, ManagedInterface)]

    @wrap(NetworkInterfaceBackend)
    def delete_network_interface(original: Any, self: Any, eni_id: str) -> None:
        eni = self.enis.get(eni_id)
        if isinstance(eni, ManagedInterface):
            raise ec2_error("InvalidParameterValue", f"Network interface '{eni_id}' is currently in use.")
        original(self, eni_id)
