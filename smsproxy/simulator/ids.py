"""SMSC ids: one counter, written in the ways SMSCs do, in the response and differently in the receipt.

Called by the intake for every message taken.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Literal

from smsproxy.simulator.script import IdFormat

_FORMATS: dict[IdFormat, Callable[[int], str]] = {
    "decimal": str,
    "padded_decimal": "{:020d}".format,
    "hex": "{:x}".format,
    "hex_upper": "{:X}".format,
    "padded_hex": "{:016x}".format,
    "padded_hex_upper": "{:016X}".format,
    # Begins with zeros for small numbers: gateways that "normalise" ids lose them.
    "uuid": lambda number: str(uuid.UUID(int=number, version=4)),
}
_CLOCK_STEP = 1_000_000


class SmscIds:
    """Gives each message a number and writes it. Never the same twice while the process lives."""

    __slots__ = ("_next",)

    def __init__(self, first_id: int, now: float) -> None:
        """`first_id` 0 starts from the clock (Unix seconds), so a restart goes on above what was given."""
        self._next = first_id or int(now * _CLOCK_STEP)

    def take(self) -> int:
        """The next number."""
        number = self._next
        self._next = number + 1
        return number


def written(number: int, response: IdFormat, receipt: IdFormat | Literal[""]) -> tuple[str, str]:
    """The id of submit_sm_resp and the id of its receipts."""
    first = _FORMATS[response](number)
    return first, _FORMATS[receipt](number) if receipt else first
