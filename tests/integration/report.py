"""The test report: a JSON file from which `cargo xtask test` prints its table of scenarios."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import pytest

#: Number of lines that are kept from the end of a failed test's output, which shows the failure.
FAILURE_LINES = 60


class Report:
    """Counts of passed, failed and skipped tests per file; each file is a scenario."""

    def __init__(self) -> None:
        self._outcomes: dict[str, str] = {}
        self._skips: Counter[str] = Counter()
        self._failures: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Records the outcome of one phase of a test: a test has failed if any of its phases has failed."""
        name, outcome = report.nodeid, self._outcomes.get(report.nodeid)
        if report.failed:
            self._outcomes[name] = "failed"
            lines = report.longreprtext.splitlines()[-FAILURE_LINES:]
            self._failures.setdefault(f"{name} ({report.when})", "\n".join(lines))
        elif report.skipped and outcome is None:
            self._outcomes[name] = "skipped"
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            self._skips[reason.removeprefix("Skipped: ")] += 1
        elif report.when == "call" and outcome is None:
            self._outcomes[name] = "passed"

    def document(self, answered: object = None) -> dict[str, object]:
        """Returns the test counts of each scenario, the number of skips for each reason, and the failures' output."""
        scenarios: dict[str, Counter[str]] = {}
        for name, outcome in self._outcomes.items():
            file = Path(name.split("::", 1)[0]).stem.removeprefix("test_")
            scenarios.setdefault(file, Counter())[outcome] += 1
        measured = json.loads(os.environ.get("PB_TEST_CAPABILITIES", "{}"))
        return {
            "scenarios": {file: dict(counts) for file, counts in sorted(scenarios.items())},
            "skips": dict(self._skips.most_common()),
            "failures": self._failures,
            "lacks": {name: reason for name, reason in measured.items() if reason},
            "answered": answered or {},
        }

    def write(self, file: Path, answered: object) -> None:
        """Writes the report if any test has run."""
        if self._outcomes:
            file.write_text(json.dumps(self.document(answered), indent=1) + "\n", encoding="utf-8")
