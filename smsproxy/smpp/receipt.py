"""Delivery receipts: what an SMSC says about a segment, out of deliver_sm or data_sm (SMPP v3.4 Appendix B).

The appendix calls its text an example, and SMSCs took it as one. So: TLVs win over text, the text may be in
short_message or message_payload, labels come in any case and order, only id and stat are required, err is
text, and dates are never looked at. The common shape is found with `bytes.find`; the rest by a regex.
Called by the session and the links for every deliver_sm and data_sm, and by the simulator to build texts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from smsproxy.domain.record import SegmentState
from smsproxy.smpp.constants import (
    ESM_CLASS_INTERMEDIATE,
    ESM_CLASS_RECEIPT,
    ESM_CLASS_TYPE_MASK,
    ESME_RX_P_APPN,
    TLV_MESSAGE_PAYLOAD,
    TLV_MESSAGE_STATE,
    TLV_NETWORK_ERROR_CODE,
    TLV_RECEIPTED_MESSAGE_ID,
)
from smsproxy.smpp.errors import BadPduError
from smsproxy.smpp.framing import HEADER_OCTETS
from smsproxy.smpp.pdu import DataSm, DeliverSm
from smsproxy.smpp.tlv import int_tlv, text_tlv

_RECEIPT_TYPES = frozenset(
    {ESM_CLASS_RECEIPT, ESM_CLASS_INTERMEDIATE, ESM_CLASS_RECEIPT | ESM_CLASS_INTERMEDIATE}
)

# §5.2.28 message_state, and the words of Appendix B for the same.
_STATE_WORDS = {
    1: "ENROUTE",
    2: "DELIVRD",
    3: "EXPIRED",
    4: "DELETED",
    5: "UNDELIV",
    6: "ACCEPTD",
    7: "UNKNOWN",
    8: "REJECTD",
}
_SUBMITTED = SegmentState.SUBMITTED  # an attribute of an Enum costs more than a name of the module
_STATES = {
    "ENROUTE": _SUBMITTED,
    "DELIVRD": SegmentState.DELIVERED,
    "EXPIRED": SegmentState.EXPIRED,
    "DELETED": SegmentState.UNDELIVERABLE,
    "UNDELIV": SegmentState.UNDELIVERABLE,
    "ACCEPTD": _SUBMITTED,
    "UNKNOWN": SegmentState.UNDELIVERABLE,
    "REJECTD": SegmentState.REJECTED,
}
# Words written out, as some SMSCs do.
_LONG_WORDS = {
    "DELIVERED": "DELIVRD",
    "UNDELIVERABLE": "UNDELIV",
    "UNDELIVERED": "UNDELIV",
    "ACCEPTED": "ACCEPTD",
    "REJECTED": "REJECTD",
}
_COMMON_WORDS = {word.encode(): word for word in _STATES}

_LABEL = re.compile(
    rb"(?<![a-z0-9_])(id|sub|dlvrd|submit[ _]?date|done[ _]?date|stat(?:us|e)?|err(?:or)?|text)\s*[:=]",
    re.IGNORECASE,
)
_TEXT_LABEL = re.compile(rb"(?<![a-z0-9_])text\s*[:=]", re.IGNORECASE)
_LOOSE_STATE = re.compile(rb"\b(" + b"|".join(_COMMON_WORDS) + rb")\b", re.IGNORECASE)
_COUNTS_AND_DATES = (b"sub", b"done")
_SHORT_LABELS = {b"status": b"stat", b"state": b"stat", b"error": b"err"}


@dataclass(slots=True)
class ParsedReceipt:
    """What a receipt says. `stat` and `err` are the SMSC's words; `smsc_id` is exactly as it came."""

    smsc_id: str
    state: SegmentState
    stat: str
    err: str
    intermediate: bool
    """Not the last word on this segment."""


def parse_receipt(pdu: DeliverSm | DataSm, *, by_text: bool = False) -> ParsedReceipt | None:
    """The receipt in `pdu`, or None for an MO message.

    It is a receipt by its esm_class (§5.2.12) or by a receipted_message_id TLV; with `by_text` (the link's
    `receipt_by_text`) also when the whole text has a receipt's shape. A stat of no known meaning leaves the
    segment SUBMITTED. Raises BadPduError when the esm_class says receipt but id or stat is missing: sent
    again it would be no better.
    """
    kind = pdu.esm_class & ESM_CLASS_TYPE_MASK
    tlvs = pdu.tlvs
    flagged = kind in _RECEIPT_TYPES
    if not (flagged or by_text or TLV_RECEIPTED_MESSAGE_ID in tlvs):
        return None
    text = pdu.short_message if isinstance(pdu, DeliverSm) else b""
    if tlvs:
        text = tlvs.get(TLV_MESSAGE_PAYLOAD) or text
    smsc_id, stat, err = _from_common_text(text) or _from_any_text(text)
    if not flagged and TLV_RECEIPTED_MESSAGE_ID not in tlvs and not _has_receipt_shape(text, stat):
        return None
    if tlvs:
        smsc_id = text_tlv(tlvs, TLV_RECEIPTED_MESSAGE_ID) or smsc_id
        stat = _STATE_WORDS.get(int_tlv(tlvs, TLV_MESSAGE_STATE) or 0, stat)
        err = _network_error(tlvs) or err
    if smsc_id and stat:
        state = _STATES.get(stat, _SUBMITTED)
        intermediate = state is _SUBMITTED or kind >= ESM_CLASS_INTERMEDIATE
        return ParsedReceipt(smsc_id, state, stat, err, intermediate)
    if not flagged:
        return None  # a handset's acknowledgement may name the message it answers (§5.3.2.12)
    raise BadPduError(pdu.command_id, 0, ESME_RX_P_APPN, f"a receipt without {'stat' if smsc_id else 'id'}")


