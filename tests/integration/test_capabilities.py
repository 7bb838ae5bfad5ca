"""Measured capabilities of an endpoint, skipping of tests that need missing capabilities, and recording of calls."""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import capabilities
import conftest
import pytest
from endpoint import control
from harness import TestWorkspace
from observer import Observer
from probes import Missing, expect_refusal
from report import Report

pytest_plugins = ["pytester"]


def test_unreachable_endpoint_is_not_measured() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        with pytest.raises(capabilities.EndpointUnavailable, match="does not answer"):
            capabilities.measure(f"http://127.0.0.1:{listener.getsockname()[1]}")


class ErrorServer(BaseHTTPRequestHandler):
    """A server that answers every request with an HTML error page."""

    def do_POST(self) -> None:
        """Answers with status 500, as moto does for unsupported operations."""
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_error(500)

    do_GET = do_PUT = do_POST

    def log_message(self, *_: object) -> None:
        """Suppresses the access log."""


def test_endpoint_other_than_aws_has_no_capability() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), ErrorServer) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        measured = capabilities.measure(f"http://127.0.0.1:{server.server_address[1]}")
        server.shutdown()
    assert all(measured.values()), [name for name, reason in measured.items() if not reason]


def test_capability_that_is_missing_skips_test(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = {"a": "", "b": "answers nothing"}
    monkeypatch.setenv("PB_TEST_CAPABILITIES", capabilities.encode(measured))
    capabilities.require("a")
    with pytest.raises(pytest.skip.Exception, match=r"lacks b \(answers nothing\)"):
        capabilities.require("a", "b")
    with pytest.raises(ValueError, match="no probe measures c"):
        capabilities.require("c")


def test_capabilities_of_deploy_are_measured() -> None:
    assert set(capabilities.DEPLOYS) <= set(capabilities.PROBES)


def test_probe_reports_call_that_aws_would_refuse(workspace: TestWorkspace) -> None:
    create = workspace.aws.ec2.create_vpc
    with pytest.raises(Missing, match="succeeds where AWS answers InvalidVpc.Range"):
        expect_refusal(create, "InvalidVpc.Range", CidrBlock="10.0.0.0/16")
    with pytest.raises(Missing, match="answers InvalidVpc.Range, not NoSuchCode"):
        expect_refusal(create, "NoSuchCode", CidrBlock="10.0.0.0/8")


def test_observer_records_same_calls_as_endpoint(workspace: TestWorkspace, url: str) -> None:
    with Observer(url) as observer:
        since = workspace.mark()
        workspace.run("deploy", "staging", "--yes", url=observer.url).expect_exit()
        workspace.run("destroy", "staging", "--yes", url=observer.url).expect_exit()
        entries = control(observer.url, f"requests?account={workspace.account}")["requests"]
    tool_calls = [entry for entry in entries if "aws-sdk-rust" in entry["user_agent"]]
    assert sorted(f"{e['service']}:{e['action']}" for e in tool_calls) == sorted(workspace.calls(since))
    assert [e for e in tool_calls if e["mutating"]]
    assert len(tool_calls) > 100


def test_report_names_skipped_and_failed_tests(pytester: pytest.Pytester, tmp_path: Path) -> None:
    pytester.makepyfile(
        "import pytest\n"
        "def test_a(): pass\n"
        "def test_b(): pytest.skip('the endpoint lacks x (y)')\n"
        "def test_c(): assert False\n"
        "@pytest.fixture\n"
        "def broken(): yield; assert False\n"
        "def test_d(broken): pass\n"
    )
    report = Report()
    pytester.inline_run("-p", "no:xdist", plugins=[report])
    (counts,) = report.document()["scenarios"].values()  # type: ignore[attr-defined]
    assert counts == {"passed": 1, "skipped": 1, "failed": 2}
    assert report.document()["skips"] == {"the endpoint lacks x (y)": 1}
    failures: dict[str, str] = report.document()["failures"]  # type: ignore[assignment]
    assert [name.rpartition("::")[2] for name in failures] == ["test_c (call)", "test_d (teardown)"]
    assert all("assert False" in text for text in failures.values())


class CollectedItem:
    """Stand-in for a collected pytest item, with the attributes that the collection hook uses."""

    path = Path("test_some.py")

    def __init__(self, *marks: str, fixtures: dict[str, str] | None = None) -> None:
        scopes = {name: [SimpleNamespace(scope=scope)] for name, scope in (fixtures or {}).items()}
        self._fixtureinfo = SimpleNamespace(name2fixturedefs=scopes)
        self.marks, self.added = marks, []  # type: ignore[var-annotated]

    def get_closest_marker(self, name: str) -> str | None:
        """Returns the marker with this name if the test has it."""
        return name if name in self.marks else None

    def add_marker(self, mark: pytest.MarkDecorator) -> None:
        """Records an added marker."""
        self.added.append(mark)


def test_sample_runs_only_marked_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    marked, other = CollectedItem("sample"), CollectedItem("needs")
    monkeypatch.setenv("PB_TEST_SAMPLE", "1")
    conftest.pytest_collection_modifyitems([marked, other])  # type: ignore[list-item]
    assert marked.added == []
    (skip,) = other.added
    assert skip.name == "skip" and "not in the sample" in skip.kwargs["reason"]


def test_tests_sharing_a_fixture_get_the_same_group() -> None:
    alone = CollectedItem(fixtures={"new_workspace": "module", "proxy": "function"})
    sharing = CollectedItem(fixtures={"new_workspace": "module", "_shared": "module", "staging": "function"})
    conftest.pytest_collection_modifyitems([alone, sharing])  # type: ignore[list-item]
    assert alone.added == []
    (group,) = sharing.added
    assert (group.name, group.args) == ("xdist_group", ("test_some",))


def test_tests_sharing_a_fixture_run_in_one_process(pytester: pytest.Pytester) -> None:
    """Uses the real pytest-xdist with the hook, because version 3.8 silently ignores groups in pytest 9.2."""
    pytester.makeconftest(
        f"""
        import importlib.util, sys

        sys.path.insert(0, {str(Path(conftest.__file__).parent)!r})
        spec = importlib.util.spec_from_file_location("hooks", {conftest.__file__!r})
        hooks = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(hooks)
        pytest_collection_modifyitems = hooks.pytest_collection_modifyitems
        """
    )
    pytester.makepyfile(
        """
        import os, pytest

        @pytest.fixture(scope="module")
        def shared():
            return "processes"

        @pytest.mark.parametrize("number", range(4))
        def test_sharing(shared, number):
            with open(shared, "a") as file:
                print(os.environ["PYTEST_XDIST_WORKER"], file=file)
        """
    )
    pytester.runpytest_subprocess("-n", "2", "--dist", "loadgroup").assert_outcomes(passed=4)
    assert len(set((pytester.path / "processes").read_text(encoding="utf-8").split())) == 1


def test_endpoints_are_distributed_over_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    urls = ["http://a/", "http://b"]
    assigned = []
    for worker in ("gw0", "gw1", "gw2"):
        monkeypatch.setenv("PYTEST_XDIST_WORKER", worker)
        assigned.append(conftest.worker_endpoint(urls))
    assert assigned == ["http://a", "http://b", "http://a"]
    monkeypatch.delenv("PYTEST_XDIST_WORKER")
    assert conftest.worker_endpoint(urls) == "http://a"
