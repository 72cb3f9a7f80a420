"""Throttled segments: oldest first, three tries, and out when their message is."""

from __future__ import annotations

import pytest
from links_kit import APP, Message

from smsproxy.links.retries import Owner, Retries


def an_owner(age: int, message: Message | None = None, number: int = 1) -> Owner:
    return age, message or Message("m", 1, APP), number


def test_the_oldest_goes_first_whatever_the_order_of_the_answers() -> None:
    retries = Retries()
    owners = [an_owner(age) for age in range(4)]
    for age in (2, 0, 3, 1):
        assert retries.add(owners[age])
    assert [retries.pop() for _ in range(4)] == owners
    with pytest.raises(IndexError):
        retries.pop()


def test_a_segment_is_submitted_three_times_at_most() -> None:
    retries = Retries()
    owner = an_owner(5)
    assert retries.add(retries_popped(retries, owner))
    assert not retries.add(retries.pop())
    retries.ended(owner)
    assert repr(retries) == "<Retries waiting=0 tried=0>"


def retries_popped(retries: Retries, owner: Owner) -> Owner:
    """Its second submission: throttled once, and taken out again."""
    assert retries.add(owner)
    return retries.pop()


def test_taking_a_message_out_leaves_the_others() -> None:
    retries = Retries()
    leaving, staying = Message("leaving", 3, APP), Message("staying", 1, APP)
    owners = [an_owner(1, leaving, 1), an_owner(2, staying), an_owner(3, leaving, 3)]
    for owner in owners:
        retries.add(owner)
    assert retries.take(leaving) == [owners[0], owners[2]]
    assert retries.take(leaving) == []
    assert retries.drain() == [owners[1]]
    assert "tried=0" in repr(retries)
