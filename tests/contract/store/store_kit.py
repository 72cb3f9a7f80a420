"""Builders for store tests, and the stores that the contract suite runs on.

A new store is one function here and one name in STORES; the suite runs unchanged against it.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import aerospike
from contract.store.aerospike_fake import FakeServer

from smsproxy.domain.receipt import Receipt
from smsproxy.domain.record import MessageRecord, SegmentState
from smsproxy.stores.aerospike import AerospikeStore
from smsproxy.stores.aerospike_check import Connect, Place, client_config
from smsproxy.stores.aerospike_records import KEYS, MESSAGES
from smsproxy.stores.base import Intent, ReceiptMode, SegmentResult, Store
from smsproxy.stores.memory import MemoryStore
from smsproxy.stores.sqlite import SqliteStore

SUBMITTING, SUBMITTED, UNKNOWN = SegmentState.SUBMITTING, SegmentState.SUBMITTED, SegmentState.UNKNOWN
DELIVERED, EXPIRED, REJECTED = SegmentState.DELIVERED, SegmentState.EXPIRED, SegmentState.REJECTED
UNDELIVERABLE, NOT_SENT = SegmentState.UNDELIVERABLE, SegmentState.NOT_SENT

NOW = 1_795_000_000.0
RETENTION_S = 1000.0
ACCOUNT = "me@smsc:2775"


def an_intent(
    number: int = 1,
    *,
    segments: int = 1,
    account: str = ACCOUNT,
    receipts: ReceiptMode = ReceiptMode.ALL,
    at: float = NOW,
    replaces: int = 0,
) -> Intent:
    """Message number `number`: the same number is the same message_id."""
    return Intent(
        number.to_bytes(16, "big"),
        7,
        100,
        account,
        f"tx-{number}",
        55,
        1234,
        segments,
        receipts,
        at,
        replaces,
    )


def a_result(
    intent: Intent,
    state: SegmentState = SUBMITTED,
    smsc_id: str = "",
    *,
    segment_no: int = 1,
    key: str | None = None,
    reason: str = "",
    at: float = NOW + 1,
) -> SegmentResult:
    """`key` is the id's unless given."""
    return SegmentResult(intent, segment_no, state, smsc_id, smsc_id if key is None else key, reason, at)


def a_receipt(
    key: str,
    state: SegmentState = DELIVERED,
    *,
    account: str = ACCOUNT,
    reason: str = "",
    at: float = NOW + 2,
) -> Receipt:
    return Receipt(account, key, state, reason, at)


async def created(store: Store, *intents: Intent) -> Intent:
    """Stores them, returns the first."""
    assert await store.create(intents) == [True] * len(intents)
    return intents[0]


async def record_of(store: Store, intent: Intent) -> MessageRecord:
    (record,) = await store.find([intent.message_id])
    assert record is not None
    return record


async def states(store: Store, intent: Intent) -> list[SegmentState]:
    return [segment.state for segment in (await record_of(store, intent)).segments]


# --- the stores under the contract ------------------------------------------------------------------------

StoreFactory = Callable[[Path], AbstractAsyncContextManager[Store]]
"""Opens the store kept in a directory; entered again, it is the next life of the same store."""


@asynccontextmanager
async def memory_store(_directory: Path) -> AsyncIterator[Store]:
    store = MemoryStore(retention_s=RETENTION_S)
    await store.open()
    yield store
    await store.close()


@asynccontextmanager
async def sqlite_store(directory: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(directory / "store.db", retention_s=RETENTION_S)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def cluster_hosts() -> str:
    return os.environ.get("AEROSPIKE_HOSTS", "")


@asynccontextmanager
async def aerospike_store(directory: Path) -> AsyncIterator[AerospikeStore]:
    """A real cluster: one variable runs the whole suite on it. Its sets are the tests' own."""
    hosts = cluster_hosts()
    place = Place(
        tuple(
            (host, int(port or 3000)) for host, _, port in (one.partition(":") for one in hosts.split(","))
        ),
        os.environ.get("AEROSPIKE_NAMESPACE", "proxy"),
        sets="contract_",
    )
    begin(directory, place)
    async with opened(place, aerospike.client) as store:
        yield store


_fakes: dict[Path, FakeServer] = {}


@asynccontextmanager
async def aerospike_fake_store(directory: Path) -> AsyncIterator[AerospikeStore]:
    """The same store on a fake of the client's calls; the fake server outlives the store."""
    server = _fakes.setdefault(directory, FakeServer())
    async with opened(Place((("fake", 3000),), server.namespace), server.connect) as store:
        yield store


@asynccontextmanager
async def opened(place: Place, connect: Connect) -> AsyncIterator[AerospikeStore]:
    """The clock stands still at NOW: what a test calls later is what it tells `sweep`."""
    store = AerospikeStore(
        place, retention_s=RETENTION_S, instance="contract", connect=connect, clock=lambda: NOW
    )
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def begin(directory: Path, place: Place) -> None:
    """The first life in a directory finds no records of other tests."""
    if any(directory.iterdir()):
        return
    (directory / "begun").touch()
    client = aerospike.client(client_config(place))
    for name in (MESSAGES, KEYS):
        for key, _, _ in client.query(place.namespace, place.sets + name).results():
            client.remove(key)
    client.close()


STORES: dict[str, StoreFactory] = {
    "memory": memory_store,
    "sqlite": sqlite_store,
    "aerospike": aerospike_store,
    "aerospike_fake": aerospike_fake_store,
}
DURABLE = {"sqlite", "aerospike", "aerospike_fake"}
