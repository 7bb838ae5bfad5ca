"""Secrets of containers: the checks of RegisterTaskDefinition, and Fargate's access to secrets before a task starts."""

from __future__ import annotations

from typing import Any

from moto.secretsmanager.models import secretsmanager_backends
from moto.ssm.models import ssm_backends

from . import iam
from .ecs_model import Definition
from .errors import AwsError
from .patching import Place

ASM, SSM = "secretsmanager:GetSecretValue", "ssm:GetParameters"


def check(container: dict[str, Any], execution_role: str | None) -> None:
    """Requires that a secret's variable has no plain value, and that the definition has an execution role to read the
    secret.
    """
    names = [secret["name"] for secret in container.get("secrets") or []]
    plain = {variable["name"] for variable in container.get("environment") or []}
    for name in names:
        if names.count(name) > 1:
            raise AwsError(
                "ClientException", f"Duplicate secret names found: {name}. Each secret name must be unique."
            )
        if name in plain:
            raise AwsError(
                "ClientException",
                "The secret name must be unique and not shared with any new or existing environment variables set on the"
                f" container, such as '{name}'.",
            )
    if names and not execution_role:
        raise AwsError(
            "ClientException",
            "When you are specifying container secrets, you must also specify a value for 'executionRoleArn'.",
        )


def secrets_failure(place: Place, definition: Definition) -> str | None:
    """Returns why the secrets of a task cannot be read, in the form of a stop reason; None if they can be read."""
    for container in definition.containers:
        for secret in container.get("secrets") or []:
            why = secret_failure(place, definition.fields.get("executionRoleArn") or "", secret["valueFrom"])
            if why:
                return f"ResourceInitializationError: unable to pull secrets or registry auth: {why}"
    return None


def secret_failure(place: Place, role: str, reference: str) -> str | None:
    """Returns why a secret cannot be read, or None if it can."""
    parts = reference.split(":")
    is_parameter = len(parts) < 3 or parts[2] == "ssm"
    action, arn = (SSM, reference) if is_parameter else (ASM, ":".join(parts[:7]))
    what = "secrets from ssm" if is_parameter else "secret from asm"
    failed = f"execution resource retrieval failed: unable to retrieve {what}: service call has been retried 1 time(s): "
    if not allows(place, role, action, arn):
        return (
            f"{failed}AccessDeniedException: User: {role} is not authorized to perform: {action} on resource: {arn} because"
            f" no identity-based policy allows the {action} action"
        )
    if is_parameter:
        name, parameters = arn.split(":parameter", 1)[-1], ssm_backends[place.account][place.region]
        if not (parameters.get_parameter(name) or parameters.get_parameter(name.lstrip("/"))):
            return f"{failed}invalid ssm parameters: {name}"
        return None
    secrets = secretsmanager_backends[place.account][place.region].secrets
    if arn not in {known.arn for known in secrets.values()}:
        return f"{failed}ResourceNotFoundException: Secrets Manager can't find the specified secret."
    return None


def allows(place: Place, arn: str, action: str, resource: str) -> bool:
    """Returns whether the policies and the permissions boundary of a role allow an action."""
    role = iam.find_role(place, arn)
    return role is not None and iam.may(place, role, action, resource)
