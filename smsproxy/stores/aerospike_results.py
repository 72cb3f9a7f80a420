"""Results on Aerospike: to their segment, then to the receipt key they came with (spec §6).

Three writes a result, in batches: the segment's end (under the condition that it awaits one), the claim of
the key, and the closing. A process that dies in between leaves the message `open`; its next life, or a retry
of the same result, goes on where it stopped. Blocking; the store's thread pool calls it.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from smsproxy.domain.record import AWAITS_RECEIPT, SegmentState
from smsproxy.stores import aerospike_changes as changes
from smsproxy.stores import aerospike_key_changes as key_changes
from smsproxy.stores.aerospike_cluster import MAX_BATCH, Cluster
from smsproxy.stores.aerospike_errors import Answer
from smsproxy.stores.aerospike_receipts import Receipts
from smsproxy.stores.aerospike_records import (
    MESSAGES,
    Bins,
    Life,
    Owner,
    holds,
    intent_of,
    is_live,
    owns,
    seconds_left,
)
from smsproxy.stores.aerospike_rounds import rounds
from smsproxy.stores.base import SegmentResult


class _Prior(NamedTuple):
    """Whose a key was until now."""

    owner: Owner
    key: str


class Results:
    """Ends of segments, and what earlier lives left without one."""

    def __init__(
        self,
        cluster: Cluster,
        receipts: Receipts,
        life: Life,
        *,
        retention_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._cluster = cluster
        self._receipts = receipts
        self._life = life
        self._retention_s = retention_s
        self._clock = clock

    def settle(self, results: Sequence[SegmentResult]) -> Counter[str]:
        counts: Counter[str] = Counter()
        for batch in rounds(results, _touches):
            stored = self._write(batch)
            counts["results_stored"] += len(stored)
            counts["smsc_ids_reused"] += self._claim([one for one in stored if one.receipt_key])
        return counts

    def _write(self, batch: list[SegmentResult]) -> list[SegmentResult]:
        """Those that are stored now, or were by an earlier call that failed before it had claimed the key."""
        now = self._clock()
        answers = self._cluster.write([changes.result(one, now) for one in batch])
        stored = [one for one, done in zip(batch, answers, strict=True) if done.answer is Answer.DONE]
        refused = [
            one
            for one, done in zip(batch, answers, strict=True)
            if done.answer is not Answer.DONE and one.receipt_key
        ]
        if not refused:
            return stored
        found = self._cluster.read(MESSAGES, [bytearray(one.intent.message_id) for one in refused])
        return stored + [
            one for one, bins in zip(refused, found, strict=True) if _is_unclaimed(bins, one, now)
        ]

    def _claim(self, stored: list[SegmentResult], *, only_free: bool = False) -> int:
        """The keys of these are theirs from now on. How many living segments lost theirs by it."""
        if not stored:
            return 0
        now = self._clock()
        owners = [_owner(one) for one in stored]
        answers = self._cluster.write(
            [
                key_changes.claim(
                    key_changes.name_of(one),
                    owner,
                    seconds_left(one.intent.created_at, self._retention_s, now),
                    only_free=only_free,
                )
                for one, owner in zip(stored, owners, strict=True)
            ]
        )
        claimed = [
            (one, owner, done.bins)
            for one, owner, done in zip(stored, owners, answers, strict=True)
            if done.answer is Answer.DONE
        ]
        reused = self._living([_Prior(was, one.receipt_key) for one, owner, bins in claimed
                               if (was := _owner_before(bins, owner)) is not None])  # fmt: skip
        waiting = [
            (owner, one.receipt_key, key_changes.name_of(one), bins)
            for one, owner, bins in claimed
            if one.state in AWAITS_RECEIPT and bins.get("park")
        ]
        self._receipts.deliver(waiting)
        self._close(owners)
        return reused

    def _living(self, priors: list[_Prior]) -> int:
        """How many of the former owners are still there and went by the key until now."""
        if not priors:
            return 0
        messages = list(dict.fromkeys(prior.owner.message_id for prior in priors))
        found = dict(
            zip(messages, self._cluster.read(MESSAGES, [bytearray(one) for one in messages]), strict=True)
        )
        now = self._clock()
        return sum(owns(found[prior.owner.message_id], prior.owner, prior.key, now) for prior in priors)

    def _close(self, owners: list[Owner]) -> None:
        for batch in rounds(owners, lambda one: [one.message_id]):
            self._cluster.write(
                [changes.closing(one.message_id, one.generation, one.segment_no) for one in batch]
            )

    # -- what an earlier life left --------------------------------------------------------------------------

    def recover(self, older_than: float) -> tuple[int, int]:
        """One page of the index `open`: (messages looked at, messages with segments that became unknown)."""
        now = self._clock()
        condition = changes.left_open(self._life, older_than, now)
        page = self._cluster.query(MESSAGES, "open", 1 << 62, most=MAX_BATCH, condition=condition)
        left = [bins for _, bins in page if is_live(bins, now)]
        marked = self._mark([one for bins in left for one in _without_result(bins)])
        for batch in rounds([one for bins in left for one in _without_claim(bins)], _touches):
            self._claim(batch, only_free=True)
        return len(left), marked

    def _mark(self, unanswered: list[SegmentResult]) -> int:
        now = self._clock()
        marked = set()
        for batch in rounds(unanswered, _touches):
            answers = self._cluster.write([changes.result(one, now, only_first=True) for one in batch])
            marked |= {
                one.intent.message_id
                for one, done in zip(batch, answers, strict=True)
                if done.answer is Answer.DONE
            }
        return len(marked)


def _touches(one: SegmentResult) -> list[object]:
    key = [(one.intent.account, one.receipt_key)] if one.receipt_key else []
    return [one.intent.message_id, *key]


def _owner(one: SegmentResult) -> Owner:
    return Owner(one.intent.message_id, one.intent.generation, one.segment_no, secrets.randbits(62))


def _owner_before(bins: Bins, owner: Owner) -> Owner | None:
    """Whose the key was, told by its claim; None for nobody's and for this segment's own."""
    if bins.get("was_mid") is None:
        return None
    before = Owner(bytes(bins["was_mid"]), bins["was_gen"], bins["was_seg"], 0)
    return None if before[:3] == owner[:3] else before


def _is_unclaimed(bins: Bins | None, one: SegmentResult, now: float) -> bool:
    """This very result is stored, and its key was never confirmed as claimed."""
    number = one.segment_no
    return (
        bins is not None
        and holds(bins, one.intent, now)
        and number in bins["wait"]
        and (bins["keys"].get(number), bins["ids"].get(number)) == (one.receipt_key, one.smsc_id)
    )


def _without_result(bins: Bins) -> list[SegmentResult]:
    intent = intent_of(bins)
    return [
        SegmentResult(
            intent, number, SegmentState.UNKNOWN, "", "", "no answer before the restart", intent.created_at
        )
        for number, state in sorted(bins["st"].items())
        if state == SegmentState.SUBMITTING
    ]


def _without_claim(bins: Bins) -> list[SegmentResult]:
    intent = intent_of(bins)
    return [
        SegmentResult(
            intent,
            number,
            SegmentState(bins["st"][number]),
            bins["ids"][number],
            bins["keys"][number],
            bins["why"][number],
            bins["upd"][number],
        )
        for number in sorted(bins["wait"])
        if bins["keys"].get(number)
    ]
