"""The cluster as the store's tables see it: batches of reads and writes, each write at most twice.

A write nobody answered is settled by reading its record back: it has landed, or it is tried once more and
read back again, or the whole call fails with StoreUnavailableError. The client library itself retries no
write. After a call that got no answer, calls are refused at once for half a second, so that a cluster that
is away costs few callers a time-out. Blocking: every method runs in the store's thread pool.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import aerospike
from aerospike import predicates
from aerospike.exception import AerospikeError
from aerospike_helpers.batch.records import BatchRecord, BatchRecords, Remove, Write

from smsproxy.domain.errors import StoreUnavailableError
from smsproxy.stores.aerospike_changes import Change
from smsproxy.stores.aerospike_errors import Answer, answer_of, in_words
from smsproxy.stores.aerospike_records import KEYS, MESSAGES, Bins

MAX_BATCH = 500
TRY_S = 1.0
QUERY_MS = 3000
_AWAY_S = 0.5
_TRIES = 2
_RETRY_OFF = {"total_timeout": int(TRY_S * 1000), "socket_timeout": int(TRY_S * 1000), "max_retries": 0}
_READ_POLICY = _RETRY_OFF | {"max_retries": 1}


class Client(Protocol):
    """The calls of aerospike.Client that the store makes."""

    def batch_write(self, records: BatchRecords, policy: dict[str, Any], /) -> BatchRecords: ...
    def batch_read(self, keys: list[Any], /, *, policy: dict[str, Any]) -> BatchRecords: ...
    def query(self, namespace: str, set_name: str, /) -> Any: ...
    def index_single_value_create(
        self, namespace: str, set_name: str, bin_name: str, kind: int, name: str, /
    ) -> Any: ...
    def put(self, key: Any, bins: dict[str, Any], /, *, policy: dict[str, Any]) -> None: ...
    def close(self) -> None: ...


class Done(NamedTuple):
    """What became of a change; `bins`: what its operations read, or the whole record if it was read back."""

    answer: Answer
    bins: Bins


_DONE = Done(Answer.DONE, {})


class NothingSentError(StoreUnavailableError):
    """No write of this call has left the process."""


class Found(NamedTuple):
    """A record that a query found."""

    digest: bytearray
    bins: Bins


class Cluster:
    """Batches on one namespace. `sets` begins the names of its sets."""

    def __init__(
        self, client: Client, namespace: str, sets: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.client = client
        self._namespace = namespace
        self._sets = {name: sets + name for name in (MESSAGES, KEYS)}
        self._clock = clock
        self._away_until = 0.0
        self.away = ""
        """Why the last call got no answer; empty once one does (housekeeping asks each second)."""
        self.outages = 0
        self.refused = 0
        self.writes_in_doubt = 0
        self.writes_tried_again = 0

    # -- writes ---------------------------------------------------------------------------------------------

    def write(self, changes: Sequence[Change]) -> list[Done]:
        """All of them, in order of the changes; no record twice. Raises StoreUnavailableError."""
        self._refuse_while_away()
        done = [_DONE] * len(changes)
        left: Sequence[int] = range(len(changes))
        for attempt in range(1, _TRIES + 1):
            self.writes_tried_again += len(left) if attempt > 1 else 0
            left = self._attempt(changes, left, done, settling=attempt > 1)
            if not left:
                self.away = ""
                return done
        raise StoreUnavailableError(
            f"aerospike: {len(left)} of {len(changes)} writes got no answer in {_TRIES} tries"
        )

    def _attempt(
        self, changes: Sequence[Change], left: Sequence[int], done: list[Done], *, settling: bool
    ) -> list[int]:
        """Try those of `left`; returns which to try again. `settling`: an earlier try is in doubt."""
        doubtful: list[tuple[int, Answer]] = []
        records = self._batch([changes[index] for index in left] if settling else changes)
        if not settling and records and all(_unsent(record) for record in records):
            raise NothingSentError(str(self._away(in_words(records[0].result))))
        for index, record in zip(left, records, strict=True):
            if record.result == 0:
                if changes[index].reads:
                    done[index] = Done(Answer.DONE, _bins(record) or {})
                continue
            answer = answer_of(record.result, in_doubt=record.in_doubt)
            if answer in (Answer.FAILED, Answer.UNSENT):
                raise self._failure(record.result)
            if answer is Answer.IN_DOUBT or settling:
                doubtful.append((index, answer))
            else:
                done[index] = Done(answer, {})
        return self._settle(changes, doubtful, done)

    def _settle(
        self, changes: Sequence[Change], doubtful: list[tuple[int, Answer]], done: list[Done]
    ) -> list[int]:
        """Read back what is in doubt, and what was refused after a try in doubt: it may be our own."""
        if not doubtful:
            return []
        self.writes_in_doubt += sum(answer is Answer.IN_DOUBT for _, answer in doubtful)
        left = []
        found = self._read([self._key(changes[index]) for index, _ in doubtful])
        for (index, answer), bins in zip(doubtful, found, strict=True):
            if changes[index].landed(bins):
                done[index] = Done(Answer.DONE, bins or {})
            elif answer is Answer.IN_DOUBT:
                left.append(index)
            else:
                done[index] = Done(answer, {})
        return left

    def _batch(self, changes: Sequence[Change]) -> list[BatchRecord]:
        records = [self._record(change) for change in changes]
        for begin in range(0, len(records), MAX_BATCH):
            piece = BatchRecords(records[begin : begin + MAX_BATCH])
            try:
                self.client.batch_write(piece, _RETRY_OFF)
            except AerospikeError as error:
                for record in piece.batch_records:
                    record.result, record.in_doubt = error.code or -1, True
            else:
                _mark_unanswered(piece)
        return records

    def _record(self, change: Change) -> BatchRecord:
        condition = change.condition
        if not change.operations:
            return Remove(self._key(change), policy={} if condition is None else {"expressions": condition})
        meta, policy = _policy(change.ttl, change.exists, change.version)
        if condition is not None:
            policy = policy | {"expressions": condition}
        return Write(self._key(change), change.operations, meta, policy)

    def _key(self, change: Change) -> Any:
        set_name = self._sets[change.set_name]
        if change.by_digest:
            return self._namespace, set_name, None, change.key
        return self._namespace, set_name, change.key

    # -- reads ----------------------------------------------------------------------------------------------

    def read(self, set_name: str, keys: Sequence[Any]) -> list[Bins | None]:
        """All bins of each record, in order of the keys; None where there is none. No key twice."""
        self._refuse_while_away()
        namespace, full_name = self._namespace, self._sets[set_name]
        found = self._read([(namespace, full_name, key) for key in keys])
        self.away = ""
        return found

    def _read(self, keys: list[Any]) -> list[Bins | None]:
        found: list[Bins | None] = []
        for begin in range(0, len(keys), MAX_BATCH):
            piece = keys[begin : begin + MAX_BATCH]
            try:
                answers = self.client.batch_read(piece, policy=_READ_POLICY).batch_records
            except AerospikeError as error:
                raise self._failure(error.code) from error
            for record in answers:
                if record.result not in (0, 2):
                    raise self._failure(record.result)
                found.append(_bins(record) if record.result == 0 else None)
        return found

    def query(
        self, set_name: str, bin_name: str, below_ms: int, *, most: int, condition: Any = None
    ) -> list[Found]:
        """At most about `most` records whose indexed bin is below; in no order."""
        self._refuse_while_away()
        query = self.client.query(self._namespace, self._sets[set_name])
        query.where(predicates.between(bin_name, 0, max(0, below_ms - 1)))
        query.max_records = most
        policy: dict[str, Any] = {"total_timeout": QUERY_MS, "max_retries": 0}
        if condition is not None:
            policy["expressions"] = condition
        try:
            found = query.results(policy)
        except AerospikeError as error:
            raise self._failure(error.code) from error
        self.away = ""
        return [Found(key[3], bins) for key, _, bins in found]

    # -- away -----------------------------------------------------------------------------------------------

    def _refuse_while_away(self) -> None:
        if self._clock() < self._away_until:
            self.refused += 1
            raise NothingSentError("aerospike: no node answers")

    def _failure(self, code: int | None) -> StoreUnavailableError:
        if code is not None and answer_of(code) is Answer.FAILED:
            return StoreUnavailableError(f"aerospike: {in_words(code)}")
        return self._away(in_words(code))

    def _away(self, words: str) -> StoreUnavailableError:
        self._away_until = self._clock() + _AWAY_S
        self.outages += not self.away
        self.away = words
        return StoreUnavailableError(f"aerospike: {words}")


@lru_cache(maxsize=256)
def _policy(ttl: int, exists: int, version: int) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """(meta, policy), shared by many writes: nobody changes them."""
    policy = {"ttl": ttl, "exists": exists}
    return ({"gen": version}, policy | {"gen": aerospike.POLICY_GEN_EQ}) if version else (None, policy)


def _mark_unanswered(batch: BatchRecords) -> None:
    """A batch that timed out leaves records that no node answered with result 0: they are in doubt."""
    if batch.result in (0, -16):
        return
    for record in batch.batch_records:
        if record.result == 0 and record.record is None:
            record.result, record.in_doubt = batch.result, True


def _unsent(record: BatchRecord) -> bool:
    return answer_of(record.result, in_doubt=record.in_doubt) is Answer.UNSENT


def _bins(record: BatchRecord) -> Bins | None:
    return record.record[2] if record.record is not None else None
