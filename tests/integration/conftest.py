"""One endpoint for all tests, an account and a folder for each of them."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import endpoint
import pytest
from gate import Gate
from harness import BINARY, Site

_started: list[tuple[object, str]] = []


def pytest_configure(config: pytest.Config) -> None:
    """Start an emulator, in the one process that all workers come from, unless there is an endpoint already."""
    if hasattr(config, "workerinput") or os.environ.get("PB_TEST_ENDPOINT") or config.option.collectonly:
        return
    folder = tempfile.mkdtemp(prefix="pb-wire-")
    process, url = endpoint.start(Path(folder))
    _started.append((process, folder))
    os.environ["PB_TEST_ENDPOINT"] = url


def pytest_unconfigure() -> None:
    """End the emulator that was started here."""
    while _started:
        process, folder = _started.pop()
        endpoint.stop(process)  # type: ignore[arg-type]
        os.environ.pop("PB_TEST_ENDPOINT", None)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def url() -> str:
    """The URL of the endpoint."""
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
