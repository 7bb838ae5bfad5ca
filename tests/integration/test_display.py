"""The display of runs: live lines in terminals of all widths, prompts, plain terminals, and waits for the lock."""

from __future__ import annotations

import re

import pytest
from fault_proxy import FaultProxy
from harness import BINARY, Running, TestWorkspace, until
from screen import Screen, Terminal

SPINNER = re.compile(r"^  [⠀-⣿] ")
ELAPSED = re.compile(r"(\d+):(\d\d)$")
PROMPT = "Type leave or rollback:"
WIDTHS = (40, 60, 80, 200)


def terminal(workspace: TestWorkspace, *arguments: str, columns: int, term: str | None = "xterm-256color") -> Terminal:
    """Runs the tool in a terminal."""
    environment = workspace.environment({"TERM": term})
    return Terminal([str(BINARY), *arguments], workspace.folder, environment, columns)


def live_rows(screen: Screen) -> list[str]:
    """Returns the rows with a spinner."""
    return [row for row in screen.rows() if SPINNER.match(row)]


def seconds(screen: Screen) -> int:
    """Returns the elapsed time of the first live line; -1 if there is none."""
    match = ELAPSED.search((live_rows(screen) or [""])[0])
    return int(match[1]) * 60 + int(match[2]) if match else -1


def assert_one_row_per_step(screen: Screen) -> None:
    """Asserts that each running step has one row, narrower than the terminal, which ends in its elapsed time."""
    rows = live_rows(screen)
    assert [row.split()[1] for row in rows] == ["fargate/celery:", "fargate/flask:"], screen.text
    assert all(len(row) < screen.columns and ELAPSED.search(row) for row in rows), rows
    assert [row for row in screen.rows() if row][-2:] == rows, screen.rows()


@pytest.mark.unserved("the rollouts are paused")
@pytest.mark.parametrize("columns", WIDTHS)
def test_live_lines_fit_the_terminal_after_every_resize(staging: TestWorkspace, columns: int) -> None:
    with staging.paused_rollouts(), terminal(staging, "restart", "staging", "--yes", columns=columns) as run:
        run.show_until(lambda screen: len(live_rows(screen)) == 2 and "updating: " in live_rows(screen)[1])
        assert_one_row_per_step(run.screen)
        before = [row for row in run.screen.text.splitlines() if row and not SPINNER.match(row)]
        assert "  fargate/flask: restart" in before, before
        for width in (*WIDTHS, columns):
            shown = seconds(run.screen)
            run.resize(width)
            # Resizing does not stop the clock; the time changes every second.
            run.show_until(lambda screen, shown=shown: seconds(screen) > shown)
            assert_one_row_per_step(run.screen)
            assert [row for row in run.screen.text.splitlines() if row and not SPINNER.match(row)] == before
        run.type("\x03")
        run.show_until(lambda screen: PROMPT in screen.text)
        assert live_rows(run.screen) == [], run.screen.text
        run.type("leave\n")
        assert run.result() == 130, run.screen.text
        assert live_rows(run.screen) == [], run.screen.text


@pytest.mark.unserved("the rollouts are interrupted")
def test_prompt_asks_again_until_the_answer_is_valid(staging: TestWorkspace) -> None:
    with terminal(staging, "restart", "staging", "--yes", columns=100) as run:
        with staging.paused_rollouts():
            run.show_until(lambda screen: len(live_rows(screen)) == 2)
            run.type("\x03")
            for number, answer in enumerate(("x", "", "Rollback", "rollback"), 1):
                run.show_until(lambda screen, number=number: screen.text.count(PROMPT) == number)
                run.type(f"{answer}\n")
            run.show_until(lambda screen: screen.text.count("stopping the rollout and rolling back") == 2)
        code = run.result()
    rows, text = run.screen.rows(), run.screen.text
    assert code == 130, text
    assert '"x" is neither leave nor rollback.' in rows and "No answer was given." in rows, text
    stopping = next(number for number, row in enumerate(rows) if row.startswith("stopping: "))
    interrupted = [number for number, row in enumerate(rows) if ": interrupted: " in row]
    assert len(interrupted) == 2 and stopping < interrupted[0] and "failed" not in text, text
    end = rows[rows.index("Restart of staging was interrupted.") + 1 :]
    rolled_back = "rolled back: the previous revision is serving again"
    assert sorted(filter(None, end)) == [f"  fargate/{key}: {rolled_back}" for key in ("celery", "flask")], text


