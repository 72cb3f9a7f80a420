"""A fake of the Aerospike client's calls that the store makes, with every failure on demand.

It behaves as a real server of release 8.1 was seen to: times to live, generations, conditions, bins of at
most 15 characters, no tuples, integers of 64 bits with sign, batches that never raise but mark each record.
The same contract suite runs on it and on a real cluster, which keeps it honest.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import aerospike
from aerospike import exception
from aerospike_helpers.batch.records import BatchRecord, BatchRecords, Read, Remove, Write
from contract.store.aerospike_exp import UNKNOWN, evaluate

OK, NOT_FOUND, GENERATION, PARAMETER, EXISTS, TIMEOUT, TOO_BIG = 0, 2, 3, 4, 5, 9, 13
FORBIDDEN, BIN_NAME, FILTERED, INDEX_NOT_FOUND = 22, 21, 27, 201
NO_CONNECTION, NO_RESPONSE, BATCH_FAILED = -10, -15, -16
_DEFAULT_TTL_S = 30 * 86_400
_MAX_TTL_S = 10 * 365 * 86_400
_MAX_RECORD = 1 << 20


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one record of a batch."""

    code: int
    applied: bool = False
    in_doubt: bool = False
    later: bool = False
    """It is done when the test calls `land`: the server had it in its ears all the time."""


TIMEOUT_BEFORE = Fault(NO_RESPONSE, in_doubt=True)
"""Nobody answers, and nothing was done."""
TIMEOUT_AFTER = Fault(NO_RESPONSE, applied=True, in_doubt=True)
"""It was done, and the answer is lost."""
TIMEOUT_LATE = Fault(NO_RESPONSE, in_doubt=True, later=True)
GONE = Fault(NO_CONNECTION)

Faults = Callable[[str, BatchRecord], Fault | None]
"""Asked for each record of a batch ("read" or "write"), and once for each query and put (with no record)."""


@dataclass
class _Stored:
    bins: dict[str, Any]
    void_at: float
    generation: int = 1


@dataclass
class FakeServer:
    """A cluster of one namespace. `now` is its clock; `fault` decides what fails."""

    namespace: str = "proxy"
    takes_ttl: bool = True
    now: float = 0.0
    fault: Faults = lambda _kind, _record: None
    records: dict[tuple[str, bytes], _Stored] = field(default_factory=dict)
    indexes: set[tuple[str, str]] = field(default_factory=set)
    calls: list[tuple[str, int]] = field(default_factory=list)
    """(call, records in it), for tests that count."""
    away: bool = False
    """No node answers: every call fails at once."""
    late: list[Callable[[], None]] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def connect(self, config: dict[str, Any]) -> FakeClient:
        assert config["hosts"]
        if self.away:
            raise _raised(NO_CONNECTION)
        return FakeClient(self)

    def land(self) -> int:
        """What was under way all the time is done now; how many writes that were."""
        landing, self.late = self.late, []
        for write in landing:
            write()
        return len(landing)

    def living(self, place: tuple[str, bytes]) -> _Stored | None:
        stored = self.records.get(place)
        return stored if stored is not None and stored.void_at > self.now else None

    def bins_of(self, set_name: str, key: Any) -> dict[str, Any] | None:
        """For tests: a record as it is stored."""
        stored = self.living((set_name, bytes(aerospike.calc_digest(self.namespace, set_name, key))))
        return None if stored is None else stored.bins


