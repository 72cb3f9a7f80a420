"""What the Aerospike store keeps: two kinds of records, as bins, and back (spec §6). Pure; no client here.

A *message* lies under its message_id: the intent (`what`, packed: the server never looks into it), and one
map bin for each property of its segments (segment number -> value): state, key, id where it differs from the
key, and what was said of it and when. Bins cost more than octets, so there are few. A *key* lies under
(account, receipt key): who owns the key, and the receipt that waits for an owner. Bins that only some records
have are what the small secondary indexes hold: `open` while a segment's result is not dealt with, `parked`
while a receipt waits. `expires` is on every message that reads as stored; a record without it is a tombstone
(withdrawn), one past it has lapsed or was resurrected. A message of several segments knows in `wait` which of
them keep it open; with one there is nothing to tell.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Mapping
from math import ceil
from typing import Any, Final, NamedTuple

from smsproxy.domain.record import MessageRecord, SegmentRecord, SegmentState
from smsproxy.stores.base import Intent, ReceiptMode
from smsproxy.stores.parking import PARKING_S, Parked

Bins = Mapping[str, Any]

MESSAGES: Final = "messages"
KEYS: Final = "receipt_keys"
"""The two sets."""

TOMBSTONE_S: Final = 60
"""How long a withdrawn intent blocks a late landing of its own creation: longer than a write can take."""


class Life(NamedTuple):
    """Who wrote an intent: this instance, in this life of the process."""

    instance: str
    boot: str


class Owner(NamedTuple):
    """The segment a receipt key belongs to. `claim` tells one claiming of the key from another."""

    message_id: bytes
    generation: int
    segment_no: int
    claim: int


class Generations:
    """Handles of records: microseconds since 1970, eight random bits, and two to count on.

    Two instances that give one handle twice would have to mean the same message in the same microsecond.
    """

    def __init__(self) -> None:
        self._last = 0

    def several(self, count: int) -> list[int]:
        """Rising, each with random bits of its own."""
        now, numbers = (time.time_ns() // 1000) << 10, []
        for random_bits in os.urandom(count):
            self._last = max(self._last + 1, now | random_bits << 2)
            numbers.append(self._last)
        return numbers


def milliseconds(at: float) -> int:
    return round(at * 1000)


def seconds_left(created_at: float, retention_s: float, now: float) -> int:
    """The time to live of a record; at least a second, since none means the namespace's own."""
    return max(1, ceil(created_at + retention_s - now))


def key_name(account: str, receipt_key: str) -> str:
    """The user key of a key record; the length keeps ("a", "bc") and ("ab", "c") apart."""
    return f"{len(account)}:{account}{receipt_key}"


_WHAT = struct.Struct(">16sqqqqBdH")
"""message_id, app, link, task, client_sent_at, receipt mode, created_at, octets of the account; account and
transaction_id follow."""

_SUBMITTING = int(SegmentState.SUBMITTING)
_SEGMENT = struct.Struct(">16sqH")
"""message_id, generation, segment number."""


def message_bins(intent: Intent, generation: int, retention_s: float, life: Life) -> dict[str, Any]:
    bins = {
        "gen": generation,
        "expires": milliseconds(intent.created_at + retention_s),
        "instance": life.instance,
        "boot": life.boot,
        "open": milliseconds(intent.created_at),
        "what": packed(intent),
        "st": {1: _SUBMITTING},
    }
    if intent.segments > 1:
        bins["st"] = dict.fromkeys(range(1, intent.segments + 1), _SUBMITTING)
        bins["wait"] = dict.fromkeys(range(1, intent.segments + 1), 1)
    return bins


def packed(intent: Intent) -> bytes:
    """What the server never looks into."""
    account = intent.account.encode()
    fixed = _WHAT.pack(
        intent.message_id,
        intent.app_id,
        intent.link_id,
        intent.task_id,
        intent.client_sent_at,
        intent.receipts,
        intent.created_at,
        len(account),
    )
    return fixed + account + intent.transaction_id.encode()