@pytest.mark.unserved("the rollouts are interrupted")
def test_end_of_input_at_the_prompt_leaves_the_rollout(staging: TestWorkspace) -> None:
    with staging.paused_rollouts(), terminal(staging, "restart", "staging", "flask", "--yes", columns=100) as run:
        run.show_until(lambda screen: len(live_rows(screen)) == 1)
        run.type("\x03")
        run.show_until(lambda screen: PROMPT in screen.text)
        run.type("\x04")
        assert run.result() == 130, run.screen.text
    assert "No answer: the rollout is not stopped." in run.screen.rows(), run.screen.text
    assert "The rollout continues in ECS: staging-flask." in run.screen.text


@pytest.mark.unserved("the rollouts are paused")
def test_second_ctrl_c_erases_the_live_lines(workspace: TestWorkspace, proxy: FaultProxy) -> None:
    held = proxy.hold_before("elasticache:CreateReplicationGroup")
    environment = workspace.environment({"TERM": "xterm", "AWS_ENDPOINT_URL": proxy.url})
    with Terminal([str(BINARY), "deploy", "staging", "--yes"], workspace.folder, environment, 60) as run:
        run.show_until(lambda screen: any("redis/jobqr: " in row for row in live_rows(screen)))
        held.wait()
        run.type("\x03")
        # The call is still in progress.
        run.show_until(lambda screen: "stopping: " in screen.text and live_rows(screen))
        run.type("\x03")
        assert run.result() == 130
    assert live_rows(run.screen) == [], run.screen.text


@pytest.mark.unserved("the rollouts are paused")
@pytest.mark.parametrize("term", ["dumb", "", None])
def test_terminal_without_cursor_gets_plain_lines(staging: TestWorkspace, term: str | None) -> None:
    arguments = ("restart", "staging", "flask", "--yes")
    with staging.paused_rollouts(), terminal(staging, *arguments, columns=80, term=term) as run:
        run.show_until(lambda screen: "fargate/flask: updating: " in screen.text)
        assert live_rows(run.screen) == [], run.screen.text
        run.process.kill()


@pytest.mark.unserved("the runs wait for the lock")
def test_every_command_names_the_lock_holder_it_waits_for(staging: TestWorkspace, proxy: FaultProxy) -> None:
    staging.configure({"services": {"flask": {"environment": {"RELEASE": "2"}}}})
    staging.deploy()
    staging.configure({"services": {"flask": {"environment": {"RELEASE": "3"}}}})
    version = staging.run("state", "versions", "staging", "--json").json()[-1]["id"]
    held = proxy.hold_before("ecs:UpdateService")
    holder = staging.start("restart", "staging", "celery", "--yes", url=proxy.url)
    held.wait()
    options = ("--yes", "--lock-timeout", "1m")
    commands = [
        ("deploy", "staging"), ("destroy", "staging"), ("restart", "staging"), ("scale", "staging", "celery=3"),
        ("rollback", "staging"), ("forget", "staging", "fargate/logs"), ("state", "rm", "staging", "net/vpc"),
        ("state", "restore", "staging", version),
    ]  # fmt: skip
    waiting: dict[tuple[str, ...], Running] = {command: staging.start(*command, *options) for command in commands}
    message = "Waiting for tester@test-host, pid "
    for command, running in waiting.items():
        until(lambda running=running: message in running.output_so_far().err or running.process.poll() is not None)
        assert message in running.output_so_far().err, (command, running.output_so_far())
        assert "who holds the lock (restart, since " in running.output_so_far().err
        running.kill()
    held.release()
    holder.result().expect_exit()
