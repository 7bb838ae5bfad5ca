"""A note of a program that runs the tool, such as xtask, is the last line that a user reads."""

from __future__ import annotations

from harness import TestWorkspace
from printed_commands import Shell

NOTE = "nothing runs here"
VARIABLE = {"PB_DEPLOY_FINAL_NOTE": NOTE}


def test_note_is_printed_after_plan_and_deploy(workspace: TestWorkspace) -> None:
    shell = Shell(workspace)
    for command in ("plan staging --target net/vpc", "deploy staging --target net/vpc --yes"):
        lines = shell.run(f"pb-deploy {command}", env=dict(VARIABLE)).splitlines()
        assert len(lines) > 3 and lines[-1] == NOTE, lines


def test_note_does_not_follow_an_error(workspace: TestWorkspace) -> None:
    output = Shell(workspace).run("pb-deploy plan nowhere", 64, env=dict(VARIABLE))
    assert "nowhere" in output and NOTE not in output, output
