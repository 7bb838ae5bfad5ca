"""Each command of the tool in the messages of the sources is run as it is printed, with its placeholders filled in."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from endpoint import ROOT
from harness import TestWorkspace
from printed_commands import Shell
from test_printed_commands import string_literals

#: A command that is marked as one, that ends a message after a colon, or that is a text with placeholders of its own.
_COMMAND = re.compile(r"`(pb-deploy [^`]+)`|: (pb-deploy [a-z][^`]*)$|^(pb-deploy [a-z][^`]*\{[^`]*)$")
#: Command lines that are built from their words.
_BUILT = re.compile(r"invocation::command\(&\[(.*?)\]\)", re.S)
#: Texts that name a command without its arguments, or quote a command of the user.
NAMES = {
    "pb-deploy bootstrap", "pb-deploy deploy", "pb-deploy explain", "pb-deploy forget", "pb-deploy run",
    "pb-deploy plan", "pb-deploy state list", "pb-deploy state restore", "pb-deploy state versions",
    "pb-deploy status", "pb-deploy unlock",
}  # fmt: skip
#: Commands by their text in the sources, with the placeholders filled in and in the order in which they run. They work
#: on a deployed workspace, unless another exit code is expected.
COMMANDS: dict[str, tuple[str, int]] = {
    "pb-deploy --help": ("pb-deploy --help", 0),
    "pb-deploy validate": ("pb-deploy validate", 0),
    "pb-deploy explain {code}": ("pb-deploy explain PB0404", 0),
    "pb-deploy plan WORKSPACE": ("pb-deploy plan staging", 0),
    "pb-deploy plan staging": ("pb-deploy plan staging", 0),
    "pb-deploy plan {name}": ("pb-deploy plan staging", 0),
    "pb-deploy plan {workspace}": ("pb-deploy plan staging", 0),
    "pb-deploy plan WORKSPACE --out FILE": ("pb-deploy plan staging --out plan.json", 0),
    "pb-deploy apply {}": ("pb-deploy apply plan.json", 0),
    "pb-deploy history {}": ("pb-deploy history staging", 0),
    "pb-deploy logs {workspace} {key} --since 1h": ("pb-deploy logs staging flask --since 1h", 0),
    "pb-deploy tasks WORKSPACE": ("pb-deploy tasks staging", 0),
    "pb-deploy tasks {name}": ("pb-deploy tasks staging", 0),
    "pb-deploy tasks {workspace}": ("pb-deploy tasks staging", 0),
    "pb-deploy wait {workspace}": ("pb-deploy wait staging", 0),
    "pb-deploy wait {base.name}": ("pb-deploy wait staging", 0),
    "pb-deploy state list WORKSPACE": ("pb-deploy state list staging", 0),
    "pb-deploy state show {workspace}": ("pb-deploy state show staging fargate/logs", 0),
    "pb-deploy state versions {workspace}": ("pb-deploy state versions staging", 0),
    "pb-deploy bootstrap {}": ("pb-deploy bootstrap staging --yes", 0),
    "pb-deploy bootstrap {workspace}": ("pb-deploy bootstrap staging --yes", 0),
    "pb-deploy bootstrap {workspace}{zone}": ("pb-deploy bootstrap staging --zone --yes", 0),
    "pb-deploy doctor {}": ("pb-deploy doctor staging", 0),
    "pb-deploy adopt {workspace} --restore-tags": ("pb-deploy adopt staging --restore-tags --yes", 0),
    "pb-deploy forget {workspace} ADDRESS": ("pb-deploy forget staging fargate/logs --yes", 0),
    "pb-deploy adopt {workspace} {}": ("pb-deploy adopt staging fargate/logs=staging-pb_workers --yes", 0),
    "pb-deploy adopt {workspace} ADDRESS=ID": ("pb-deploy adopt staging fargate/logs=staging-pb_workers --yes", 0),
    "pb-deploy state restore {name} {}": ("pb-deploy state restore staging VERSION --yes", 0),
    "pb-deploy state restore {workspace} VERSION": ("pb-deploy state restore staging VERSION --yes", 0),
    "pb-deploy deploy {name}": ("pb-deploy deploy staging --yes", 0),
    "pb-deploy deploy {workspace}": ("pb-deploy deploy staging --yes", 0),
    "pb-deploy deploy {context.name}": ("pb-deploy deploy staging --yes", 0),
    "pb-deploy {run.operation.to_string} {workspace}": ("pb-deploy deploy staging --yes", 0),
    "pb-deploy rollback {workspace}": ("pb-deploy rollback staging --yes", 0),
    "pb-deploy deploy {workspace} --replace {address}": ("pb-deploy deploy staging --replace fargate/celery --yes", 0),
    "pb-deploy {cx.operation.to_string} {self.owner.workspace} --lose-jobs": ("pb-deploy deploy staging --lose-jobs --yes", 0),
    # Nobody has the lock, so it cannot be broken.
    "pb-deploy unlock {} {}": ("pb-deploy unlock staging 00000000-0000-0000-0000-000000000000", 1),
    "pb-deploy unlock {workspace} {}": ("pb-deploy unlock staging 00000000-0000-0000-0000-000000000000", 1),
    "pb-deploy destroy {workspace} --delete-images": ("pb-deploy destroy staging --delete-images --yes", 0),
    "pb-deploy init": ("pb-deploy init --config another.toml", 0),
}


def placeholder(word: str) -> str:
    """Returns a word of a command line that is built from its words, as in a format string."""
    if word.startswith('"'):
        return word.strip('"')
    return "{}" if "(" in word.replace("()", "") else "{" + word.strip("&").replace("()", "") + "}"


def printed_tool_commands() -> dict[str, str]:
    """Returns the commands of the tool in the messages of the sources, each with a file that contains it."""
    found: dict[str, str] = {}
    for file in sorted(ROOT.glob("crates/*/src/**/*.rs")):
        if file.stem in ("tests", "testing", "fake", "printed_commands") or "tests" in file.parts:
            continue
        texts = ["".join(groups) for literal in string_literals(file) for groups in _COMMAND.findall(literal)]
        code = re.split(r"^#\[cfg\(test\)\]", Path(file).read_text(encoding="utf-8"), maxsplit=1, flags=re.M)[0]
        for words in _BUILT.findall(code):
            built = [placeholder(word.strip()) for word in words.split(",") if word.strip()]
            texts.append(" ".join(["pb-deploy", *built]))
        found.update(dict.fromkeys(texts, str(file.relative_to(ROOT))))
    return found


def test_each_command_of_the_tool_is_known() -> None:
    found = printed_tool_commands()
    unknown = {command: file for command, file in found.items() if command not in COMMANDS and command not in NAMES}
    assert unknown == {}, "add the command to COMMANDS, with its placeholders filled in"
    assert set(COMMANDS) <= set(found), set(COMMANDS) - set(found)


@pytest.mark.unserved("a shell runs the tool, and deletes the workspace")
def test_commands_of_the_tool_work(workspace: TestWorkspace) -> None:
    workspace.deploy()
    workspace.configure({"services": {"flask": {"environment": {"LEVEL": "debug"}}}})
    workspace.deploy()
    shell = Shell(workspace)
    ran: set[str] = set()
    for command, code in COMMANDS.values():
        if command in ran:
            continue
        ran.add(command)
        if "VERSION" in command:
            newest = workspace.run("state", "versions", "staging", "--json").json()[0]["id"]
            command = command.replace("VERSION", shlex.quote(newest))
        if command.startswith("pb-deploy adopt staging fargate"):
            workspace.run("forget", "staging", "fargate/logs", "--yes")
        shell.run(command, code)
    assert workspace.inventory.remains() == {}
