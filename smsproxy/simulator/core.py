"""What all parts of one simulator share: the script in force, its planner, counters, timers, truth.

Made by `Smsc`; sessions, accounts and intake read it. It decides nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

from smsproxy.simulator.counters import Counters
from smsproxy.simulator.ids import SmscIds
from smsproxy.simulator.plan import Planner
from smsproxy.simulator.script import Script
from smsproxy.simulator.timers import Timers
from smsproxy.simulator.truth import TruthLog

MAX_KEPT = 100_000


class Kept(NamedTuple):
    """What query_sm can ask about a message. `done_at` is Unix seconds, 0 before the final state."""

    source: str
    state: str
    done_at: float = 0.0


@dataclass(slots=True)
class Core:
    """One simulator's common things. `now` is the loop's clock in seconds."""

    script: Script
    now: Callable[[], float]
    counters: Counters
    timers: Timers
    truth: TruthLog
    random: Random
    ids: SmscIds
    planner: Planner
    messages: OrderedDict[str, Kept] = field(default_factory=OrderedDict)
    """By the id in the response; the last 100,000."""
    changed: Callable[[], None] = lambda: None
    """Called after every turn in which something may have been counted."""
    say: Callable[[str], None] | None = None
    """Takes one line for people per event; None when nobody listens, then no line is made."""

    def keep(self, smsc_id: str, kept: Kept) -> None:
        """Remember the state of a message for query_sm."""
        self.messages[smsc_id] = kept
        if len(self.messages) > MAX_KEPT:
            self.messages.popitem(last=False)
