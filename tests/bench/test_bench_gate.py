"""The gate of the bench: what passes, what is asked twice, what fails and says so."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.bench.gate import COMMITTED, Seen, Strain, verdict
from tests.bench.rows import chosen


def asked(*seen: Seen) -> Iterator[Seen]:
    return iter(seen)


@pytest.mark.parametrize(
    "seen",
    [
        (Seen(0.60, 0.60),),
        (Seen(0.51, 0.51),),
        (Seen(0.90, 0.70),),
        (Seen(0.40, 0.52), Seen(0.52, 0.52)),
        (Seen(0.20, 0.52, busy=0.3),),
    ],
)
def test_a_row_as_fast_as_it_was_passes_at_its_first_or_second_try(seen: tuple[Seen, ...]) -> None:
    left = asked(*seen)
    assert verdict("stream", 0.60, lambda: next(left)) is None
    assert list(left) == []


def test_a_row_that_is_slower_twice_in_a_row_is_told() -> None:
    left = asked(Seen(0.50, 0.55), Seen(0.90, 0.49, busy=0.3))
    line = verdict("stream", 0.60, lambda: next(left))
    assert line == (
        "stream: 0.50 (by CPU 0.55) and 0.90 (by CPU 0.49, others on the machine 30%) of the echo, "
        "below 85% of the committed 0.60"
    )


def test_what_others_take_of_the_machine_is_a_share() -> None:
    assert 0 <= Strain().share() <= 1.5  # ticks are coarse


def test_the_committed_rows_exist() -> None:
    committed = json.loads(COMMITTED.read_text())
    assert [row.name for row in chosen(",".join(committed))] == list(committed)
    assert all(0 < ratio < 2 for ratio in committed.values())
