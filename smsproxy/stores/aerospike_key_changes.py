"""The writes of key records: whose a receipt key is, and the receipt that waits there for an owner.

Like `aerospike_changes.py`: an operation list and the condition under which the server runs it. Used by the
results (claims) and receipts (parking) of the Aerospike store.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import aerospike
from aerospike_helpers import expressions as exp
from aerospike_helpers.operations import expression_operations as exp_ops
from aerospike_helpers.operations import operations as ops

from smsproxy.stores.aerospike_changes import Change
from smsproxy.stores.aerospike_records import KEYS, Bins, Owner, key_name, milliseconds, segment_named
from smsproxy.stores.base import SegmentResult
from smsproxy.stores.parking import PARKING_S, Parked

_OPERATOR_WRITE = aerospike.OPERATOR_WRITE
_PARK_BINS = ("park", "ticket", "parked", "parked_by", "name")
_OWNER_BINS = ("owner", "claim")
_WHOSE_IT_WAS = exp_ops.expression_read(
    "was", exp.BlobBin("owner").compile(), aerospike.EXP_READ_EVAL_NO_FAIL
)

UNCLAIMED = exp.Not(exp.BinExists("claim")).compile()
"""Compiled once, for receipts that came before their results."""


def first_claim(name: str, owner: Owner, ttl: int) -> Change:
    """The key is this segment's, if nobody had it and nothing waits there: then there is no record yet."""
    return Change(
        KEYS,
        name,
        _owned_by(owner),
        lambda found: found is not None and found.get("claim") == owner.claim,
        ttl=ttl,
        exists=aerospike.POLICY_EXISTS_CREATE,
    )


def claim(name: str, owner: Owner, ttl: int, condition: Any) -> Change:
    """The key is this segment's from now on. Answers whose it was, and the receipt that waits there."""
    return Change(
        KEYS,
        name,
        [_WHOSE_IT_WAS, *_owned_by(owner), ops.read("park"), ops.read("ticket")],
        lambda found: found is not None and found.get("claim") == owner.claim,
        condition=condition,
        ttl=ttl,
        exists=aerospike.POLICY_EXISTS_IGNORE,
        reads=True,
    )


def _owned_by(owner: Owner) -> list[Any]:
    return [
        {"op": _OPERATOR_WRITE, "bin": "owner", "val": segment_named(owner)},
        {"op": _OPERATOR_WRITE, "bin": "claim", "val": owner.claim},
    ]


def free_for(owner: Owner) -> Any:
    """Nobody's, or this segment's already: an earlier life claimed it and went no further."""
    own = exp.Eq(exp.BlobBin("owner"), segment_named(owner))
    return exp.Or(exp.Not(exp.BinExists("claim")), own).compile()


def still_claimed_as(seen: Bins | None) -> Any:
    """By whom it was `seen` with, or by nobody still."""
    return _same("claim", (seen or {}).get("claim")).compile()


def parking(name: str, said: Parked, ticket: int, instance: str, seen: Bins | None) -> Change:
    """Keep a receipt that has no message yet, if the key still is as it was `seen`; a stale owner goes."""
    seen = seen or {}
    condition = exp.And(_same("claim", seen.get("claim")), _same("ticket", seen.get("ticket")))
    new = {
        "park": [int(said.state), said.reason, float(said.at)],
        "ticket": ticket,
        "parked": milliseconds(said.at),
        "parked_by": instance,
        "name": name,
    }
    gone = [bin_name for bin_name in _OWNER_BINS if bin_name in seen]
    return Change(
        KEYS,
        name,
        [ops.write(bin_name, value) for bin_name, value in new.items()] + _drop(gone),
        lambda found: found is not None and found.get("ticket") == ticket,
        condition=condition.compile(),
        ttl=int(PARKING_S),
        exists=aerospike.POLICY_EXISTS_IGNORE,
    )


def _same(bin_name: str, value: int | None) -> Any:
    return exp.Not(exp.BinExists(bin_name)) if value is None else exp.Eq(exp.IntBin(bin_name), value)


def unparking(name: Any, *, ticket: int = 0, by: str = "", by_digest: bool = False) -> Change:
    """The receipt has its message, lapsed (`ticket` names it) or makes room (`by` names its instance)."""
    ours = exp.Eq(exp.IntBin("ticket"), ticket) if ticket else exp.Eq(exp.StrBin("parked_by"), by)
    return Change(
        KEYS,
        name,
        _drop(_PARK_BINS),
        lambda found: found is None or "ticket" not in found,
        condition=ours.compile(),
        by_digest=by_digest,
    )


def _drop(bin_names: Iterable[str]) -> list[Any]:
    return [ops.write(bin_name, aerospike.null()) for bin_name in bin_names]


def name_of(one: SegmentResult) -> str:
    return key_name(one.intent.account, one.receipt_key)
