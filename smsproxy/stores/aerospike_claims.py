"""Receipt keys change hands on Aerospike: a segment whose result is stored claims the key it came with.

Most keys are new. One that is there already has a receipt waiting, or belongs to an older segment, which an
instance may know by heart (aerospike_recent.py) and give receipts to without a look. So before a key is taken
from a message, that message gets another version: a receipt from memory is refused and looks. Blocking; the
results call it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, NamedTuple

from smsproxy.domain.errors import StoreUnavailableError
from smsproxy.domain.record import AWAITS_RECEIPT
from smsproxy.stores import aerospike_changes as changes
from smsproxy.stores import aerospike_key_changes as key_changes
from smsproxy.stores.aerospike_cluster import Cluster
from smsproxy.stores.aerospike_errors import Answer
from smsproxy.stores.aerospike_key_changes import name_of
from smsproxy.stores.aerospike_receipts import MOST_LOOKS, Receipts
from smsproxy.stores.aerospike_records import (
    KEYS,
    MESSAGES,
    Bins,
    Owner,
    owner_of,
    owns,
    seconds_left,
    segment_named_by,
)
from smsproxy.stores.aerospike_rounds import rounds
from smsproxy.stores.base import SegmentResult

_new = tuple.__new__  # half the price of a NamedTuple's own constructor
_claims = count(secrets.randbits(61))
"""No two claims are alike: where this begins is this life's own."""


class Claim(NamedTuple):
    """A result that is stored, and what its segment says to the key."""

    one: SegmentResult
    owner: Owner
    first: bool
    """Its record is as we created it and wrote it since, as far as we know."""
    told: bool = False
    """Its receipt was stored with it: its record is closed."""


class _Prior(NamedTuple):
    """Whose a key was until now."""

    owner: Owner
    key: str


_Claimed = tuple[Claim, Bins]
"""And what the key record said until then."""


class Claims:
    """The keys of results, no key twice in a batch."""

    def __init__(
        self, cluster: Cluster, receipts: Receipts, *, retention_s: float, clock: Callable[[], float]
    ) -> None:
        self._cluster = cluster
        self._receipts = receipts
        self._retention_s = retention_s
        self._clock = clock

    def create(self, stored: Sequence[Claim]) -> list[Claim]:
        """Most keys are new: claimed without a look at what was there. Returns those that are not."""
        now = self._clock()
        moments = {one.one.intent.created_at for one in stored}
        ttls = {moment: seconds_left(moment, self._retention_s, now) for moment in moments}
        answers = self._cluster.write(
            [
                key_changes.first_claim(name_of(one.one), one.owner, ttls[one.one.intent.created_at])
                for one in stored
            ]
        )
        return [one for one, done in zip(stored, answers, strict=True) if done.answer is not Answer.DONE]

    def claim(self, stored: Sequence[Claim], *, only_free: bool) -> int:
        """Those that are there already, or with `only_free` those of them that are nobody's or theirs.

        How many living segments lost theirs by it.
        """
        if only_free:
            claimed, _ = self._claim(stored, [key_changes.free_for(one.owner) for one in stored])
        else:
            claimed, left = self._claim(stored, [key_changes.UNCLAIMED] * len(stored))
            claimed += self._take_over(left)
        reused = self._living([_Prior(was, one.one.receipt_key) for one, bins in claimed
                               if (was := _owner_before(bins, one.owner)) is not None])  # fmt: skip
        waiting = [
            (one.owner, one.one.receipt_key, name_of(one.one), bins)
            for one, bins in claimed
            if one.one.state in AWAITS_RECEIPT and not one.told and bins.get("park")
        ]
        self._receipts.deliver(waiting)
        self._receipts.unpark(
            [(name_of(one.one), bins["ticket"]) for one, bins in claimed if one.told and bins.get("park")]
        )
        return reused

    def _claim(self, stored: Sequence[Claim], conditions: list[Any]) -> tuple[list[_Claimed], list[Claim]]:
        """What is claimed now, and what was refused."""
        if not stored:
            return [], []
        now = self._clock()
        answers = self._cluster.write(
            [
                key_changes.claim(name_of(one.one), one.owner, self._seconds_left(one, now), condition)
                for one, condition in zip(stored, conditions, strict=True)
            ]
        )
        answered = list(zip(stored, answers, strict=True))
        claimed = [(one, done.bins) for one, done in answered if done.answer is Answer.DONE]
        return claimed, [one for one, done in answered if done.answer is not Answer.DONE]

    def _take_over(self, left: list[Claim]) -> list[_Claimed]:
        """Keys that others have. Only from whom they were seen with, for these have been touched."""
        claimed: list[_Claimed] = []
        for _ in range(MOST_LOOKS):
            if not left:
                return claimed
            seen = self._cluster.read(KEYS, [name_of(one.one) for one in left])
            owners = dict.fromkeys(owner for bins in seen if (owner := owner_of(bins)) is not None)
            for batch in rounds(owners, lambda owner: (owner.message_id,)):
                self._cluster.write([changes.touching(owner) for owner in batch])
            newly, left = self._claim(left, [key_changes.still_claimed_as(bins) for bins in seen])
            claimed += newly
        raise StoreUnavailableError("aerospike: receipt keys keep changing hands")

    def _seconds_left(self, one: Claim, now: float) -> int:
        return seconds_left(one.one.intent.created_at, self._retention_s, now)

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


def owner_for(one: SegmentResult) -> Owner:
    """Its segment, claiming anew."""
    return _new(Owner, (one.intent.message_id, one.intent.generation, one.segment_no, next(_claims)))


def _owner_before(bins: Bins, owner: Owner) -> Owner | None:
    """Whose the key was, told by its claim; None for nobody's and for this segment's own."""
    if bins.get("was") is None:
        return None
    before = segment_named_by(bins["was"], 0)
    return None if before[:3] == owner[:3] else before
