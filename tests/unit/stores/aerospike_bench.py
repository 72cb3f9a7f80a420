"""An Aerospike store on the fake cluster, with a clock of its own and faults on demand."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any

from contract.store.aerospike_fake import FakeServer, Fault
from contract.store.store_kit import NOW, RETENTION_S

from smsproxy.stores.aerospike import AerospikeStore
from smsproxy.stores.aerospike_check import Place

HOSTS = (("as1", 3000), ("as2", 3100))


class Clock:
    """Time moves when a test says so; the cluster's clock moves with it."""

    def __init__(self, server: FakeServer) -> None:
        self._server = server
        self.now = NOW

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds
        self._server.now += seconds


def a_store(
    server: FakeServer, *, instance: str = "one", clock: Callable[[], float] | None = None, **place: Any
) -> AerospikeStore:
    return AerospikeStore(
        Place(HOSTS, server.namespace, **place),
        retention_s=RETENTION_S,
        instance=instance,
        connect=server.connect,
        clock=clock or (lambda: NOW),
    )


@asynccontextmanager
async def opened(
    server: FakeServer, *, instance: str = "one", clock: Callable[[], float] | None = None
) -> AsyncIterator[AerospikeStore]:
    store = a_store(server, instance=instance, clock=clock)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


class Script:
    """Faults in order, one for each record of a batch of `kind`; None is none. Then all is well again."""

    def __init__(self, *faults: Fault | None, kind: str = "write") -> None:
        self.left = list(faults)
        self._kind = kind

    def __call__(self, kind: str, _record: object) -> Fault | None:
        return self.left.pop(0) if kind == self._kind and self.left else None


class Chance:
    """A share of all writes get no answer; half of these were done."""

    def __init__(self, seed: int, share: float, before: Fault, after: Fault) -> None:
        self._random = Random(seed)
        self._share = share
        self._kinds = (before, after)
        self.faults = 0
        self.tries: Counter[int] = Counter()
        """How often each write was sent, by the identity of its operations, which are kept."""
        self._sent: list[object] = []

    def __call__(self, kind: str, record: Any) -> Fault | None:
        if kind == "write":
            self._sent.append(record.ops)
            self.tries[id(record.ops)] += 1
        if kind != "write" or self._random.random() >= self._share:
            return None
        self.faults += 1
        return self._random.choice(self._kinds)