def intent_of(bins: Bins) -> Intent:
    """The intent that a message record was made of."""
    what = bytes(bins["what"])
    message_id, app_id, link_id, task_id, sent_at, receipts, created_at, length = _WHAT.unpack_from(what)
    end = _WHAT.size + length
    return Intent(
        message_id,
        app_id,
        link_id,
        what[_WHAT.size : end].decode(),
        what[end:].decode(),
        task_id,
        sent_at,
        len(bins["st"]),
        ReceiptMode(receipts),
        created_at,
        generation=bins["gen"],
    )


def said(reason: str, at: float) -> str:
    """What a segment's end or receipt said, and when, as one value."""
    return f"{at!r} {reason}"


def said_of(bins: Bins, segment_no: int, otherwise: float) -> tuple[str, float]:
    """(reason, at); of a segment that nothing was said of yet, none and `otherwise`."""
    at, _, reason = bins.get("said", {}).get(segment_no, "").partition(" ")
    return (reason, float(at)) if at else ("", otherwise)


def key_of(bins: Bins, segment_no: int) -> str:
    """The receipt key of a segment, empty for none."""
    key: str = bins.get("keys", {}).get(segment_no, "")
    return key


def smsc_id_of(bins: Bins, segment_no: int) -> str:
    """The id that the SMSC gave; mostly receipts spell it the same way, and it is kept once."""
    smsc_id: str = bins.get("ids", {}).get(segment_no, key_of(bins, segment_no))
    return smsc_id


def waiting_in(bins: Bins) -> list[int]:
    """The segments that keep a message in the index `open`."""
    if "wait" in bins:
        return sorted(bins["wait"])
    return [1] if "open" in bins and len(bins["st"]) == 1 else []


def is_live(bins: Bins | None, now: float) -> bool:
    """Whether a message record reads as stored: not withdrawn, not past its time, not resurrected."""
    return bins is not None and bins.get("expires", 0) >= milliseconds(now)


def holds(bins: Bins | None, intent: Intent, now: float) -> bool:
    """Whether this is the record of this intent, and not of one that took it over."""
    return bins is not None and is_live(bins, now) and bins["gen"] == intent.generation


def message_record(bins: Bins) -> MessageRecord:
    intent = intent_of(bins)
    record = intent.record(
        [
            SegmentRecord(
                SegmentState(state), smsc_id_of(bins, number), *said_of(bins, number, intent.created_at)
            )
            for number, state in sorted(bins["st"].items())
        ]
    )
    record.spread_last_receipt()
    return record


def segment_named(owner: Owner) -> bytearray:
    """The segment as one value: for the cluster each bin costs more than its octets."""
    return bytearray(_SEGMENT.pack(owner.message_id, owner.generation, owner.segment_no))


def segment_named_by(packed: bytes | bytearray, claim: int) -> Owner:
    message_id, generation, segment_no = _SEGMENT.unpack(packed)
    return Owner(message_id, generation, segment_no, claim)


def owner_of(bins: Bins | None) -> Owner | None:
    """Whom a key record belongs to."""
    if bins is None or "claim" not in bins:
        return None
    return segment_named_by(bins["owner"], bins["claim"])


def owns(bins: Bins | None, owner: Owner, receipt_key: str, now: float) -> bool:
    """Whether the owner's message still is there and still goes by this key: else the claim is stale."""
    return (
        bins is not None
        and is_live(bins, now)
        and bins["gen"] == owner.generation
        and bins.get("keys", {}).get(owner.segment_no) == receipt_key
    )


def parked_in(bins: Bins | None, now: float) -> Parked | None:
    """The receipt that waits in a key record; one that has waited its minute has lapsed."""
    if bins is None or not bins.get("park"):
        return None
    state, reason, at = bins["park"]
    return Parked(SegmentState(state), reason, at) if at >= now - PARKING_S else None
