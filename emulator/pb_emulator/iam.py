"""Simulation of policies by IAM, which moto does not emulate.

AWS rule: the source of the policies is the ARN of a user, group or role, with its path. The ARN of a session is
refused. The policies of a role are evaluated without their conditions; users and groups may do everything.
"""

from __future__ import annotations

import re
from typing import Any

from moto.iam.access_control import IAMPolicy, PermissionResult
from moto.iam.models import iam_backends
from moto.iam.responses import IamResponse

from .errors import AwsError
from .patching import Place, install

SOURCE = re.compile(r"arn:aws:iam::\d{12}:(user|group|role)/.+")


def install_rules() -> None:
    """Adds SimulatePrincipalPolicy."""
    install(IamResponse, "SimulatePrincipalPolicy", simulate_principal_policy)


def simulate_principal_policy(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """Evaluates the policies of a role, and allows all actions of an existing user or group."""
    arn = request["PolicySourceArn"]
    # Moto's name of a caller without a user of its own.
    if arn != f"arn:aws:sts::{place.account}:user/moto":
        require_entity(place, arn)
    results = [
        {
            "EvalActionName": name,
            "EvalResourceName": resource,
            "EvalDecision": decision(place, arn, name, resource),
            "MatchedStatements": [],
        }
        for name in request["ActionNames"]
        for resource in request.get("ResourceArns") or ["*"]
    ]
    return {"IsTruncated": False, "EvaluationResults": results}


def decision(place: Place, arn: str, action: str, resource: str) -> str:
    """Returns the decision of the policies of a role on an action."""
    backend = iam_backends[place.account]["aws"]
    roles = [role for role in backend.roles.values() if role.arn == arn]
    if not roles:
        return "allowed"
    documents = [*roles[0].policies.values(), *(policy.document for policy in roles[0].managed_policies.values())]
    results = {IAMPolicy(document).is_action_permitted(action, resource) for document in documents}
    if PermissionResult.DENIED in results:
        return "explicitDeny"
    return "allowed" if PermissionResult.PERMITTED in results else "implicitDeny"


def require_entity(place: Place, arn: str) -> None:
    """Refuses an ARN that is not exactly that of a user, group or role."""
    if not (match := SOURCE.fullmatch(arn)):
        raise AwsError("InvalidInput", f"Invalid Entity Arn: {arn} does not clearly define entity type and name.")
    backend = iam_backends[place.account]["aws"]
    entities = {"user": backend.users, "group": backend.groups, "role": backend.roles}[match.group(1)]
    if arn not in {entity.arn for entity in entities.values()}:
        raise AwsError("NoSuchEntity", f"The entity with ARN {arn} cannot be found.")
