"""Task protection: ECS stops a protected task neither during a rollout nor during a scale-in.

On Fargate, ECS_AGENT_URI contains the address of the agent. Without this variable, the task is not protected. The task
role needs `ecs:UpdateTaskProtection`.
"""

import contextlib
import json
import logging
import os
import urllib.request
from collections.abc import Iterator

TIMEOUT_SECONDS = 5


@contextlib.contextmanager
def protected(minutes: int) -> Iterator[None]:
    """Protects this task from being stopped during the `with` block, for at most `minutes`."""
    protect(True, minutes)
    try:
        yield
    finally:
        protect(False, minutes)


def protect(enabled: bool, minutes: int) -> None:
    """Asks the agent to start or end the protection. If the call fails, the work continues without protection."""
    agent = os.environ.get("ECS_AGENT_URI")
    if not agent:
        return
    body = {"ProtectionEnabled": enabled} | ({"ExpiresInMinutes": minutes} if enabled else {})
    request = urllib.request.Request(
        f"{agent}/task-protection/v1/state",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
        method="PUT",
    )
    try:
        urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS).close()
    except OSError as error:
        logging.warning("no task protection: %s", error)
