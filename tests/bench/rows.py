"""What the bench can measure, as data: a row is echo against pipeline, or two other sides, under one load.

`load` are arguments of tests.bench.load for both sides, `settings` go over the daemon's (daemon.py);
"{redis}" in a text becomes the URL of a server that the bench starts, "{aerospike}" the URL of the namespace
that AEROSPIKE_HOSTS and AEROSPIKE_NAMESPACE name.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LONG_TEXT = (
    "Several segments of one message, so that splitting, joining and their receipts are paid for. " * 9
)
_CAMPAIGN = ("--connections", "2", "--streams", "4", "--window", "500")
_CP1 = (*_CAMPAIGN, "--strategy", "cp1")
_UNARY = ("--unary", "--streams", "1", "--window", "100")
_RATE = 50_000
"""Twice what a daemon does here: each limit is asked and none of them limits. Over Redis a lease of it is
2,500 tokens, so there are some ten calls for tokens a second."""
_NO_LIMIT = 1_000_000
"""Asked as well, but the leases of two instances together never hold a burst of it."""
_ITS_LIMIT = {"rate_per_s": _RATE, "burst": _RATE // 10}
_LIMITED = {
    "limits": {"process_rate_per_s": _RATE},
    "apps": {"1": _ITS_LIMIT},
    "links": {"100": _ITS_LIMIT},
}
_SHARED = _LIMITED | {"limits": {"process_rate_per_s": _RATE, "redis_url": "{redis}"}}
_SMALL_BURST = _SHARED | {"links": {"100": {"rate_per_s": _RATE}}}
"""The link's burst is the default, 200: so many tokens at most are granted by a call."""
_NO_RECEIPTS = {"links": {"100": {"registered_delivery": "none"}}}
_ALL_WAIT = {"links": {"100": {"max_waiting": 150_000}}}
"""By default 10,000 messages may wait for a link, and what comes then is refused."""
_FULL_WINDOWS = _ALL_WAIT | {"server": {"max_in_flight": 150_000}}
"""By default the daemon stops reading streams at 45,000 messages on their way."""
_REDIS = {"policy": {"engine": "redis", "url": "{redis}"}}
"""Every recipient is a new one, so each message is a first contact that the caps let pass, and is counted."""


# Kept for a short time: a namespace in memory takes a few runs of the bench and no more.
_AEROSPIKE = {"store": {"url": "{aerospike}", "retention_s": 600, "receipt_timeout_s": 600}}


def aerospike_url() -> str:
    """The cluster to measure on; empty where the environment names none."""
    hosts = os.environ.get("AEROSPIKE_HOSTS", "")
    return f"aerospike://{hosts}/{os.environ.get('AEROSPIKE_NAMESPACE', 'proxy')}" if hosts else ""


