"""What an SMSC read and wrote, as octets with their times: the cheapest truth log there is.

late_smsc notes each read and each write while it runs; what they mean is found out afterwards, by
`read_wire`, as the entries that tests.flow.ledger joins. Times are Unix seconds: of a read before anything is
done with it, of a write before it is made. So what lies between them is all that the SMSC took.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from pathlib import Path

from smsproxy.simulator.entry import Direction, Entry, Seen, entry_of
from smsproxy.smpp.codec import decode
from smsproxy.smpp.framing import Framer
from smsproxy.smpp.pdu import Bind, DataSm, DeliverSm, Pdu, SubmitSm, SubmitSmResp
from smsproxy.smpp.receipt import parse_receipt

_HEAD = struct.Struct(">dBLL")  # time, whether written, session, octets that follow
_BUFFER_OCTETS = 1 << 20
_Answers = dict[tuple[int, int], tuple[int, str]]
_Pdus = Iterator[tuple[float, Direction, int, int, int, Pdu]]
"""(time, direction, session, sequence_number, command_status, the PDU)"""


class WireLog:
    """The file as it is written. What it holds reaches the disk by the megabyte, and at `close`."""

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self._file = path.open("wb", buffering=_BUFFER_OCTETS)

    def note(self, session: int, octets: bytes, *, written: bool) -> None:
        """One read or one write of a session."""
        self._file.write(_HEAD.pack(time.time(), written, session, len(octets)) + octets)

    def close(self) -> None:
        self._file.close()


def read_wire(path: Path) -> list[Entry]:
    """The PDUs of the log in its order; a submit has the id and the status of its answer.

    Raises BadPduError or FramingLostError for octets that are no SMPP.
    """
    octets = path.read_bytes()
    answers: _Answers = {
        (session, sequence_number): (status, pdu.message_id)
        for _, _, session, sequence_number, status, pdu in _pdus(octets)
        if isinstance(pdu, SubmitSmResp)
    }
    names: dict[int, str] = {}
    entries = []
    for at, direction, session, sequence_number, status, pdu in _pdus(octets):
        if isinstance(pdu, Bind):
            names[session] = pdu.system_id
        answer, smsc_id, state = None, "", ""
        if isinstance(pdu, SubmitSm):
            answer, smsc_id = answers.get((session, sequence_number), (None, ""))
        elif isinstance(pdu, DeliverSm | DataSm) and (receipt := parse_receipt(pdu)) is not None:
            smsc_id, state = receipt.smsc_id, receipt.stat
        name = names.get(session, "")
        seen = Seen(at, session, name, direction, sequence_number, status, pdu, smsc_id, state, answer)
        entries.append(entry_of(seen))
    return entries


def _pdus(octets: bytes) -> _Pdus:
    framers: dict[tuple[int, int], Framer] = {}
    position = 0
    while position < len(octets):
        at, written, session, length = _HEAD.unpack_from(octets, position)
        position += _HEAD.size + length
        framer = framers.setdefault((session, written), Framer())
        for frame in framer.feed(octets[position - length : position]):
            header, pdu = decode(frame)
            direction: Direction = "out" if written else "in"
            yield at, direction, session, header.sequence_number, header.command_status, pdu
