"""Results on Aerospike: to their segment, then to the receipt key they came with (spec §6).

Three writes a result, in batches: the segment's end (under the condition that it awaits one), the claim of
the key, and the closing, which waits for the receipt to make it in passing (aerospike_recent.py). A process
that dies in between leaves the message `open`; its next life, or a retry of the same result, goes on where it
stopped. Blocking; the store's thread pool calls it.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import count
from typing import NamedTuple

from smsproxy.domain.record import AWAITS_RECEIPT, SegmentState
from smsproxy.stores import aerospike_changes as changes
from smsproxy.stores import aerospike_key_changes as key_changes
from smsproxy.stores.aerospike_cluster import MAX_BATCH, Cluster, Done
from smsproxy.stores.aerospike_errors import Answer
from smsproxy.stores.aerospike_receipts import Receipts
from smsproxy.stores.aerospike_recent import Recent
from smsproxy.stores.aerospike_records import (
    MESSAGES,
    Bins,
    Life,
    Owner,
    holds,
    intent_of,
    is_live,
    key_of,
    owns,
    said_of,
    seconds_left,
    segment_named_by,
    smsc_id_of,
    waiting_in,
)
from smsproxy.stores.aerospike_rounds import rounds
from smsproxy.stores.base import SegmentResult

_claims = count(secrets.randbits(61))
"""No two claims are alike: the beginning is this life's own."""


class _Prior(NamedTuple):
    """Whose a key was until now."""

    owner: Owner
    key: str


class _Claim(NamedTuple):
    """A result that is stored, and what its segment says to the key."""

    one: SegmentResult
    owner: Owner
    first: bool
    """Its record is as we created it and wrote it since, as far as we know."""