def _streams(streams: int, connections: int, window: int) -> tuple[str, ...]:
    return ("--connections", str(connections), "--streams", str(streams), "--window", str(window))


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison. `messages_share` scales the messages of a round where a row is slow by nature, or needs
    many to come to its full load."""

    name: str
    what: str
    load: tuple[str, ...] = _CAMPAIGN
    settings: Mapping[str, Any] = field(default_factory=dict)
    segments: int = 1
    receipts: bool = True
    tls: bool = False
    messages_share: float = 1.0
    sides: tuple[str, str] = ("echo", "pipeline")
    """What is compared (`sides.make_side`): the bare one first."""
    pool: int = 0
    """So many links, each an account of its own at the SMSC, and requests name their pool; 0: one link."""
    smsc: tuple[str, ...] = ("--receipts",)
    """Arguments of tests.bench.fast_smsc."""

    @property
    def redis(self) -> bool:
        """Whether the row needs a Redis-compatible server."""
        return "{redis}" in str(self.settings)

    @property
    def cannot(self) -> str:
        """Why it cannot be measured here; empty when it can."""
        if "{aerospike}" in str(self.settings) and not aerospike_url():
            return "AEROSPIKE_HOSTS=host:3000 names no Aerospike cluster"
        return ""


ROWS = (
    Row("stream", "4 streams, one segment, receipts, embedded store"),
    Row("transaction_ids", "as stream, a transaction_id in every request", (*_CAMPAIGN, "--transaction-ids")),
    Row("receipts_off", "as stream, no receipts", settings=_NO_RECEIPTS, receipts=False),
    Row("policy", "as stream, strategy cp1", _CP1),
    Row("limited", "as stream, cp1 and all limits set, in process", _CP1, _LIMITED),
    Row("shared_limits", "as limited, the limits over Redis, the policy embedded", _CP1, _SHARED),
    Row("redis", "as stream, cp1 and all limits set, over Redis", _CP1, _SHARED | _REDIS),
    Row("redis_small_burst", "as redis, the link's burst is 200", _CP1, _SMALL_BURST | _REDIS),
    Row("aerospike", "as stream, the store on Aerospike", settings=_AEROSPIKE, messages_share=0.5),
    Row("multipart", "as stream, two segments", (*_CAMPAIGN, "--text", LONG_TEXT[:240]), segments=2),
    Row(
        "multipart5",
        "as stream, five segments",
        (*_CAMPAIGN, "--text", LONG_TEXT[:750]),
        segments=5,
        messages_share=0.3,
    ),
    Row("packed", "as stream, 64 messages in a DATA frame", (*_CAMPAIGN, "--per-frame", "64")),
    Row("tls", "as stream, TLS on the gRPC port", tls=True),
    Row("unary", "SendMessage, 100 calls open", _UNARY, messages_share=0.2),
    Row(
        "fence", "as stream, against the daemon without its bounds on callers", sides=("unfenced", "pipeline")
    ),
    Row(
        "edge",
        "as stream, the bare echo against the same echo behind our edge",
        sides=("echo", "guarded echo"),
    ),
)


def two_instances(rate_per_s: int) -> Row:
    """Of a link that two instances share, or that one has for itself. Its burst: 50 ms, as docs/operations.md
    advises for such a rate; the default, 200, is 11 ms of 18,000/s."""
    limits = {"process_rate_per_s": _NO_LIMIT, "redis_url": "{redis}", "instances": 2}
    link = {"rate_per_s": rate_per_s, "burst": max(200, rate_per_s // 20)}
    return Row(
        "two_instances",
        f"as stream, limits over Redis, a link of {rate_per_s:,}/s, two loads",
        settings={"limits": limits, "apps": {"1": {"rate_per_s": _NO_LIMIT}}, "links": {"100": link}},
        sides=("one instance", "two instances"),
    )


GROWTH = (
    Row("streams_1", "one stream, window 1,000", _streams(1, 1, 1000)),
    Row("streams_100", "100 streams on 2 connections, window 20 each", _streams(100, 2, 20)),
    Row("streams_1000", "1,000 streams on 10 connections, window 2 each", _streams(1000, 10, 2)),
    Row("links_1", "as stream, a pool of one link", pool=1),
    Row("links_10", "as stream, a pool of 10 links", pool=10),
    Row("links_200", "as stream, a pool of 200 links", pool=200),
    Row(
        "memory",
        "100 streams, window 1,024: 45,000 messages on their way, the daemon's default",
        _streams(100, 2, 1024),
        _ALL_WAIT,
        messages_share=8,
    ),
    Row(
        "memory_full",
        "as memory, max_in_flight raised: 102,400 messages on their way",
        _streams(100, 2, 1024),
        _FULL_WINDOWS,
        messages_share=8,
    ),
)
"""What becomes of rate and memory with more streams, more links, more messages on their way."""


def chosen(names: str) -> list[Row]:
    """Rows by comma-separated names, or all. Raises ValueError that names the unknown ones."""
    known = {row.name: row for row in (*ROWS, *GROWTH)}
    wanted = [row.name for row in ROWS] if names == "all" else names.split(",")
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise ValueError(f"no such row: {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[name] for name in wanted]
