"""What the simulator counts. Tests wait for conditions on it (`Smsc.wait_for`), people read its repr."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields


@dataclass(slots=True)
class Counters:
    """Totals since the start, but for `sessions` and `bound`, which are now."""

    sessions: int = 0
    bound: int = 0
    connections: int = 0
    connections_refused: int = 0
    binds: int = 0
    binds_refused: int = 0
    unbinds: int = 0
    cuts: int = 0

    submits: int = 0
    """submit_sm and data_sm that came from a session that may send them."""
    taken: int = 0
    """Submits that got an id, whatever happened to the answer."""
    refused: int = 0
    throttled: int = 0
    """Of the refused: ESME_RTHROTTLED and ESME_RMSGQFUL by rate or period."""
    silent: int = 0
    """Submits that are never answered, those of a cut included."""
    answers: int = 0
    answers_lost: int = 0
    """Answers that came due after their session had ended."""
    odd_answers: int = 0
    """Answers a rule added or put in place of the right one."""
    max_outstanding: int = 0
    """The most submits of one session that waited for an answer at once: the ESME's window as seen here."""
    queries: int = 0

    receipts: int = 0
    """Receipts made."""
    delivers_sent: int = 0
    """deliver_sm and data_sm written, repeats and MO messages included."""
    delivers_ok: int = 0
    delivers_refused: int = 0
    """Answered with an error; ESME_RX_T_APPN is repeated, anything else is the end of it."""
    delivers_repeated: int = 0
    delivers_unanswered: int = 0
    """No answer in time, or the session ended first; sent again."""
    delivers_dropped: int = 0
    """No room to wait, or too many tries."""
    deliver_statuses: Counter[int] = field(default_factory=Counter)

    enquire_links: int = 0
    enquire_links_sent: int = 0
    enquire_links_answered: int = 0
    enquire_link_max_s: float = 0.0
    """The longest that an enquire_link of the simulator waited for its answer."""

    bad_pdus: int = 0
    unexpected: int = 0
    """Responses nobody waits for, and requests an SMSC does not take."""
    timers_dropped: int = 0
    """Answers, receipts and repeats that found no room to wait."""
    writes_dropped: int = 0
    """PDUs for a deaf session that found no room."""

    def __str__(self) -> str:
        """Everything that is not zero, in one line."""
        values = ((one.name, getattr(self, one.name)) for one in fields(self))
        return " ".join(f"{name}={_shown(value)}" for name, value in values if value) or "nothing yet"


def _shown(value: object) -> object:
    """A count as it is, counts by status as ``0x0:12,0x64:3``."""
    if isinstance(value, Counter):
        return ",".join(f"0x{status:X}:{count}" for status, count in sorted(value.items()))
    return value
