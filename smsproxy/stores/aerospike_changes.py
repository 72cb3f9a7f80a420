"""Every write of the Aerospike store: an operation list and the condition under which the server runs it.

The condition (a filter expression) is tested and the operations run under the record's lock, so states move
forward only without a record ever being read, changed and written back. A change whose condition does not
hold is answered FILTERED and leaves the record alone. Used by the intents, results and receipts of the store.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aerospike
from aerospike_helpers import expressions as exp
from aerospike_helpers.operations import expression_operations as exp_ops
from aerospike_helpers.operations import map_operations as map_ops
from aerospike_helpers.operations import operations as ops

from smsproxy.domain.record import AWAITS_RECEIPT, AWAITS_RESULT, SegmentState
from smsproxy.stores.aerospike_records import (
    MESSAGES,
    TOMBSTONE_S,
    Bins,
    Life,
    Owner,
    milliseconds,
)
from smsproxy.stores.base import Intent, SegmentResult
from smsproxy.stores.parking import Parked

KEEP_TTL = aerospike.TTL_DONT_UPDATE
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


# -- conditions --------------------------------------------------------------------------------------------


def _is_live(generation: int, now: float) -> list[Any]:
    """Not withdrawn (no `expires`), not lapsed, and not taken over."""
    return [exp.Eq(exp.IntBin("gen"), generation), exp.GE(exp.IntBin("expires"), milliseconds(now))]


def _is_dead(now: float) -> list[Any]:
    return [exp.Not(exp.BinExists("expires")), exp.LT(exp.IntBin("expires"), milliseconds(now))]


def _in_map(bin_name: str, segment_no: int, kind: int) -> Any:
    return exp.MapGetByKey(None, aerospike.MAP_RETURN_VALUE, kind, segment_no, exp.MapBin(bin_name))


def _state_among(segment_no: int, states: frozenset[SegmentState]) -> Any:
    state = _in_map("st", segment_no, exp.ResultType.INTEGER)
    tests = [exp.Eq(state, int(one)) for one in sorted(states)]
    return exp.Or(*tests) if len(tests) > 1 else tests[0]  # the server refuses an Or of one


# -- intents -----------------------------------------------------------------------------------------------


def creation(bins: dict[str, Any], ttl: int, *, over: Any = None) -> Change:
    """Create-only; with `over` also in place of a record for which that condition holds."""
    generation, boot = bins["gen"], bins["boot"]
    return Change(
        MESSAGES,
        bins["mid"],
        [ops.write(name, value) for name, value in bins.items()],
        lambda found: found is not None and found.get("gen") == generation and found.get("boot") == boot,
        condition=over,
        ttl=ttl,
        exists=aerospike.POLICY_EXISTS_CREATE if over is None else aerospike.POLICY_EXISTS_CREATE_OR_REPLACE,
    )


def over_dead(now: float) -> Any:
    return exp.Or(*_is_dead(now)).compile()


def over_generation(generation: int, now: float) -> Any:
    """Compare-and-set: whoever finds the refused record's handle takes it over."""
    return exp.Or(*_is_dead(now), exp.Eq(exp.IntBin("gen"), generation)).compile()


def withdrawal(intent: Intent, now: float) -> Change:
    """A tombstone for a minute, not a removal, which a restarted server could undo."""
    live = exp.And(*_is_live(intent.generation, now))
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


def result(one: SegmentResult, now: float, *, only_first: bool = False) -> Change:
    """The end of a segment. One with a receipt key stays `open` until the key is claimed: see `closing`."""
    intent, number, state, smsc_id, key, reason, at = one
    puts = {"st": int(state), "ids": smsc_id, "keys": key, "why": reason, "upd": float(at)}
    operations = [map_ops.map_put(name, number, value) for name, value in puts.items()]
    if key:
        operations += [
            map_ops.map_put("wait", number, 1),
            ops.write("open", milliseconds(intent.created_at)),
        ]
    else:
        operations += _close(number)
    awaited = frozenset({SegmentState.SUBMITTING}) if only_first else AWAITS_RESULT
    return Change(
        MESSAGES,
        bytearray(intent.message_id),
        operations,
        lambda found: (
            found is not None
            and found.get("gen") == intent.generation
            and all(found[name].get(number) == value for name, value in puts.items())
        ),
        condition=exp.And(*_is_live(intent.generation, now), _state_among(number, awaited)).compile(),
    )


def closing(message_id: bytes, generation: int, segment_no: int) -> Change:
    """The segment's result and its key are dealt with: nothing of it is left for a later life to look at."""
    return Change(
        MESSAGES,
        bytearray(message_id),
        _close(segment_no),
        lambda found: found is None or segment_no not in found.get("wait", {}),
        condition=exp.Eq(exp.IntBin("gen"), generation).compile(),
    )


def _close(segment_no: int) -> list[Any]:
    return [map_ops.map_remove_by_key("wait", segment_no, aerospike.MAP_RETURN_NONE), _SHUT_IF_NOTHING_WAITS]


def receipt(owner: Owner, receipt_key: str, said: Parked, now: float) -> Change:
    """What a receipt says, to the segment that goes by its key and awaits one."""
    number = owner.segment_no
    puts = {"st": int(said.state), "why": said.reason, "upd": float(said.at)}
    condition = exp.And(
        *_is_live(owner.generation, now),
        _state_among(number, AWAITS_RECEIPT),
        exp.Eq(_in_map("keys", number, exp.ResultType.STRING), receipt_key),
    )
    return Change(
        MESSAGES,
        bytearray(owner.message_id),
        [map_ops.map_put(name, number, value) for name, value in puts.items()],
        lambda found: (
            found is not None
            and found.get("gen") == owner.generation
            and all(found[name].get(number) == value for name, value in puts.items())
        ),
        condition=condition.compile(),
    )
