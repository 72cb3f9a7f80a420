"""The gate of the bench: what passes, what is asked twice, what fails and says so."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.bench.gate import COMMITTED, verdict
from tests.bench.rows import chosen


def asked(*ratios: float) -> Iterator[float]:
    return iter(ratios)


@pytest.mark.parametrize("ratios", [(0.60,), (0.51,), (0.9,), (0.40, 0.52)])
def test_a_row_as_fast_as_it_was_passes_at_its_first_or_second_try(ratios: tuple[float, ...]) -> None:
    left = asked(*ratios)
    assert verdict("stream", 0.60, lambda: next(left)) is None
    assert list(left) == []


def test_a_row_that_is_slower_twice_in_a_row_is_told() -> None:
    left = asked(0.50, 0.49)
    line = verdict("stream", 0.60, lambda: next(left))
    assert line == "stream: 0.50 and 0.49 of the echo, below 85% of the committed 0.60"


def test_the_committed_rows_exist() -> None:
    committed = json.loads(COMMITTED.read_text())
    assert [row.name for row in chosen(",".join(committed))] == list(committed)
    assert all(0 < ratio < 2 for ratio in committed.values())
