"""Builds what the SMSC sends of its own accord: receipts in every form the field has, and MO messages.

Called by the intake and by `Smsc`; `Account` sends what is built here.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache

from smsproxy.domain.address import Address
from smsproxy.simulator.script import STATES, Script
from smsproxy.smpp.constants import (
    ESM_CLASS_INTERMEDIATE,
    ESM_CLASS_RECEIPT,
    MAX_SHORT_MESSAGE_OCTETS,
    TLV_MESSAGE_PAYLOAD,
    TLV_MESSAGE_STATE,
    TLV_RECEIPTED_MESSAGE_ID,
)
from smsproxy.smpp.pdu import DataSm, DeliverSm
from smsproxy.smpp.receipt import receipt_text
from smsproxy.text import ucs2
from smsproxy.text.gsm7 import GSM7

_NUMBERS = {word: bytes((number,)) for number, word in enumerate(STATES, 1)}
_INTERMEDIATE = frozenset({"ENROUTE", "ACCEPTD"})


@dataclass(slots=True)
class Delivery:
    """One deliver_sm or data_sm on its way to an ESME. A receipt has the id and state it tells of."""

    pdu: DeliverSm | DataSm
    smsc_id: str = ""
    state: str = ""
    tries: int = 0
    sent_at: float = 0.0

    @property
    def words(self) -> str:
        """What it is, for people."""
        return f"receipt {self.smsc_id} {self.state}" if self.smsc_id else "message"


def message_state(state: str) -> int:
    """The number of a state word (§5.2.28); UNKNOWN for a word of the script's own."""
    return _NUMBERS.get(state, b"\7")[0]


@lru_cache(maxsize=64)
def _date(minute: int) -> str:
    return time.strftime("%y%m%d%H%M", time.gmtime(minute * 60))


def make_receipt(
    script: Script,
    smsc_id: str,
    state: str,
    *,
    handset: Address,
    sender: Address,
    submitted_at: float,
    now: float,
    text: bytes = b"",
) -> Delivery:
    """A receipt for a message that `sender` submitted for `handset`. Times are Unix seconds."""
    form = script.receipt_form
    octets = b"" if form == "tlv" else _text(script, smsc_id, state, submitted_at, now, text)
    tlvs = {}
    if form in ("tlv", "text_tlv"):
        tlvs[TLV_RECEIPTED_MESSAGE_ID] = smsc_id.encode("latin-1") + b"\0"
        number = _NUMBERS.get(state)
        if number is not None:
            tlvs[TLV_MESSAGE_STATE] = number
    esm_class = script.receipt_esm_class
    if esm_class == ESM_CLASS_RECEIPT and state in _INTERMEDIATE:
        esm_class = ESM_CLASS_INTERMEDIATE
    in_payload = form == "payload" or script.receipt_command == "data_sm"
    if octets and (in_payload or len(octets) > MAX_SHORT_MESSAGE_OCTETS):
        tlvs[TLV_MESSAGE_PAYLOAD] = octets
        octets = b""
    if script.receipt_command == "data_sm":
        return Delivery(DataSm("", handset, sender, esm_class, tlvs=tlvs), smsc_id, state)
    pdu = DeliverSm("", handset, sender, esm_class, short_message=octets, tlvs=tlvs)
    return Delivery(pdu, smsc_id, state)


def _text(script: Script, smsc_id: str, state: str, submitted_at: float, now: float, text: bytes) -> bytes:
    submit, done = _date(int(submitted_at) // 60), _date(int(now) // 60)
    if not script.receipt_template:
        return receipt_text(
            smsc_id, state, err=script.receipt_err, submit_date=submit, done_date=done, text=text
        )
    words = {
        "id": smsc_id,
        "stat": state,
        "err": script.receipt_err,
        "submit": submit,
        "done": done,
        "text": text[:20].decode("latin-1"),
    }
    return script.receipt_template.format(**words).encode("latin-1")


def make_mo(source: Address, destination: Address, text: str, esm_class: int = 0) -> Delivery:
    """An MO message as GSM7 or UCS2, in message_payload when it is long. Raises TextError."""
    septets = GSM7.encode(text)
    octets = ucs2.encode(text) if septets is None else septets
    tlvs = {}
    if len(octets) > MAX_SHORT_MESSAGE_OCTETS:
        tlvs, octets = {TLV_MESSAGE_PAYLOAD: octets}, b""
    coding = 8 if septets is None else 0
    pdu = DeliverSm("", source, destination, esm_class, data_coding=coding, short_message=octets, tlvs=tlvs)
    return Delivery(pdu)
