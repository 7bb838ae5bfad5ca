"""Requests during rollouts: none may fail from the first rollout of a deployed workspace to the end of the test.

A test in which users are not served for some time, or which sends requests itself, has the mark
`@pytest.mark.unserved("reason")`.
"""

from __future__ import annotations

from harness import TestWorkspace
from prober import Prober, address

#: Commands that start or follow a rollout.
ROLLOUT_COMMANDS = {"deploy", "apply", "rollback", "restart", "scale", "wait"}
#: Maximum time until a deployed workspace's listener answers; it takes long only on a busy machine.
LISTENER_SECONDS = 5.0


class Watch:
    """The probers of the running test, one for each deployed workspace that it changes."""

    def __init__(self) -> None:
        self._is_on = False
        self._running: dict[tuple[str, str], Prober] = {}
        self._stopped: list[Prober] = []

    def begin(self) -> None:
        """Starts watching a test."""
        self._is_on, self._stopped = True, []

    def before(self, workspace: TestWorkspace, arguments: tuple[str, ...]) -> None:
        """Starts a prober before a command changes a deployed workspace, and stops it before a `destroy`."""
        command, *operands = arguments or ("",)
        if command == "destroy" and operands:
            self._stop(workspace, operands[0])
        elif self._is_on and command in ROLLOUT_COMMANDS:
            # The arguments of `apply` do not name a workspace: the saved plan does.
            for name in workspace.deployed_workspaces():
                if command == "apply" or name in operands[:1]:
                    self._start(workspace, name)

    @property
    def running(self) -> list[Prober]:
        """The probers that are sending requests."""
        return list(self._running.values())

    def end(self) -> list[Prober]:
        """Stops watching the test, and returns all probers that were started for it."""
        for prober in self._running.values():
            prober.stop()
        probers = [*self._stopped, *self._running.values()]
        self._is_on, self._running, self._stopped = False, {}, []
        return probers

    def _start(self, workspace: TestWorkspace, name: str) -> None:
        if (workspace.account, name) not in self._running:
            where = address(workspace, name, seconds=LISTENER_SECONDS)
            self._running[workspace.account, name] = Prober(workspace, where=where).start()

    def _stop(self, workspace: TestWorkspace, name: str) -> None:
        if prober := self._running.pop((workspace.account, name), None):
            prober.stop()
            self._stopped.append(prober)
