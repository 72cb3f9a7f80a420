"""The responses to one submit_sm, right or wrong as its plan says. Pure.

Called by the intake when they are due.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from smsproxy.simulator.plan import Plan
from smsproxy.smpp.constants import ESME_RSYSERR, MAX_SEQUENCE_NUMBER
from smsproxy.smpp.pdu import DataSm, DataSmResp, GenericNack, Pdu, SubmitSm, SubmitSmResp, UnknownPdu

_FAR_OFF = 0x10000000
"""From a number that is in use to one that no window reaches."""
_UNASKED_ID = "unasked"
_REFUSED_ID = "0"


class Answer(NamedTuple):
    """One PDU to write."""

    pdu: Pdu
    sequence_number: int
    command_status: int = 0


def answers(
    pdu: SubmitSm | DataSm,
    sequence_number: int,
    plan: Plan,
    smsc_id: str,
    error_body: Literal["none", "empty", "id"] = "none",
) -> list[Answer]:
    """What goes on the wire for one submit, in order."""
    respond = DataSmResp if isinstance(pdu, DataSm) else SubmitSmResp
    other = SubmitSmResp if isinstance(pdu, DataSm) else DataSmResp
    status = plan.command_status
    if plan.action == "nack":
        return [Answer(GenericNack(), sequence_number, status)]
    if status:
        return [Answer(_refusal(respond, error_body), sequence_number, status)]
    right = Answer(respond(smsc_id), sequence_number)
    match plan.action:
        case "repeat":
            return [right, right]
        case "unknown_sequence":
            odd = Answer(respond(_UNASKED_ID), _elsewhere(sequence_number))
        case "wrong_type":
            odd = Answer(other(smsc_id), sequence_number)
        case "nack_zero":
            odd = Answer(GenericNack(), 0, ESME_RSYSERR)
        case _:
            return [right]
    return [odd] if plan.instead else [odd, right]


def _refusal(
    respond: type[SubmitSmResp] | type[DataSmResp], error_body: Literal["none", "empty", "id"]
) -> Pdu:
    """A refusal's body: §4.4.2 wants none, the field has all three."""
    match error_body:
        case "none":
            return respond()
        case "empty":
            return UnknownPdu(respond.command_id, b"\0")
        case "id":
            return respond(_REFUSED_ID)


def _elsewhere(sequence_number: int) -> int:
    """A sequence_number that no request waits under."""
    return (sequence_number + _FAR_OFF) & MAX_SEQUENCE_NUMBER or 1
