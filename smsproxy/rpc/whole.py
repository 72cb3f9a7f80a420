"""The answer of a unary call that ended well, as the octets of its three frames: opening, message, trailers.

h2 makes the same of three calls and 50 µs; only the message differs from call to call. The header blocks are
literals that neither use nor change the connection's HPACK table, so they are the same for all. Pure; written
by `flow.GuardedStream.answer_whole`, which keeps h2's account of the stream true.
"""

from __future__ import annotations

from struct import Struct

from hpack import Encoder, NeverIndexedHeaderTuple

from smsproxy.rpc.inflate import ACCEPTED

CONTENT_TYPE = "application/grpc+proto"
OPENING = [(":status", "200"), ("content-type", CONTENT_TYPE), ("grpc-accept-encoding", ACCEPTED)]
OK_TRAILERS = [("grpc-status", "0")]

_frame_head = Struct(">BHBBI").pack
_DATA, _HEADERS = 0, 1
_END_STREAM, _END_HEADERS = 0x1, 0x4


def _block(headers: list[tuple[str, str]]) -> bytes:
    """Literals that no table keeps (RFC 7541 §6.2.3)."""
    block: bytes = Encoder().encode([NeverIndexedHeaderTuple(*header) for header in headers])
    return block


_OPENING_BLOCK, _TRAILERS_BLOCK = _block(OPENING), _block(OK_TRAILERS)


def whole_answer(stream_id: int, data: bytes) -> bytes:
    """HEADERS, DATA and the HEADERS that end the stream; `data`, the framed message, must fit one frame."""
    return b"".join(
        (
            _frame_head(0, len(_OPENING_BLOCK), _HEADERS, _END_HEADERS, stream_id),
            _OPENING_BLOCK,
            _frame_head(len(data) >> 16, len(data) & 0xFFFF, _DATA, 0, stream_id),
            data,
            _frame_head(0, len(_TRAILERS_BLOCK), _HEADERS, _END_HEADERS | _END_STREAM, stream_id),
            _TRAILERS_BLOCK,
        )
    )
