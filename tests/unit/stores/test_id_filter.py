"""The filter over message ids: it never denies what it was given, and seldom names what it was not."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from smsproxy.stores.id_filter import OCTETS, add, holders

IDS = st.binary(min_size=16, max_size=16)


@given(st.lists(IDS, max_size=30), st.lists(IDS, max_size=30))
def test_what_was_added_is_always_named(one: list[bytes], other: list[bytes]) -> None:
    filters = {1: bytearray(OCTETS), 2: bytearray(OCTETS)}
    add(filters[1], one)
    add(filters[2], other)
    assert all(1 in holders(filters, message_id) for message_id in one)
    assert all(2 in holders(filters, message_id) for message_id in other)


def test_what_was_not_added_is_seldom_named() -> None:
    chance = random.Random(3)
    filters = {
        1: bytearray(OCTETS),
        2: bytearray(chance.randbytes(OCTETS)),
    }  # as full as it may get, and more
    add(filters[1], [chance.randbytes(16) for _ in range(1000)])
    named = [holders(filters, chance.randbytes(16)) for _ in range(2000)]
    assert not any(1 in keys for keys in named)
    assert sum(2 in keys for keys in named) < 200  # one in sixteen, with half of all bits set
