"""Cutting a batch into rounds in which no record comes twice. Pure.

A server works on a batch's records at the same time and in any order. What must happen in order (two results
of one message, one SMSC id given to two messages) goes into rounds that follow one another. Used by the
intents, results and receipts of the Aerospike store, for every batch; most have no record twice.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable
from itertools import chain
from typing import TypeVar

T = TypeVar("T")


def rounds(
    items: Iterable[T],
    records: Callable[[T], Collection[Hashable]],
    *distinct: Callable[[T], Hashable],
) -> list[list[T]]:
    """`records` names what an item touches, each once. Items that share one keep their order; the rest go
    early. `distinct` tells more cheaply that none is shared: no two items have one of these in common."""
    items = list(items)
    if distinct and all(len(set(map(one, items))) == len(items) for one in distinct):
        return [items] if items else []
    touched = [records(item) for item in items]
    if len(set(chain.from_iterable(touched))) == sum(map(len, touched)):
        return [items] if items else []
    cut: list[list[T]] = []
    last: dict[Hashable, int] = {}
    for item, its in zip(items, touched, strict=True):
        number = max((last[one] + 1 for one in its if one in last), default=0)
        last.update(dict.fromkeys(its, number))
        if number == len(cut):
            cut.append([])
        cut[number].append(item)
    return cut
