"""What every key-value store promises to the embedded policy. Stores are plugged in by conftest.py."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import HandClock

    from smsproxy.policy.base import KeyValue, Transaction

FOREVER = 9e9


async def get(kv: KeyValue, key: bytes) -> bytes | None:
    return await kv.transact(lambda transaction: transaction.get(key))


async def put(kv: KeyValue, key: bytes, value: bytes, expires_at: float = FOREVER) -> None:
    await kv.transact(lambda transaction: transaction.put(key, value, expires_at))


@pytest.mark.parametrize("value", [b"", b"v", bytes(range(256)), b"x" * 20_000])
async def test_what_is_put_is_got(key_value: KeyValue, value: bytes) -> None:
    key = bytes(range(60))
    assert await get(key_value, key) is None
    await put(key_value, key, value)
    assert await get(key_value, key) == value
    assert await get(key_value, key[:-1]) is None


async def test_a_later_value_replaces_an_earlier_one_and_its_expiry(
    key_value: KeyValue, clock: HandClock
) -> None:
    await put(key_value, b"k", b"1", clock.now + 10)
    await put(key_value, b"k", b"2", clock.now + 100)
    clock.now += 50
    assert await get(key_value, b"k") == b"2"


async def test_a_value_is_gone_at_its_expiry_and_not_before(key_value: KeyValue, clock: HandClock) -> None:
    await put(key_value, b"k", b"v", clock.now + 10.5)
    clock.now += 10.25
    assert await get(key_value, b"k") == b"v"
    clock.now += 0.25
    assert await get(key_value, b"k") is None


async def test_a_deleted_key_is_absent_and_deleting_it_again_is_no_error(key_value: KeyValue) -> None:
    await put(key_value, b"k", b"v")
    for _ in range(2):
        await key_value.transact(lambda transaction: transaction.delete(b"k"))
    assert await get(key_value, b"k") is None


async def test_a_unit_of_work_reads_its_own_writes(key_value: KeyValue) -> None:
    await put(key_value, b"old", b"1")

    def work(transaction: Transaction) -> list[bytes | None]:
        transaction.put(b"new", b"2", FOREVER)
        seen = [transaction.get(b"new"), transaction.get(b"old")]
        transaction.delete(b"new")
        transaction.put(b"old", b"3", FOREVER)
        return [*seen, transaction.get(b"new"), transaction.get(b"old")]

    assert await key_value.transact(work) == [b"2", b"1", None, b"3"]
    assert await get(key_value, b"old") == b"3"


async def test_keys_are_found_by_prefix_in_order_with_own_writes_and_without_the_expired(
    key_value: KeyValue, clock: HandClock
) -> None:
    for key in (b"b2", b"b10", b"a", b"c", b"b", b"b\xff\xff"):
        await put(key_value, key, b"v")
    await put(key_value, b"b3", b"v", clock.now + 1)
    clock.now += 2

    def work(transaction: Transaction) -> list[bytes]:
        transaction.delete(b"b2")
        transaction.put(b"b4", b"", FOREVER)
        return transaction.keys(b"b")

    assert await key_value.transact(work) == [b"b", b"b10", b"b4", b"b\xff\xff"]
    assert await key_value.transact(lambda transaction: transaction.keys(b"b\xff")) == [b"b\xff\xff"]


async def test_work_that_raises_changes_nothing_and_its_error_comes_out(key_value: KeyValue) -> None:
    await put(key_value, b"a", b"1")

    def work(transaction: Transaction) -> None:
        transaction.put(b"b", b"2", FOREVER)
        transaction.delete(b"a")
        raise LookupError("on purpose")

    with pytest.raises(LookupError, match="on purpose"):
        await key_value.transact(work)
    assert (await get(key_value, b"a"), await get(key_value, b"b")) == (b"1", None)


async def test_work_that_raises_does_not_harm_its_neighbours(key_value: KeyValue) -> None:
    def raise_error(transaction: Transaction) -> None:
        transaction.put(b"k", b"bad", FOREVER)
        raise LookupError

    outcomes = await asyncio.gather(
        put(key_value, b"a", b"1"),
        key_value.transact(raise_error),
        put(key_value, b"b", b"2"),
        return_exceptions=True,
    )
    assert isinstance(outcomes[1], LookupError)
    assert [await get(key_value, key) for key in (b"a", b"k", b"b")] == [b"1", None, b"2"]


async def test_units_of_work_do_not_interleave(key_value: KeyValue) -> None:
    def increment(transaction: Transaction) -> None:
        count = int(transaction.get(b"count") or b"0")
        transaction.put(b"count", b"%d" % (count + 1), FOREVER)

    await asyncio.gather(*(key_value.transact(increment) for _ in range(100)))
    assert await get(key_value, b"count") == b"100"
