"""The example application with a real queue, the load balancer's health checks, and clients that enqueue jobs."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from harness import until
from real_parts import APP, LoggedProcess, ask, free_port, listens

#: The health check of a target group with the defaults of `health_interval` and `health_timeout`.
CHECK_INTERVAL_SECONDS, CHECK_TIMEOUT_SECONDS = 10.0, 5.0
#: Jobs per second. With Celery's defaults, a job blocks a process for 19 s, so one job every 9 s blocks two processes.
JOBS_PER_SECOND = 2.0
#: Time after which a client gives up.
CLIENT_TIMEOUT_SECONDS = 20.0
#: Maximum time until a process is ready. Python and Celery start slowly if many processes start at once.
START_SECONDS = 90.0


def dockerfile_command(target: str) -> list[str]:
    """Returns the command of a target in the example application's Dockerfile."""
    stage = (APP / "Dockerfile").read_text(encoding="utf-8").partition(f"FROM base AS {target}\n")[2]
    [command] = [line.removeprefix("CMD ") for line in stage.splitlines() if line.startswith("CMD ")][:1]
    return list(json.loads(command))


def request(port: int, method: str, path: str, timeout: float, body: str | None = None) -> int:
    """Sends a request and returns the status of the answer, or 0 if there is none within the timeout."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def redis_answer(port: int, *words: str) -> str:
    """Sends a command to a Redis server and returns the beginning of its answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(" ".join(words).encode() + b"\r\n")
        return connection.recv(10_000).decode()


@dataclass
class Observed:
    """The statuses of the answers to health checks, by the second of the outage, and to the requests with jobs."""

    checks: dict[float, int] = field(default_factory=dict)
    jobs: list[int] = field(default_factory=list)

    def failed_checks(self) -> list[float]:
        """Returns the times of the failed health checks."""
        return sorted(at for at, status in self.checks.items() if status != 200)


class Application:
    """The example application, as its Dockerfile starts it, and a Redis server."""

    def __init__(self, path: str, folder: Path) -> None:
        folder.mkdir()
        self.port, self.queue_port, self.folder = free_port(), free_port(), folder
        self.parts: list[LoggedProcess] = []
        queue = f"redis://127.0.0.1:{self.queue_port}/0"
        self.variables = {
            "PATH": path, "HOME": str(folder), "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": f"{APP}:{Path(__file__).parent}",
            "CELERY_BROKER_URL": queue, "CELERY_RESULT_BACKEND": queue,
        }  # fmt: skip
        self.queue = self.start_queue()

    def start(self, name: str, *command: str, **variables: str) -> LoggedProcess:
        """Starts a process with the environment of the containers."""
        self.parts.append(LoggedProcess(name, list(command), self.variables | variables, self.folder, self.folder))
        return self.parts[-1]

    def start_queue(self) -> LoggedProcess:
        """Starts the Redis server."""
        return self.start("redis", "redis-server", "--port", str(self.queue_port), "--bind", "127.0.0.1", "--save", "")

    def start_web(self, module: str = "") -> None:
        """Starts the web service, or gunicorn in the same way with another module, and waits until it is ready."""
        command = dockerfile_command("flask")
        command[command.index("--bind") + 1] = f"127.0.0.1:{self.port}"
        self.start("web", *command[:-1], module or command[-1])
        until(lambda: listens(self.queue_port) and ask(self.port, "/hello")[0] == 200, START_SECONDS)
        until(lambda: self.enqueue() == 202, START_SECONDS)

    def enqueue(self) -> int:
        """Enqueues a job and returns the status of the answer."""
        return request(self.port, "POST", "/sums", CLIENT_TIMEOUT_SECONDS, json.dumps({"x": 1, "y": 2}))

    def observe(self, seconds: float) -> Observed:
        """Sends health checks and jobs for some seconds, and waits for the answers."""
        observed, began, threads = Observed(), time.monotonic(), []

        def check(at: float) -> None:
            observed.checks[at] = request(self.port, "GET", "/hello", CHECK_TIMEOUT_SECONDS)

        def job(_at: float) -> None:
            observed.jobs.append(self.enqueue())

        checks = [(number * CHECK_INTERVAL_SECONDS, check) for number in range(int(seconds / CHECK_INTERVAL_SECONDS))]
        jobs = [(number / JOBS_PER_SECOND, job) for number in range(int(seconds * JOBS_PER_SECOND))]
        for at, send in sorted(jobs + checks, key=lambda entry: entry[0]):
            time.sleep(max(0.0, began + at - time.monotonic()))
            threads.append(threading.Thread(target=send, args=(at,), daemon=True))
            threads[-1].start()
        for thread in threads:
            thread.join()
        return observed

    def command(self, *words: str) -> None:
        """Sends a command to the Redis server, which has to accept it."""
        assert redis_answer(self.queue_port, *words).startswith("+OK")

    def fill_queue(self) -> None:
        """Makes the Redis server refuse writes, as it does when its memory is used up."""
        self.command("CONFIG", "SET", "maxmemory", "1")

    def stop_queue(self, number: signal.Signals) -> None:
        """Kills or suspends the Redis server."""
        os.killpg(self.queue.process.pid, number)

    def restore_queue(self) -> None:
        """Resumes the Redis server, or starts another if it was killed."""
        if self.queue.process.poll() is None:
            os.killpg(self.queue.process.pid, signal.SIGCONT)
        else:
            self.queue = self.start_queue()

    def end(self) -> None:
        """Kills all processes."""
        for part in self.parts:
            part.end()