class FakeClient:
    """What aerospike.client(...) would be."""

    def __init__(self, server: FakeServer) -> None:
        self._server = server

    def close(self) -> None:
        """Nothing is held."""

    def put(self, key: Any, bins: dict[str, Any], *, policy: dict[str, Any]) -> None:
        self._raise_fault("put")
        server = self._server
        if key[0] != server.namespace:
            raise _raised(20)
        if policy["ttl"] and not server.takes_ttl:
            raise _raised(FORBIDDEN)
        server.records[_place(key)] = _Stored(dict(bins), server.now + policy["ttl"])

    def index_single_value_create(
        self, namespace: str, set_name: str, bin_name: str, kind: int, name: str
    ) -> None:
        assert (namespace, kind) == (self._server.namespace, aerospike.INDEX_NUMERIC)
        assert name
        self._raise_fault("index")
        if (set_name, bin_name) in self._server.indexes:
            raise _raised(200)
        self._server.indexes.add((set_name, bin_name))

    def query(self, namespace: str, set_name: str) -> FakeQuery:
        assert namespace == self._server.namespace
        return FakeQuery(self, self._server, set_name)

    def batch_read(self, keys: list[Any], *, policy: dict[str, Any]) -> BatchRecords:
        assert policy["total_timeout"]
        records = BatchRecords([Read(key, None, read_all_bins=True) for key in keys])
        return self._batch("read", records, self._read)

    def batch_write(self, records: BatchRecords, policy: dict[str, Any]) -> BatchRecords:
        assert policy["max_retries"] == 0
        return self._batch("write", records, self._write)

    def _batch(self, kind: str, batch: BatchRecords, run: Callable[[BatchRecord], None]) -> BatchRecords:
        server = self._server
        server.calls.append((kind, len(batch.batch_records)))
        assert len({_place(one.key) for one in batch.batch_records}) == len(batch.batch_records)
        with server.lock:
            for record in batch.batch_records:
                fault = GONE if server.away else server.fault(kind, record)
                if fault is None or fault.applied:
                    run(record)
                elif fault.later:
                    server.late.append(partial(run, record))
                if fault is not None:
                    record.result, record.in_doubt, record.record = fault.code, fault.in_doubt, None
        results = {record.result for record in batch.batch_records}
        silent = results & {NO_RESPONSE, NO_CONNECTION}
        batch.result = (NO_CONNECTION if server.away else TIMEOUT) if silent else OK
        if not silent and results - {OK, NOT_FOUND, FILTERED}:
            batch.result = BATCH_FAILED
        return batch

    def _raise_fault(self, kind: str) -> None:
        fault = GONE if self._server.away else self._server.fault(kind, None)
        if fault is not None:
            raise _raised(fault.code)

    def _read(self, record: BatchRecord) -> None:
        stored = self._server.living(_place(record.key))
        record.result = OK if stored else NOT_FOUND
        if stored:
            record.record = (record.key, {"gen": stored.generation}, dict(stored.bins))

    def _write(self, record: Any) -> None:
        server, policy, place = self._server, record.policy or {}, _place(record.key)
        stored = server.living(place)
        record.result = self._refusal(record, stored, policy)
        if record.result:
            return
        if isinstance(record, Remove):
            del server.records[place]
            record.record = (record.key, {}, {})
            return
        replaced = policy["exists"] in (
            aerospike.POLICY_EXISTS_REPLACE,
            aerospike.POLICY_EXISTS_CREATE_OR_REPLACE,
        )
        bins = {} if stored is None or replaced else dict(stored.bins)
        answered: dict[str, Any] = {}
        if replaced and any(operation["op"] == aerospike.OP_MAP_PUT for operation in record.ops):
            record.result = PARAMETER
            return
        for operation in record.ops:
            record.result = _operate(operation, bins, answered) or record.result
        if record.result:
            return
        self._store(place, stored, bins, policy["ttl"])
        record.record = (record.key, {}, answered)

    def _refusal(self, record: BatchRecord, stored: _Stored | None, policy: dict[str, Any]) -> int:
        condition = policy.get("expressions")
        if stored is not None and condition and evaluate(condition, stored.bins) is not True:
            return FILTERED
        exists = policy.get("exists", aerospike.POLICY_EXISTS_UPDATE)
        must_exist = (aerospike.POLICY_EXISTS_UPDATE, aerospike.POLICY_EXISTS_REPLACE)
        if stored is None and (exists in must_exist or isinstance(record, Remove)):
            return NOT_FOUND
        if stored is not None and exists == aerospike.POLICY_EXISTS_CREATE:
            return EXISTS
        if stored is not None and policy.get("gen") == aerospike.POLICY_GEN_EQ:
            assert isinstance(record, Write)
            if record.meta["gen"] != stored.generation:
                return GENERATION
        ttl = policy.get("ttl", 0)
        if ttl not in (0, aerospike.TTL_DONT_UPDATE) and not self._server.takes_ttl:
            return FORBIDDEN
        return PARAMETER if _MAX_TTL_S < ttl < aerospike.TTL_DONT_UPDATE else OK

    def _store(
        self, place: tuple[str, bytes], stored: _Stored | None, bins: dict[str, Any], ttl: int
    ) -> None:
        server = self._server
        if not bins:  # a record without bins is none
            server.records.pop(place, None)
            return
        if ttl == aerospike.TTL_DONT_UPDATE and stored is not None:
            void_at = stored.void_at
        else:
            void_at = server.now + (_DEFAULT_TTL_S if ttl in (0, aerospike.TTL_DONT_UPDATE) else ttl)
        generation = 1 if stored is None else stored.generation + 1
        server.records[place] = _Stored(bins, void_at, generation)


