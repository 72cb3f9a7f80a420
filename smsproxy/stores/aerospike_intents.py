"""Intents on Aerospike: created once, taken over by compare-and-set, withdrawn, found, swept.

Blocking; the store's thread pool calls it. `create` promises that where it raises nothing will be taken for
sent: what a failed batch may have stored is blocked by tombstones, at once or, while the cluster is away, at
the next sweep. Until then such an intent reads as one in flight, and a restart would mark it `unknown`: that
errs on the safe side.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from smsproxy.domain.errors import StoreUnavailableError
from smsproxy.domain.record import MessageRecord
from smsproxy.stores import aerospike_changes as changes
from smsproxy.stores.aerospike_cluster import MAX_BATCH, Cluster, NothingSentError
from smsproxy.stores.aerospike_errors import Answer
from smsproxy.stores.aerospike_recent import Recent
from smsproxy.stores.aerospike_records import (
    MESSAGES,
    Generations,
    Life,
    is_live,
    message_bins,
    message_record,
    milliseconds,
    packed,
    seconds_left,
)
from smsproxy.stores.aerospike_rounds import rounds
from smsproxy.stores.base import Intent

MAX_UNDOING = 100_000
"""Creations in doubt kept for blocking (about 20 MB). Past it the oldest stay: `unknown` in time."""
_ID_LENGTH = 16

_Numbered = tuple[int, Intent, int]
"""Place in the batch, intent, its new generation."""


class Intents:
    """Messages from creation to retention."""

    def __init__(
        self,
        cluster: Cluster,
        life: Life,
        recent: Recent,
        *,
        retention_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._cluster = cluster
        self._life = life
        self._recent = recent
        self._retention_s = retention_s
        self._clock = clock
        self._generations = Generations()
        self._lock = threading.Lock()
        self._undoing: dict[tuple[bytes, int], None] = {}

    # -- creation -------------------------------------------------------------------------------------------

    def create(self, intents: Sequence[Intent]) -> list[int]:
        """The new generation of each intent, 0 where its message is there already."""
        if self._undoing:
            self.undo(MAX_BATCH)  # one of these may be among them
        with self._lock:
            handles = self._generations.several(len(intents))
        numbered = list(zip(range(len(intents)), intents, handles, strict=True))
        made = [0] * len(intents)
        tried: list[_Numbered] = []
        try:
            for batch in rounds(numbered, lambda one: [one[1].message_id], lambda one: one[1].message_id):
                tried += batch
                for at, generation in self._create(batch):
                    made[at] = generation
        except NothingSentError:
            self._note_doubtful(tried[: len(tried) - len(batch)])
            raise
        except StoreUnavailableError:
            self._note_doubtful(tried)
            self.undo(MAX_BATCH)
            raise
        return made

    def _create(self, batch: list[_Numbered]) -> list[tuple[int, int]]:
        now = self._clock()
        same: dict[float, changes.Alike] = {}
        answers = self._cluster.write(
            [
                self._first_creation(one, now, same)
                if one[1].segments == 1 and not one[1].replaces
                else self._creation(one, now)
                for one in batch
            ]
        )
        made = [one for one, done in zip(batch, answers, strict=True) if done.answer is Answer.DONE]
        self._recent.created(
            generation for _, one, generation in made if one.segments == 1 and not one.replaces
        )
        taken = [one for one, done in zip(batch, answers, strict=True) if done.answer is Answer.EXISTS]
        if taken:
            made += self._replace_dead(taken, now)
        return [(at, generation) for at, _, generation in made]

    def _replace_dead(self, taken: list[_Numbered], now: float) -> list[_Numbered]:
        """Rare: what is there may read as not found (withdrawn, lapsed), and may be replaced then."""
        over = changes.over_dead(now)
        try:
            answers = self._cluster.write([self._creation(one, now, over) for one in taken])
        except NothingSentError as error:  # not so: others of the batch are stored
            raise StoreUnavailableError(str(error)) from error
        return [one for one, done in zip(taken, answers, strict=True) if done.answer is Answer.DONE]

    def _creation(self, one: _Numbered, now: float, over: object = None) -> changes.Change:
        _, intent, generation = one
        if intent.replaces:
            over = changes.over_generation(intent.replaces, now)
        bins = message_bins(intent, generation, self._retention_s, self._life)
        ttl = seconds_left(intent.created_at, self._retention_s, now)
        return changes.creation(intent.message_id, bins, ttl, over=over)

    def _first_creation(self, one: _Numbered, now: float, same: dict[float, changes.Alike]) -> changes.Change:
        """`same`: what those of one moment have in common, for as long as the batch lasts."""
        _, intent, generation = one
        alike = same.get(intent.created_at)
        if alike is None:
            bins = message_bins(intent, generation, self._retention_s, self._life)
            alike = changes.alike(bins, seconds_left(intent.created_at, self._retention_s, now))
            same[intent.created_at] = alike
        return changes.first_creation(intent.message_id, generation, packed(intent), alike)

    def _note_doubtful(self, tried: list[_Numbered]) -> None:
        with self._lock:
            self._undoing.update(((one.message_id, generation), None) for _, one, generation in tried)
            while len(self._undoing) > MAX_UNDOING:
                del self._undoing[next(iter(self._undoing))]

    def undo(self, most: int) -> None:
        """Block creations that failed in doubt, the oldest first; those that cannot be now stay noted."""
        with self._lock:
            noted = list(self._undoing)[:most]
        batches = rounds(noted, lambda one: [one[0]]) if noted else []
        try:
            for batch in batches:
                self._cluster.write([changes.undoing(*one) for one in batch])
                with self._lock:
                    for one in batch:
                        self._undoing.pop(one, None)
        except StoreUnavailableError:
            return

    @property
    def undoing(self) -> int:
        return len(self._undoing)

    # -- withdrawal -----------------------------------------------------------------------------------------

    def withdraw(self, intents: Sequence[Intent]) -> int:
        """How many of them were there."""
        now = self._clock()
        withdrawn = 0
        for batch in rounds(intents, lambda one: [one.message_id]):
            answers = self._cluster.write([changes.withdrawal(one, now) for one in batch])
            withdrawn += sum(done.answer is Answer.DONE for done in answers)
        return withdrawn

    # -- look-up and retention ------------------------------------------------------------------------------

    def find(self, message_ids: Sequence[bytes]) -> list[MessageRecord | None]:
        asked = list(dict.fromkeys(one for one in message_ids if len(one) == _ID_LENGTH))
        found = self._cluster.read(MESSAGES, [bytearray(one) for one in asked])
        now = self._clock()
        there = {one: bins for one, bins in zip(asked, found, strict=True) if bins and is_live(bins, now)}
        return [message_record(there[one]) if one in there else None for one in message_ids]

    def sweep(self, now: float) -> int:
        """Remove at most a batch of messages past their time; how many."""
        old = self._cluster.query(MESSAGES, "expires", milliseconds(now), most=MAX_BATCH)[:MAX_BATCH]
        if not old:
            return 0
        answers = self._cluster.write([changes.removal(one.digest, now) for one in old])
        return sum(done.answer is Answer.DONE for done in answers)
