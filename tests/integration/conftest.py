"""One endpoint for all tests, an account and a folder for each of them."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import capabilities
import endpoint
import live
import pytest
from gate import Gate, Waves
from harness import BINARY, Site
from observer import Observer
from report import Report

_report = Report()
#: What was started for the tests, and is ended after them.
_started = contextlib.ExitStack()
#: The endpoint itself, where calls go through an observer.
_direct: list[str] = []


def pytest_configure(config: pytest.Config) -> None:
    """Make the endpoint ready and measure it, in the one process that all workers come from."""
    config.addinivalue_line("markers", "needs(*capabilities): what the endpoint must do; else the test is skipped")
    if hasattr(config, "workerinput") or config.option.collectonly:
        return
    config.pluginmanager.register(_report)
    variables = {name: os.environ.get(name) for name in ("PB_TEST_ENDPOINT", "PB_TEST_CAPABILITIES")}
    _started.callback(restore, variables)
    if live.on_aws():
        os.environ["PB_TEST_CAPABILITIES"] = capabilities.encode(capabilities.OF_AWS)
        return
    if not variables["PB_TEST_ENDPOINT"]:
        os.environ["PB_TEST_ENDPOINT"] = start_emulator()
    url = os.environ["PB_TEST_ENDPOINT"].rstrip("/")
    own = endpoint.has_journal(url)
    try:
        measured = capabilities.measure(url)
    except capabilities.NoAnswer as error:
        raise pytest.UsageError(str(error)) from error
    os.environ["PB_TEST_CAPABILITIES"] = capabilities.encode(measured)
    if any(measured.values()):
        told = f"what {url} does:\n{capabilities.table(measured)}"
        if own:
            raise pytest.UsageError(f"our emulator does everything, and nothing is skipped for it\n{told}")
        print(told, flush=True)
    _direct.append(url)
    if not own:
        os.environ["PB_TEST_ENDPOINT"] = _started.enter_context(Observer(url)).url


def start_emulator() -> str:
    """Start an emulator, which is ended after the tests; gives its URL."""
    folder = tempfile.mkdtemp(prefix="pb-wire-")
    _started.callback(shutil.rmtree, folder, ignore_errors=True)
    process, url = endpoint.start(Path(folder))
    _started.callback(endpoint.stop, process)
    return url


def restore(variables: dict[str, str | None]) -> None:
    """Set variables as they were."""
    for name, value in variables.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


def pytest_unconfigure() -> None:
    """Write the report, and end what was started here."""
    if file := os.environ.get("PB_TEST_REPORT"):
        _report.write(Path(file), endpoint.answered(_direct[0]) if _direct else {})
    _started.close()


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
    return os.environ["PB_TEST_ENDPOINT"].rstrip("/")


@pytest.fixture(scope="module")
def new_site(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Site]]:
    """Makes accounts with the preconditions of a deploy, and ends what still runs in them."""
    sites: list[Site] = []

    def make() -> Site:
        account = str(random.SystemRandom().randrange(10**11, 10**12))
        site = Site(url, account, tmp_path_factory.mktemp("site"))
        site.make_preconditions()
        sites.append(site)
        return site

    yield make
    for site in sites:
        site.end()


@pytest.fixture
def site(new_site: Callable[[], Site]) -> Site:
    """An account of its own, with the preconditions of a deploy, and a folder with a configuration."""
    return new_site()


@pytest.fixture
def gate(url: str) -> Iterator[Gate]:
    """Something between the tool and the endpoint that can hold, lose and refuse calls."""
    with Gate(url) as gate:
        yield gate


@pytest.fixture
def waves(url: str) -> Iterator[Waves]:
    """Something between the tool and the endpoint that lets calls go on in waves."""
    with Waves(url) as waves:
        yield waves


@pytest.fixture(scope="module")
def _shared() -> list[Site]:
    return []


@pytest.fixture
def staging(new_site: Callable[[], Site], _shared: list[Site]) -> Iterator[Site]:
    """A deployed staging in which nothing is to be done. Tests of a file hand it on, unless one fails or spoils it."""
    site = _shared.pop() if _shared else new_site()
    if not site.settled:
        site.deploy()
    site.settled = False
    yield site
    if site.settled:
        _shared.append(site)
