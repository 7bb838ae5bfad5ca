"""Task protection: ECS stops no task that asks for it, neither in a rollout nor when it scales in.

The agent's address is in ECS_AGENT_URI, which every task on Fargate has.  Elsewhere there is no such variable, and nothing
is asked for.  The task's role needs `ecs:UpdateTaskProtection`.
"""

import contextlib
import json
import logging
import os
import urllib.request
from collections.abc import Iterator

ASKING_SECONDS = 5


@contextlib.contextmanager
def protected(minutes: int) -> Iterator[None]:
    """Keep this task from being stopped while the work is done, `minutes` at most."""
    protect(True, minutes)
    try:
        yield
    finally:
        protect(False, minutes)


def protect(wanted: bool, minutes: int) -> None:
    """Ask the agent; work that goes on without protection is better than none."""
    agent = os.environ.get("ECS_AGENT_URI")
    if not agent:
        return
    body = {"ProtectionEnabled": wanted} | ({"ExpiresInMinutes": minutes} if wanted else {})
    request = urllib.request.Request(
        f"{agent}/task-protection/v1/state",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
        method="PUT",
    )
    try:
        urllib.request.urlopen(request, timeout=ASKING_SECONDS).close()
    except OSError as error:
        logging.warning("no task protection: %s", error)
