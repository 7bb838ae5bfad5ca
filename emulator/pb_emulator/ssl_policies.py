"""Security policies of HTTPS listeners: the present list of AWS, of which moto lacks some."""

from __future__ import annotations

from typing import Any

from moto.elbv2.responses import ELBV2Response
from moto.elbv2.ssl_policies import SSL_POLICIES, build_policy

from .errors import AwsError
from .patching import Place, install

#: Policies that moto lacks, with the policy whose protocols they have. Their lists of ciphers are not exactly those of
#: AWS. (Elastic Load Balancing: Security policies for your Application Load Balancer)
SIMILAR = {
    "ELBSecurityPolicy-TLS13-1-3-FIPS-2023-04": "ELBSecurityPolicy-TLS13-1-3-2021-06",
    "ELBSecurityPolicy-TLS13-1-3-FIPS-PQ-2025-09": "ELBSecurityPolicy-TLS13-1-3-2021-06",
    "ELBSecurityPolicy-TLS13-1-2-FIPS-2023-04": "ELBSecurityPolicy-TLS13-1-2-2021-06",
    "ELBSecurityPolicy-TLS13-1-2-FIPS-PQ-2025-09": "ELBSecurityPolicy-TLS13-1-2-2021-06",
    "ELBSecurityPolicy-TLS13-1-2-Res-FIPS-2023-04": "ELBSecurityPolicy-TLS13-1-2-Res-2021-06",
    "ELBSecurityPolicy-TLS13-1-2-Res-FIPS-PQ-2025-09": "ELBSecurityPolicy-TLS13-1-2-Res-2021-06",
    "ELBSecurityPolicy-TLS13-1-2-Ext0-FIPS-2023-04": "ELBSecurityPolicy-TLS13-1-2-Ext1-2021-06",
    "ELBSecurityPolicy-TLS13-1-2-Ext0-FIPS-PQ-2025-09": "ELBSecurityPolicy-TLS13-1-2-Ext1-2021-06",
    "ELBSecurityPolicy-TLS13-1-2-Ext1-FIPS-2023-04": "ELBSecurityPolicy-TLS13-1-2-Ext1-2021-06",
    "ELBSecurityPolicy-TLS13-1-2-Ext1-FIPS-PQ-2025-09": "ELBSecurityPolicy-TLS13-1-2-Ext1-2021-06",
    "ELBSecurityPolicy-TLS13-1-2-Ext2-FIPS-2023-04": "ELBSecurityPolicy-TLS13-1-2-Ext2-2021-06",
    "ELBSecurityPolicy-TLS13-1-2-Ext2-FIPS-PQ-2025-09": "ELBSecurityPolicy-TLS13-1-2-Ext2-2021-06",
    "ELBSecurityPolicy-TLS13-1-1-FIPS-2023-04": "ELBSecurityPolicy-TLS13-1-1-2021-06",
    "ELBSecurityPolicy-TLS13-1-0-FIPS-2023-04": "ELBSecurityPolicy-TLS13-1-0-2021-06",
    "ELBSecurityPolicy-TLS13-1-0-FIPS-PQ-2025-09": "ELBSecurityPolicy-TLS13-1-0-2021-06",
    "ELBSecurityPolicy-FS-1-2-Res-2019-08": "ELBSecurityPolicy-FS-1-2-Res-2020-10",
    "ELBSecurityPolicy-FS-1-2-2019-08": "ELBSecurityPolicy-TLS-1-2-2017-01",
    "ELBSecurityPolicy-FS-1-1-2019-08": "ELBSecurityPolicy-TLS-1-1-2017-01",
    "ELBSecurityPolicy-FS-2018-06": "ELBSecurityPolicy-2016-08",
    "ELBSecurityPolicy-2015-05": "ELBSecurityPolicy-2016-08",
}
#: Policy of a listener that is created without one.
DEFAULT = "ELBSecurityPolicy-2016-08"
LOAD_BALANCER_TYPES = ("application", "network")


def install_rules() -> None:
    """Adds the missing policies, and replaces DescribeSSLPolicies."""
    for name, similar in SIMILAR.items():
        SSL_POLICIES.setdefault(name, {**SSL_POLICIES[similar], "name": name})
    install(ELBV2Response, "DescribeSSLPolicies", describe_ssl_policies)


def check(name: str) -> None:
    """Requires that a policy exists."""
    if name not in SSL_POLICIES:
        raise AwsError("SSLPolicyNotFound", f"SSL policy '{name}' not found")


def protocols(name: str) -> list[str]:
    """Returns the TLS versions of a policy."""
    return list(SSL_POLICIES[name]["ssl_protocols"])


def openssl_ciphers(name: str) -> list[str]:
    """Returns the ciphers of a policy for TLS 1.2 and earlier; those of TLS 1.3 are the same in all policies."""
    return [cipher for cipher in SSL_POLICIES[name]["ciphers"] if not cipher.startswith("TLS_")]


def describe_ssl_policies(_place: Place, request: dict[str, Any]) -> dict[str, Any]:
    """DescribeSSLPolicies: lists all policies or those with the given names."""
    names = request.get("Names") or list(SSL_POLICIES)
    for name in names:
        check(name)
    if request.get("LoadBalancerType", "application") not in LOAD_BALANCER_TYPES:
        return {"SslPolicies": []}
    return {
        "SslPolicies": [
            {**(build_policy(name, SSL_POLICIES[name]) or {}), "SupportedLoadBalancerTypes": list(LOAD_BALANCER_TYPES)}
            for name in names
        ]
    }
