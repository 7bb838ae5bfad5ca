"""What an endpoint really does, measured before the tests: what it lacks is skipped and named, never passed."""

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

#: What every deploy relies on: without these there is no test in which the tool deploys.
DEPLOYS = (
    "s3-if-match", "dynamodb-conditions", "ec2-rules", "ecs-converges", "elasticache-endpoint", "elb-active",
    "route53-records", "ecr", "logs",
)  # fmt: skip
#: More of them at once make a busy machine answer none of them in time.
MAX_PARALLEL_PROBES = 6
#: AWS does all of it, but for what is not asked of it: an account for each test, and images that are made to fail.
AWS_CAPABILITIES = {name: "" for name in PROBES} | {
    "accounts": "on AWS all tests share one account: only those of test_live.py run there",
    "ecs-breaker": "no image of that tag is there",
}


def measure(url: str) -> dict[str, str]:
    """Each capability with why the endpoint lacks it, or with nothing if it has it."""
    with ThreadPoolExecutor(MAX_PARALLEL_PROBES) as pool:
        return dict(zip(PROBES, pool.map(lambda name: missing_reason(url, PROBES[name]), PROBES), strict=True))


class EndpointUnavailable(Exception):
    """The endpoint is not there, or too slow: then nothing is known of what it does, and nothing may be skipped."""


def missing_reason(url: str, probe: Callable[[Aws], None]) -> str:
    """Why the endpoint does not do what a probe asks for; empty if it does."""
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
    """What of the needed capabilities the endpoint lacks, each with the reason."""
    unknown = sorted(set(needed) - set(measured))
    if unknown:
        raise ValueError(f"no probe measures {', '.join(unknown)}: there are {', '.join(measured)}")
    return [f"{name} ({measured[name]})" for name in needed if measured[name]]


def table(measured: dict[str, str]) -> str:
    """The capabilities for people."""
    width = max(len(name) for name in measured)
    return "\n".join(f"  {name:{width}}  {reason or 'yes'}" for name, reason in measured.items())


def encode(measured: dict[str, str]) -> str:
    """For the environment of the processes that run the tests."""
    return json.dumps(measured)


def decode(text: str) -> dict[str, str]:
    """From the environment."""
    return dict(json.loads(text))


def has(name: str) -> bool:
    """Returns whether the endpoint has a capability."""
    return not missing_capabilities((name,), decode(os.environ["PB_TEST_CAPABILITIES"]))


def require(*names: str) -> None:
    """Skips the test that runs unless the endpoint has these capabilities."""
    lacking = missing_capabilities(names, decode(os.environ["PB_TEST_CAPABILITIES"]))
    if lacking:
        pytest.skip(f"the endpoint lacks {', '.join(lacking)}")
