"""Every write of the Aerospike store: an operation list and the condition under which the server runs it.

The condition (a filter expression) is tested and the operations run under the record's lock, so states move
forward only without a record ever being read, changed and written back. A change whose condition does not
hold is answered FILTERED and leaves the record alone. Used by the intents, results and receipts of the store.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import aerospike
from aerospike_helpers import expressions as exp
from aerospike_helpers.operations import expression_operations as exp_ops
from aerospike_helpers.operations import map_operations as map_ops
from aerospike_helpers.operations import operations as ops

from smsproxy.domain.receipt import Receipt
from smsproxy.domain.record import AWAITS_RECEIPT, AWAITS_RESULT, SegmentState
from smsproxy.stores.aerospike_recent import CREATED, RESULT_STORED
from smsproxy.stores.aerospike_records import (
    MESSAGES,
    TOMBSTONE_S,
    Bins,
    Life,
    Owner,
    milliseconds,
    said,
)
from smsproxy.stores.base import Intent, SegmentResult
from smsproxy.stores.parking import Parked

KEEP_TTL = aerospike.TTL_DONT_UPDATE
_OPERATOR_WRITE = aerospike.OPERATOR_WRITE
_MAP_PUT = aerospike.OP_MAP_PUT
_DELETE_BIN = aerospike.EXP_WRITE_ALLOW_DELETE | aerospike.EXP_WRITE_EVAL_NO_FAIL
_NOTHING_WAITS = exp.Eq(exp.MapSize(None, exp.MapBin("wait")), 0)
# Compiling an expression costs more than sending it: what is the same each time is compiled once.
_SHUT_IF_NOTHING_WAITS = exp_ops.expression_write(
    "open", exp.Cond(_NOTHING_WAITS, exp.Val(None), exp.Unknown()).compile(), _DELETE_BIN
)


@dataclass(slots=True)
class Change:
    """One write of one record."""

    set_name: str
    key: Any
    """The user key, or a digest (bytearray of 20) with `by_digest`."""
    operations: list[Any]
    """Empty: the record is removed."""
    landed: Callable[[Bins | None], bool]
    """Whether the record, read back, shows that this write was done: for writes in doubt."""
    condition: Any = None
    ttl: int = KEEP_TTL
    exists: int = aerospike.POLICY_EXISTS_UPDATE
    by_digest: bool = False
    version: int = 0
    """How often the record must have been written by now (aerospike_recent.py); 0: however often."""
    reads: bool = False
    """Whether its operations read something that the caller wants."""


# -- conditions --------------------------------------------------------------------------------------------


def _is_live(generation: int, now_ms: int) -> list[Any]:
    """Not withdrawn (no `expires`), not lapsed, and not taken over."""
    return [exp.Eq(exp.IntBin("gen"), generation), exp.GE(exp.IntBin("expires"), now_ms)]


def _is_dead(now: float) -> list[Any]:
    return [exp.Not(exp.BinExists("expires")), exp.LT(exp.IntBin("expires"), milliseconds(now))]


def _in_map(bin_name: str, segment_no: int, kind: int) -> Any:
    return exp.MapGetByKey(None, aerospike.MAP_RETURN_VALUE, kind, segment_no, exp.MapBin(bin_name))


def _state_among(segment_no: int, states: frozenset[SegmentState]) -> Any:
    state = _in_map("st", segment_no, exp.ResultType.INTEGER)
    tests = [exp.Eq(state, int(one)) for one in sorted(states)]
    return exp.Or(*tests) if len(tests) > 1 else tests[0]  # the server refuses an Or of one


class _Form:
    """A condition compiled once, with places for what differs from write to write.

    Compiling costs more than sending. `build` gets a mark for each place, of the type that will stand there.
    """

    def __init__(self, build: Callable[..., Any], *kinds: type) -> None:
        marks = [_mark(kind, place) for place, kind in enumerate(kinds)]
        self._code: list[Any] = build(*marks).compile()
        self._places = [
            (index, marks.index(value))
            for index, (_, _, fixed, _) in enumerate(self._code)
            if (value := (fixed or {}).get("val")) in marks
        ]

    def __call__(self, *values: object) -> list[Any]:
        code = self._code.copy()
        for index, place in self._places:
            operation, kind, _, children = code[index]
            code[index] = operation, kind, {"val": values[place]}, children
        return code


def _mark(kind: type, place: int) -> int | str:
    return f"\0place {place}" if kind is str else -(1 << 60) - place


# -- intents -----------------------------------------------------------------------------------------------


def creation(message_id: bytes, bins: dict[str, Any], ttl: int, *, over: Any = None) -> Change:
    """Create-only; with `over` also in place of a record for which that condition holds."""
    operations = [_write(name, value) for name, value in bins.items()]
    change = _new_record(message_id, operations, bins["gen"], bins["boot"], ttl)
    if over is not None:
        change.condition, change.exists = over, aerospike.POLICY_EXISTS_CREATE_OR_REPLACE
    return change


class Alike(NamedTuple):
    """What creations of one moment have in common: messages of one segment, of one life."""

    operations: list[dict[str, Any]]
    boot: str
    ttl: int


def alike(bins: dict[str, Any], ttl: int) -> Alike:
    """`bins`: of any of them. Its map of one entry is put by that entry, at a fifth of the cost."""
    common = [_write(name, value) for name, value in bins.items() if name not in ("gen", "what", "st")]
    return Alike([*common, _put("st", *next(iter(bins["st"].items())))], bins["boot"], ttl)


def first_creation(message_id: bytes, generation: int, what: bytes, same: Alike) -> Change:
    """Create-only, of one of those that are alike."""
    operations = [_write("gen", generation), _write("what", what), *same.operations]
    return _new_record(message_id, operations, generation, same.boot, same.ttl)


def _new_record(message_id: bytes, operations: list[Any], generation: int, boot: str, ttl: int) -> Change:
    return Change(
        MESSAGES,
        bytearray(message_id),
        operations,
        lambda found: found is not None and found.get("gen") == generation and found.get("boot") == boot,
        ttl=ttl,
        exists=aerospike.POLICY_EXISTS_CREATE,
    )


def _write(bin_name: str, value: Any) -> dict[str, Any]:
    return {"op": _OPERATOR_WRITE, "bin": bin_name, "val": value}


def _put(bin_name: str, segment_no: int, value: Any) -> dict[str, Any]:
    """Of the library's own making such a dict costs three times as much."""
    return {"op": _MAP_PUT, "bin": bin_name, "key": segment_no, "val": value}


