"""Messages from handsets (MO): what a deliver_sm or data_sm that is no receipt carries.

The text may be in short_message or message_payload; what joins segments may be a user data header with an 8-
or 16-bit reference (3GPP TS 23.040 §9.2.3.24) or the SAR TLVs (§5.3.2.22). A header that does not add up is
taken for text: nothing that a handset sent is refused. Called by the links.
"""

from __future__ import annotations

from smsproxy.domain.inbound import InboundSegment
from smsproxy.smpp.constants import ESM_CLASS_UDHI, TLV_MESSAGE_PAYLOAD
from smsproxy.smpp.pdu import DataSm, DeliverSm
from smsproxy.smpp.tlv import read_sar
from smsproxy.text.handset import Alphabets

_CONCAT_8 = 0x00
_CONCAT_16 = 0x08

_Join = tuple[int, int, int, bool]
"""(reference, total, number, whether the reference has 16 bits)"""
_WHOLE: _Join = (0, 1, 1, False)


def read_inbound(pdu: DeliverSm | DataSm, account: str, alphabets: Alphabets) -> InboundSegment:
    """The segment in `pdu`, header taken off. Any octets are read somehow; nothing is raised."""
    octets = pdu.short_message if isinstance(pdu, DeliverSm) else b""
    octets = pdu.tlvs.get(TLV_MESSAGE_PAYLOAD) or octets
    join = _sar(pdu.tlvs)
    if pdu.esm_class & ESM_CLASS_UDHI and octets and octets[0] < len(octets):
        head, octets = octets[1 : 1 + octets[0]], octets[1 + octets[0] :]
        join = _from_header(head) or join
    reference, total, number, wide = join or _WHOLE
    return InboundSegment(
        account,
        pdu.source_addr,
        pdu.destination_addr,
        pdu.data_coding,
        octets,
        alphabets.of(pdu.data_coding) or "",
        reference,
        total,
        number,
        wide,
    )


def _sar(tlvs: dict[int, bytes]) -> _Join | None:
    sar = read_sar(tlvs)
    return None if sar is None else _checked(*sar, wide=True)


def _from_header(head: bytes) -> _Join | None:
    """The concatenation element of a user data header, None when it has none that makes sense."""
    at = 0
    while at + 2 <= len(head):
        element, value = head[at], head[at + 2 : at + 2 + head[at + 1]]
        at += 2 + head[at + 1]
        if element == _CONCAT_8 and len(value) == 3:
            return _checked(value[0], value[1], value[2], wide=False)
        if element == _CONCAT_16 and len(value) == 4:
            return _checked(int.from_bytes(value[:2], "big"), value[2], value[3], wide=True)
    return None


def _checked(reference: int, total: int, number: int, *, wide: bool) -> _Join | None:
    return (reference, total, number, wide) if total > 1 and 1 <= number <= total else None
