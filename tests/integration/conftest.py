"""Fixtures and hooks: endpoints that the tests share, and an account and a folder per test."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator
from functools import partial
from pathlib import Path

import capabilities
import endpoint
import live
import pytest
from fault_proxy import FaultProxy, BatchProxy
from harness import BINARY, TestWorkspace
from observer import Observer
from report import Report
from watch import Watch

#: Maximum number of emulators. Each uses one core. Tests can share an emulator, because each test has its own account.
EMULATORS_MAX = 4
_report = Report()
#: Probers that send requests during the rollouts of a test.
_watch = Watch()
#: Files with the slowest tests, in the order in which they start: a slow test that starts last prolongs the run.
LONGEST = (
    "test_queue_outage", "test_terraform", "test_untagged", "test_killed", "test_release_command", "test_cost",
    "test_services",
)  # fmt: skip
#: Actions that stop and clean up everything that was started for the tests.
_cleanup = contextlib.ExitStack()
#: URL of the measured endpoint itself; the tests may call the endpoint through an observer instead.
_measured_urls: list[str] = []


def pytest_configure(config: pytest.Config) -> None:
    """Prepares the endpoint and measures its capabilities, in the controller process that starts all workers."""
    config.addinivalue_line("markers", "needs(*capabilities): skips the test if the endpoint lacks one of them")
    config.addinivalue_line("markers", "sample: also runs on the second endpoint of a normal test run")
    config.addinivalue_line("markers", "unserved(reason): sends no requests during the rollouts of the test")
    if hasattr(config, "workerinput") or config.option.collectonly:
        return
    config.pluginmanager.register(_report)
    variables = {name: os.environ.get(name) for name in ("PB_TEST_ENDPOINT", "PB_TEST_CAPABILITIES")}
    _cleanup.callback(restore_environment, variables)
    if live.on_aws():
        os.environ["PB_TEST_CAPABILITIES"] = capabilities.encode(capabilities.AWS_CAPABILITIES)
        return
    if not variables["PB_TEST_ENDPOINT"]:
        count = min(os.cpu_count() or 1, EMULATORS_MAX, max(config.getoption("numprocesses", None) or 1, 1))
        os.environ["PB_TEST_ENDPOINT"] = " ".join(start_emulator() for _ in range(count))
    url = os.environ["PB_TEST_ENDPOINT"].split()[0]
    keeps_journal = endpoint.has_journal(url)
    try:
        measured = capabilities.measure(url)
    except capabilities.EndpointUnavailable as error:
        raise pytest.UsageError(str(error)) from error
    os.environ["PB_TEST_CAPABILITIES"] = capabilities.encode(measured)
    if any(measured.values()):
        message = f"capabilities of {url}:\n{capabilities.table(measured)}"
        if keeps_journal:
            raise pytest.UsageError(f"the emulator must have every capability, so that no test is skipped\n{message}")
        print(message, flush=True)
    _measured_urls.append(url)
    if not keeps_journal:
        os.environ["PB_TEST_ENDPOINT"] = _cleanup.enter_context(Observer(url)).url


# Must run before pytest-xdist reads the groups.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Groups the tests of a file that share a fixture, so that they run in one process and in the file's order. All
    other tests run in any process, starting with the slowest files.

    With PB_TEST_SAMPLE, only the tests in the sample run; all other tests are skipped and counted.
    """
    sampled = bool(os.environ.get("PB_TEST_SAMPLE"))
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))
    for item in items:
        if sampled and not item.get_closest_marker("sample"):
            item.add_marker(pytest.mark.skip(reason="not in the sample: `cargo xtask test --target ...` runs them all"))
        info = getattr(item, "_fixtureinfo", None)
        definitions = info.name2fixturedefs if info else {}
        if any(name != "new_workspace" and fixtures[-1].scope == "module" for name, fixtures in definitions.items()):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Fails a test if a request failed during the test's rollouts, and reports which revisions answered."""
    if is_watched(item):
        _watch.begin()
    try:
        yield
    finally:
        probers = _watch.end()
        if probers:
            item.add_report_section("call", "requests", "\n".join(prober.report() for prober in probers))
    failed = [prober.report() for prober in probers if prober.failures]
    assert not failed, "\n".join(failed)


