"""Errors with an AWS code, in the form that moto converts to each service's wire format."""

from __future__ import annotations

from moto.core.exceptions import ServiceException
from moto.ec2.exceptions import EC2ClientError
from moto.route53.exceptions import Route53ClientError


class AwsError(ServiceException):
    """An error of a service whose responses follow its service model (ECS, ELBv2, ElastiCache, Logs)."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)


def ec2_error(code: str, message: str) -> EC2ClientError:
    """Returns an EC2 error."""
    return EC2ClientError(code, message)


def dependency_violation(message: str) -> EC2ClientError:
    """Returns EC2's error for deleting a resource that is still in use."""
    return EC2ClientError("DependencyViolation", message)


def route53_error(code: str, message: str) -> Route53ClientError:
    """Returns a Route 53 error."""
    return Route53ClientError(code, message)
