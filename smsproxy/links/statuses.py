"""What a command_status means to a link: the one place where the numbers of SMPP v3.4 §5.1.3 are judged.

Called by the runner for a refused bind. Statuses that stand in no table get the default of theirs.
"""

from __future__ import annotations

from dataclasses import dataclass

from smsproxy.smpp.constants import (
    ESME_RALYBND,
    ESME_RBINDFAIL,
    ESME_RINVPASWD,
    ESME_RINVSYSID,
    ESME_RMSGQFUL,
    ESME_RSYSERR,
    ESME_RTHROTTLED,
    ESME_RX_T_APPN,
)


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
