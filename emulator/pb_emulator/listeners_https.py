"""HTTPS listeners: certificates, security policies, changes of the protocol, and listener attributes."""

from __future__ import annotations

import copy
import re
from typing import Any

from moto.elbv2.models import ELBv2Backend, FakeAction, elbv2_backends
from moto.elbv2.responses import ELBV2Response
from moto.iam import iam_backends

from . import acm_model, redirects, ssl_policies
from .errors import AwsError
from .listener_certificates import further
from .patching import Place, install, wrap

#: Maximum number of certificates of a listener besides the default one. (Elastic Load Balancing: Quotas for your
#: Application Load Balancers)
MAX_CERTIFICATES = 25
ACM_ARN = re.compile(r"arn:aws[\w-]*:acm:([a-z0-9-]+):\d{12}:certificate/[\w-]+")
IAM_ARN = re.compile(r"arn:aws[\w-]*:iam::\d{12}:server-certificate/.+")
HSTS = "routing.http.response.strict_transport_security.header_value"
#: Attributes of a listener of an application load balancer with their initial values.
ATTRIBUTES = {
    "routing.http.response.server.enabled": "true",
    HSTS: "",
    **{
        f"routing.http.response.{header}.header_value": ""
        for header in (
            "access_control_allow_origin", "access_control_allow_methods", "access_control_allow_headers",
            "access_control_allow_credentials", "access_control_expose_headers", "access_control_max_age",
            "content_security_policy", "x_content_type_options", "x_frame_options",
        )
    },
}  # fmt: skip
#: Attributes that only HTTPS listeners have.
HTTPS_ATTRIBUTES = {
    f"routing.http.request.{header.lower().replace('-', '_')}.header_name": header
    for header in (
        "X-Amzn-Mtls-Clientcert-Serial-Number", "X-Amzn-Mtls-Clientcert-Issuer", "X-Amzn-Mtls-Clientcert-Subject",
        "X-Amzn-Mtls-Clientcert-Validity", "X-Amzn-Mtls-Clientcert-Leaf", "X-Amzn-Mtls-Clientcert",
        "X-Amzn-Tls-Version", "X-Amzn-Tls-Cipher-Suite",
    )
}  # fmt: skip
DIRECTIVES = re.compile(r"max-age=\d+(; ?includeSubDomains)?(; ?preload)?", re.IGNORECASE)


def install_rules() -> None:
    """Adds the rules to moto's listeners."""
    requests()
    creation()
    changes()
    install(ELBV2Response, "AddListenerCertificates", add_certificates)
    install(ELBV2Response, "RemoveListenerCertificates", remove_certificates)
    install(ELBV2Response, "DescribeListenerCertificates", describe_certificates)

    @wrap(ELBv2Backend)
    def describe_listener_attributes(original: Any, self: Any, listener_arn: str) -> dict[str, str]:
        return attributes(redirects.listener_of(self, listener_arn))

    @wrap(ELBv2Backend)
    def modify_listener_attributes(
        original: Any, self: Any, listener_arn: str, attrs: list[dict[str, str]]
    ) -> dict[str, str]:
        listener = redirects.listener_of(self, listener_arn)
        wanted = {pair["Key"]: pair.get("Value") or "" for pair in attrs}
        for key, value in wanted.items():
            check_attribute(listener, key, value)
        listener.attributes.update(wanted)
        return attributes(listener)


def requests() -> None:
    """Checks what moto does not pass on: the number of certificates, and a policy for an HTTP listener."""

    @wrap(ELBV2Response)
    def create_listener(original: Any, self: Any) -> Any:
        given = self._get_param("Certificates", [])
        check_single(given)
        if self._get_param("Protocol") == "HTTP":
            check_absent(given, self._get_param("SslPolicy"))
        return original(self)

    @wrap(ELBV2Response)
    def modify_listener(original: Any, self: Any) -> Any:
        check_single(self._get_param("Certificates", []))
        return original(self)


def check_single(given: list[dict[str, Any]]) -> None:
    """Requires at most one certificate, without the parameter IsDefault."""
    if len(given) > 1:
        raise AwsError(
            "TooManyCertificates", f"Up to '1' certificate ARNs can be specified, but '{len(given)}' were specified"
        )
    if any("IsDefault" in certificate for certificate in given):
        raise AwsError("ValidationError", "You cannot set the isDefault parameter for a certificate.")


