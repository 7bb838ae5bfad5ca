"""An endpoint's capabilities, measured before the tests; tests that need a missing one are skipped and listed."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError
from botocore.parsers import ResponseParserError
from endpoint import Aws
from probes import PROBES, Missing

#: Capabilities that every deploy needs: without them, all tests that deploy are skipped.
DEPLOYS = (
    "s3-if-match", "dynamodb-conditions", "ec2-rules", "ecs-converges", "elasticache-endpoint", "elb-active",
    "route53-records", "ecr", "logs",
)  # fmt: skip
#: Number of probes that run at the same time. With more probes, a busy machine answers none of them in time.
MAX_PARALLEL_PROBES = 6
#: AWS's capabilities: all except a separate account for each test and an image whose tasks always fail.
AWS_CAPABILITIES = {name: "" for name in PROBES} | {
    "accounts": "on AWS all tests share one account: only those of test_live.py run there",
    "ecs-breaker": "there is no image with the tag `fail`",
}


def measure(url: str) -> dict[str, str]:
    """Returns, by capability name, the reason why the endpoint lacks the capability; empty if the endpoint has it."""
    with ThreadPoolExecutor(MAX_PARALLEL_PROBES) as pool:
        return dict(zip(PROBES, pool.map(lambda name: missing_reason(url, PROBES[name]), PROBES), strict=True))


class EndpointUnavailable(Exception):
    """An endpoint that is down or too slow. Its capabilities are unknown, so no test may be skipped because of them."""


def missing_reason(url: str, probe: Callable[[Aws], None]) -> str:
    """Returns the reason why the endpoint fails a probe; empty if the endpoint passes."""
    account = str(random.SystemRandom().randrange(10**11, 10**12))
    try:
        probe(Aws(url, account))
    except Missing as missing:
        return str(missing)
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "an error")
        return f"{error.operation_name} answers {code}"
    except (ConnectionError, HTTPClientError) as error:
        raise EndpointUnavailable(f"{url} does not answer: {error}") from error
    except (BotoCoreError, ResponseParserError, KeyError, IndexError, ValueError) as error:
        return f"{type(error).__name__}: {error}"[:200]
    return ""


def missing_capabilities(needed: tuple[str, ...], measured: dict[str, str]) -> list[str]:
    """Returns the needed capabilities that the endpoint lacks, each with the reason."""
    unknown = sorted(set(needed) - set(measured))
    if unknown:
        raise ValueError(f"no probe measures {', '.join(unknown)}; the capabilities are {', '.join(measured)}")
    return [f"{name} ({measured[name]})" for name in needed if measured[name]]


def table(measured: dict[str, str]) -> str:
    """Returns the capabilities as a table in plain text."""
    width = max(len(name) for name in measured)
    return "\n".join(f"  {name:{width}}  {reason or 'yes'}" for name, reason in measured.items())


def encode(measured: dict[str, str]) -> str:
    """Encodes the capabilities for the environment of the pytest workers."""
    return json.dumps(measured)


def decode(text: str) -> dict[str, str]:
    """Decodes the capabilities from the environment."""
    return dict(json.loads(text))


def has(name: str) -> bool:
    """Returns whether the endpoint has a capability."""
    return not missing_capabilities((name,), decode(os.environ["PB_TEST_CAPABILITIES"]))


def require(*names: str) -> None:
    """Skips the running test unless the endpoint has these capabilities."""
    lacking = missing_capabilities(names, decode(os.environ["PB_TEST_CAPABILITIES"]))
    if lacking:
        pytest.skip(f"the endpoint lacks {', '.join(lacking)}")
