"""The store in memory beyond the contract: its bound."""

from __future__ import annotations

import pytest
from contract.store.store_kit import NOW, a_result, an_intent, created

from smsproxy.domain.errors import StoreUnavailableError
from smsproxy.stores.memory import MemoryStore


async def test_a_full_store_refuses_new_messages_and_forgets_none() -> None:
    store = MemoryStore(retention_s=10.0, max_messages=3)
    await store.open()
    first = await created(store, an_intent(1), an_intent(2))
    with pytest.raises(StoreUnavailableError, match=r"^memory: is full \(3 messages\)$"):
        await store.create([an_intent(3), an_intent(4)])
    await store.settle([a_result(first)])
    assert [one is not None for one in await store.find([bytes(15) + bytes([n]) for n in (1, 2, 3)])] == [
        True,
        True,
        False,
    ]
    await store.sweep(NOW + 11)
    assert await store.create([an_intent(3), an_intent(4)]) == [True, True]
    await store.close()
