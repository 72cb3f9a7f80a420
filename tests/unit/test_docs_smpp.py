"""docs/smpp.md answers all 53 problems of the field, each by a test that exists and runs in `make test`."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from smsproxy.settings import LinkSettings

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "smpp.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|\n").split(" | ")] for line in re.findall(r"^\| \d.*", PAGE, re.M)
]
PROBLEMS = 53
NO_KEYS = {"unknown", "sms_ids", "smsproxy_receipts_lapsed_total"}
"""Words of the API and of /metrics in the third column; all other plain words there are keys of a link."""


@cache
def names_in(file: str) -> frozenset[str]:
    """The names of the tests in a file; those that `make test` leaves out are none."""
    tree = ast.parse((ROOT / file).read_text())
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return frozenset(
        function.name
        for function in functions
        if not any("mark.long" in ast.unparse(decorator) for decorator in function.decorator_list)
    )


def test_every_problem_has_its_row_in_order() -> None:
    assert [row[0] for row in ROWS] == [str(number) for number in range(1, PROBLEMS + 1)]
    assert all(len(row) == 4 and all(row) for row in ROWS)


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_every_test_that_a_row_names_exists(row: list[str]) -> None:
    named = re.findall(r"`(tests/[a-z0-9_/]+\.py)::(test_[a-z0-9_]+)`", row[3])
    assert row[3] == " ".join(f"`{file}::{name}`" for file, name in named), "nothing but tests"
    assert named, "no test"
    missing = [f"{file}::{name}" for file, name in named if name not in names_in(file)]
    assert missing == []


def test_every_key_of_a_link_that_a_row_names_exists() -> None:
    keys = {name for row in ROWS for name in re.findall(r"`([a-z0-9_]+)(?: = [^`]*)?`", row[2])}
    assert keys - set(LinkSettings.model_fields) == NO_KEYS
