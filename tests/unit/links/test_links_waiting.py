"""The waiting room: fair to callers, first-come within one, and a leaver is gone at once."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsproxy.links.waiting import FairQueue

KEYS = st.integers(0, 4)


def a_queue(*items: tuple[str, str]) -> FairQueue[str, str]:
    queue: FairQueue[str, str] = FairQueue()
    for key, item in items:
        queue.push(key, item)
    return queue


def test_an_otp_does_not_queue_behind_a_campaign() -> None:
    queue = a_queue(*(("campaign", f"c{number}") for number in range(1000)))
    assert queue.pop() == "c0"
    queue.push("otp", "o")
    assert [queue.pop(), queue.pop()] == ["c1", "o"]


def test_callers_take_turns_and_each_is_served_first_come() -> None:
    queue = a_queue(("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1"), ("c", "c1"), ("c", "c2"))
    assert queue.drain() == ["a1", "b1", "c1", "a2", "c2", "a3"]
    assert len(queue) == 0


def test_the_head_stays_the_head_while_it_is_not_taken() -> None:
    queue = a_queue(("a", "a1"), ("b", "b1"))
    assert queue.head() == "a1"
    queue.push("a", "a2")
    assert queue.head() == "a1"
    assert len(queue) == 3


def test_a_cancelled_waiter_frees_its_place_at_once() -> None:
    queue = a_queue(("a", "a1"), ("a", "a2"), ("b", "b1"))
    assert queue.remove("a", "a1")
    assert len(queue) == 2
    assert not queue.remove("a", "a1")
    assert not queue.remove("nobody", "a1")
    assert queue.drain() == ["a2", "b1"]


def test_a_caller_whose_waiters_all_left_does_not_hold_its_turn() -> None:
    queue = a_queue(("a", "a1"), ("b", "b1"))
    queue.remove("a", "a1")
    assert queue.head() == "b1"
    assert "1 under 1" in repr(queue)


def test_an_empty_room_has_no_head() -> None:
    queue = a_queue(("a", "a1"))
    queue.remove("a", "a1")
    with pytest.raises(IndexError):
        queue.head()
    with pytest.raises(IndexError):
        queue.pop()


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("push"), KEYS),
            st.tuples(st.just("pop"), KEYS),
            st.tuples(st.just("leave"), KEYS),
        )
    )
)
def test_while_a_caller_waits_no_other_is_served_twice_before_it(actions: list[tuple[str, int]]) -> None:
    queue: FairQueue[int, int] = FairQueue()
    lines: dict[int, list[int]] = defaultdict(list)
    passed_over: dict[int, Counter[int]] = defaultdict(Counter)
    for number, (action, key) in enumerate(actions):
        if action == "push":
            if not lines[key]:
                passed_over[key].clear()
            lines[key].append(number)
            queue.push(key, number)
        elif action == "leave" and lines[key]:
            assert queue.remove(key, lines[key].pop())
        elif action == "pop" and len(queue):
            served = next(key for key, line in lines.items() if line and line[0] == queue.head())
            assert queue.pop() == lines[served].pop(0)
            passed_over[served].clear()
            for waiting, line in lines.items():
                if line and waiting != served:
                    passed_over[waiting][served] += 1
                    assert passed_over[waiting][served] <= 1
        assert len(queue) == sum(map(len, lines.values()))


@given(st.lists(KEYS, max_size=40), KEYS)
def test_ahead_tells_how_many_are_served_first_give_or_take_one_round(keys: list[int], mine: int) -> None:
    queue: FairQueue[int, str] = FairQueue()
    for number, key in enumerate(keys):
        queue.push(key, f"{number}")
    told = queue.ahead(mine)
    queue.push(mine, "me")
    truth = queue.drain().index("me")
    assert truth <= told <= truth + len(set(keys) - {mine})
