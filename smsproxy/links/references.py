"""Concatenation references: what a handset joins the segments of one message by (3GPP TS 23.040 §9.2.3.24.1).

A handset knows the sender and the reference, not the link: so they are counted per destination, for all links
of the process together. Two links of one account, or two operators that reach the same phone under one
sender, never give it the same reference one after the other. Built by the supervisor, shared by its links.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Callable

REFERENCES_MAX = 32_768
"""Destinations whose last reference is remembered, about 6 MB; the one unused longest is forgotten."""


class References:
    """The last reference given to each destination."""

    __slots__ = ("_last", "_randomly")

    def __init__(self, randomly: Callable[[], float] = random.random) -> None:
        self._randomly = randomly
        self._last: OrderedDict[str, int] = OrderedDict()

    def __repr__(self) -> str:
        return f"<References destinations={len(self._last)}>"

    def draw(self, digits: str) -> int:
        """1 to 65535 and round again, per destination: two long texts to one phone never share it.

        A destination's first one is random, so that instances and restarts do not all begin with 1.
        """
        last = self._last.pop(digits, None)
        reference = (int(self._randomly() * 0xFFFF) if last is None else last % 0xFFFF) + 1
        self._last[digits] = reference
        if len(self._last) > REFERENCES_MAX:
            self._last.popitem(last=False)
        return reference
