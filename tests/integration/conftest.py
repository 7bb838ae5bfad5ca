"""One endpoint for all tests, an account and a folder for each of them."""

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

#: One emulator uses one core, and the tests are in accounts of their own.
EMULATORS_MAX = 4
_report = Report()
#: What sends requests while a test rolls something out.
_watch = Watch()
#: Tests that take longest, which begin first: one that begins last keeps all others waiting for its end.
LONGEST = ("test_terraform", "test_untagged", "test_killed", "test_release_command", "test_cost", "test_services")
#: What was started for the tests, and is ended after them.
_cleanup = contextlib.ExitStack()
#: The endpoint itself, where calls go through an observer.
_measured_urls: list[str] = []


def pytest_configure(config: pytest.Config) -> None:
    """Make the endpoint ready and measure it, in the one process that all workers come from."""
    config.addinivalue_line("markers", "needs(*capabilities): what the endpoint must do; else the test is skipped")
    config.addinivalue_line("markers", "sample: runs on the second endpoint of a usual run of all tests, too")
    config.addinivalue_line("markers", "unserved(reason): no requests are sent while the test rolls something out")
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
        message = f"what {url} does:\n{capabilities.table(measured)}"
        if keeps_journal:
            raise pytest.UsageError(f"our emulator does everything, and nothing is skipped for it\n{message}")
        print(message, flush=True)
    _measured_urls.append(url)
    if not keeps_journal:
        os.environ["PB_TEST_ENDPOINT"] = _cleanup.enter_context(Observer(url)).url


# Before pytest-xdist reads the groups.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of a file that share something stay in one process and in their order; all others go where there is room,
    the longest first.

    With PB_TEST_SAMPLE only those of the sample run, and the others are skipped and counted.
    """
    sampled = bool(os.environ.get("PB_TEST_SAMPLE"))
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))
    for item in items:
        if sampled and not item.get_closest_marker("sample"):
            item.add_marker(pytest.mark.skip(reason="not of the sample: `cargo xtask test --target ...` runs them all"))
        info = getattr(item, "_fixtureinfo", None)
        definitions = info.name2fixturedefs if info else {}
        if any(name != "new_workspace" and fixtures[-1].scope == "module" for name, fixtures in definitions.items()):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Fails a test during whose rollouts a request has failed, and reports who answered."""
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
    """Returns whether requests are sent during the rollouts of a test: not where it says why they could fail."""
    if mark := item.get_closest_marker("unserved"):
        (reason,) = mark.args
        assert reason, "why is nobody served?"
        return False
    return capabilities.has("data-plane")


def start_emulator() -> str:
    """Start an emulator, which is ended after the tests; gives its URL."""
    folder = tempfile.mkdtemp(prefix="pb-wire-")
    _cleanup.callback(shutil.rmtree, folder, ignore_errors=True)
    process, url = endpoint.start(Path(folder))
    _cleanup.callback(endpoint.stop, process)
    return url


def worker_endpoint(urls: list[str]) -> str:
    """The endpoint of this process: the processes of the tests share out those that there are."""
    number = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    return urls[int(number) % len(urls)].rstrip("/")


def restore_environment(variables: dict[str, str | None]) -> None:
    """Set variables as they were."""
    for name, value in variables.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


def pytest_unconfigure() -> None:
    """Write the report, and end what was started here."""
    if file := os.environ.get("PB_TEST_REPORT"):
        _report.write(Path(file), endpoint.answer_sources(_measured_urls[0]) if _measured_urls else {})
    _cleanup.close()


@pytest.fixture(autouse=True)
def _needs(request: pytest.FixtureRequest) -> None:
    """Skips a test whose marks ask for what the endpoint does not do."""
    for mark in request.node.iter_markers("needs"):
        capabilities.require(*mark.args)


@pytest.fixture(scope="session")
def url() -> str:
    """The URL of the endpoint; AWS itself has none that these tests may use."""
    capabilities.require("accounts")
    assert BINARY.exists(), f"{BINARY} is not there: build it, or name it in PB_TEST_BINARY"
    return worker_endpoint(os.environ["PB_TEST_ENDPOINT"].split())


@pytest.fixture(scope="module")
def new_workspace(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], TestWorkspace]]:
    """Makes accounts with the preconditions of a deploy, and ends what still runs in them."""
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
    """An account of its own, with the preconditions of a deploy, and a folder with a configuration."""
    return new_workspace()


@pytest.fixture
def proxy(url: str) -> Iterator[FaultProxy]:
    """Something between the tool and the endpoint that can hold, lose and refuse calls."""
    with FaultProxy(url) as proxy:
        yield proxy


@pytest.fixture
def batches(url: str) -> Iterator[BatchProxy]:
    """Something between the tool and the endpoint that lets calls go on in batches."""
    with BatchProxy(url) as batches:
        yield batches


@pytest.fixture(scope="module")
def _shared() -> list[TestWorkspace]:
    return []


@pytest.fixture
def staging(new_workspace: Callable[[], TestWorkspace], _shared: list[TestWorkspace]) -> Iterator[TestWorkspace]:
    """A staging that is deployed as `pb_deploy.toml` has it. Tests of a file hand it on, unless one fails or spoils it: each
    begins with the same configuration, and none goes by what the one before has left in it.
    """
    workspace = _shared.pop() if _shared else new_workspace()
    workspace.reset()
    yield workspace
    if workspace.is_unchanged():
        _shared.append(workspace)