class FakeQuery:
    """A query of a secondary index: a range of one numeric bin."""

    def __init__(self, client: FakeClient, server: FakeServer, set_name: str) -> None:
        self._client, self._server, self._set = client, server, set_name
        self._where: tuple[str, int, int] = ("", 0, 0)
        self.max_records = 0

    def where(self, predicate: tuple[Any, ...]) -> None:
        *_, bin_name, low, high = [one for one in predicate if one is not None][:5]
        self._where = (bin_name, low, high)

    def results(self, policy: dict[str, Any] | None = None) -> list[Any]:
        self._client._raise_fault("query")
        bin_name, low, high = self._where
        if (self._set, bin_name) not in self._server.indexes:
            raise _raised(INDEX_NOT_FOUND)
        condition = (policy or {}).get("expressions")
        found = []
        with self._server.lock:
            for (set_name, digest), stored in self._server.records.items():
                value = stored.bins.get(bin_name)
                if set_name != self._set or value is None or not low <= value <= high:
                    continue
                if stored.void_at <= self._server.now:
                    continue
                if condition is None or evaluate(condition, stored.bins) is True:
                    key = (self._server.namespace, set_name, None, bytearray(digest))
                    found.append((key, {}, dict(stored.bins)))
        return found[: self.max_records or None]


def _operate(operation: dict[str, Any], bins: dict[str, Any], answered: dict[str, Any]) -> int:
    """Run one operation on the bins; returns a result code."""
    name = operation["bin"]
    if len(name) > 15:
        return BIN_NAME
    answered.setdefault(name, None)
    match operation["op"]:
        case aerospike.OPERATOR_READ:
            answered[name] = bins.get(name)
        case aerospike.OPERATOR_WRITE:
            return _put(bins, name, operation["val"])
        case aerospike.OP_MAP_PUT:
            return _put(bins, name, {**bins.get(name, {}), operation["key"]: operation["val"]})
        case aerospike.OP_MAP_REMOVE_BY_KEY:
            if name in bins:
                bins[name] = {key: one for key, one in bins[name].items() if key != operation["key"]}
        case aerospike.OP_EXPR_READ:
            value = evaluate(operation["expr"], bins)
            answered[name] = None if value is UNKNOWN else value
        case aerospike.OP_EXPR_WRITE:
            value = evaluate(operation["expr"], bins)
            if value is not UNKNOWN:
                return _put(bins, name, value)
        case unknown:
            raise AssertionError(f"the fake does not know operation {unknown}")
    return OK


def _put(bins: dict[str, Any], name: str, value: Any) -> int:
    """Values are never changed in place, so records share them. No tuples, no enums, integers of 64 bits."""
    if value is None or isinstance(value, aerospike.null):
        bins.pop(name, None)
        return OK
    for one in _leaves(value):
        assert type(one) in (int, float, str, bytes, bytearray), type(one)
        assert not isinstance(one, int) or -(1 << 63) <= one < 1 << 63
        if isinstance(one, str) and len(one) > _MAX_RECORD:
            return TOO_BIG
    bins[name] = value
    return OK


def _leaves(value: Any) -> Iterator[Any]:
    if type(value) is dict:
        for key, inner in value.items():
            yield key
            yield from _leaves(inner)
    elif type(value) is list:
        for inner in value:
            yield from _leaves(inner)
    else:
        yield value


def _place(key: Any) -> tuple[str, bytes]:
    digest = key[3] if len(key) == 4 else aerospike.calc_digest(*key)
    return key[1], bytes(digest)


def _raised(code: int) -> exception.AerospikeError:
    kinds = {
        NO_CONNECTION: exception.ConnectionError,
        TIMEOUT: exception.TimeoutError,
        200: exception.IndexFoundError,
        INDEX_NOT_FOUND: exception.IndexNotFound,
    }
    error = kinds.get(code, exception.ServerError)(f"fake error {code}")
    error.code = code
    return error
