"""What moto makes anew for each account or call, and is the same every time: made once, and kept."""

from __future__ import annotations

import copy
import functools
from typing import Any

from moto.core import responses
from moto.core.utils import method_names_from_class
from moto.iam.models import IAMBackend, ManagedPolicy

from .patching import wrap

#: The policies that AWS itself has, by partition. They are more than a thousand, and every account has them.
_policies: dict[str, list[ManagedPolicy]] = {}


def install_rules() -> None:
    """Accounts share the texts of the policies that AWS has; a class is asked once which operations it has."""

    @wrap(IAMBackend)
    def _init_aws_policies(original: Any, self: Any) -> list[ManagedPolicy]:
        if self.region_name not in _policies:
            _policies[self.region_name] = original(self)
        return [of_account(policy, self.account_id) for policy in _policies[self.region_name]]

    # After all rules that add operations to a class: what is asked before is not asked again.
    responses.method_names_from_class = functools.cache(lambda cls: frozenset(method_names_from_class(cls)))  # type: ignore[attr-defined]


def of_account(policy: ManagedPolicy, account: str) -> ManagedPolicy:
    """A policy of AWS in one account, where it is attached to so many; what it says cannot be changed there."""
    own = copy.copy(policy)
    own.account_id, own.attachment_count = account, 0
    return own
