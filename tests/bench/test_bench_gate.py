"""The gate of the bench: what passes, what is asked twice, what fails and says so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.bench.gate import Committed, Seen, Strain, committed, others_share, verdict
from tests.bench.rows import chosen

WANTED = Committed(0.60, 0.50)


def asked(*seen: Seen) -> Iterator[Seen]:
    return iter(seen)


@pytest.mark.parametrize(
    "seen",
    [
        (Seen(0.60, 0.50),),
        (Seen(0.51, 0.43),),
        (Seen(0.90, 0.70),),
        (Seen(0.40, 0.60), Seen(0.52, 0.60)),
        (Seen(0.20, 0.43, busy=0.3),),
    ],
)
def test_a_row_as_fast_as_it_was_passes_at_its_first_or_second_try(seen: tuple[Seen, ...]) -> None:
    left = asked(*seen)
    assert verdict("stream", WANTED, lambda: next(left)) is None
    assert list(left) == []


def test_a_row_that_is_slower_twice_in_a_row_is_told() -> None:
    left = asked(Seen(0.50, 0.55), Seen(0.90, 0.42, busy=0.3))
    line = verdict("stream", WANTED, lambda: next(left))
    assert line == (
        "stream: 0.50 (by CPU 0.55) and 0.90 (by CPU 0.42, others on the machine 30%) of the echo, "
        "below 85% of the committed 0.60 (by CPU 0.50)"
    )


def test_what_others_take_of_the_machine_is_a_share() -> None:
    assert others_share(12.0, 8.0, 20.0) == 0.2
    assert others_share(8.0, 8.01, 20.0) == 0.0, "ticks are coarse"
    assert others_share(0.5, 0.0, 0.1) == 1.0
    assert 0 <= Strain().share() <= 1


def test_the_committed_rows_exist() -> None:
    wanted = committed()
    assert [row.name for row in chosen(",".join(wanted))] == list(wanted)
    assert all(0 < ratio < 2 for figures in wanted.values() for ratio in figures)
