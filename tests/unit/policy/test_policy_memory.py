"""What is special about the key-value store in memory: its bound and its purge (the rest is contract)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from policy_bench import HandClock

from smsproxy.domain.errors import StoreUnavailableError
from smsproxy.policy.base import Transaction
from smsproxy.policy.memory import MemoryKeyValue


def puts(*keys: bytes, expires_at: float) -> Callable[[Transaction], None]:
    def work(transaction: Transaction) -> None:
        for key in keys:
            transaction.put(key, b"v", expires_at)

    return work


async def test_a_full_memory_refuses_new_keys_and_still_takes_known_ones() -> None:
    clock = HandClock(0.0)
    kv = MemoryKeyValue(clock, max_keys=2)
    await kv.transact(puts(b"a", b"b", expires_at=10.0))
    with pytest.raises(StoreUnavailableError, match="full"):
        await kv.transact(puts(b"a", b"c", expires_at=99.0))
    await kv.transact(puts(b"a", expires_at=20.0))
    assert repr(kv) == "<MemoryKeyValue keys=2/2 refused_full=1>"


async def test_room_is_made_by_what_has_expired() -> None:
    clock = HandClock(0.0)
    kv = MemoryKeyValue(clock, max_keys=2)
    await kv.transact(puts(b"a", b"b", expires_at=10.0))
    await kv.transact(puts(b"b", expires_at=30.0))
    clock.now = 10.0
    await kv.transact(puts(b"c", expires_at=30.0))
    assert await kv.transact(lambda t: [t.get(key) for key in (b"a", b"b", b"c")]) == [None, b"v", b"v"]
    assert (len(kv), kv.expired, kv.refused_full) == (2, 1, 0)


async def test_memory_does_not_grow_with_writes_to_the_same_keys() -> None:
    clock = HandClock(0.0)
    kv = MemoryKeyValue(clock)
    for turn in range(5_000):
        await kv.transact(puts(b"a", expires_at=1_000_000.0 + turn))
        await kv.transact(lambda t: t.delete(b"b"))
    assert len(kv) == 1
    assert len(kv._expiries) <= 1_030
