"""Requests of the SMSC that a session does not serve: the answer each gets, so that the session lives on.

One that cannot be read, or comes too early, gets an error status in its own response, generic_nack where we
have none; an unknown one a generic_nack with ESME_RINVCMDID. What is no request gets no answer. Called by the
session only.
"""

from __future__ import annotations

from typing import assert_never

from smsproxy.smpp import constants as c
from smsproxy.smpp.codec import Header, encode, encode_delivery_answer
from smsproxy.smpp.errors import BadPduError
from smsproxy.smpp.pdu import (
    AlertNotification,
    Bind,
    DataSmResp,
    DeliverSmResp,
    GenericNack,
    Outbind,
    QuerySm,
    QuerySmResp,
    SubmitSm,
    SubmitSmResp,
    UnknownPdu,
)

Unserved = (
    UnknownPdu
    | Bind
    | SubmitSm
    | QuerySm
    | SubmitSmResp
    | DeliverSmResp
    | DataSmResp
    | QuerySmResp
    | Outbind
    | AlertNotification
)
"""What an ESME is never asked, and what answers nothing that it asks."""


def refusal(command_id: int, sequence_number: int, command_status: int) -> bytes:
    """A request's answer with an error: its response where we have one, else generic_nack."""
    if command_id in (c.DELIVER_SM, c.DATA_SM):
        return encode_delivery_answer(command_id | c.RESPONSE_BIT, sequence_number, command_status)
    return encode(GenericNack(), sequence_number, command_status)


def answer_to_bad(error: BadPduError) -> bytes:
    """The answer to a PDU that cannot be read; nothing to a response."""
    if error.command_id & c.RESPONSE_BIT:
        return b""
    return refusal(error.command_id, error.sequence_number, error.command_status)


def answer_to_unserved(header: Header, pdu: Unserved) -> bytes:
    """The answer to a PDU that was read, and that nobody here waits for; empty where it has none."""
    match pdu:
        case UnknownPdu() if not header.command_id & c.RESPONSE_BIT:
            return refusal(header.command_id, header.sequence_number, c.ESME_RINVCMDID)
        case Bind() | SubmitSm() | QuerySm():
            return refusal(header.command_id, header.sequence_number, c.ESME_RINVBNDSTS)
        case SubmitSmResp() | DeliverSmResp() | DataSmResp() | QuerySmResp() | UnknownPdu():
            return b""  # responses to nothing we ever ask
        case Outbind() | AlertNotification():
            return b""  # neither has a response (§4.1.7, §4.12.1)
        case _:
            assert_never(pdu)
