"""Cost of a run, measured in instructions, memory and calls rather than in seconds."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from configuration import Table, image
from harness import BINARY, TestWorkspace

MIB = 1024 * 1024
#: Limits of the peak resident memory of a process, with the default services and with a hundred additional worker
#: pools. Most of this memory holds pages of the program itself.
MEMORY_MAX = 42 * MIB
POOLS_MEMORY_MAX = 70 * MIB
#: Maximum instruction counts of a plan without changes and of `--version`: about 1.15 times the measured 86 and 3 million.
PLAN_MAX = 98_000_000
VERSION_MAX = 3_500_000
#: Number of worker pools in addition to the two default services.
POOLS = 100
#: Number of workspaces in one account, which must not affect the calls of one workspace's plan.
WORKSPACES = 4


def count_instructions(workspace: TestWorkspace, *arguments: str) -> int:
    """Returns the number of instructions that a run executes, counted by callgrind."""
    if shutil.which("valgrind") is None:
        pytest.skip("valgrind is not installed, so instructions cannot be counted")
    out = workspace.folder / "callgrind.out"
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", str(BINARY), *arguments]
    completed = subprocess.run(
        command,
        cwd=workspace.folder,
        env=workspace.environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert completed.returncode == 0, completed.stderr
    (count,) = re.findall(r"^summary: (\d+)$", out.read_text(encoding="utf-8"), re.MULTILINE)
    return int(count)


def peak_memory(workspace: TestWorkspace, *arguments: str) -> int:
    """Returns the peak resident memory of a run in bytes.

    The kernel keeps the peak (`VmHWM`), so the last sample before the exit contains it.
    """
    running = workspace.start(*arguments)
    status, highest = Path(f"/proc/{running.process.pid}/status"), 0
    while running.process.poll() is None:
        match = re.search(r"^VmHWM:\s+(\d+) kB$", status.read_text(encoding="ascii", errors="replace"), re.MULTILINE)
        highest = max(highest, int(match[1]) * 1024 if match else 0)
        time.sleep(0.002)
    running.result().expect_exit()
    assert highest > MIB, "the run ended before the first sample"
    return highest


def test_plan_and_version_stay_within_instruction_limits(staging: TestWorkspace) -> None:
    plan, version = count_instructions(staging, "plan", "staging"), count_instructions(staging, "--version")
    print(f"instructions: {plan} of a plan, {version} of --version")
    assert plan < PLAN_MAX
    assert version < VERSION_MAX
    staging.mark_unchanged()


def test_commands_stay_within_memory_limit(workspace: TestWorkspace) -> None:
    commands = (["deploy", "staging", "--yes"], ["plan", "staging"], ["destroy", "staging", "--yes"])
    highest = {arguments[0]: peak_memory(workspace, *arguments) for arguments in commands}
    print({command: f"{memory / MIB:.1f} MiB" for command, memory in highest.items()})
    assert max(highest.values()) < MEMORY_MAX, highest


def pools(count: int) -> Table:
    """Returns a configuration with this many worker pools, each with one task: a subnet has about 250 addresses."""
    pool = {"kind": "worker", "count": 1, "image": image("next")}
    return {"services": {f"pool{number}": {**pool, "queues": [f"q{number}"]} for number in range(count)}}


def test_pools_add_only_documented_calls_and_little_memory(workspace: TestWorkspace) -> None:
    workspace.deploy()
    since = workspace.mark()
    workspace.plan()
    calls_before = Counter(workspace.calls(since))
    workspace.configure(pools(POOLS))
    memory = peak_memory(workspace, "deploy", "staging", "--yes")
    since = workspace.mark()
    assert workspace.plan().changes == {}
    calls_after = Counter(workspace.calls(since))
    added_calls = {
        call: count - calls_before[call] for call, count in calls_after.items() if count != calls_before[call]
    }
    # A page of the tag index contains a hundred resources or, at some endpoints, a hundred tags.
    assert added_calls.pop("tagging:GetResources", 1) <= POOLS // 20, added_calls
    # DescribeTaskDefinition accepts only one task definition, DescribeServices up to ten services.
    services = POOLS + 2
    assert added_calls == {"ecs:DescribeTaskDefinition": POOLS, "ecs:DescribeServices": -(-services // 10) - 1}, (
        added_calls
    )
    assert memory < POOLS_MEMORY_MAX, f"{memory / MIB:.1f} MiB"


def test_plan_calls_are_independent_of_other_workspaces(new_workspace: Callable[[], TestWorkspace]) -> None:
    workspace = new_workspace()
    names = [f"w{number}" for number in range(WORKSPACES)]
    workspace.configure({"workspace": {name: {} for name in names}, "hostname": workspace.config["hostname"]})
    runs = [workspace.start("deploy", name, "--yes") for name in names[:2]]
    for run in runs:
        run.result().expect_exit()
    counts = []
    for name in names[:2]:
        since = workspace.mark()
        assert workspace.plan(name).changes == {}
        counts.append(Counter(workspace.calls(since)))
    runs = [workspace.start("deploy", name, "--yes") for name in names[2:]]
    for run in runs:
        run.result().expect_exit()
    since = workspace.mark()
    assert workspace.plan(names[0]).changes == {}
    assert Counter(workspace.calls(since)) == counts[0] == counts[1]
