"""The record store: what it holds to be true, and whether it is there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from smsproxy.obs.metrics.metric import Items, Metric, counter, gauge, named_counters


class OutageView(Protocol):
    """A store that can be away (stores.base.Health)."""

    @property
    def away(self) -> str: ...
    @property
    def outages(self) -> int: ...
    @property
    def refused(self) -> int: ...


_COUNTERS: Mapping[str, str] = {
    "intents_stored": "Intents stored before the first octet left.",
    "results_stored": "Ends of segments stored.",
    "receipts_stored": "Delivery receipts stored; only then were they answered ok.",
    "receipts_repeated": "Receipts that said what was known already.",
    "receipts_parked": "Receipts that came before their message was known.",
    "receipts_lapsed": "Parked receipts that no message asked for in time.",
    "receipts_parking_overflow": "Parked receipts that made room for newer ones.",
    "smsc_ids_reused": "SMSC ids that were given a second time.",
    "intents_withdrawn": "Intents whose message provably was not sent.",
    "intents_marked_unknown": "Intents an earlier life left without a result.",
    "messages_swept": "Records dropped at the end of their retention.",
}


def store_metrics(counters: Items) -> Iterator[Metric]:
    """The record store's own counts; one that is new to this table is shown under its own name."""
    yield from named_counters("store", "", _COUNTERS, counters)


def outage_metrics(store: OutageView) -> Iterator[Metric]:
    """Whether the record store takes new messages."""
    yield gauge("store_away", "1 while the record store takes no new messages.", float(bool(store.away)))
    yield counter("store_outages_total", "How often the record store went away.", store.outages)
    yield counter(
        "store_calls_refused_total", "Calls told without a try that the record store is away.", store.refused
    )
