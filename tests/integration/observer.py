"""A journal of the tool's calls, for endpoints without one; its control interface is that of the emulator's journal."""

from __future__ import annotations

import json
import re
import threading
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fault_proxy import FaultProxy
from models import Request

READ_ONLY = re.compile(r"^(Describe|List|Get|Head|BatchGet)")


class Observer(FaultProxy):
    """A proxy that keeps a journal of all calls that the endpoint has answered."""

    def __init__(self, upstream: str) -> None:
        super().__init__(upstream)
        self.requests: list[tuple[Request, int]] = []
        self._entries: list[dict[str, Any]] = []
        self._entries_lock = threading.Lock()
        self._started = time.monotonic()

    def control(self, target: str) -> bytes | None:
        """Returns the journal in the format of the emulator's `/_pb/requests`."""
        if urlsplit(target).path != "/_pb/requests":
            return None
        query = {name: values[0] for name, values in parse_qs(urlsplit(target).query).items()}
        since, account = int(query.get("since", "0")), query.get("account")
        with self._entries_lock:
            entries = [e for e in self._entries if e["seq"] > since and account in (None, e["account"])]
        return json.dumps({"requests": entries}).encode()

    def on_response(self, method: str, target: str, headers: dict[str, str], body: bytes, status: int) -> None:
        """Adds an answered call to the journal."""
        request = Request(method, target, headers, body)
        entry = {
            "at_ms": round((time.monotonic() - self._started) * 1000, 3), "service": request.service,
            "action": request.action, "mutating": not READ_ONLY.match(request.action), "account": request.key,
            "region": request.region, "status": status, "user_agent": request.headers.get("user-agent", ""),
        }  # fmt: skip
        with self._entries_lock:
            self._entries.append({"seq": len(self._entries) + 1, **entry})
            self.requests.append((request, status))
