#!/usr/bin/env bash
# pytest-xdist 3.8.0 does not group tests under pytest 9.2.0.
#
# With `--dist loadgroup`, tests that carry the same `xdist_group` mark are documented to run in one worker. The worker marks
# them by assigning `item._nodeid`. pytest 9.2 computes `item.nodeid` from another attribute, so the mark is lost: the
# tests are spread over all workers, without a warning. Under pytest 9.1.1 they stay together.
#
# Seen: 4 tests of one group, 2 workers. pytest 9.1.1: 1 worker runs all. pytest 9.2.0: both workers run some.
# Effect on a suite whose grouped tests share an expensive fixture: the fixture is made once for each worker.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/test_grouped.py" <<'PYTHON'
import os
import time

import pytest


@pytest.mark.xdist_group("one")
@pytest.mark.parametrize("number", range(4))
def test_grouped(number):
    time.sleep(0.2)
    with open("workers", "a") as file:
        print(os.environ["PYTEST_XDIST_WORKER"], file=file)
PYTHON

workers() { # how many workers run the group under this version of pytest
    python3 -m venv "$folder/venv-$1"
    "$folder/venv-$1/bin/pip" install --quiet --disable-pip-version-check "pytest==$1" pytest-xdist==3.8.0
    rm -f "$folder/workers"
    (cd "$folder" && "venv-$1/bin/python" -m pytest -q -n 2 --dist loadgroup -p no:cacheprovider test_grouped.py) >&2
    sort -u "$folder/workers" | wc -l
}

before=$(workers 9.1.1)
after=$(workers 9.2.0)
echo "workers that run one group of tests: pytest 9.1.1: $before, pytest 9.2.0: $after"
[[ $before == 1 && $after == 2 ]]
