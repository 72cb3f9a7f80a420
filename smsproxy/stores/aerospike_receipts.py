"""Receipts on Aerospike: to their segment where it is known, else parked under their key (spec §6).

Whichever comes second completes the message. A result is written to its message before it claims the key, and
the claim reads what is parked there; a receipt is parked only if the key still has no owner, tested by the
server in the same step. So either the claim sees the parked receipt, or the receipt sees the claim.
Blocking; the store's thread pool calls it, several threads at once.
"""

from __future__ import annotations

import secrets
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from operator import attrgetter

from smsproxy.domain.errors import StoreUnavailableError
from smsproxy.domain.receipt import Receipt
from smsproxy.domain.record import FINAL, SegmentState
from smsproxy.stores import aerospike_changes as changes
from smsproxy.stores import aerospike_key_changes as key_changes
from smsproxy.stores.aerospike_cluster import Cluster
from smsproxy.stores.aerospike_errors import Answer
from smsproxy.stores.aerospike_recent import Recent
from smsproxy.stores.aerospike_records import (
    KEYS,
    MESSAGES,
    Bins,
    Life,
    Owner,
    key_name,
    milliseconds,
    owner_of,
    owns,
    parked_in,
)
from smsproxy.stores.aerospike_rounds import rounds
from smsproxy.stores.parking import PARKING_MAX, PARKING_S, Parked, Parking

MOST_LOOKS = 5
"""A key changes hands between look and write only where two messages get one id in the same milliseconds."""


class _Waiting:
    """A receipt on its way: its key, and what the key record said at the last look."""

    __slots__ = ("bins", "key", "name", "said")

    def __init__(self, receipt: Receipt) -> None:
        account, self.key, state, reason, at = receipt
        self.name = key_name(account, self.key)
        self.said = Parked(state, reason, at)
        self.bins: Bins | None = None


_Owned = tuple[_Waiting, Owner]