def check_absent(certificates: list[Any], policy: str | None) -> None:
    """Requires that an HTTP listener has neither a certificate nor a policy."""
    if certificates:
        raise AwsError("ValidationError", "A certificate cannot be specified for HTTP listeners")
    if policy:
        raise AwsError("ValidationError", "An SSL policy cannot be specifed for HTTP listeners")


def check_certificate(elb: ELBv2Backend, arn: str) -> None:
    """Requires that a certificate exists in the region of the load balancer, and that it is issued."""
    place = Place(elb.account_id, elb.region_name)
    if IAM_ARN.fullmatch(arn):
        if iam_backends[elb.account_id][elb.partition].get_certificate_by_arn(arn) is None:
            raise AwsError("CertificateNotFound", f"Certificate '{arn}' not found")
        return
    if not ACM_ARN.fullmatch(arn):
        raise AwsError("ValidationError", f"Certificate ARN '{arn}' is not valid")
    certificate = acm_model.certificates(place).get(arn)
    if certificate is None:
        raise AwsError("CertificateNotFound", f"Certificate '{arn}' not found")
    certificate.check()
    if certificate.status != "ISSUED":
        raise AwsError(
            "UnsupportedCertificate",
            f"The certificate '{arn}' must have a fully-qualified domain name, a supported signature, and a supported"
            " key size.",
        )


def creation() -> None:
    """Checks new listeners; a listener with the same settings is returned."""

    @wrap(ELBv2Backend)
    def create_listener(original: Any, self: Any, **wanted: Any) -> Any:
        balancer = self.load_balancers.get(wanted["load_balancer_arn"])
        if balancer is None or balancer.type != "application":
            return original(self, **wanted)
        if wanted["protocol"] == "HTTPS":
            if not wanted["certificate"]:
                raise AwsError("ValidationError", "A certificate must be specified for HTTPS listeners")
            check_certificate(self, wanted["certificate"])
            ssl_policies.check(wanted["ssl_policy"])
        redirects.check_actions(wanted["protocol"], int(wanted["port"] or 0), wanted["actions"])
        for known in balancer.listeners.values():
            if is_same(known, wanted):
                return known
        made = original(self, **wanted)
        if made.protocol != "HTTPS":
            made.ssl_policy = None
        made.attributes = {}
        return made


def is_same(listener: Any, wanted: dict[str, Any]) -> bool:
    """Returns whether a listener has the settings of a request."""
    actions = [FakeAction(copy.deepcopy(action)).data for action in wanted["actions"]]
    policy = wanted["ssl_policy"] if wanted["protocol"] == "HTTPS" else None
    return (
        int(listener.port) == int(wanted["port"] or 0)
        and (listener.protocol, listener.certificate, listener.ssl_policy)
        == (wanted["protocol"], wanted["certificate"], policy)
        and [action.data for action in listener.default_actions] == actions
    )


def changes() -> None:
    """Checks changes of listeners. A change to HTTP removes the policy and the certificates; one to HTTPS needs both."""

    @wrap(ELBv2Backend)
    def modify_listener(
        original: Any, self: Any, arn: str, port: Any = None, protocol: Any = None, ssl_policy: Any = None,
        certificates: Any = None, actions: Any = None,
    ) -> Any:  # fmt: skip
        listener = redirects.listener_of(self, arn)
        balancer = self.load_balancers[listener.load_balancer_arn]
        if balancer.type != "application":
            return original(self, arn, port, protocol, ssl_policy, certificates, actions)
        others = [known for known in balancer.listeners.values() if known is not listener]
        if port is not None and int(port) in [int(known.port) for known in others]:
            raise AwsError("DuplicateListener", f"A listener already exists on port {port} for this load balancer")
        becomes = protocol or listener.protocol
        given = [certificate["CertificateArn"] for certificate in certificates or []]
        if becomes == "HTTP":
            check_absent(given, ssl_policy)
        elif becomes == "HTTPS":
            check_https(self, listener, given, ssl_policy)
        redirects.check_actions(becomes, int(port or listener.port), actions or [])
        self._validate_actions([FakeAction(copy.deepcopy(action)) for action in actions or []])
        if given:
            listener.certificate, listener.certificates = given[0], given
        changed = original(self, arn, port, protocol, ssl_policy, [], actions)
        if becomes == "HTTP":
            changed.ssl_policy, changed.certificate, changed.certificates = None, None, []
            further(changed).clear()
        return changed