def over_dead(now: float) -> Any:
    return exp.Or(*_is_dead(now)).compile()


def over_generation(generation: int, now: float) -> Any:
    """Compare-and-set: whoever finds the refused record's handle takes it over."""
    return exp.Or(*_is_dead(now), exp.Eq(exp.IntBin("gen"), generation)).compile()


def withdrawal(intent: Intent, now: float) -> Change:
    """A tombstone for a minute, not a removal, which a restarted server could undo."""
    live = exp.And(*_is_live(intent.generation, milliseconds(now)))
    return _tombstone(intent.message_id, intent.generation, live, aerospike.POLICY_EXISTS_REPLACE)


def undoing(message_id: bytes, generation: int) -> Change:
    """Block a creation in doubt, whether it has landed, will land later, or never was."""
    ours = exp.Eq(exp.IntBin("gen"), generation)
    return _tombstone(message_id, generation, ours, aerospike.POLICY_EXISTS_CREATE_OR_REPLACE)


def _tombstone(message_id: bytes, generation: int, condition: Any, exists: int) -> Change:
    return Change(
        MESSAGES,
        bytearray(message_id),
        [ops.write("gen", generation)],
        lambda found: found is not None and found.get("gen") == generation and "expires" not in found,
        condition=condition.compile(),
        ttl=TOMBSTONE_S,
        exists=exists,
    )


def removal(digest: bytearray, now: float) -> Change:
    """Retention: a message past its time goes, unless it was taken over since it was looked up."""
    dead = exp.LT(exp.IntBin("expires"), milliseconds(now))
    return Change(MESSAGES, digest, [], lambda found: found is None, condition=dead.compile(), by_digest=True)


def left_open(life: Life, older_than: float, now: float) -> Any:
    """Which of the messages in the index `open` nobody is at work on any more."""
    earlier = exp.And(exp.Eq(exp.StrBin("instance"), life.instance), exp.NE(exp.StrBin("boot"), life.boot))
    abandoned = exp.LT(exp.IntBin("open"), milliseconds(older_than))
    live = exp.GE(exp.IntBin("expires"), milliseconds(now))
    return exp.And(live, exp.Or(earlier, abandoned)).compile()


# -- results and receipts ----------------------------------------------------------------------------------

_AWAITS_RESULT = _Form(
    lambda generation, now, number: exp.And(
        *_is_live(generation, now), _state_among(number, AWAITS_RESULT)
    ),
    int, int, int,
)  # fmt: skip
_IS_NEW = _Form(
    lambda generation, now, number: exp.And(
        *_is_live(generation, now), _state_among(number, frozenset({SegmentState.SUBMITTING}))
    ),
    int, int, int,
)  # fmt: skip
_AWAITS_RECEIPT = _Form(
    lambda generation, now, number, key: exp.And(
        *_is_live(generation, now),
        _state_among(number, AWAITS_RECEIPT),
        exp.Eq(_in_map("keys", number, exp.ResultType.STRING), key),
    ),
    int, int, int, str,
)  # fmt: skip
_HAS_HANDLE = _Form(lambda generation: exp.Eq(exp.IntBin("gen"), generation), int)
_OPEN_NO_MORE = [_write("open", aerospike.null())]


