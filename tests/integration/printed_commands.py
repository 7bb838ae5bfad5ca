"""The shell commands that messages contain: found in an output, and run as a person would run them.

The shell has three programs first on its PATH: the tool itself; `aws`, which validates a command against the service
models and calls the endpoint (`PB_TEST_AWS_CLI` names a real AWS CLI to use instead); and `docker`, which checks its
arguments against the Dockerfile and pushes to the endpoint.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from harness import BINARY, TestWorkspace

PROGRAMS = ("pb-deploy", "aws", "docker", "terraform")
_STYLE = re.compile(r"\x1b\[[0-9;]*m")
#: A command begins a line, or follows a backtick or a colon; it ends with the backtick or the line.
_COMMAND = re.compile(rf"(?:^\s+|: |`)((?:{'|'.join(PROGRAMS)}) [^`\n]+)", re.M)
_STUBS = Path(__file__).parent / "stubs"


def commands(text: str, program: str | None = None) -> list[str]:
    """Returns the commands in an output in their order, each once; only those of a program if one is given."""
    found = (match.strip() for match in _COMMAND.findall(_STYLE.sub("", text)))
    return list(dict.fromkeys(command for command in found if program in (None, command.split()[0])))


@dataclass
class Shell:
    """A shell in the folder of a workspace, with the programs that messages name."""

    workspace: TestWorkspace

    def __post_init__(self) -> None:
        self.folder = self.workspace.folder / "bin"
        self.folder.mkdir(exist_ok=True)
        aws = os.environ.get("PB_TEST_AWS_CLI")
        self._program("pb-deploy", str(BINARY))
        self._program("aws", aws or f"{sys.executable} {_STUBS / 'aws_cli.py'}")
        self._program("docker", f"{sys.executable} {_STUBS / 'docker_cli.py'}")

    def _program(self, name: str, command: str) -> None:
        file = self.folder / name
        file.write_text(f'#!/bin/sh\nexec {command} "$@"\n', encoding="utf-8")
        file.chmod(0o755)

    def run(self, command: str, code: int = 0, env: dict[str, str | None] | None = None) -> str:
        """Runs a command line, asserts its exit code and returns its output.

        No region is set in the environment: a command for a service in a region has to name the region.
        """
        path = f"{self.folder}{os.pathsep}{os.environ['PATH']}"
        stub_state = {"PB_STUB_STATE": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1", "AWS_PAGER": ""}
        environment = self.workspace.environment({"PATH": path, **stub_state, **(env or {})})
        result = subprocess.run(
            ["sh", "-c", command], cwd=self.workspace.folder, env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, text=True, check=False,
        )  # fmt: skip
        assert result.returncode == code, f"{command}\nexit {result.returncode}\n{result.stdout}"
        return result.stdout

    def run_all(self, lines: list[str]) -> None:
        """Runs command lines one after the other; all must succeed."""
        for line in lines:
            self.run(line)


def words(command: str) -> list[str]:
    """Returns the words of a command line."""
    return shlex.split(command)
