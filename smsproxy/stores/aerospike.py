"""The shared store: records in an Aerospike namespace that several instances use together (spec §6).

This is the loop's side: a small thread pool (the client has no asyncio API; its calls release the GIL) and
the counters. What is written is in `aerospike_changes.py`, when in `aerospike_intents.py`,
`aerospike_results.py` and `aerospike_receipts.py`; `docs/decisions/0007-aerospike.md` says why it holds.

Where a cluster cannot keep base.Store's "then nothing of the batch was written" (a write may be in doubt),
each method keeps what its callers build on: `create` blocks what may have been stored; `settle`, `withdraw`
and `receive` may be repeated, and a repeat after a failure completes what is missing.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import aerospike

from smsproxy.domain.errors import StoreUnavailableError
from smsproxy.domain.receipt import Receipt
from smsproxy.domain.record import INTENT_S, MessageRecord
from smsproxy.stores.aerospike_check import Connect, Place, check_namespace, connected
from smsproxy.stores.aerospike_cluster import MAX_BATCH, Cluster
from smsproxy.stores.aerospike_intents import Intents
from smsproxy.stores.aerospike_receipts import Receipts
from smsproxy.stores.aerospike_records import Life
from smsproxy.stores.aerospike_results import Results
from smsproxy.stores.base import Intent, SegmentResult, new_counters

THREADS = 7
"""One for each call that the pipeline has under way at once: intents, results, receipts, look-ups of repeats
and of SmsInfo, withdrawals, housekeeping."""
_OPENING_S = 2.0
"""How long `open` marks what earlier lives left before traffic begins; the rest follows beside it."""
_AGAIN_S = 1.0

T = TypeVar("T")


class AerospikeStore:
    """See base.Store for the contract of every method, base.Health for what it tells of outages."""

    def __init__(
        self,
        place: Place,
        *,
        retention_s: float,
        instance: str,
        connect: Connect = aerospike.client,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._place = place
        self._retention_s = retention_s
        self._life = Life(instance, secrets.token_hex(8))
        self._connect = connect
        self._clock = clock
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="aerospike")
        self._recovery: asyncio.Task[None] | None = None
        self.cluster: Cluster | None = None
        """For its counters, once open."""
        self.counters = new_counters()

    def __repr__(self) -> str:
        return f"<AerospikeStore {self._place} namespace={self._place.namespace}>"

    @property
    def away(self) -> str:
        return self.cluster.away if self.cluster is not None else ""

    @property
    def outages(self) -> int:
        return self.cluster.outages if self.cluster is not None else 0

    @property
    def refused(self) -> int:
        return self.cluster.refused if self.cluster is not None else 0

    async def open(self) -> None:
        await self._run(self._open)
        opened_at = self._clock()
        give_up_at = time.monotonic() + _OPENING_S
        while await self._recover(opened_at):
            if time.monotonic() > give_up_at:
                self._recovery = asyncio.create_task(self._recover_the_rest(opened_at), name="recovery")
                return

    def _open(self) -> None:
        client = connected(self._place, self._connect)
        self.cluster = Cluster(client, self._place.namespace, self._place.sets)
        check_namespace(client, self._place)
        self._intents = Intents(self.cluster, self._life, retention_s=self._retention_s, clock=self._clock)
        self._receipts = Receipts(self.cluster, self._life, clock=self._clock)
        self._results = Results(
            self.cluster, self._receipts, self._life, retention_s=self._retention_s, clock=self._clock
        )
        self._receipts.adopt()

    async def _recover(self, opened_at: float) -> bool:
        """One page of what earlier lives left; whether there may be more."""
        looked_at, marked = await self._run(self._results.recover, opened_at - INTENT_S)
        self.counters["intents_marked_unknown"] += marked
        return looked_at > 0

    async def _recover_the_rest(self, opened_at: float) -> None:
        more = True
        while more:
            try:
                more = await self._recover(opened_at)
            except StoreUnavailableError:
                await asyncio.sleep(_AGAIN_S)

    async def close(self) -> None:
        if self._recovery is not None:
            self._recovery.cancel()
            await asyncio.gather(self._recovery, return_exceptions=True)
        if self.cluster is not None:
            await self._run(self.cluster.client.close)
        self._pool.shutdown(wait=False)

    async def create(self, intents: Sequence[Intent]) -> list[bool]:
        if not intents:
            return []
        made = await self._run(self._intents.create, intents)
        for intent, generation in zip(intents, made, strict=True):
            if generation:
                intent.generation = generation
        created = [generation > 0 for generation in made]
        self.counters["intents_stored"] += sum(created)
        return created

    async def settle(self, results: Sequence[SegmentResult]) -> None:
        self._count(await self._run(self._results.settle, results))

    async def withdraw(self, intents: Sequence[Intent]) -> None:
        self.counters["intents_withdrawn"] += await self._run(self._intents.withdraw, intents)

    async def receive(self, receipts: Sequence[Receipt]) -> None:
        self._count(await self._run(self._receipts.receive, receipts))

    async def find(self, message_ids: Sequence[bytes]) -> list[MessageRecord | None]:
        return await self._run(self._intents.find, message_ids)

    async def sweep(self, now: float) -> int:
        swept, lapsed = await self._run(self._sweep, now)
        self._count({"messages_swept": swept, "receipts_lapsed": lapsed})
        return swept

    def _sweep(self, now: float) -> tuple[int, int]:
        self._intents.undo(MAX_BATCH)
        return self._intents.sweep(now), self._receipts.sweep(now)

    def _count(self, counts: Mapping[str, int]) -> None:
        for name, number in counts.items():
            self.counters[name] += number

    async def _run(self, work: Callable[..., T], *given: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *given)
