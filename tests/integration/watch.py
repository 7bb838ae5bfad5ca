"""Requests to what a test rolls out: none may fail from the first rollout of a deployed workspace to the end of the test.

A test in which users are not served for some time, or which sends requests itself, says so: `@pytest.mark.unserved("why")`.
"""

from __future__ import annotations

from harness import TestWorkspace
from prober import Prober, address

#: Commands that start a rollout or follow one.
ROLLOUT_COMMANDS = {"deploy", "apply", "rollback", "restart", "scale", "wait"}
#: The listener of what is deployed answers at once, but on a busy machine.
LISTENER_SECONDS = 5.0


class Watch:
    """The probers of the test that runs, one for each deployed workspace that it changes."""

    def __init__(self) -> None:
        self._is_on = False
        self._running: dict[tuple[str, str], Prober] = {}
        self._stopped: list[Prober] = []

    def begin(self) -> None:
        """Watches the test that begins now."""
        self._is_on, self._stopped = True, []

    def before(self, workspace: TestWorkspace, arguments: tuple[str, ...]) -> None:
        """Starts a prober before a command changes a deployed workspace, and stops it before one destroys it."""
        command, *operands = arguments or ("",)
        if command == "destroy" and operands:
            self._stop(workspace, operands[0])
        elif self._is_on and command in ROLLOUT_COMMANDS:
            # A saved plan names its workspace itself.
            for name in workspace.deployed_workspaces():
                if command == "apply" or name in operands[:1]:
                    self._start(workspace, name)

    @property
    def running(self) -> list[Prober]:
        """The probers that send requests now."""
        return list(self._running.values())

    def end(self) -> list[Prober]:
        """Stops all probers; returns those of the test."""
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