def check_https(elb: ELBv2Backend, listener: Any, given: list[str], policy: str | None) -> None:
    """Requires that a listener that is or becomes HTTPS has a certificate and a policy, and that new ones are valid."""
    if not given and not listener.certificates:
        raise AwsError("ValidationError", "A certificate must be specified for HTTPS listeners")
    if not policy and not listener.ssl_policy:
        raise AwsError("ValidationError", "An SSL policy must be specified for HTTPS listeners")
    for arn in given:
        check_certificate(elb, arn)
    if policy:
        ssl_policies.check(policy)


def https_listener(place: Place, arn: str) -> tuple[ELBv2Backend, Any]:
    """Returns the backend and an HTTPS listener, or raises an error for a listener with another protocol."""
    elb = elbv2_backends[place.account][place.region]
    listener = redirects.listener_of(elb, arn)
    if listener.protocol != "HTTPS":
        raise AwsError("UnsupportedOperation", f"Listener '{arn}' does not support certificates")
    return elb, listener


def add_certificates(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """AddListenerCertificates: a certificate that the list contains is not added again."""
    elb, listener = https_listener(place, request["ListenerArn"])
    check_single(request["Certificates"])
    arn = request["Certificates"][0]["CertificateArn"]
    check_certificate(elb, arn)
    known = further(listener)
    if arn not in known and len(known) >= MAX_CERTIFICATES:
        raise AwsError(
            "TooManyCertificates", "You've reached the limit on the number of certificates per load balancer"
        )
    if arn not in known:
        known.append(arn)
    return {"Certificates": [{"CertificateArn": arn, "IsDefault": False}]}


def remove_certificates(place: Place, request: dict[str, Any]) -> None:
    """RemoveListenerCertificates: the default certificate can only be replaced."""
    _, listener = https_listener(place, request["ListenerArn"])
    check_single(request["Certificates"])
    arn = request["Certificates"][0]["CertificateArn"]
    if arn in further(listener):
        further(listener).remove(arn)
    elif arn in listener.certificates:
        raise AwsError("OperationNotPermitted", "Default certificate cannot be removed")
    else:
        raise AwsError("CertificateNotFound", f"Certificate '{arn}' not found")


def describe_certificates(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """DescribeListenerCertificates: lists the default certificate and the further ones."""
    _, listener = https_listener(place, request["ListenerArn"])
    found = [{"CertificateArn": arn, "IsDefault": True} for arn in listener.certificates]
    return {"Certificates": found + [{"CertificateArn": arn, "IsDefault": False} for arn in further(listener)]}


def attributes(listener: Any) -> dict[str, str]:
    """Returns the attributes of a listener that its protocol supports."""
    https = HTTPS_ATTRIBUTES if listener.protocol == "HTTPS" else {}
    return {key: listener.attributes.get(key, value) for key, value in {**ATTRIBUTES, **https}.items()}


def check_attribute(listener: Any, key: str, value: str) -> None:
    """Requires that a listener's protocol supports an attribute, and that the HSTS header is well-formed or empty."""
    if key not in attributes(listener) or (key == HSTS and value and listener.protocol != "HTTPS"):
        raise AwsError(
            "InvalidConfigurationRequest", f"The attribute '{key}' is not supported for {listener.protocol} listeners"
        )
    if key == HSTS and value and not DIRECTIVES.fullmatch(value):
        raise AwsError("InvalidConfigurationRequest", f"The value '{value}' is not valid for the attribute '{key}'")


def response_headers(listener: Any) -> dict[str, str]:
    """Returns the headers that a listener adds to responses."""
    value = listener.attributes.get(HSTS) if listener.protocol == "HTTPS" else ""
    return {"Strict-Transport-Security": value} if value else {}