def is_watched(item: pytest.Item) -> bool:
    """Returns whether requests are sent during a test's rollouts: they are not if the test is marked `unserved`."""
    if mark := item.get_closest_marker("unserved"):
        (reason,) = mark.args
        assert reason, "the mark `unserved` needs a reason"
        return False
    return capabilities.has("data-plane")


def start_emulator() -> str:
    """Starts an emulator, which is stopped after the tests, and returns its URL."""
    folder = tempfile.mkdtemp(prefix="pb-wire-")
    _cleanup.callback(shutil.rmtree, folder, ignore_errors=True)
    process, url = endpoint.start(Path(folder))
    _cleanup.callback(endpoint.stop, process)
    return url


def worker_endpoint(urls: list[str]) -> str:
    """Returns this worker's endpoint: the workers are distributed over the endpoints."""
    number = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    return urls[int(number) % len(urls)].rstrip("/")


def restore_environment(variables: dict[str, str | None]) -> None:
    """Restores environment variables; a value of None removes the variable."""
    for name, value in variables.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


def pytest_unconfigure() -> None:
    """Writes the report and runs the cleanup."""
    if file := os.environ.get("PB_TEST_REPORT"):
        _report.write(Path(file), endpoint.answer_sources(_measured_urls[0]) if _measured_urls else {})
    _cleanup.close()


@pytest.fixture(autouse=True)
def _needs(request: pytest.FixtureRequest) -> None:
    """Skips a test that is marked with a capability that the endpoint lacks."""
    for mark in request.node.iter_markers("needs"):
        capabilities.require(*mark.args)


@pytest.fixture(scope="session")
def url() -> str:
    """Returns the URL of the endpoint. Skips the test on endpoints with a single account, such as AWS."""
    capabilities.require("accounts")
    assert BINARY.exists(), f"{BINARY} not found: build it, or set PB_TEST_BINARY"
    return worker_endpoint(os.environ["PB_TEST_ENDPOINT"].split())


@pytest.fixture(scope="module")
def new_workspace(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], TestWorkspace]]:
    """Creates workspaces, each in an account with the prerequisites of a deploy, and kills their runs at the end."""
    workspaces: list[TestWorkspace] = []

    def make() -> TestWorkspace:
        account = str(random.SystemRandom().randrange(10**11, 10**12))
        workspace = TestWorkspace(url, account, tmp_path_factory.mktemp("workspace"))
        workspace.create_prerequisites()
        workspace.before_run = partial(_watch.before, workspace)
        workspaces.append(workspace)
        return workspace

    yield make
    for workspace in workspaces:
        workspace.end()


@pytest.fixture
def workspace(new_workspace: Callable[[], TestWorkspace]) -> TestWorkspace:
    """Returns a workspace with an account of its own, the prerequisites of a deploy, and a configuration folder."""
    return new_workspace()


@pytest.fixture
def proxy(url: str) -> Iterator[FaultProxy]:
    """Yields a proxy between the tool and the endpoint that can hold and refuse calls and lose their responses."""
    with FaultProxy(url) as proxy:
        yield proxy


@pytest.fixture
def batches(url: str) -> Iterator[BatchProxy]:
    """Yields a proxy between the tool and the endpoint that forwards calls in batches."""
    with BatchProxy(url) as batches:
        yield batches


@pytest.fixture(scope="module")
def _shared() -> list[TestWorkspace]:
    return []


@pytest.fixture
def staging(new_workspace: Callable[[], TestWorkspace], _shared: list[TestWorkspace]) -> Iterator[TestWorkspace]:
    """Yields a staging workspace, deployed with this repository's configuration. The tests of a file share it unless
    one of them fails or leaves changes. Each test starts with this configuration deployed, and must not depend on
    earlier tests.
    """
    workspace = _shared.pop() if _shared else new_workspace()
    workspace.reset()
    yield workspace
    if workspace.is_unchanged():
        _shared.append(workspace)