def result(one: SegmentResult, now: float, *, only_first: bool = False) -> Change:
    """The end of a segment. One with a receipt key stays `open` until the key is claimed: see `closing`."""
    intent, number, state, smsc_id, key, reason, at = one
    puts = [*_telling(number, state, reason, at), _put("ids", number, smsc_id), _put("keys", number, key)]
    form = _IS_NEW if only_first else _AWAITS_RESULT
    change = _segment_change(intent.message_id, intent.generation, number, puts)
    change.operations = puts + (_wait_for_key(intent, number) if key else _close(number, intent.segments))
    change.condition = form(intent.generation, milliseconds(now), number)
    return change


def first_result(one: SegmentResult, told: Receipt | None = None) -> Change:
    """The same for the only segment of a message that nobody has touched since we created it.

    With what its final receipt `told`, in the same write; then nothing of it is left to do but the key.
    """
    intent, number, state, smsc_id, key, reason, at = one
    if told is not None:
        _, _, state, reason, at = told
    puts = [*_telling(number, state, reason, at)]
    if key:
        puts.append(_put("keys", number, key))
    if smsc_id != key:
        puts.append(_put("ids", number, smsc_id))
    change = _segment_change(intent.message_id, intent.generation, number, puts)
    change.version = CREATED
    if told is not None or not key:
        change.operations = puts + _OPEN_NO_MORE
    return change


def closing(message_id: bytes, generation: int, segment_no: int, segments: int) -> Change:
    """The segment's result and its key are dealt with: nothing of it is left for a later life to look at."""
    return Change(
        MESSAGES,
        bytearray(message_id),
        _close(segment_no, segments),
        lambda found: (
            found is None
            or found.get("gen") != generation
            or "open" not in found
            or segment_no not in found.get("wait", {segment_no})
        ),
        condition=_HAS_HANDLE(generation),
    )


def touching(owner: Owner) -> Change:
    """Nothing but another version, for a `first_receipt` from memory to fail by."""
    generation = owner.generation
    return Change(
        MESSAGES,
        bytearray(owner.message_id),
        [_write("gen", generation)],
        lambda _found: False,
        condition=_HAS_HANDLE(generation),
    )


def _wait_for_key(intent: Intent, segment_no: int) -> list[Any]:
    opened = _write("open", milliseconds(intent.created_at))
    return [opened] if intent.segments == 1 else [_put("wait", segment_no, 1), opened]


def _close(segment_no: int, segments: int) -> list[Any]:
    if segments == 1:
        return [*_OPEN_NO_MORE]
    return [map_ops.map_remove_by_key("wait", segment_no, aerospike.MAP_RETURN_NONE), _SHUT_IF_NOTHING_WAITS]


def receipt(owner: Owner, receipt_key: str, told: Parked, now: float) -> Change:
    """What a receipt says, to the segment that goes by its key and awaits one."""
    change = _told(owner, told)
    change.condition = _AWAITS_RECEIPT(owner.generation, milliseconds(now), owner.segment_no, receipt_key)
    return change


def first_receipt(message_id: bytes, generation: int, told: Parked) -> Change:
    """The same for a message that nobody has touched since our `first_result`; closes it in passing."""
    change = _told(Owner(message_id, generation, 1, 0), told)
    change.version = RESULT_STORED
    change.operations = change.operations + _OPEN_NO_MORE
    return change


def _told(owner: Owner, told: Parked) -> Change:
    puts = [*_telling(owner.segment_no, *told)]
    return _segment_change(owner.message_id, owner.generation, owner.segment_no, puts)


@lru_cache(maxsize=64)
def _telling(segment_no: int, state: SegmentState, reason: str, at: float) -> tuple[dict[str, Any], ...]:
    """What a segment's end or receipt said. Those that came in one read mostly said the same, and nobody
    changes an operation."""
    return _put("st", segment_no, int(state)), _put("said", segment_no, said(reason, at))


def _segment_change(
    message_id: bytes, generation: int, segment_no: int, puts: list[dict[str, Any]]
) -> Change:
    return Change(
        MESSAGES,
        bytearray(message_id),
        puts,
        lambda found: (
            found is not None
            and found.get("gen") == generation
            and all(found.get(put["bin"], {}).get(segment_no) == put["val"] for put in puts)
        ),
    )
