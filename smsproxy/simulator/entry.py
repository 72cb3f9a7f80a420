"""One line of the truth log as a value, from a PDU and from JSON, and to JSON.

Called by `truth`; read by `ledger`, tests and ledger checkers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple

from smsproxy.simulator.texts import content_of, decode_text
from smsproxy.smpp.constants import command_name
from smsproxy.smpp.pdu import DataSm, DeliverSm, Pdu, SubmitSm

Direction = Literal["in", "out"]


class Seen(NamedTuple):
    """A PDU as it was noted, not yet looked at: the hot path does no more than this."""

    at: float
    session: int
    system_id: str
    direction: Direction
    sequence_number: int
    command_status: int
    pdu: Pdu
    smsc_id: str = ""
    state: str = ""
    answer: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One PDU. What a PDU does not have is empty or 0. `at` is Unix seconds; "in" is from the ESME."""

    at: float
    session: int
    system_id: str
    direction: Direction
    command: str
    sequence_number: int
    command_status: int
    smsc_id: str = ""
    """Of a submit: the id it was given, empty when it was not taken. Of a receipt: the id in it."""
    answer: int | None = None
    """Of a submit: the command_status it is answered with; None if it never is."""
    state: str = ""
    """Of a receipt."""
    source: str = ""
    destination: str = ""
    data_coding: int = 0
    esm_class: int = 0
    registered_delivery: int = 0
    concat_ref: int | None = None
    total_segments: int = 1
    segment_no: int = 1
    single_shift: int = 0
    locking_shift: int = 0
    octets: bytes = b""
    """The text without its header."""

    @property
    def text(self) -> str | None:
        """The text of this segment; None where it cannot be decoded."""
        return decode_text(self.octets, self.data_coding, self.single_shift, self.locking_shift)

    @property
    def text_sha256(self) -> str:
        return hashlib.sha256(self.octets).hexdigest()

    def as_json(self) -> dict[str, object]:
        """For one line of the file: fields that differ from their defaults, octets in hex, and the text."""
        values: dict[str, object] = {
            one.name: value for one in fields(self) if (value := getattr(self, one.name)) != one.default
        }
        if self.octets:
            values["octets"] = self.octets.hex()
            values["text_sha256"] = self.text_sha256
            values["text"] = self.text
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Entry:
        """The entry of a line. Raises TypeError or ValueError for a line that is none."""
        known = {one.name: values[one.name] for one in fields(cls) if one.name in values}
        known["octets"] = bytes.fromhex(values.get("octets", ""))
        return cls(**known)


def entry_of(seen: Seen) -> Entry:
    """The entry for a PDU as it was noted."""
    values: dict[str, Any] = {}
    pdu = seen.pdu
    if isinstance(pdu, SubmitSm | DataSm | DeliverSm):
        content = content_of(pdu)
        values = {
            "source": pdu.source_addr.digits,
            "destination": pdu.destination_addr.digits,
            "data_coding": pdu.data_coding,
            "esm_class": pdu.esm_class,
            "registered_delivery": pdu.registered_delivery,
            "single_shift": content.single_shift,
            "locking_shift": content.locking_shift,
            "octets": content.octets,
        }
        if content.concat is not None:
            values |= content.concat._asdict()
    return Entry(
        at=seen.at,
        session=seen.session,
        system_id=seen.system_id,
        direction=seen.direction,
        command=command_name(pdu.command_id),
        sequence_number=seen.sequence_number,
        command_status=seen.command_status,
        smsc_id=seen.smsc_id,
        answer=seen.answer,
        state=seen.state,
        **values,
    )