class Receipts:
    """Key records. What this instance has parked is also known here, oldest first, to keep its bound."""

    def __init__(self, cluster: Cluster, life: Life, recent: Recent, *, clock: Callable[[], float]) -> None:
        self._cluster = cluster
        self._life = life
        self._recent = recent
        self._clock = clock
        self._lock = threading.Lock()
        self._parking: Parking[str] = Parking()

    def is_parked(self, key: tuple[str, str]) -> bool:
        """Whether this instance has a receipt parked under this (account, receipt key)."""
        if not self._parking:
            return False
        with self._lock:
            return self._parking.get(key_name(*key)) is not None

    def receive(self, receipts: Sequence[Receipt]) -> Counter[str]:
        counts = Counter(receipts_stored=len(receipts))
        for batch in rounds(map(_Waiting, receipts), lambda one: (one.name,), attrgetter("name")):
            batch = self._apply_known(batch)
            for _ in range(MOST_LOOKS):
                if not batch:
                    break
                batch = self._look(batch, counts)
            if batch:
                raise StoreUnavailableError("aerospike: receipt keys keep changing hands")
        return counts

    def _apply_known(self, batch: list[_Waiting]) -> list[_Waiting]:
        """A key that we claimed ourselves a moment ago needs no look: had it gone on to another message, ours
        would have another version by now (aerospike_claims.py). Returns the others.
        """
        awaiting = self._recent.awaiting([one.name for one in batch])
        known = [(one, result) for one, result in zip(batch, awaiting, strict=True) if result is not None]
        if not known:
            return batch
        answers = self._cluster.write(
            [changes.first_receipt(result.message_id, result.generation, one.said) for one, result in known]
        )
        done = set()
        for (one, result), each in zip(known, answers, strict=True):
            if each.answer is Answer.DONE:
                done.add(one.name)
                self._recent.closed(result.message_id)
        return [one for one in batch if one.name not in done]

    def _look(self, batch: list[_Waiting], counts: Counter[str]) -> list[_Waiting]:
        """Apply or park each, as its key record now is; returns those whose key changed meanwhile."""
        found = self._cluster.read(KEYS, [one.name for one in batch])
        owned: list[_Owned] = []
        homeless: list[_Waiting] = []
        for one, bins in zip(batch, found, strict=True):
            one.bins = bins
            owner = owner_of(bins)
            if owner is None:
                homeless.append(one)
            else:
                owned.append((one, owner))
        homeless = self._apply(owned, counts) + homeless
        return self._park(homeless, counts) if homeless else []

    def _apply(self, owned: list[tuple[_Waiting, Owner]], counts: Counter[str]) -> list[_Waiting]:
        """Returns those whose owner is stale: withdrawn, lapsed, taken over, or gone on to another key."""
        refused = []
        for batch in rounds(owned, lambda one: [one[1].message_id]):
            refused += self._write(batch)
        if not refused:
            return []
        messages = list(dict.fromkeys(owner.message_id for _, owner in refused))
        found = dict(
            zip(messages, self._cluster.read(MESSAGES, [bytearray(one) for one in messages]), strict=True)
        )
        stale = [
            one for one, owner in refused if not owns(found[owner.message_id], owner, one.key, self._clock())
        ]
        counts["receipts_repeated"] += len(refused) - len(stale)
        return stale

    def _write(self, batch: list[_Owned]) -> list[_Owned]:
        """Returns those that were refused."""
        if not batch:
            return []
        now = self._clock()
        answers = self._cluster.write([changes.receipt(to, one.key, one.said, now) for one, to in batch])
        return [pair for pair, done in zip(batch, answers, strict=True) if done.answer is not Answer.DONE]

    # -- parking --------------------------------------------------------------------------------------------

    def _park(self, batch: list[_Waiting], counts: Counter[str]) -> list[_Waiting]:
        """Returns those whose key record is no longer as it was seen."""
        now = self._clock()
        fresh = []
        for one in batch:
            before = parked_in(one.bins, now)
            if before is not None and before.state in FINAL:
                counts["receipts_repeated"] += 1
            else:
                fresh.append(one)
        if not fresh:
            return []
        self._make_room(fresh, counts)
        answers = self._cluster.write(
            [
                key_changes.parking(one.name, one.said, secrets.randbits(62), self._life.instance, one.bins)
                for one in fresh
            ]
        )
        again = [one for one, done in zip(fresh, answers, strict=True) if done.answer is not Answer.DONE]
        counts["receipts_parked"] += len(fresh) - len(again)
        return again

    def _make_room(self, batch: list[_Waiting], counts: Counter[str]) -> None:
        leaving = []
        with self._lock:
            for one in batch:
                leaves = self._parking.full_for(one.name)
                if leaves is not None:
                    self._parking.take(leaves)
                    leaving.append(leaves)
                self._parking.park(one.name, one.said)
        if leaving:
            by = self._life.instance
            self._cluster.write([key_changes.unparking(name, by=by) for name in dict.fromkeys(leaving)])
            counts["receipts_parking_overflow"] += len(leaving)

    def deliver(self, parked: list[tuple[Owner, str, str, Bins]]) -> None:
        """(new owner, key, key's name, key record): give each owner the receipt that waits for it.

        One that its segment does not await (it was refused) stays: another message may still claim the key.
        """
        now = self._clock()
        waiting = [
            (owner, key, name, said)
            for owner, key, name, bins in parked
            if (said := parked_in(bins, now)) is not None
        ]
        if not waiting:
            return
        answers = self._cluster.write([changes.receipt(to, key, said, now) for to, key, _, said in waiting])
        taken = [
            name for (_, _, name, _), done in zip(waiting, answers, strict=True) if done.answer is Answer.DONE
        ]
        tickets = {name: bins["ticket"] for _, _, name, bins in parked if bins.get("ticket")}
        self.unpark([(name, tickets[name]) for name in taken])

    def unpark(self, used: list[tuple[str, int]]) -> None:
        """(key's name, ticket): their messages have them, or had another receipt before."""
        if not used:
            return
        self._cluster.write([key_changes.unparking(name, ticket=ticket) for name, ticket in used])
        with self._lock:
            for name, _ in used:
                if self._parking.get(name) is not None:
                    self._parking.take(name)

    def sweep(self, now: float) -> int:
        """Drop what has waited its minute, whichever instance parked it; how many."""
        with self._lock:
            self._parking.lapse(now)
        due = self._cluster.query(KEYS, "parked", milliseconds(now - PARKING_S), most=PARKING_MAX)
        answers = self._cluster.write(
            [key_changes.unparking(one.digest, ticket=one.bins["ticket"], by_digest=True) for one in due]
        )
        return sum(done.answer is Answer.DONE for done in answers)

    def adopt(self) -> None:
        """At start: what an earlier life of this instance has parked counts towards this one's bound."""
        found = self._cluster.query(KEYS, "parked", 1 << 62, most=PARKING_MAX)
        ours = sorted(
            (bins["parked"], bins["name"], bins["park"])
            for _, bins in found
            if bins.get("parked_by") == self._life.instance
        )
        with self._lock:
            self._parking = Parking(
                (name, Parked(SegmentState(state), reason, at)) for _, name, (state, reason, at) in ours
            )
