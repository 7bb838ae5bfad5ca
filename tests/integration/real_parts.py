"""A real Redis and the example application, made ready once for this machine in `target/real-parts`."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from endpoint import ROOT

APP = ROOT / "examples" / "app"
CACHE_FOLDER = ROOT / "target" / "real-parts"
#: Debian's packages of the server, with the libraries that a bare system lacks.
PACKAGES = ("redis-server", "redis-tools", "liblzf1", "libjemalloc2")
INSTALL_SECONDS = 600


@contextlib.contextmanager
def exclusive_lock() -> Iterator[None]:
    """One process at a time makes something ready."""
    CACHE_FOLDER.mkdir(parents=True, exist_ok=True)
    with (CACHE_FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def run(*command: str, cwd: Path | None = None) -> None:
    """Run a program to its end; what it says is shown when it fails."""
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    if result.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{result.stdout}{result.stderr}")


def redis_folder() -> Path:
    """A folder with `redis-server`: the system's, or Debian's packages unpacked without being installed."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return Path(found).parent
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        pytest.skip("there is no redis-server, no valkey-server, and no Debian package to take one from")
    with exclusive_lock():
        server = CACHE_FOLDER / "bin" / "redis-server"
        if not server.exists():
            unpack(CACHE_FOLDER / "redis")
            root = f"{CACHE_FOLDER}/redis/usr"
            script = (
                f'#!/bin/sh\nLD_LIBRARY_PATH="{root}/lib/$(uname -m)-linux-gnu" exec "{root}/bin/redis-server" "$@"\n'
            )
            server.parent.mkdir(exist_ok=True)
            server.write_text(script)
            server.chmod(0o755)
    return server.parent


def unpack(folder: Path) -> None:
    """Download the packages and unpack them."""
    downloads = CACHE_FOLDER / "packages"
    shutil.rmtree(downloads, ignore_errors=True)
    downloads.mkdir(parents=True)
    try:
        run("apt-get", "download", *PACKAGES, cwd=downloads)
    except RuntimeError:
        # A fresh system has no list of packages yet.
        run("apt-get", "update")
        run("apt-get", "download", *PACKAGES, cwd=downloads)
    for package in downloads.glob("*.deb"):
        run("dpkg", "-x", str(package), str(folder))


def application_folder() -> Path:
    """A folder with the programs of the example application: its pinned requirements in a virtual environment."""
    pinned = (APP / "requirements.txt").read_bytes()
    environment = CACHE_FOLDER / f"venv-{hashlib.sha256(pinned + sys.version.encode()).hexdigest()[:16]}"
    with exclusive_lock():
        if not (environment / "ready").exists():
            shutil.rmtree(environment, ignore_errors=True)
            run(sys.executable, "-m", "venv", str(environment))
            pip = str(environment / "bin" / "pip")
            run(pip, "install", "--quiet", "--disable-pip-version-check", "-r", str(APP / "requirements.txt"))
            (environment / "ready").touch()
    return environment / "bin"


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def listens(port: int) -> bool:
    """Whether somebody does."""
    with socket.socket() as client:
        client.settimeout(0.5)
        return client.connect_ex(("127.0.0.1", port)) == 0


def ask(port: int, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    """Status and body of an HTTP request; 0 when nobody answers."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read()
    except OSError:
        return 0, b""


class LoggedProcess:
    """A process in a group of its own; what it says goes to a file."""

    def __init__(self, name: str, command: list[str], environment: dict[str, str], folder: Path, logs: Path) -> None:
        self.name, self.log = name, logs / f"{name}.log"
        with self.log.open("wb") as output:
            self.process: subprocess.Popen[Any] = subprocess.Popen(
                command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True,
            )  # fmt: skip

    def output(self) -> str:
        """What it said until now."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def end(self) -> None:
        """Kill what is left of it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
