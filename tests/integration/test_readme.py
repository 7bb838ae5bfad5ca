"""Comparison of the sample in README.md with the tool's output. PB_TEST_RECORD=1 records the sample."""

from __future__ import annotations

import re
import shlex

import pytest
from endpoint import ROOT, control
from harness import TestWorkspace
from messages import RECORD

README = ROOT / "README.md"
SAMPLE = re.compile(r"```console\n(.*?)```\n", re.DOTALL)
#: Command of a sample. `--local` lets the tool use the local endpoint, at which every image tag exists. The lines that
#: xtask itself prints about the endpoint are not part of the sample.
COMMAND = re.compile(r"^\$ (?P<shown>cargo xtask (?P<arguments>.*) --local\b(?P<more>.*))$")
#: Replacement for omitted lines in a sample.
ELLIPSIS = "..."
#: Number of resources that the sample shows from all of its plans together.
SHOWN_RESOURCES = 1
#: Steps that the sample shows from a run. Each depends on the one before it, so their order is always the same.
SHOWN_STEPS = ("net/vpc", "redis/jobqr", "fargate/flask")
STEP = re.compile(r"^  (?P<address>[a-z_]+/\w+): ")
UNSTABLE = [
    (re.compile(r"\b([a-z]+)-[0-9a-f]{17}\b"), r"\1-ID"),
    (re.compile(r"\b\d{12}\b"), "ACCOUNT"),
    (re.compile(r"\b(\d+ min )?\d+(\.\d)? s\b"), "SECONDS"),
]


def excerpt(output: str) -> list[str]:
    """Returns those lines of an output that the sample shows.

    These are the first resource of a plan, the last line of some steps, and all lines that are not indented.
    An ellipsis replaces all other lines, with the blank lines around them.
    """
    lines = output.rstrip("\n").split("\n")
    resources = 0
    last = {match["address"]: number for number, line in enumerate(lines) if (match := STEP.match(line))}
    kept: list[str] = []
    for number, line in enumerate(lines):
        step = STEP.match(line)
        resources += line.startswith("  + ")
        if step:
            is_shown = step["address"] in SHOWN_STEPS and last[step["address"]] == number
        else:
            is_shown = not line.startswith(" ") or resources <= SHOWN_RESOURCES
        kept.append(line if is_shown else ELLIPSIS)
    return tidy(kept)


def tidy(lines: list[str]) -> list[str]:
    """Returns the lines with one ellipsis in place of adjacent ellipses and the blank lines next to them."""
    text = re.sub(r"(?:^\n)*(?:^\.\.\.\n(?:^\n)*)+", f"{ELLIPSIS}\n", "\n".join([*lines, ""]), flags=re.MULTILINE)
    return text.splitlines()


def normalised(lines: list[str]) -> list[str]:
    """Returns the lines with placeholders for values that differ from run to run.

    Steps run in parallel, which changes the positions of ellipses and blank lines, so both are omitted.
    """
    stable = []
    for line in lines:
        for pattern, word in UNSTABLE:
            line = pattern.sub(word, line)
        if line not in (ELLIPSIS, ""):
            stable.append(line)
    return stable


def sample() -> list[str]:
    """Returns the lines of the only sample in README.md."""
    (block,) = SAMPLE.findall(README.read_text(encoding="utf-8"))
    return str(block).splitlines()


@pytest.fixture
def local(workspace: TestWorkspace) -> TestWorkspace:
    """Returns a workspace with this repository's configuration, in an account prepared as `--local` does it."""
    control(
        workspace.url,
        "preconditions",
        {"stand_in_images": True, "account": workspace.account, "region": workspace.aws.region},
    )
    workspace.configure({"services": {"flask": {"image": None}, "celery": {"image": None}}})
    return workspace


def test_readme_sample_matches_the_output(local: TestWorkspace) -> None:
    shown = sample()
    commands = [match for line in shown if (match := COMMAND.match(line))]
    assert len(commands) == len([line for line in shown if line.startswith("$ ")]) > 1, "each command uses --local"
    printed: list[str] = []
    for command in commands:
        result = local.run(*shlex.split(command["arguments"] + command["more"])).expect_exit()
        # A terminal shows both streams; the URL on stdout comes last.
        printed += [f"$ {command['shown']}", *excerpt(result.err + result.out)]
    if RECORD and normalised(shown) != normalised(printed):
        text = "\n".join(printed).replace(local.account, "123456789012")
        readme = README.read_text(encoding="utf-8")
        README.write_text(SAMPLE.sub(lambda _: f"```console\n{text}\n```\n", readme), encoding="utf-8")
        shown = sample()
    assert normalised(shown) == normalised(printed), "PB_TEST_RECORD=1 records the new sample"


def test_excerpt_keeps_lines_with_a_stable_order() -> None:
    plan = "To deploy a:\n\n  + net/vpc  k\n      + a: 1\n  + net/igw  k\n  + net/routes  k\n      + c: 3\n\nPlan: 3.\n"
    steps = "  net/igw: created igw-1 (0.0 s)\n  net/vpc: creating: soon\n  net/vpc: created vpc-1 (0.0 s)\n"
    assert excerpt(f"{plan}\n{steps}\nDeployed a: 3 created in 2.8 s.\n") == [
        "To deploy a:",
        "",
        "  + net/vpc  k",
        "      + a: 1",
        "...",
        "Plan: 3.",
        "...",
        "  net/vpc: created vpc-1 (0.0 s)",
        "",
        "Deployed a: 3 created in 2.8 s.",
    ]


def test_normalised_lines_have_no_ids_and_durations() -> None:
    lines = ["  net/vpc: created vpc-78f95f8752b8f198a (0.0 s)", "...", "", "(account 123456789012) in 1 min 0 s."]
    assert normalised(lines) == ["  net/vpc: created vpc-ID (SECONDS)", "(account ACCOUNT) in SECONDS."]
