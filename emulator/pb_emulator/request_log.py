"""Calls to the endpoint: a log in memory, and a recording of the bytes on the wire."""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from bisect import bisect_right
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

READ_ONLY = re.compile(r"^(Describe|List|Get|Head|BatchGet)")
#: Maximum number of calls that are kept per account.
MAX_ENTRIES = 200_000
number = attrgetter("seq")


def mutating(action: str) -> bool:
    """Returns whether a call changes something, judging by its verb."""
    return not READ_ONLY.match(action)


@dataclass(frozen=True)
class Entry:
    """An API call as the request log shows it."""

    seq: int
    began_ms: float
    at_ms: float
    service: str
    action: str
    mutating: bool
    account: str
    region: str
    status: int
    error: str | None
    user_agent: str


class RequestLog:
    """All API calls since the start or the last clear, in the order of their responses."""

    def __init__(self) -> None:
        #: By account, because tests repeatedly read the calls of one account among hundreds.
        self._entries: dict[str, list[Entry]] = {}
        self._next = 1
        self._lock = threading.Lock()
        self._started = time.monotonic()

    def add(self, began: float, **fields: Any) -> Entry:
        """Adds a call that arrived at `began` on the monotonic clock and is answered now."""
        with self._lock:
            began_ms, at_ms = (round((at - self._started) * 1000, 3) for at in (began, time.monotonic()))
            entry = Entry(
                seq=self._next, began_ms=began_ms, at_ms=at_ms, mutating=mutating(fields["action"]), **fields
            )
            self._next += 1
            entries = self._entries.setdefault(entry.account, [])
            entries.append(entry)
            if len(entries) > MAX_ENTRIES:
                del entries[: MAX_ENTRIES // 10]
            return entry

    def entries(self, since: int = 0, account: str | None = None) -> list[dict[str, Any]]:
        """Returns the calls with numbers above `since`, optionally only those of one account."""
        with self._lock:
            of = list(self._entries.values()) if account is None else [self._entries.get(account, [])]
            chosen = [entry for entries in of for entry in entries[bisect_right(entries, since, key=number) :]]
        return [dict(vars(entry)) for entry in sorted(chosen, key=number)]

    def clear(self) -> None:
        """Removes all calls; the numbering continues."""
        with self._lock:
            self._entries.clear()


class Recorder:
    """A recording of all exchanges in a file, one JSON object per line, to check that the wire formats match those of
    AWS.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8")
        self._lock = threading.Lock()

    def write(self, request: dict[str, Any], body: bytes, answer: dict[str, Any], answer_body: bytes) -> None:
        """Appends an exchange, with bodies in base64."""
        line = {
            **request,
            "body": base64.b64encode(body).decode("ascii"),
            **answer,
            "response_body": base64.b64encode(answer_body).decode("ascii"),
        }
        with self._lock:
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()

    def close(self) -> None:
        """Closes the file, once the exchange that is being written is complete."""
        with self._lock:
            self._file.close()
