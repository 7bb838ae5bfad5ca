"""Runs a command for `cargo xtask bench`, and writes, as JSON, the resources that it and all its descendants used.

`measure.py ANSWER COMMAND ARGUMENT...`. The kernel adds up the processor time of the descendants that were waited for.
This process adopts orphans and waits for them, so that all descendants are included.
"""

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import time

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
#: Time limit of a command, in seconds. Measured commands take less than a quarter of an hour, even with AWS's times.
LIMIT_SECONDS = 2700.0
#: Longest wait for a command to exit after SIGTERM.
END_SECONDS = 60.0
#: Longest wait for the command's descendants after the command itself has exited.
DESCENDANTS_SECONDS = 10.0


def wait_for_descendants() -> bool:
    """Waits for all remaining descendants, and returns whether they ended in time."""
    end = time.monotonic() + DESCENDANTS_SECONDS
    while time.monotonic() < end:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.01)
        except ChildProcessError:
            return True
    return False


def wait_for_exit(child: subprocess.Popen[bytes], limit: float) -> int | None:
    """Waits for the command and returns its exit code, or None if it exceeded the limit and was stopped."""
    try:
        return child.wait(limit)
    except subprocess.TimeoutExpired:
        child.terminate()
    try:
        child.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    return None


def main(answer: str, command: list[str]) -> None:
    """Runs the command and writes the measurement to the file `answer`."""
    system = ctypes.CDLL(None)
    system.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    system.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    # Ctrl-C reaches the command directly. This is a handler that does nothing, because the command would inherit an
    # ignored signal.
    signal.signal(signal.SIGINT, lambda *_: None)
    start = time.perf_counter()
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    code = wait_for_exit(child, LIMIT_SECONDS)
    wall = time.perf_counter() - start
    all_ended = wait_for_descendants()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    measured = {"code": code, "wall": wall, "cpu": used.ru_utime + used.ru_stime, "all_ended": all_ended}
    with open(answer, "w", encoding="utf-8") as file:
        json.dump(measured, file)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
