"""Results on Aerospike: to their segment, then to the receipt key they came with (spec §6).

Three writes a result, in batches: the segment's end (under the condition that it awaits one), the claim of
the key, and the closing, which waits for the receipt to make it in passing (aerospike_recent.py). A process
that dies in between leaves the message `open`; its next life, or a retry of the same result, goes on where it
stopped. Blocking; the store's thread pool calls it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from operator import attrgetter

from smsproxy.domain.errors import StoreUnavailableError
from smsproxy.domain.receipt import Receipt
from smsproxy.domain.record import SegmentState
from smsproxy.stores import aerospike_changes as changes
from smsproxy.stores.aerospike_claims import Claim, Claims, owner_for
from smsproxy.stores.aerospike_cluster import MAX_BATCH, Cluster, Done
from smsproxy.stores.aerospike_errors import Answer
from smsproxy.stores.aerospike_key_changes import name_of
from smsproxy.stores.aerospike_receipts import Receipts
from smsproxy.stores.aerospike_recent import MAX_KNOWN, Recent
from smsproxy.stores.aerospike_records import (
    MESSAGES,
    Bins,
    Life,
    holds,
    intent_of,
    is_live,
    key_of,
    said_of,
    smsc_id_of,
    waiting_in,
)
from smsproxy.stores.aerospike_rounds import rounds
from smsproxy.stores.aerospike_together import Told
from smsproxy.stores.base import SegmentResult

_Result = tuple[int, int, str]
"""(handle of its message, segment number, receipt key)"""


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
        self._claims = Claims(cluster, receipts, retention_s=retention_s, clock=clock)
        self._life = life
        self._recent = recent
        self._clock = clock
        self._owed: dict[_Result, None] = {}
        """Results that may be stored with their receipt, and whose key a call that failed has not claimed."""

    def settle(self, results: Sequence[SegmentResult], told: Told | None = None) -> Counter[str]:
        """`told`: receipts of these results, to be stored with them where that can be one write."""
        counts: Counter[str] = Counter()
        for batch in rounds(results, _touches, attrgetter("intent.message_id"), attrgetter("receipt_key")):
            receipts = _receipts_of(batch, told)
            try:
                stored = self._write(batch, receipts)
                if told is not None:
                    told.written.update(one.owner.generation for one in stored if one.told)
                counts["results_stored"] += len(stored)
                counts["smsc_ids_reused"] += self._claim([one for one in stored if one.one.receipt_key])
            except StoreUnavailableError:
                self._owe([one for one, receipt in zip(batch, receipts, strict=True) if receipt is not None])
                raise
        return counts

    def _write(self, batch: list[SegmentResult], receipts: list[Receipt | None]) -> list[Claim]:
        """Those that are stored now, or were by an earlier call that failed before it had claimed the key."""
        now = self._clock()
        untouched = self._recent.take_created(
            [one.intent.generation for one in batch if one.intent.segments == 1]
        )
        first = [one.intent.generation in untouched for one in batch]
        answers = self._cluster.write(
            [
                changes.first_result(one, receipt) if is_first else changes.result(one, now)
                for one, is_first, receipt in zip(batch, first, receipts, strict=True)
            ]
        )
        self._write_changed(batch, first, answers, now)
        stored = [
            Claim(one, owner_for(one), is_first, is_first and receipt is not None)
            for one, is_first, receipt, done in zip(batch, first, receipts, answers, strict=True)
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

    def _unclaimed(self, refused: list[SegmentResult], now: float) -> list[Claim]:
        found = self._cluster.read(MESSAGES, [bytearray(one.intent.message_id) for one in refused])
        return [
            Claim(one, owner_for(one), first=False)
            for one, bins in zip(refused, found, strict=True)
            if _is_unclaimed(bins, one, now, owed=_named(one) in self._owed)
            and not self._recent.is_claimed(one.intent.message_id, one.intent.generation, one.receipt_key)
        ]

    def _claim(self, stored: list[Claim], *, only_free: bool = False) -> int:
        """The keys of these are theirs from now on. How many living segments lost theirs by it."""
        if not stored:
            return 0
        left = stored if only_free else self._claims.create(stored)
        reused = self._claims.claim(left, only_free=only_free) if left else 0
        done = {one.owner.claim for one in left}
        self._close(
            [
                one
                for one in stored
                if not one.told and (one.owner.claim in done or not self._wait_for_receipt(one))
            ]
        )
        for one in stored if self._owed else ():
            self._owed.pop(_named(one.one), None)
        return reused

    def _owe(self, results: list[SegmentResult]) -> None:
        """A result that the pipeline repeats finds here that its key is still to be claimed."""
        self._owed.update((_named(one), None) for one in results)
        while len(self._owed) > MAX_KNOWN:
            del self._owed[next(iter(self._owed))]

    def _wait_for_receipt(self, claim: Claim) -> bool:
        """Whether the receipt will close the record in passing, or else `close_overdue`."""
        one, owner, first, _ = claim
        return (
            first
            and one.state is SegmentState.SUBMITTED
            and self._recent.claimed(owner.message_id, owner.generation, one.receipt_key, name_of(one))
        )

    def _close(self, stored: list[Claim]) -> None:
        for batch in rounds(stored, lambda one: [one.owner.message_id]):
            self._cluster.write(
                [
                    changes.closing(owner.message_id, owner.generation, owner.segment_no, one.intent.segments)
                    for one, owner, _, _ in batch
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
            self._claim([Claim(one, owner_for(one), first=False) for one in batch], only_free=True)
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


def _receipts_of(batch: list[SegmentResult], told: Told | None) -> list[Receipt | None]:
    if told is None:
        return [None] * len(batch)
    found = [told.said.get(one.intent.generation) for one in batch]
    return [
        receipt if receipt is not None and receipt.receipt_key == one.receipt_key else None
        for one, receipt in zip(batch, found, strict=True)
    ]


def _named(one: SegmentResult) -> _Result:
    return one.intent.generation, one.segment_no, one.receipt_key


def _is_unclaimed(bins: Bins | None, one: SegmentResult, now: float, *, owed: bool) -> bool:
    """This very result is stored, and its key was never confirmed as claimed."""
    number = one.segment_no
    return (
        bins is not None
        and holds(bins, one.intent, now)
        and (owed or number in waiting_in(bins))
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
