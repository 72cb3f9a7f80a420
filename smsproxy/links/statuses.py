"""What a command_status means to a link: the one place where the numbers of SMPP v3.4 §5.1.3 are judged.

A status of a submit_sm_resp or generic_nack has one of four meanings (`Meaning`), that of a refused bind a
name and a delay. Statuses that stand in no table get the default of theirs. Called by answers and runner.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from smsproxy.smpp.constants import (
    ESME_RALYBND,
    ESME_RBINDFAIL,
    ESME_RINVBNDSTS,
    ESME_RINVPASWD,
    ESME_RINVSYSID,
    ESME_RMSGQFUL,
    ESME_RSYSERR,
    ESME_RTHROTTLED,
    ESME_RX_T_APPN,
)


class Meaning(Enum):
    """What a link does about a refused segment. Only THROTTLED ones are ever sent again (spec §6)."""

    THROTTLED = auto()
    """Slow down: the link pauses and shrinks, the segment goes again, at most three times."""
    TEMPORARY = auto()
    """A trouble of the SMSC's own. Refused all the same, neither tried again nor moved to another member of
    the pool (a double is worse than a refusal; the caller may repeat it). Counted, for an operator to see."""
    PERMANENT = auto()
    """This message as it is will not be taken, now or later: refused."""
    LINK_FAULT = auto()
    """The SMSC does not take this session for bound: refused, and the session is bound anew."""


SUBMIT_MEANINGS = {
    ESME_RTHROTTLED: Meaning.THROTTLED,
    ESME_RMSGQFUL: Meaning.THROTTLED,
    ESME_RSYSERR: Meaning.TEMPORARY,
    ESME_RX_T_APPN: Meaning.TEMPORARY,
    ESME_RINVBNDSTS: Meaning.LINK_FAULT,
}
"""Every other one, a vendor's included, is PERMANENT."""


def submit_meaning(command_status: int) -> Meaning:
    """The meaning of a status other than ESME_ROK; any number has one."""
    return SUBMIT_MEANINGS.get(command_status, Meaning.PERMANENT)


@dataclass(frozen=True, slots=True)
class BindRefusal:
    """Why a bind was refused, in a word for the log, and the least wait before the next one."""

    name: str
    at_least_s: float
    """The delay doubles from here; `reconnect_max_s` of the link is the upper bound of this one too."""


_STILL_BOUND = BindRefusal("already_bound", 10.0)
"""The SMSC holds our old session until its own timer notices that it is gone."""
_CREDENTIALS = BindRefusal("credentials", 60.0)
"""It will not mend by itself, and accounts are locked after a few tries: somebody has to change something."""
_TEMPORARY = BindRefusal("temporary", 0.0)
"""The SMSC has a trouble of its own: come back as after a lost connection."""
_OTHER = BindRefusal("refused", 5.0)

BIND_REFUSALS = {
    ESME_RALYBND: _STILL_BOUND,
    ESME_RINVPASWD: _CREDENTIALS,
    ESME_RINVSYSID: _CREDENTIALS,
    ESME_RBINDFAIL: _CREDENTIALS,
    ESME_RSYSERR: _TEMPORARY,
    ESME_RMSGQFUL: _TEMPORARY,
    ESME_RTHROTTLED: _TEMPORARY,
    ESME_RX_T_APPN: _TEMPORARY,
}


def bind_refusal(command_status: int) -> BindRefusal:
    """What to do about a bind that was answered so; any number has an answer."""
    return BIND_REFUSALS.get(command_status, _OTHER)
