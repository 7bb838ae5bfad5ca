"""Traffic that security groups allow.

AWS rule: a connection needs an egress rule at the sender and an ingress rule at the receiver; responses need none.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from . import interfaces
from .patching import Place

#: Address that stands for a client on the internet.
CLIENT = "198.51.100.10"


def is_allowed(place: Place, sender: list[Any], receiver: list[Any], port: int) -> bool:
    """Returns whether one of the sender's interfaces can connect to a port of one of the receiver's interfaces."""
    return any(connects(place, one, other, port) for one in sender for other in receiver)


def connects(place: Place, sender: Any, receiver: Any, port: int) -> bool:
    """Returns whether the security groups of two interfaces allow a connection from the first to a port of the second.
    """
    out = rules(place, group_ids(sender), "egress_rules")
    into = rules(place, group_ids(receiver), "ingress_rules")
    return any(allows(rule, group_ids(receiver), receiver.private_ip_address, port) for rule in out) and any(
        allows(rule, group_ids(sender), sender.private_ip_address, port) for rule in into
    )


def group_ids(interface: Any) -> set[str]:
    """Returns the ids of an interface's security groups."""
    return {group.id for group in interface.group_set}


def is_open_to_internet(place: Place, groups: set[str], port: int) -> bool:
    """Returns whether security groups allow connections from the internet to a port."""
    return any(allows(rule, set(), CLIENT, port) for rule in rules(place, groups, "ingress_rules"))


def rules(place: Place, groups: set[str], direction: str) -> list[Any]:
    """Returns the rules of security groups in one direction."""
    known = [interfaces.backend(place).get_security_group_from_id(group) for group in groups]
    return [rule for group in known if group for rule in getattr(group, direction)]


def allows(rule: Any, peers: set[str], address: str, port: int) -> bool:
    """Returns whether a rule allows TCP on a port with the peer `address`, or with members of one of the groups
    `peers`.
    """
    if rule.ip_protocol != "-1" and not (rule.ip_protocol == "tcp" and rule.from_port <= port <= rule.to_port):
        return False
    if (rule.source_group or {}).get("GroupId") in peers:
        return True
    block = rule.cidr_ipv4
    return bool(block) and ipaddress.ip_address(address) in ipaddress.ip_network(block)
