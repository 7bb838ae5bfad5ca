"""Caches for objects that moto recomputes for each account or call although the result is always the same."""

from __future__ import annotations

import copy
import functools
from typing import Any

from moto.core import responses
from moto.core.utils import method_names_from_class
from moto.iam.models import IAMBackend, ManagedPolicy

from .patching import wrap

#: AWS managed policies by partition. There are more than a thousand, and moto creates them for every account.
_policies: dict[str, list[ManagedPolicy]] = {}


def install_rules() -> None:
    """Shares the managed policies between accounts, and caches the operations of each class."""

    @wrap(IAMBackend)
    def _init_aws_policies(original: Any, self: Any) -> list[ManagedPolicy]:
        if self.region_name not in _policies:
            _policies[self.region_name] = original(self)
        return [of_account(policy, self.account_id) for policy in _policies[self.region_name]]

    # This must run after all rules that add operations to a class: the cache would miss operations that are added
    # later.
    cached = functools.cache(lambda cls: frozenset(method_names_from_class(cls)))
    responses.method_names_from_class = cached  # type: ignore[attr-defined]


def of_account(policy: ManagedPolicy, account: str) -> ManagedPolicy:
    """Returns an account's copy of a managed policy. Each account has its own attachment count; the text is shared,
    because it cannot be changed.
    """
    own = copy.copy(policy)
    own.account_id, own.attachment_count = account, 0
    return own
