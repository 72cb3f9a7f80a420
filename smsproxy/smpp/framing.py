"""Cuts the octets of a connection into whole PDUs by their command_length (SMPP v3.4 §5.1.1).

PDUs may come glued or dribbled. The length is judged as soon as its four octets are there, so a hostile one
costs nothing: never more than `max_pdu_bytes` are held. Called by the session, and by the simulator.
"""

from __future__ import annotations

import struct

from smsproxy.smpp.errors import FramingLostError

HEADER_OCTETS = 16
DEFAULT_MAX_PDU_BYTES = 65536  # room for the largest TLV; smppex has no bound at all

_unpack_length = struct.Struct(">L").unpack_from
_HTTP_WORDS = (b"HTTP", b"GET ", b"POST", b"PUT ", b"HEAD", b"PRI ", b"OPTI", b"CONN")


def _looks_like(first: bytes) -> str:
    """What speaks when it is not SMPP: the first question of whoever reads the log."""
    if first in _HTTP_WORDS:
        return " looks like HTTP"
    if first[0] in (0x15, 0x16) and first[1] == 0x03:
        return " looks like TLS"
    if all(0x20 <= octet < 0x7F for octet in first):
        return f" looks like text {first.decode('ascii')!r}"
    return ""


class Framer:
    """Holds the unfinished end of a stream of octets. After a FramingLostError it is of no more use."""

    __slots__ = ("_lost", "_max", "_need", "_rest")

    def __init__(self, max_pdu_bytes: int = DEFAULT_MAX_PDU_BYTES) -> None:
        self._max = max_pdu_bytes
        self._rest = bytearray()
        self._need = 4  # octets of the unfinished PDU that must be there before looking again
        self._lost = ""

    def __repr__(self) -> str:
        return f"<Framer {'lost' if self._lost else 'ok'} held={len(self._rest)}>"

    def feed(self, data: bytes) -> list[bytes]:
        """The PDUs that `data` completes, in order.

        Raises FramingLostError, with the PDUs before the fault in it, on a command_length under 16 or over
        the maximum, and again at every later call.
        """
        if self._lost:
            raise FramingLostError(self._lost)
        rest = self._rest
        if rest:
            rest += data
            if len(rest) < self._need:
                return []
            data = bytes(rest)
            rest.clear()
        return self._cut(data)

    def _cut(self, data: bytes) -> list[bytes]:
        frames: list[bytes] = []
        start, end, longest = 0, len(data), self._max
        self._need = 4
        while end - start >= 4:
            length = _unpack_length(data, start)[0]
            if not HEADER_OCTETS <= length <= longest:
                self._lost = f"command_length {length}{_looks_like(data[start : start + 4])}"
                raise FramingLostError(self._lost, frames)
            stop = start + length
            if stop > end:
                self._need = length
                break
            frames.append(data[start:stop])
            start = stop
        if start < end:
            self._rest += data[start:]
        return frames
