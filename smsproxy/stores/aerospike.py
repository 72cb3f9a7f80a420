"""The shared store: records in an Aerospike namespace that several instances use together (spec §6).

This is the loop's side: its threads (the client has no asyncio API; its calls release the GIL) and the
counters. What is written is in `aerospike_changes.py`, when in `aerospike_intents.py`,
`aerospike_results.py` and `aerospike_receipts.py`; `docs/decisions/0007-aerospike.md` says why it holds.

Where a cluster cannot keep base.Store's "then nothing of the batch was written" (a write may be in doubt),
each method keeps what its callers build on: `create` blocks what may have been stored; `settle`, `withdraw`
and `receive` may be repeated, and a repeat after a failure completes what is missing.
"""

from __future__ import annotations

import asyncio
import contextlib
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
from smsproxy.stores.aerospike_recent import Recent
from smsproxy.stores.aerospike_records import Life
from smsproxy.stores.aerospike_results import Results
from smsproxy.stores.aerospike_together import Held, Together
from smsproxy.stores.base import Intent, SegmentResult, new_counters

THREADS = 4
"""One for each rare call that the pipeline has under way at once: look-ups of repeats and of SmsInfo,
withdrawals, housekeeping. Intents, results and receipts share one more: three threads that make objects under
the GIL cost a fifth more than one (docs/performance.md)."""
_OPENING_S = 2.0
"""How long `open` marks what earlier lives left before traffic begins; the rest follows beside it."""
_AGAIN_S = 1.0
_RESULTS_BEFORE = 2
"""Batches of results that receipts wait for: the one under way, and what has gathered behind it."""
_TURNS = 8
"""Turns of the loop from the end of a batch to the beginning of the next."""

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
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="aerospike-writer")
        self._opened = False
        self._recovery: asyncio.Task[None] | None = None
        self._settling: dict[asyncio.Future[None], Sequence[SegmentResult]] = {}
        """The results of each `settle` under way, by what is done when it has ended."""
        self._come_together = False
        """Whether receipts came with the results of their messages, when last some came."""
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
        cluster, life, retention_s, clock = self.cluster, self._life, self._retention_s, self._clock
        recent = Recent(retention_s=retention_s, clock=clock)
        self._intents = Intents(cluster, life, recent, retention_s=retention_s, clock=clock)
        self._receipts = Receipts(cluster, life, recent, clock=clock)
        self._results = Results(cluster, self._receipts, life, recent, retention_s=retention_s, clock=clock)
        self._receipts.adopt()
        self._together = Together(self._receipts.is_parked)
        self._opened = True

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
            await self._run(self._close, self.cluster)
        self._pool.shutdown(wait=False)
        self._writer.shutdown(wait=False)

    def _close(self, cluster: Cluster) -> None:
        if self._opened:
            with contextlib.suppress(StoreUnavailableError):  # else the next life does it
                self._results.close_overdue(everything=True)
        cluster.client.close()

    async def create(self, intents: Sequence[Intent]) -> list[bool]:
        if not intents:
            return []
        made = await self._write(self._intents.create, intents)
        for intent, generation in zip(intents, made, strict=True):
            if generation:
                intent.generation = generation
        created = [generation > 0 for generation in made]
        self.counters["intents_stored"] += sum(created)
        return created

    async def settle(self, results: Sequence[SegmentResult]) -> None:
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._settling[ended] = results
        told = None
        try:
            await self._receipts_beside()
            told = self._together.take(results)
            self._count(await self._write(self._results.settle, results, told))
        finally:
            del self._settling[ended]
            ended.set_result(None)
            if told is not None:
                told.give_back()

    async def _receipts_beside(self) -> None:
        """Receipts that came in one read with these results are being brought, or will be in some turns."""
        for _ in range(_TURNS if self._come_together else 1):
            await asyncio.sleep(0)
            if self._together:
                return
        self._come_together = False

    async def withdraw(self, intents: Sequence[Intent]) -> None:
        self.counters["intents_withdrawn"] += await self._run(self._intents.withdraw, intents)

    async def receive(self, receipts: Sequence[Receipt]) -> None:
        held = self._together.hold(receipts)
        self._come_together = self._come_together or self._are_about_results_under_way(receipts)
        try:
            await self._results_first(held)
        finally:
            self._together.release(held)
        while held.under_way:
            await asyncio.wait(self._settling)
        rest = held.rest
        if rest:
            self._count(await self._write(self._receipts.receive, rest))
        self.counters["receipts_stored"] += len(receipts) - len(rest)

    def _are_about_results_under_way(self, receipts: Sequence[Receipt]) -> bool:
        """Told by the first: these have just missed their results, and the next may not."""
        keys = [receipt.receipt_key for receipt in receipts[:1]]
        return any(one.receipt_key in keys for results in self._settling.values() for one in results)

    async def _results_first(self, held: Held) -> None:
        """Let the results under way be stored, and those that waited for them.

        An SMSC that sends its receipts at once sends them in one octet stream with the answers. The receipts
        would be parked, at twice the price, because the results that name their messages are being written.
        """
        for _ in range(_RESULTS_BEFORE):
            for _ in range(_TURNS):
                if self._settling:
                    break
                await asyncio.sleep(0)
            if self._settling:
                await asyncio.wait(self._settling)
            if not held.left:
                return

    async def find(self, message_ids: Sequence[bytes]) -> list[MessageRecord | None]:
        return await self._run(self._intents.find, message_ids)

    async def sweep(self, now: float) -> int:
        swept, lapsed = await self._run(self._sweep, now)
        self._count({"messages_swept": swept, "receipts_lapsed": lapsed})
        return swept

    def _sweep(self, now: float) -> tuple[int, int]:
        self._intents.undo(MAX_BATCH)
        self._results.close_overdue()
        return self._intents.sweep(now), self._receipts.sweep(now)

    def _count(self, counts: Mapping[str, int]) -> None:
        for name, number in counts.items():
            self.counters[name] += number

    async def _run(self, work: Callable[..., T], *given: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *given)

    async def _write(self, work: Callable[..., T], *given: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._writer, work, *given)
