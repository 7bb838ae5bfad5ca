"""What is measured of an endpoint, what is skipped for it, and what is noted of the calls."""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import capabilities
import pytest
from endpoint import control
from harness import Site
from observer import Observer
from probes import Missing, refused
from report import Report

pytest_plugins = ["pytester"]


def test_what_does_not_answer_is_not_measured() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        with pytest.raises(capabilities.NoAnswer, match="does not answer"):
            capabilities.measure(f"http://127.0.0.1:{held.getsockname()[1]}")


class Html(BaseHTTPRequestHandler):
    """Something that is no AWS."""

    def do_POST(self) -> None:
        """Answer as moto does to what it lacks."""
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_error(500)

    do_GET = do_PUT = do_POST

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_what_is_no_aws_has_no_capability() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Html) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        measured = capabilities.measure(f"http://127.0.0.1:{server.server_address[1]}")
        server.shutdown()
    assert all(measured.values()), [name for name, why in measured.items() if not why]


def test_the_endpoint_of_these_tests_is_measured(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = {"a": "", "b": "answers nothing"}
    monkeypatch.setenv("PB_TEST_CAPABILITIES", capabilities.encode(measured))
    capabilities.require("a")
    with pytest.raises(pytest.skip.Exception, match=r"lacks b \(answers nothing\)"):
        capabilities.require("a", "b")
    with pytest.raises(ValueError, match="no probe measures c"):
        capabilities.require("c")


def test_every_capability_that_a_deploy_needs_is_measured() -> None:
    assert set(capabilities.DEPLOYS) <= set(capabilities.PROBES)


def test_a_probe_tells_what_is_done_where_aws_refuses(site: Site) -> None:
    create = site.aws.ec2.create_vpc
    with pytest.raises(Missing, match="is done where AWS answers InvalidVpc.Range"):
        refused(create, "InvalidVpc.Range", CidrBlock="10.0.0.0/16")
    with pytest.raises(Missing, match="answers InvalidVpc.Range, not NoSuchCode"):
        refused(create, "NoSuchCode", CidrBlock="10.0.0.0/8")


def test_the_observer_notes_what_the_endpoint_notes(site: Site, url: str) -> None:
    with Observer(url) as observer:
        since = site.mark()
        site.run("deploy", "staging", "--yes", url=observer.url).ended()
        site.run("destroy", "staging", "--yes", url=observer.url).ended()
        noted = control(observer.url, f"requests?account={site.account}")["requests"]
    told = [entry for entry in noted if "aws-sdk-rust" in entry["user_agent"]]
    assert sorted(f"{e['service']}:{e['action']}" for e in told) == sorted(site.calls(since))
    assert [e for e in told if e["mutating"]]
    assert len(told) > 100


def test_a_test_that_needs_what_is_lacking_is_skipped_and_named(pytester: pytest.Pytester, tmp_path: Path) -> None:
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
