"""The PDUs of SMPP v3.4 as values, under the names of the specification (§4).

They hold fields only: header numbers travel beside them, octets are the codec's business. Texts are `str`
(Latin-1 on the wire), short_message is `bytes`, TLVs are a mapping of tag to raw octets. A repr shows neither
password nor message text, so a PDU may be logged. Made by whoever sends, and by `codec.decode`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import ClassVar

from smsproxy.domain.address import Address
from smsproxy.smpp import constants as c

NO_ADDRESS = Address(0, 0, "")


class BindKind(IntEnum):
    """What a session may carry; the value is the command_id of the bind."""

    RECEIVER = c.BIND_RECEIVER
    TRANSMITTER = c.BIND_TRANSMITTER
    TRANSCEIVER = c.BIND_TRANSCEIVER


# Not frozen: building a frozen dataclass costs thrice as much, and these are built for every message.


@dataclass(slots=True)
class Bind:
    """bind_receiver, bind_transmitter, bind_transceiver (§4.1.1, §4.1.3, §4.1.5)."""

    kind: BindKind
    system_id: str = ""
    password: str = field(default="", repr=False)
    system_type: str = ""
    interface_version: int = c.INTERFACE_VERSION_34
    addr_ton: int = 0
    addr_npi: int = 0
    address_range: str = ""

    @property
    def command_id(self) -> int:
        return int(self.kind)


@dataclass(slots=True)
class BindResp:
    """The answer to a bind (§4.1.2, §4.1.4, §4.1.6)."""

    kind: BindKind
    system_id: str = ""
    tlvs: dict[int, bytes] = field(default_factory=dict)

    @property
    def command_id(self) -> int:
        return int(self.kind) | c.RESPONSE_BIT


@dataclass(slots=True)
class Outbind:
    """outbind (§4.1.7): an SMSC asks an ESME to bind. Decoded only to be named."""

    command_id: ClassVar[int] = c.OUTBIND
    system_id: str = ""
    password: str = field(default="", repr=False)


@dataclass(slots=True)
class Unbind:
    """unbind (§4.2.1)."""

    command_id: ClassVar[int] = c.UNBIND


@dataclass(slots=True)
class UnbindResp:
    """unbind_resp (§4.2.2)."""

    command_id: ClassVar[int] = c.UNBIND_RESP


@dataclass(slots=True)
class GenericNack:
    """generic_nack (§4.3.1): the header of a PDU could not be used; sequence_number 0 when it had none."""

    command_id: ClassVar[int] = c.GENERIC_NACK


@dataclass(slots=True)
class EnquireLink:
    """enquire_link (§4.11.1)."""

    command_id: ClassVar[int] = c.ENQUIRE_LINK


@dataclass(slots=True)
class EnquireLinkResp:
    """enquire_link_resp (§4.11.2)."""

    command_id: ClassVar[int] = c.ENQUIRE_LINK_RESP


@dataclass(slots=True)
class SubmitSm:
    """submit_sm (§4.4.1). The dates are 16 characters or empty (§7.1.1); nothing here looks inside them."""

    command_id: ClassVar[int] = c.SUBMIT_SM
    service_type: str = ""
    source_addr: Address = NO_ADDRESS
    destination_addr: Address = NO_ADDRESS
    esm_class: int = 0
    protocol_id: int = 0
    priority_flag: int = 0
    schedule_delivery_time: str = ""
    validity_period: str = ""
    registered_delivery: int = 0
    replace_if_present_flag: int = 0
    data_coding: int = 0
    sm_default_msg_id: int = 0
    short_message: bytes = field(default=b"", repr=False)
    tlvs: dict[int, bytes] = field(default_factory=dict, repr=False)


@dataclass(slots=True)
class SubmitSmResp:
    """submit_sm_resp (§4.4.2). `message_id` is empty when the SMSC gave none, as with most errors."""

    command_id: ClassVar[int] = c.SUBMIT_SM_RESP
    message_id: str = ""
    tlvs: dict[int, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class DeliverSm:
    """deliver_sm (§4.6.1): an MO message or a receipt. The same fields as submit_sm."""

    command_id: ClassVar[int] = c.DELIVER_SM
    service_type: str = ""
    source_addr: Address = NO_ADDRESS
    destination_addr: Address = NO_ADDRESS
    esm_class: int = 0
    protocol_id: int = 0
    priority_flag: int = 0
    schedule_delivery_time: str = ""
    validity_period: str = ""
    registered_delivery: int = 0
    replace_if_present_flag: int = 0
    data_coding: int = 0
    sm_default_msg_id: int = 0
    short_message: bytes = field(default=b"", repr=False)
    tlvs: dict[int, bytes] = field(default_factory=dict, repr=False)


@dataclass(slots=True)
class DeliverSmResp:
    """deliver_sm_resp (§4.6.2). `message_id` is unused: one NUL on the wire."""

    command_id: ClassVar[int] = c.DELIVER_SM_RESP
    message_id: str = ""
    tlvs: dict[int, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class DataSm:
    """data_sm (§4.7.1): the text is in the message_payload TLV."""

    command_id: ClassVar[int] = c.DATA_SM
    service_type: str = ""
    source_addr: Address = NO_ADDRESS
    destination_addr: Address = NO_ADDRESS
    esm_class: int = 0
    registered_delivery: int = 0
    data_coding: int = 0
    tlvs: dict[int, bytes] = field(default_factory=dict, repr=False)


@dataclass(slots=True)
class DataSmResp:
    """data_sm_resp (§4.7.2)."""

    command_id: ClassVar[int] = c.DATA_SM_RESP
    message_id: str = ""
    tlvs: dict[int, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class QuerySm:
    """query_sm (§4.8.1)."""

    command_id: ClassVar[int] = c.QUERY_SM
    message_id: str = ""
    source_addr: Address = NO_ADDRESS


@dataclass(slots=True)
class QuerySmResp:
    """query_sm_resp (§4.8.2). `message_state` as in §5.2.28."""

    command_id: ClassVar[int] = c.QUERY_SM_RESP
    message_id: str = ""
    final_date: str = ""
    message_state: int = 0
    error_code: int = 0


@dataclass(slots=True)
class AlertNotification:
    """alert_notification (§4.12.1): a subscriber can be reached again. It has no response."""

    command_id: ClassVar[int] = c.ALERT_NOTIFICATION
    source_addr: Address = NO_ADDRESS
    esme_addr: Address = NO_ADDRESS
    tlvs: dict[int, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class UnknownPdu:
    """Any other command_id with its raw body. Encoded, it sends any octets as they are under any id."""

    command_id: int
    body: bytes = field(default=b"", repr=False)


Pdu = (
    Bind
    | BindResp
    | Outbind
    | Unbind
    | UnbindResp
    | GenericNack
    | EnquireLink
    | EnquireLinkResp
    | SubmitSm
    | SubmitSmResp
    | DeliverSm
    | DeliverSmResp
    | DataSm
    | DataSmResp
    | QuerySm
    | QuerySmResp
    | AlertNotification
    | UnknownPdu
)