class Results:
    """Ends of segments, and what earlier lives left without one."""

    def __init__(
        self,
        cluster: Cluster,
        receipts: Receipts,
        life: Life,
        recent: Recent,
        *,
        retention_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._cluster = cluster
        self._receipts = receipts
        self._life = life
        self._recent = recent
        self._retention_s = retention_s
        self._clock = clock

    def settle(self, results: Sequence[SegmentResult]) -> Counter[str]:
        counts: Counter[str] = Counter()
        for batch in rounds(results, _touches):
            stored = self._write(batch)
            counts["results_stored"] += len(stored)
            counts["smsc_ids_reused"] += self._claim([one for one in stored if one.one.receipt_key])
        return counts

    def _write(self, batch: list[SegmentResult]) -> list[_Claim]:
        """Those that are stored now, or were by an earlier call that failed before it had claimed the key."""
        now = self._clock()
        first = [
            one.intent.segments == 1 and self._recent.take_created(one.intent.generation) for one in batch
        ]
        answers = self._cluster.write(
            [
                changes.first_result(one) if is_first else changes.result(one, now)
                for one, is_first in zip(batch, first, strict=True)
            ]
        )
        self._write_changed(batch, first, answers, now)
        stored = [
            _Claim(one, _owner(one), is_first)
            for one, is_first, done in zip(batch, first, answers, strict=True)
            if done.answer is Answer.DONE
        ]
        refused = [
            one
            for one, done in zip(batch, answers, strict=True)
            if done.answer is not Answer.DONE and one.receipt_key
        ]
        return stored + self._unclaimed(refused, now) if refused else stored

    def _write_changed(
        self, batch: list[SegmentResult], first: list[bool], answers: list[Done], now: float
    ) -> None:
        """Records that were not as we thought: their results anew, under the condition."""
        changed = [number for number, done in enumerate(answers) if done.answer is Answer.CHANGED]
        if not changed:
            return
        again = self._cluster.write([changes.result(batch[number], now) for number in changed])
        for number, done in zip(changed, again, strict=True):
            answers[number], first[number] = done, False

    def _unclaimed(self, refused: list[SegmentResult], now: float) -> list[_Claim]:
        found = self._cluster.read(MESSAGES, [bytearray(one.intent.message_id) for one in refused])
        return [
            _Claim(one, _owner(one), first=False)
            for one, bins in zip(refused, found, strict=True)
            if _is_unclaimed(bins, one, now)
            and not self._recent.is_claimed(one.intent.message_id, one.intent.generation, one.receipt_key)
        ]

    def _claim(self, stored: list[_Claim], *, only_free: bool = False) -> int:
        """The keys of these are theirs from now on. How many living segments lost theirs by it."""
        if not stored:
            return 0
        left = stored if only_free else self._claim_free(stored)
        reused = self._claim_any(left, only_free=only_free) if left else 0
        done = {one.owner.claim for one in left}
        self._close([one for one in stored if one.owner.claim in done or not self._wait_for_receipt(one)])
        return reused

    def _claim_free(self, stored: list[_Claim]) -> list[_Claim]:
        """Most keys are new: claimed without a look at what was there. Returns those that are not."""
        now = self._clock()
        answers = self._cluster.write(
            [
                key_changes.first_claim(key_changes.name_of(one.one), one.owner, self._seconds_left(one, now))
                for one in stored
            ]
        )
        return [one for one, done in zip(stored, answers, strict=True) if done.answer is not Answer.DONE]

    def _claim_any(self, stored: list[_Claim], *, only_free: bool) -> int:
        now = self._clock()
        answers = self._cluster.write(
            [
                key_changes.claim(
                    key_changes.name_of(one.one),
                    one.owner,
                    self._seconds_left(one, now),
                    only_free=only_free,
                )
                for one in stored
            ]
        )
        claimed = [
            (one, done.bins) for one, done in zip(stored, answers, strict=True) if done.answer is Answer.DONE
        ]
        reused = self._living([_Prior(was, one.one.receipt_key) for one, bins in claimed
                               if (was := _owner_before(bins, one.owner)) is not None])  # fmt: skip
        waiting = [
            (one.owner, one.one.receipt_key, key_changes.name_of(one.one), bins)
            for one, bins in claimed
            if one.one.state in AWAITS_RECEIPT and bins.get("park")
        ]
        self._receipts.deliver(waiting)
        return reused

    def _seconds_left(self, one: _Claim, now: float) -> int:
        return seconds_left(one.one.intent.created_at, self._retention_s, now)

    def _wait_for_receipt(self, claim: _Claim) -> bool:
        """Whether the receipt will close the record in passing, or else `close_overdue`."""
        one, owner, first = claim
        return (
            first
            and one.state is SegmentState.SUBMITTED
            and self._recent.claimed(owner.message_id, owner.generation, one.receipt_key)
        )

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

    def _close(self, stored: list[_Claim]) -> None:
        for batch in rounds(stored, lambda one: [one.owner.message_id]):
            self._cluster.write(
                [
                    changes.closing(owner.message_id, owner.generation, owner.segment_no, one.intent.segments)
                    for one, owner, _ in batch
                ]
            )

    def close_overdue(self, *, everything: bool = False) -> None:
        """Close what waits too long for its receipt. What fails is tried again, by the next life at last."""
        overdue = self._recent.overdue(everything=everything)
        for begin in range(0, len(overdue), MAX_BATCH):
            batch = overdue[begin : begin + MAX_BATCH]
            self._cluster.write([changes.closing(one.message_id, one.generation, 1, 1) for one in batch])
            for one in batch:
                self._recent.closed(one.message_id)

    # -- what an earlier life left --------------------------------------------------------------------------

    def recover(self, older_than: float) -> tuple[int, int]:
        """One page of the index `open`: (messages looked at, messages with segments that became unknown)."""
        now = self._clock()
        condition = changes.left_open(self._life, older_than, now)
        page = self._cluster.query(MESSAGES, "open", 1 << 62, most=MAX_BATCH, condition=condition)
        left = [bins for _, bins in page if is_live(bins, now)]
        marked = self._mark([one for bins in left for one in _without_result(bins)])
        for batch in rounds([one for bins in left for one in _without_claim(bins)], _touches):
            self._claim([_Claim(one, _owner(one), first=False) for one in batch], only_free=True)
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


def _touches(one: SegmentResult) -> tuple[object, ...]:
    intent = one.intent
    if not one.receipt_key:
        return (intent.message_id,)
    return intent.message_id, (intent.account, one.receipt_key)


def _owner(one: SegmentResult) -> Owner:
    return Owner(one.intent.message_id, one.intent.generation, one.segment_no, next(_claims))


def _owner_before(bins: Bins, owner: Owner) -> Owner | None:
    """Whose the key was, told by its claim; None for nobody's and for this segment's own."""
    if bins.get("was") is None:
        return None
    before = segment_named_by(bins["was"], 0)
    return None if before[:3] == owner[:3] else before


def _is_unclaimed(bins: Bins | None, one: SegmentResult, now: float) -> bool:
    """This very result is stored, and its key was never confirmed as claimed."""
    number = one.segment_no
    return (
        bins is not None
        and holds(bins, one.intent, now)
        and number in waiting_in(bins)
        and (key_of(bins, number), smsc_id_of(bins, number)) == (one.receipt_key, one.smsc_id)
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
            smsc_id_of(bins, number),
            key,
            *said_of(bins, number, intent.created_at),
        )
        for number in waiting_in(bins)
        if (key := key_of(bins, number))
    ]
