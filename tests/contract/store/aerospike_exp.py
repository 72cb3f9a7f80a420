"""Compiled filter expressions of the Aerospike client, worked out on a dictionary of bins: for the fake.

The client compiles an expression to a list in prefix order of (code, result type, fixed values, number of
children). Only what the store uses is known here; anything else raises.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import aerospike
from aerospike_helpers.expressions.resources import _ExprOp as Code

UNKNOWN = object()
"""A missing bin or key, or exp.Unknown(): as a condition it does not hold, as a value nothing is written."""
_END = object()
_COMPARE: dict[int, Callable[[Any, Any], bool]] = {
    Code.EQ: operator.eq,
    Code.NE: operator.ne,
    Code.GE: operator.ge,
    Code.LT: operator.lt,
}


def evaluate(compiled: list[Any], bins: Mapping[str, Any]) -> Any:
    return _value(iter(compiled), bins)


def _value(code: Iterator[Any], bins: Mapping[str, Any]) -> Any:
    op, _, fixed, children = next(code)
    values = [_value(code, bins) for _ in range(children)]
    if values and values[-1] is _END:
        values.pop()
    match op:
        case Code._AS_EXP_CODE_END_OF_VA_ARGS:
            return _END
        case Code.VAL | Code._AS_EXP_CODE_AS_VAL:
            return fixed["val"]
        case Code.BIN:
            return bins.get(fixed["bin"], UNKNOWN)
        case Code.BIN_EXISTS:
            return fixed["bin"] in bins
        case Code.UNKNOWN:
            return UNKNOWN
        case Code.AND | Code.OR:
            return _trilean(op, values)
        case Code.COND:
            return _first_true(values)
    return UNKNOWN if UNKNOWN in values else _of_known(op, values)


def _trilean(op: int, values: list[Any]) -> Any:
    """As the server does it: an unknown counts only where no known one decides; one alone is refused."""
    assert len(values) > 1
    decides = op == Code.OR
    if decides in values:
        return decides
    return UNKNOWN if UNKNOWN in values else not decides


def _first_true(values: list[Any]) -> Any:
    *pairs, otherwise = values
    for test, value in zip(pairs[::2], pairs[1::2], strict=True):
        if test is UNKNOWN:
            return UNKNOWN
        if test:
            return value
    return otherwise


def _of_known(op: int, values: list[Any]) -> Any:
    if op in _COMPARE:
        left, right = values
        assert type(left) is type(right)
        return _COMPARE[op](left, right)
    if op == Code.NOT:
        return not values[0]
    if op == aerospike.OP_MAP_SIZE:
        return len(values[0])
    assert op == aerospike.OP_MAP_GET_BY_KEY
    key, of = values
    return of.get(key, UNKNOWN)
