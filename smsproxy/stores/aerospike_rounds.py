"""Cutting a batch into rounds in which no record comes twice. Pure.

A server works on a batch's records at the same time and in any order. What must happen in order (two results
of one message, one SMSC id given to two messages) goes into rounds that follow one another.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

T = TypeVar("T")


def rounds(items: Iterable[T], records: Callable[[T], Iterable[Hashable]]) -> list[list[T]]:
    """`records` names what an item touches. Items that share one keep their order; the rest go early."""
    cut: list[list[T]] = []
    last: dict[Hashable, int] = {}
    for item in items:
        touched = list(records(item))
        number = max((last[one] + 1 for one in touched if one in last), default=0)
        last.update(dict.fromkeys(touched, number))
        if number == len(cut):
            cut.append([])
        cut[number].append(item)
    return cut
