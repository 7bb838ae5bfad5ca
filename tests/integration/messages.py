"""Recorded messages, compared exactly once placeholders have replaced the values that differ between runs."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path

import pytest
from harness import Result, TestWorkspace

SNAPSHOTS = Path(__file__).resolve().parent / "snapshots"
#: True if messages are recorded instead of compared.
RECORD = bool(os.environ.get("PB_TEST_RECORD"))
UNSTABLE = [
    (re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]"), ""),
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "UUID"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "TIME"),
    (re.compile(r"\b([a-z]+)-[0-9a-f]{17}\b"), r"\1-ID"),
    (re.compile(r"pid \d+"), "pid PID"),
    (re.compile(r"127\.0\.0\.1:\d+"), "ENDPOINT"),
]


def assert_recorded(
    name: str, workspace: TestWorkspace, result: Result, placeholders: dict[str, str] | None = None
) -> None:
    """Asserts that the exit code and the output match those recorded under this name."""
    text = f"exit {result.code}\n"
    text += f"--- stdout\n{result.out}" if result.out else ""
    text += f"--- stderr\n{result.err}" if result.err else ""
    for value, placeholder in {
        str(workspace.folder): "FOLDER",
        workspace.account: "ACCOUNT",
        **(placeholders or {}),
    }.items():
        text = text.replace(value, placeholder)
    for pattern, placeholder in UNSTABLE:
        text = pattern.sub(placeholder, text)
    text = text.replace("\r\n", "\n").rstrip() + "\n"
    file = SNAPSHOTS / f"{name.replace(' ', '_')}.txt"
    if RECORD:
        file.write_text(text, encoding="utf-8")
        return
    expected = file.read_text(encoding="utf-8") if file.exists() else ""
    if text != expected:
        lines = difflib.unified_diff(expected.splitlines(), text.splitlines(), "recorded", "actual", lineterm="")
        pytest.fail(f"the message differs from {file.name} (PB_TEST_RECORD=1 records it):\n" + "\n".join(lines))
