"""Special destinations for people who try the gateway by hand against `smsproxy smsc`.

In force when `Script.hints` is set, after the script's own rules. `HINTS` is data so that the command's help
can print it. Called by the planner and by the command line.
"""

from __future__ import annotations

from typing import NamedTuple

from smsproxy.simulator.script import STATUS_CODES, Rule


class Hint(NamedTuple):
    """An ending of the destination, what it does, and what that is in words."""

    suffix: str
    rule: Rule
    words: str


def _receipt(suffix: str, state: str) -> Hint:
    rule = Rule(do="receipt", state=state, destination_suffix=suffix)
    return Hint(suffix, rule, f"taken, then a receipt with {state}")


def _refused(suffix: str, status: str) -> Hint:
    rule = Rule(do="error", status=STATUS_CODES[status], destination_suffix=suffix)
    return Hint(suffix, rule, f"refused with {status}")


HINTS: tuple[Hint, ...] = (
    _receipt("0001", "UNDELIV"),
    _refused("0002", "ESME_RINVDSTADR"),
    _receipt("0003", "EXPIRED"),
    _receipt("0004", "REJECTD"),
    _refused("0005", "ESME_RTHROTTLED"),
    _refused("0006", "ESME_RSYSERR"),
    Hint("0007", Rule(do="late", after_s=3.0, destination_suffix="0007"), "answered after 3 s"),
    Hint("0008", Rule(do="receipt", state="", destination_suffix="0008"), "taken, but no receipt ever comes"),
    Hint("0009", Rule(do="silent", destination_suffix="0009"), "never answered"),
)
