"""What was asked of the endpoint: a journal in memory, and a recording of the bytes."""

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
#: Calls of one account that are kept.
MAX_ENTRIES = 200_000
number = attrgetter("seq")


def mutating(action: str) -> bool:
    """Whether a call changes something, told by its verb."""
    return not READ_ONLY.match(action)


@dataclass(frozen=True)
class Entry:
    """One API call."""

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
    """All API calls since the start or the last clearing, in the order in which they were answered."""

    def __init__(self) -> None:
        #: By account: tests ask for one of hundreds, again and again.
        self._entries: dict[str, list[Entry]] = {}
        self._next = 1
        self._lock = threading.Lock()
        self._started = time.monotonic()

    def add(self, began: float, **fields: Any) -> Entry:
        """Note one call, which came in at `began` on the monotonic clock and is answered now."""
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
        """The calls after number `since`, of one account if it is given."""
        with self._lock:
            of = list(self._entries.values()) if account is None else [self._entries.get(account, [])]
            chosen = [entry for entries in of for entry in entries[bisect_right(entries, since, key=number) :]]
        return [dict(vars(entry)) for entry in sorted(chosen, key=number)]

    def clear(self) -> None:
        """Forget all calls; numbering goes on."""
        with self._lock:
            self._entries.clear()


class Recorder:
    """Appends every exchange to a file, one JSON object a line, for checks of wire fidelity."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8")
        self._lock = threading.Lock()

    def write(self, request: dict[str, Any], body: bytes, answer: dict[str, Any], answer_body: bytes) -> None:
        """Append one exchange; bodies are base64."""
        line = {
            **request,
            "body": base64.b64encode(body).decode("ascii"),
            **answer,
            "response_body": base64.b64encode(answer_body).decode("ascii"),
        }
        with self._lock:
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()
