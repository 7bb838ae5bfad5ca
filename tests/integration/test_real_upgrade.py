"""Jobs that wait in a real Redis server and are executed after Valkey has loaded its data, by a real Celery worker."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import until
from real_parts import (
    APP, LoggedProcess, application_folder, debian_redis_server, free_port, listens, valkey_server,
)  # fmt: skip

JOBS = 40
#: Maximum time until a process is ready. Python and Celery start slowly if many processes start at once.
START_SECONDS = 90.0
#: Enqueues jobs, and prints their ids. Every fourth has a priority, which is a list of its own in the queue, and every
#: fifth is due only after some seconds.
ENQUEUE = """
import json, sys
from shop.tasks import add
first, count = int(sys.argv[1]), int(sys.argv[2])
options = lambda n: {**({"priority": 3} if n % 4 == 0 else {}), **({"countdown": 15} if n % 5 == 0 else {})}
print(json.dumps([add.apply_async((n, 1000), **options(n)).id for n in range(first, first + count)]))
"""
#: Prints the results of jobs, and null for each that has none yet.
RESULTS = """
import json, sys
from shop.queue import app
results = [app.AsyncResult(identity) for identity in json.load(sys.stdin)]
print(json.dumps([result.result if result.successful() else None for result in results]))
"""


class Queue:
    """A server that is replaced by another one with the same data and address, as ElastiCache does it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.bin = application_folder()
        address = f"redis://127.0.0.1:{self.port}/0"
        self.variables = {
            "PATH": f"{self.bin}:{os.environ['PATH']}", "HOME": str(folder), "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": str(APP), "CELERY_BROKER_URL": address, "CELERY_RESULT_BACKEND": address,
        }  # fmt: skip
        self.parts: list[LoggedProcess] = []

    def start(self, name: str, *command: str) -> LoggedProcess:
        """Starts a process with the environment of the containers."""
        self.parts.append(LoggedProcess(name, list(command), self.variables, self.folder, self.folder))
        return self.parts[-1]

    def serve(self, server: Path) -> LoggedProcess:
        """Starts a server with the data in the folder, and waits until it has loaded them."""
        options = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"]
        part = self.start(server.name, str(server), "--port", str(self.port), "--dir", str(self.folder), *options)
        until(lambda: listens(self.port) and b"loading:0" in self.ask("INFO persistence"), START_SECONDS)
        return part

    def work(self) -> LoggedProcess:
        """Starts a worker."""
        return self.start("worker", "celery", "--app", "shop.queue", "worker", "--loglevel", "INFO", "--concurrency", "2")

    def ask(self, command: str) -> bytes:
        """Sends a command to the server and returns the beginning of its answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(command.encode() + b"\r\n")
            return connection.recv(65536)

    def run(self, script: str, *arguments: str, stdin: Any = None) -> list[Any]:
        """Runs a script with the application and returns the list that it prints."""
        result = subprocess.run(
            [str(self.bin / "python"), "-c", script, *arguments], env=self.variables, input=json.dumps(stdin),
            capture_output=True, text=True, timeout=START_SECONDS, check=False,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        return list(json.loads(result.stdout))


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    """Yields a queue without a server."""
    queue = Queue(tmp_path)
    try:
        yield queue
    finally:
        for part in queue.parts:
            part.end()


def test_jobs_queued_in_redis_are_executed_after_valkey(queue: Queue) -> None:
    redis = queue.serve(debian_redis_server())
    assert b"redis_version:" in queue.ask("INFO server") and b"valkey_version:" not in queue.ask("INFO server")
    worker = queue.work()
    done = queue.run(ENQUEUE, "1", "2")
    until(lambda: queue.run(RESULTS, stdin=done) == [1001, 1002], START_SECONDS)
    worker.end()
    waiting = queue.run(ENQUEUE, "100", str(JOBS))
    expected = [number + 1000 for number in range(100, 100 + JOBS)]
    assert queue.run(RESULTS, stdin=waiting) == [None] * JOBS
    assert queue.ask("SAVE").startswith(b"+OK")
    redis.end()

    queue.serve(valkey_server())
    assert b"valkey_version:9.1.2" in queue.ask("INFO server")
    assert queue.run(RESULTS, stdin=done) == [1001, 1002], "the results of earlier jobs stay"
    worker = queue.work()
    until(lambda: queue.run(RESULTS, stdin=waiting) == expected, START_SECONDS)
    received = [line for line in worker.output().splitlines() if "shop.tasks.add" in line and " received" in line]
    succeeded = [line for line in worker.output().splitlines() if "shop.tasks.add" in line and " succeeded " in line]
    assert (len(received), len(succeeded)) == (JOBS, JOBS), worker.output()
