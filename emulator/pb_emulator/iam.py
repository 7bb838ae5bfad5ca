"""Simulation of policies by IAM, which moto does not emulate, and limits of roles that moto does not check.

AWS rules: the source of the policies is the ARN of a user, group or role, with its path. The ARN of a session is
refused. The policies of a role are limited by its permissions boundary. A statement whose condition needs a value that
the simulation lacks does not apply, and its keys are in MissingContextValues. Users and groups may do everything.
All inline policies of a role have at most 10,240 characters together, without white space. A permissions boundary
is a policy that exists.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

from moto.iam.access_control import IAMPolicyStatement, PermissionResult
from moto.iam.models import IAMBackend, Policy, Role, iam_backends
from moto.iam.responses import IamResponse

from .errors import AwsError
from .patching import Place, install, wrap

SOURCE = re.compile(r"arn:aws:iam::\d{12}:(user|group|role)/.+")
INLINE_POLICIES_MAX = 10_240


def install_rules() -> None:
    """Adds SimulatePrincipalPolicy."""
    install(IamResponse, "SimulatePrincipalPolicy", simulate_principal_policy)


@wrap(IAMBackend)
def put_role_policy(original: Any, self: IAMBackend, role_name: str, policy_name: str, policy_json: str) -> None:
    """Refuses inline policies that are too large together."""
    others = {name: str(text) for name, text in self.get_role(role_name).policies.items() if name != policy_name}
    size = sum(len(re.sub(r"\s", "", unquote(text))) for text in [*others.values(), unquote(policy_json)])
    if size > INLINE_POLICIES_MAX:
        message = f"Maximum policy size of {INLINE_POLICIES_MAX} bytes exceeded for role {role_name}"
        raise AwsError("LimitExceeded", message)
    original(self, role_name, policy_name, policy_json)


@wrap(IAMBackend)
def create_role(original: Any, self: IAMBackend, role_name: str, *args: Any, **kwargs: Any) -> Role:
    """Refuses a permissions boundary that does not exist."""
    boundary = kwargs.get("permissions_boundary") or (args[2] if len(args) > 2 else None)
    require_boundary(self, boundary)
    return original(self, role_name, *args, **kwargs)


@wrap(IAMBackend)
def put_role_permissions_boundary(original: Any, self: IAMBackend, role_name: str, permissions_boundary: str) -> None:
    """Refuses a permissions boundary that does not exist."""
    self.get_role(role_name)
    require_boundary(self, permissions_boundary)
    original(self, role_name, permissions_boundary)


def require_boundary(backend: IAMBackend, arn: str | None) -> None:
    """Refuses the ARN of a policy that does not exist. Moto itself refuses what is not the ARN of a policy."""
    if arn and backend.policy_arn_regex.match(arn) and arn not in backend.managed_policies:
        raise AwsError("NoSuchEntity", f"Scope ARN: {arn} does not exist or is not attachable.")


def simulate_principal_policy(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """Evaluates the policies of a role, and allows all actions of an existing user or group."""
    arn = request["PolicySourceArn"]
    # Moto's name of a caller without a user of its own.
    if arn != f"arn:aws:sts::{place.account}:user/moto":
        require_entity(place, arn)
    role = find_role(place, arn)
    context = {entry["ContextKeyName"] for entry in request.get("ContextEntries") or []}
    results = [
        simulation(place, role, name, resource, context)
        for name in request["ActionNames"]
        for resource in request.get("ResourceArns") or ["*"]
    ]
    return {"IsTruncated": False, "EvaluationResults": results}


def simulation(place: Place, role: Role | None, action: str, resource: str, context: set[str]) -> dict[str, Any]:
    """Returns the result for one action on one resource."""
    result = {"EvalActionName": action, "EvalResourceName": resource, "MatchedStatements": []}
    if role is None:
        return {**result, "EvalDecision": "allowed", "MissingContextValues": []}
    own, missing = decision(policies(role), action, resource, context)
    limit = boundary(place, role)
    if limit is None:
        return {**result, "EvalDecision": own, "MissingContextValues": sorted(missing)}
    limited, more = decision([limit], action, resource, context)
    detail = {"AllowedByPermissionsBoundary": limited == "allowed"}
    both = own if limited == "allowed" or own == "explicitDeny" else limited
    return {
        **result, "EvalDecision": both, "MissingContextValues": sorted(missing | more),
        "PermissionsBoundaryDecisionDetail": detail,
    }  # fmt: skip


def find_role(place: Place, arn: str) -> Role | None:
    """Returns the role with an ARN, or None."""
    roles = iam_backends[place.account]["aws"].roles.values()
    return next((role for role in roles if role.arn == arn), None)


def policies(role: Role) -> list[str]:
    """Returns the documents of the inline and attached policies of a role."""
    return [*map(str, role.policies.values()), *map(document, role.managed_policies.values())]


def document(policy: Policy) -> str:
    """Returns the document of the default version of a managed policy."""
    return str(next(version.document for version in policy.versions if version.is_default))


def boundary(place: Place, role: Role) -> str | None:
    """Returns the document of the permissions boundary of a role, or None if it has none."""
    arn = role.permissions_boundary_arn
    return document(iam_backends[place.account]["aws"].managed_policies[arn]) if arn else None


def may(place: Place, role: Role, action: str, resource: str) -> bool:
    """Returns whether the policies and the permissions boundary of a role allow an action."""
    return simulation(place, role, action, resource, set())["EvalDecision"] == "allowed"


def decision(documents: Iterable[str], action: str, resource: str, context: set[str]) -> tuple[str, set[str]]:
    """Returns the decision of policies on an action, and the condition keys that it lacks."""
    results, missing = set(), set()
    for text in documents:
        statements = json.loads(unquote(text))["Statement"]
        for statement in statements if isinstance(statements, list) else [statements]:
            plain = {key: value for key, value in statement.items() if key != "Condition"}
            result = IAMPolicyStatement(plain).is_action_permitted(action, resource)
            keys = {key for values in statement.get("Condition", {}).values() for key in values} - context
            if keys and result != PermissionResult.NEUTRAL:
                missing |= keys
            elif not keys:
                results.add(result)
    if PermissionResult.DENIED in results:
        return "explicitDeny", missing
    return "allowed" if PermissionResult.PERMITTED in results else "implicitDeny", missing


def require_entity(place: Place, arn: str) -> None:
    """Refuses an ARN that is not exactly that of a user, group or role."""
    if not (match := SOURCE.fullmatch(arn)):
        raise AwsError("InvalidInput", f"Invalid Entity Arn: {arn} does not clearly define entity type and name.")
    backend = iam_backends[place.account]["aws"]
    entities = {"user": backend.users, "group": backend.groups, "role": backend.roles}[match.group(1)]
    if arn not in {entity.arn for entity in entities.values()}:
        raise AwsError("NoSuchEntity", f"The entity with ARN {arn} cannot be found.")