def read_receipt_frame(frame: bytes) -> tuple[str, SegmentState, str, str] | None:
    """(smsc_id, state, stat, err) of a whole deliver_sm PDU that is a receipt as most SMSCs send it.

    That is: flagged as a receipt and not as an intermediate one, the text of Appendix B, no dates, no TLVs.
    None for all else: then `decode` and `parse_receipt` tell. What this reads they read the same.
    """
    find = frame.find
    service_end = find(0, HEADER_OCTETS)
    source_end = find(0, service_end + 3)
    fields = find(0, source_end + 3) + 1  # esm_class, … , sm_length: ten octets when the dates are empty
    if not (HEADER_OCTETS <= service_end < source_end < fields) or len(frame) < fields + 10:
        return None
    if frame[fields] & ESM_CLASS_TYPE_MASK != ESM_CLASS_RECEIPT or frame[fields + 3] or frame[fields + 4]:
        return None
    text = frame[fields + 10 :]
    if len(text) != frame[fields + 9]:
        return None
    found = _from_common_text(text)
    if found is None:
        return None
    smsc_id, stat, err = found
    return smsc_id, _STATES[stat], stat, err


def _from_common_text(text: bytes) -> tuple[str, str, str] | None:
    """(id, stat, err) of ``id:… sub:… … stat:… err:… …`` as Appendix B has it, else None."""
    find = text.find
    id_end = find(b" ", 3)
    if id_end < 4 or not text.startswith(b"id:") or not text.startswith(b" sub:", id_end):
        return None
    stat = find(b" stat:", id_end) + 6
    stat_end = stat + 7
    word = _COMMON_WORDS.get(text[stat:stat_end])
    err = stat_end + 5
    err_end = find(b" ", err)
    if word is None or err_end < 0 or not text.startswith(b" err:", stat_end):
        return None
    return text[3:id_end].decode("latin-1"), word, text[err:err_end].decode("latin-1")


def _from_any_text(text: bytes) -> tuple[str, str, str]:
    """(id, stat, err) of whatever looks like a receipt; empty where nothing was found.

    What stands behind ``text:`` is the message itself, and counts only for what is missing before it.
    """
    if b"\0" in text:
        text = text.replace(b"\0", b"")  # UCS2: the labels are ASCII with a NUL before each
    behind = _TEXT_LABEL.search(text)
    if behind is None:
        return _read(text)
    smsc_id, stat, err = _read(text[: behind.start()])
    if not (smsc_id and stat):
        late = _read(text[behind.end() :])
        smsc_id, stat, err = smsc_id or late[0], stat or late[1], err or late[2]
    return smsc_id, stat, err


def _read(text: bytes) -> tuple[str, str, str]:
    """(id, stat, err) by their labels; a stat without a label by the known state words."""
    values = _labelled(text)
    stat = _state_word(values.get(b"stat", ""))
    if not stat:
        loose = _LOOSE_STATE.search(text)
        stat = loose[1].decode().upper() if loose else ""
    return values.get(b"id", ""), stat, values.get(b"err", "")


def _labelled(text: bytes) -> dict[bytes, str]:
    """The first word after each label, of its first appearance that has one."""
    values: dict[bytes, str] = {}
    labels = list(_LABEL.finditer(text))
    for number, match in enumerate(labels):
        label = match[1].lower()
        label = _SHORT_LABELS.get(label, label)
        end = labels[number + 1].start() if number + 1 < len(labels) else len(text)
        words = text[match.end() : end].strip(b" \t\r\n,;|").split(None, 1)
        if words and label not in values:
            values[label] = words[0].rstrip(b",;|").decode("latin-1")
    return values


def _state_word(stat: str) -> str:
    """A stat as Appendix B writes it: upper case, long forms shortened, numbers by their word."""
    stat = stat.upper()
    if len(stat) < 4 and stat.isascii() and stat.isdigit():
        return _STATE_WORDS.get(int(stat), stat)
    return _LONG_WORDS.get(stat, stat)


def _has_receipt_shape(text: bytes, stat: str) -> bool:
    """Whether an unflagged text may pass for a receipt: id first, a known stat, and a count or a date."""
    labels = [match[1].lower() for match in _LABEL.finditer(text)]
    begins = _LABEL.match(text.lstrip())
    return (
        begins is not None
        and labels[0] == b"id"
        and stat in _STATES
        and not {b"stat", b"status", b"state"}.isdisjoint(labels)
        and any(label.startswith(_COUNTS_AND_DATES) for label in labels)
    )


def _network_error(tlvs: dict[int, bytes]) -> str:
    """The code of a network_error_code TLV (§5.3.2.31), three digits or more; empty when there is none."""
    value = tlvs.get(TLV_NETWORK_ERROR_CODE)
    if value is None or len(value) != 3:
        return ""
    return f"{int.from_bytes(value[1:], 'big'):03d}"


def receipt_text(
    smsc_id: str,
    stat: str = "DELIVRD",
    *,
    err: str = "000",
    submit_date: str,
    done_date: str,
    text: bytes = b"",
) -> bytes:
    """The text of Appendix B, for the simulator. Dates are ``YYMMDDhhmm``; of `text` 20 octets go."""
    delivered = 1 if stat == "DELIVRD" else 0
    head = (
        f"id:{smsc_id} sub:001 dlvrd:{delivered:03d} submit date:{submit_date} done date:{done_date}"
        f" stat:{stat} err:{err} text:"
    )
    return head.encode("latin-1") + text[:20]
