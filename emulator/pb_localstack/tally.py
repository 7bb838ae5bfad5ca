"""Counts of answered operations by source: LocalStack itself, its moto, or pb_emulator on that moto."""

from __future__ import annotations

import threading
from collections import Counter


class Tally:
    """Counts by service, source and operation."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str, str]] = Counter()
        self._lock = threading.Lock()

    def add(self, service: str, operation: str, who: str) -> None:
        """Counts one answer."""
        with self._lock:
            self._counts[service, who, operation] += 1

    def document(self) -> dict[str, dict[str, dict[str, int]]]:
        """Returns the counts by service, source and operation."""
        found: dict[str, dict[str, dict[str, int]]] = {}
        with self._lock:
            for (service, who, operation), count in sorted(self._counts.items()):
                found.setdefault(service, {}).setdefault(who, {})[operation] = count
        return found
