"""Lists the leftovers of interrupted live tests in an account by their ownership tags; with --remove, removes them.

    PB_LIVE_ACCOUNT=123456789012 PB_LIVE_CONFIG=live.toml PYTHON sweep.py [--remove]

The exit code is 0 if no resource is left, 1 if one is left or cannot be removed, and 69 if PB_LIVE_ACCOUNT does not
name the account or a setting is missing.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import boto3
import live


def sweep(environment: dict[str, str], remove: bool) -> int:
    """Lists the leftovers by workspace, removes them if requested, and returns the exit code."""
    session = boto3.Session()
    url = environment.get("PB_SWEEP_ENDPOINT")
    client_options = {"endpoint_url": url} if url else {}
    base = live.base_configuration(environment)
    account = session.client("sts", region_name=base["region"], **client_options).get_caller_identity()["Account"]
    live.check_account(
        {name: value for name, value in environment.items() if not url or "ENDPOINT" not in name}, account
    )
    leftovers = live.leftovers(session, base["region"], **client_options)
    remaining = 0
    for name, arns in sorted(leftovers.items()):
        with tempfile.TemporaryDirectory() as folder:
            workspace = live.Live(name, base, account, Path(folder), environment)
            if not workspace.remains():
                continue
            print(f"{name}: {len(arns)} left\n" + "".join(f"  {arn}\n" for arn in sorted(arns)), end="")
            remaining += 1
            if remove:
                workspace.remove()
                print(f"{name}: removed")
                remaining -= 1
    if not remaining:
        print(f"no resources of live tests remain in account {account}, region {base['region']}")
    return 1 if remaining else 0


if __name__ == "__main__":
    try:
        sys.exit(sweep(dict(os.environ), "--remove" in sys.argv[1:]))
    except live.Refused as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(69)
    except AssertionError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
