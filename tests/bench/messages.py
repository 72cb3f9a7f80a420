"""The bench's messages: protobuf classes of `sms.v1`, and request templates that cost nothing much to fill.

A template is one gRPC message as a bytes format: only the digits of daddr (and of the transaction_id) change,
their width is fixed, so lengths and prefixes are right without looking. Called by the load drivers and by
echo.py. The descriptors live in a private pool, as the product's own do.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

DESCRIPTORS = Path(__file__).parents[2] / "smsproxy" / "rpc" / "gen" / "descriptors.binpb"
SERVICE = "/sms.v1.SmsService/"
STREAM_PATH = SERVICE + "SendMessageStream"
UNARY_PATH = SERVICE + "SendMessage"
DEFAULT_TEXT = "Your order 4711 is on its way and will reach you today before 18:00."

_DADDR_MARK = "\x01" * 12  # 998 and nine digits; control octets occur nowhere else in a request
_NUMBERS = 10**9
_SPREAD = 387_420_489
"""Odd and no multiple of 5: request numbers become other numbers, each its own. Recipients come in no order,
as in a campaign's file, so that whatever keeps them by their number has no easier time than there."""
_ID_MARK = "\x02" * 36  # as long as a UUID
_FRAME = struct.Struct(">BHBBL")
_PREFIX = struct.Struct(">BL")
_END_STREAM = 0x1
_MAX_FRAME_OCTETS = 16_384


@dataclass(frozen=True, slots=True)
class Request:
    """What every request of a run has in common."""

    app_id: int = 1
    esme: int = 100
    saddr: str = "BENCH"
    text: str = DEFAULT_TEXT
    strategy: str = ""
    transaction_ids: bool = False
    per_frame: int = 1
    """Messages in one DATA frame, as far as it holds them: 1 is what grpc-go sends."""
    run_id: str = "00000000"


@cache
def message_class(name: str) -> type[Message]:
    """The upb class of one message of sms.v1, e.g. "SmsRequest". Raises KeyError for an unknown name."""
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"sms.v1.{name}"))


@cache
def _pool() -> descriptor_pool.DescriptorPool:
    files = descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTORS.read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


class Template:
    """Requests number n, n+1, ... as joined DATA frames of one stream; n is below 10^9."""

    __slots__ = ("_flags", "_format", "_head", "_per_frame", "_stream_id", "_twice", "octets")

    def __init__(self, request: Request, stream_id: int, *, end_stream: bool = False) -> None:
        payload = _payload_format(request)
        self._twice = request.transaction_ids
        size = len(payload % ((0, 0) if self._twice else 0))
        self.octets = _PREFIX.size + size  # what flow control counts
        self._stream_id = stream_id
        self._flags = _END_STREAM if end_stream else 0
        self._per_frame = min(request.per_frame, _MAX_FRAME_OCTETS // self.octets)
        self._head = self._frame_head(self._per_frame)
        head = _escaped(self._head) if self._per_frame == 1 else b""
        self._format = head + _escaped(_PREFIX.pack(0, size)) + payload

    def frames(self, first: int, count: int) -> bytes:
        """`count` messages from request number `first` on."""
        numbers = range(first, first + count)
        recipients = [number * _SPREAD % _NUMBERS for number in numbers]
        slots: Iterable[object] = zip(numbers, recipients, strict=True) if self._twice else recipients
        messages = map(self._format.__mod__, slots)
        return b"".join(messages) if self._per_frame == 1 else self._packed(list(messages))

    def _packed(self, messages: list[bytes]) -> bytes:
        parts: list[bytes] = []
        for begin in range(0, len(messages), self._per_frame):
            piece = messages[begin : begin + self._per_frame]
            parts.append(self._head if len(piece) == self._per_frame else self._frame_head(len(piece)))
            parts += piece
        return b"".join(parts)

    def _frame_head(self, messages: int) -> bytes:
        return _FRAME.pack(0, messages * self.octets, 0, self._flags, self._stream_id)


def _payload_format(request: Request) -> bytes:
    message = message_class("SmsRequest")(
        task_id=1,
        transaction_id=_ID_MARK if request.transaction_ids else "",
        app_id=request.app_id,
        esme=request.esme,
        saddr=request.saddr,
        daddr=_DADDR_MARK,
        message=request.text,
        strategy=request.strategy,
    )
    wire = _escaped(message.SerializeToString())
    wire = wire.replace(_DADDR_MARK.encode(), b"998%09d")
    return wire.replace(_ID_MARK.encode(), b"bench-%b-%%021d" % request.run_id.encode())


def _escaped(wire: bytes) -> bytes:
    return wire.replace(b"%", b"%%")
