"""The window at its edges: places held, slots taken, answered, expired, drained."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsproxy.smpp.window import Window


def a_window(size: int, *taken_at: float) -> Window:
    """A window with a slot per time, numbered from 1 and owned by ``owner <number>``."""
    window = Window(size)
    for number, now in enumerate(taken_at, 1):
        assert window.reserve()
        window.take(number, f"owner {number}", now)
    return window


def test_places_end_at_the_size() -> None:
    window = Window(2)
    assert [window.reserve() for _ in range(3)] == [True, True, False]
    assert (window.free, window.reserved, window.in_flight) == (0, 2, 0)
    assert repr(window) == "<Window 0/2 reserved=2>"


def test_a_slot_keeps_its_place_until_it_is_answered() -> None:
    window = a_window(1, 0)
    assert not window.reserve()
    assert window.answer(1) == "owner 1"
    assert window.reserve()


def test_giving_a_place_back_frees_it() -> None:
    window = Window(1)
    assert window.reserve()
    window.unreserve()
    assert window.free == 1


def test_nothing_is_taken_or_given_back_without_a_place() -> None:
    window = Window(1)
    with pytest.raises(ValueError, match="no place is reserved"):
        window.unreserve()
    with pytest.raises(ValueError, match="no place is reserved"):
        window.take(1, "owner", 0)
    assert window.in_flight == 0


def test_unknown_and_repeated_answers_free_nothing() -> None:
    window = a_window(3, 0, 0)
    assert window.answer(7) is None
    assert window.answer(1) == "owner 1"
    assert window.answer(1) is None
    assert window.in_flight == 1


def test_expiry_takes_the_old_ones_in_order_and_at_the_exact_second() -> None:
    window = a_window(5, 0, 1, 2)
    assert window.expire(9.999, 10) == []
    assert window.expire(11, 10) == [(1, "owner 1", 0), (2, "owner 2", 1)]
    assert 3 in window
    assert 1 not in window


def test_expiry_looks_past_an_answered_head() -> None:
    window = a_window(5, 0, 1)
    window.answer(1)
    assert window.expire(11, 10) == [(2, "owner 2", 1)]
    assert window.in_flight == 0


def test_drain_hands_back_all_owners_and_leaves_held_places() -> None:
    window = a_window(5, 0, 1)
    assert window.reserve()
    assert window.drain() == ["owner 1", "owner 2"]
    assert (window.in_flight, window.reserved, window.free) == (0, 1, 4)


@given(st.integers(1, 5), st.lists(st.sampled_from(["reserve", "unreserve", "take", "answer", "expire"])))
def test_slots_and_held_places_never_exceed_the_size(size: int, steps: list[str]) -> None:
    window, number, now = Window(size), 0, 0.0
    for step in steps:
        now += 1
        if step == "reserve":
            assert window.reserve() == (window.in_flight + window.reserved < size) or window.free == 0
        elif step == "unreserve" and window.reserved:
            window.unreserve()
        elif step == "take" and window.reserved:
            number += 1
            window.take(number, number, now)
        elif step == "answer":
            window.answer(number)
        elif step == "expire":
            window.expire(now, 3)
        assert 0 <= window.in_flight + window.reserved <= size
        assert window.free == size - window.in_flight - window.reserved
