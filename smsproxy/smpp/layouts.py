"""The fields of each PDU in wire order, as data (SMPP v3.4 §4). The parser and the builder both read it.

A field names an attribute of the PDU class; `max_octets` counts without the terminating NUL. A command_id
that is not here is an unknown PDU. Called by the codec only.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import NamedTuple

from smsproxy.smpp import constants as c
from smsproxy.smpp import pdu as p


class Shape(Enum):
    """How a field looks on the wire (§3.1)."""

    C_STRING = "text, NUL"
    OCTET = "one octet"
    ADDRESS = "ton, npi, text, NUL"
    SHORT_MESSAGE = "sm_length, octets"


class Field(NamedTuple):
    """One mandatory field."""

    name: str
    shape: Shape
    max_octets: int = 1


class Layout(NamedTuple):
    """One PDU: what makes its value from its fields in order, and what those are."""

    make: Callable[..., p.Pdu]
    fields: tuple[Field, ...] = ()
    has_tlvs: bool = False
    empty_on_error: bool = False
    """The body is left out when the command_status is an error and the fields are blank (§4.4.2, §4.1.2)."""


def _text(name: str, max_octets: int) -> Field:
    return Field(name, Shape.C_STRING, max_octets)


def _octets(*names: str) -> tuple[Field, ...]:
    return tuple(Field(name, Shape.OCTET) for name in names)


def _address(name: str, max_octets: int = 20) -> Field:
    return Field(name, Shape.ADDRESS, max_octets)


_BIND = (
    _text("system_id", 15),
    _text("password", 8),
    _text("system_type", 12),
    *_octets("interface_version", "addr_ton", "addr_npi"),
    _text("address_range", 40),
)
_MESSAGE_ID = (_text("message_id", 64),)
_SHORT_MESSAGE = (
    _text("service_type", 5),
    _address("source_addr"),
    _address("destination_addr"),
    *_octets("esm_class", "protocol_id", "priority_flag"),
    _text("schedule_delivery_time", 16),
    _text("validity_period", 16),
    *_octets("registered_delivery", "replace_if_present_flag", "data_coding", "sm_default_msg_id"),
    Field("short_message", Shape.SHORT_MESSAGE, c.MAX_SHORT_MESSAGE_OCTETS),
)
_DATA_SM = (
    _text("service_type", 5),
    _address("source_addr", 64),
    _address("destination_addr", 64),
    *_octets("esm_class", "registered_delivery", "data_coding"),
)
_QUERY_RESP = (*_MESSAGE_ID, _text("final_date", 16), *_octets("message_state", "error_code"))


def _bind_layouts(kind: p.BindKind) -> dict[int, Layout]:
    response = Layout(partial(p.BindResp, kind), (_text("system_id", 15),), True, True)
    return {kind: Layout(partial(p.Bind, kind), _BIND), kind | c.RESPONSE_BIT: response}


LAYOUTS: dict[int, Layout] = {
    **_bind_layouts(p.BindKind.RECEIVER),
    **_bind_layouts(p.BindKind.TRANSMITTER),
    **_bind_layouts(p.BindKind.TRANSCEIVER),
    c.OUTBIND: Layout(p.Outbind, (_text("system_id", 15), _text("password", 8))),
    c.UNBIND: Layout(p.Unbind),
    c.UNBIND_RESP: Layout(p.UnbindResp),
    c.GENERIC_NACK: Layout(p.GenericNack),
    c.ENQUIRE_LINK: Layout(p.EnquireLink),
    c.ENQUIRE_LINK_RESP: Layout(p.EnquireLinkResp),
    c.SUBMIT_SM: Layout(p.SubmitSm, _SHORT_MESSAGE, True),
    c.SUBMIT_SM_RESP: Layout(p.SubmitSmResp, _MESSAGE_ID, True, True),
    c.DELIVER_SM: Layout(p.DeliverSm, _SHORT_MESSAGE, True),
    c.DELIVER_SM_RESP: Layout(p.DeliverSmResp, _MESSAGE_ID, True),
    c.DATA_SM: Layout(p.DataSm, _DATA_SM, True),
    c.DATA_SM_RESP: Layout(p.DataSmResp, _MESSAGE_ID, True, True),
    c.QUERY_SM: Layout(p.QuerySm, (*_MESSAGE_ID, _address("source_addr"))),
    c.QUERY_SM_RESP: Layout(p.QuerySmResp, _QUERY_RESP, False, True),
    c.ALERT_NOTIFICATION: Layout(
        p.AlertNotification, (_address("source_addr", 64), _address("esme_addr", 64)), True
    ),
}
