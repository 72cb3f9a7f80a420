"""One field of a PDU: octets to value, and back, by its shape (SMPP v3.4 §3.1).

Requests are read strictly, responses leniently. Whatever is longer than the protocol allows is refused by
name, never cut. Called by the codec, field after field, and by `submit`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, assert_never

from smsproxy.domain.address import Address
from smsproxy.smpp.constants import ESME_RINVCMDLEN, ESME_RINVMSGLEN
from smsproxy.smpp.framing import HEADER_OCTETS
from smsproxy.smpp.layouts import Field, Shape


class FieldError(Exception):
    """Why a body cannot be read, and the status that says so. The codec makes a BadPduError of it."""

    def __init__(self, command_status: int, reason: str) -> None:
        super().__init__(reason)
        self.command_status = command_status


class FieldReader:
    """Reads fields one after the other. A lenient one takes what is missing as blank."""

    __slots__ = ("_frame", "_lenient", "position")

    def __init__(self, frame: bytes, *, lenient: bool) -> None:
        self._frame = frame
        self._lenient = lenient
        self.position = HEADER_OCTETS

    def read(self, field: Field) -> object:
        match field.shape:
            case Shape.C_STRING:
                return self._text(field.name)
            case Shape.OCTET:
                return self._octet(field.name)
            case Shape.ADDRESS:
                return Address(self._octet(field.name), self._octet(field.name), self._text(field.name))
            case Shape.SHORT_MESSAGE:
                return self._message(field.name)
        assert_never(field.shape)

    def _text(self, name: str) -> str:
        start = self.position
        end = self._frame.find(0, start)
        if end < 0:
            if not self._lenient:
                raise FieldError(ESME_RINVCMDLEN, f"{name} does not end")
            end = len(self._frame)
        self.position = end + 1
        return self._frame[start:end].decode("latin-1")

    def _octet(self, name: str) -> int:
        if self.position >= len(self._frame):
            if not self._lenient:
                raise FieldError(ESME_RINVCMDLEN, f"{name} is missing")
            return 0
        self.position += 1
        return self._frame[self.position - 1]

    def _message(self, name: str) -> bytes:
        sm_length = self._octet(name)
        start = self.position
        self.position += sm_length
        if self.position > len(self._frame):
            left = len(self._frame) - start
            raise FieldError(ESME_RINVMSGLEN, f"sm_length {sm_length}, but {left} octets are left")
        return self._frame[start : self.position]


def encode_text(name: str, text: str, max_octets: int) -> bytes:
    """A C-octet string with its NUL (§3.1). Raises ValueError naming the field."""
    try:
        octets = text.encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError(f"{name} has characters outside Latin-1") from None
    if len(octets) > max_octets:
        raise ValueError(f"{name} has {len(octets)} octets, at most {max_octets} fit")
    if "\0" in text:
        raise ValueError(f"{name} has a NUL inside")
    return octets + b"\0"


def encode_octet(name: str, value: int, _max_octets: int = 1) -> bytes:
    """One octet. Raises ValueError naming the field."""
    try:
        return _OCTETS[value]
    except KeyError:
        raise ValueError(f"{name} is {value}, not 0 to 255") from None


def encode_address(name: str, address: Address, max_octets: int) -> bytes:
    """TON, NPI and digits (§5.2.5 to §5.2.9). Raises ValueError naming the field."""
    ton, npi, digits = address
    ends = encode_octet(f"{name}_ton", ton) + encode_octet(f"{name}_npi", npi)
    return ends + encode_text(name, digits, max_octets)


def encode_message(name: str, text: bytes, max_octets: int) -> bytes:
    """sm_length and short_message (§5.2.21, §5.2.22). Raises ValueError for a text that is too long."""
    length = len(text)
    if length > max_octets:
        raise ValueError(f"{name} has {length} octets, at most {max_octets} fit: use message_payload")
    return _OCTETS[length] + text


_OCTETS = {value: bytes((value,)) for value in range(256)}
ENCODERS: dict[Shape, Callable[[str, Any, int], bytes]] = {
    Shape.C_STRING: encode_text,
    Shape.OCTET: encode_octet,
    Shape.ADDRESS: encode_address,
    Shape.SHORT_MESSAGE: encode_message,
}
