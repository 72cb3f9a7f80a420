"""The low-water mark: no row below it lacks a result."""

from __future__ import annotations

from random import Random

import hypothesis.strategies as st
from hypothesis import given

from smsproxy.stores.open_intents import OpenIntents


def test_the_mark_is_the_oldest_open_intent_or_the_next_row() -> None:
    intents = OpenIntents()
    assert intents.low_water(10) == 10
    intents.add(10, 1)
    intents.add(11, 3)
    assert intents.low_water(14) == 10
    intents.settled(10, 1)
    assert intents.low_water(14) == 11
    intents.drop(11)
    assert (intents.low_water(14), len(intents)) == (14, 0)


def test_a_segment_settled_twice_does_not_close_its_sibling() -> None:
    intents = OpenIntents()
    intents.add(10, 2)
    for _ in range(3):
        intents.settled(10, 2)
    assert intents.low_water(12) == 10
    intents.settled(10, 1)
    assert intents.low_water(12) == 12


def test_what_is_not_open_may_be_settled_and_dropped() -> None:
    intents = OpenIntents()
    intents.settled(5, 1)
    intents.drop(5)
    assert intents.low_water(9) == 9


@given(st.lists(st.integers(1, 10), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_the_mark_never_passes_a_missing_segment(sizes: list[int], random: Random) -> None:
    intents, missing, next_row = OpenIntents(), [], 1
    for size in sizes:
        intents.add(next_row, size)
        missing += [(next_row, number) for number in range(1, size + 1)]
        next_row += size
    random.shuffle(missing)
    while missing:
        assert intents.low_water(next_row) == min(row for row, _ in missing)
        intents.settled(*missing.pop())
    assert intents.low_water(next_row) == next_row
