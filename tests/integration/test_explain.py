"""`explain`: the pages about the error codes. It needs neither a configuration nor AWS."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
import schemas
from endpoint import ROOT
from harness import Result, TestWorkspace

ERRORS = ROOT / "docs" / "errors"
NO_ENDPOINT = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}
#: Codes and titles, as the index of the pages lists them.
INDEX = re.findall(r"^\| \[(PB\d{4})\]\(PB\d{4}\.md\) \| (.*) \|$", (ERRORS / "README.md").read_text("utf-8"), re.M)


@pytest.fixture(scope="module")
def offline(new_workspace: Callable[[], TestWorkspace]) -> TestWorkspace:
    """Returns a workspace of which the tests use only the folder."""
    return new_workspace()


def explain(workspace: TestWorkspace, *arguments: str) -> Result:
    """Runs `explain` without a configuration, credentials and an endpoint."""
    return workspace.run("explain", *arguments, "--config", "none.toml", env=dict(NO_ENDPOINT))


@pytest.mark.parametrize("text", ["PB0501", "pb0501"])
def test_explain_prints_the_page_of_a_code(offline: TestWorkspace, text: str) -> None:
    result = explain(offline, text).expect_exit()
    assert result.out == (ERRORS / "PB0501.md").read_text(encoding="utf-8") and result.err == ""
    assert offline.calls() == []


def test_explain_without_code_lists_all_codes(offline: TestWorkspace) -> None:
    result = explain(offline).expect_exit()
    assert re.findall(r"^  (PB\d{4})  (.*)$", result.out, re.M) == INDEX and len(INDEX) > 40


def test_unknown_code_is_refused_with_similar_codes(offline: TestWorkspace) -> None:
    for text, hint in [("PB0599", "codes of this group: PB0501, PB0502,"), ("PB501", "did you mean PB0501?")]:
        result = explain(offline, text).expect_exit(64)
        assert f'unknown error code "{text}"' in result.err and hint in result.err and result.out == "", result
    refused = explain(offline, "E1", "--json").expect_exit(64)
    schemas.document("error")(json.loads(refused.err))
    assert "PB05.. (The run)" in refused.err, refused


def test_explain_prints_json(offline: TestWorkspace) -> None:
    document = explain(offline, "pb0301", "--json").expect_exit().json()
    schemas.document("explain")(document)
    page = (ERRORS / "PB0301.md").read_text(encoding="utf-8")
    assert document == {"code": "PB0301", "title": "Another run holds the lock", "page": page}
    codes = explain(offline, "--json").expect_exit().json()
    schemas.document("explain")(codes)
    assert codes == [{"code": code, "title": title} for code, title in INDEX]
