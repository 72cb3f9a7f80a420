"""Words of h2spec's cases: frames made by hand, a peer that keeps what it saw, and what may be seen.

A case is its steps and a verdict; a step is octets to send, or a verdict to wait for before going on.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from grpc_edge_kit import RawClient, framed_request, good_headers
from hpack import Encoder
from hyperframe.frame import (
    DataFrame,
    Frame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
UNKNOWN = 0x16
END, END_HEADERS, PADDED, PRIORITISED = 0x1, 0x4, 0x8, 0x20
PROTOCOL, FLOW_CONTROL, CLOSED, FRAME_SIZE, REFUSED, COMPRESSION = 1, 3, 5, 6, 7, 9
Pairs = list[tuple[str, str]]


class Peer(RawClient):
    """A raw client that sends what it is told, preface included, and keeps all frames it got."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.seen: list[Frame] = []

    def _handle(self, frame: Frame) -> None:
        self.seen.append(frame)
        super()._handle(frame)


@dataclass(frozen=True)
class Verdict:
    """`holds` once it was seen."""

    text: str
    holds: Callable[[Peer], bool]


Step = bytes | Verdict


@dataclass(frozen=True)
class Case:
    """One case of h2spec. `name` is its section and what is sent."""

    name: str
    steps: tuple[Step, ...]
    verdict: Verdict
    preface: bytes = PREFACE + bytes.fromhex("000000040000000000")


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    size = len(payload)
    return struct.pack(">BHBBI", size >> 16, size & 0xFFFF, kind, flags, stream_id) + payload


def block(pairs: Pairs) -> bytes:
    return Encoder().encode(pairs)


def common(*more: tuple[str, str], first: Pairs | None = None, **changed: str | None) -> Pairs:
    """The headers of a good request, `changed` by pseudo-header (None: left out), `more` at the end."""
    pairs = [
        (name, changed.get(name[1:]) or "" if name[1:] in changed else value)
        for name, value in good_headers()
        if not (name[0] == ":" and changed.get(name[1:], "") is None)
    ]
    return [*(first or []), *pairs, *more]


def open_stream(pairs: Pairs | None = None, *, flags: int = END_HEADERS, stream_id: int = 1) -> bytes:
    return frame(HEADERS, flags, stream_id, block(common() if pairs is None else pairs))


def request(pairs: Pairs | None = None, *, stream_id: int = 1) -> bytes:
    """HEADERS that also end the request: answered that there is no message."""
    return open_stream(pairs, flags=END | END_HEADERS, stream_id=stream_id)


def with_block(tail: bytes, head: bytes = b"") -> bytes:
    """The same with octets of HPACK around its block."""
    return frame(HEADERS, END | END_HEADERS, 1, head + block(common()) + tail)


def data(payload: bytes = b"test", flags: int = END, stream_id: int = 1) -> bytes:
    return frame(DATA, flags, stream_id, payload)


def call(**fields: object) -> bytes:
    """A whole good call, so that its answer has DATA."""
    return open_stream() + data(framed_request(**fields))


def settings(*pairs: tuple[int, int]) -> bytes:
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *pair) for pair in pairs))


def window(size: int, stream_id: int = 1) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream_id, struct.pack(">I", size))


def priority(stream_id: int = 1, depends_on: int = 0, weight: int = 255) -> bytes:
    return frame(PRIORITY, 0, stream_id, struct.pack(">IB", depends_on, weight))


def reset(stream_id: int = 1, error: int = 8) -> bytes:
    return frame(RST, 0, stream_id, struct.pack(">I", error))


def ping(payload: bytes = b"h2spec\0\0", flags: int = 0, stream_id: int = 0) -> bytes:
    return frame(PING, flags, stream_id, payload)


def goaway(error: int = 0, stream_id: int = 0) -> bytes:
    return frame(GOAWAY, 0, stream_id, struct.pack(">II", 0, error))


def _any(test: Callable[[Frame], bool]) -> Callable[[Peer], bool]:
    return lambda peer: any(test(each) for each in peer.seen)


def _closed_unasked(peer: Peer) -> bool:
    """h2spec takes any closed connection; here only one closed without a word, which has no wrong code."""
    return peer.closed and peer.goaway is None


def connection_error(*codes: int) -> Verdict:
    return Verdict(f"GOAWAY {codes}", lambda peer: peer.goaway in codes or _closed_unasked(peer))


def stream_error(*codes: int) -> Verdict:
    """RST_STREAM, or the same of the whole connection."""
    was_reset = _any(lambda each: isinstance(each, RstStreamFrame) and each.error_code in codes)
    connection = connection_error(*codes)
    return Verdict(f"RST_STREAM or GOAWAY {codes}", lambda peer: was_reset(peer) or connection.holds(peer))


def only_reset(code: int) -> Verdict:
    return Verdict(
        f"RST_STREAM {code}",
        _any(
            lambda each: isinstance(each, RstStreamFrame) and each.stream_id == 1 and each.error_code == code
        ),
    )


ANSWERED = Verdict("HEADERS", _any(lambda each: isinstance(each, HeadersFrame) and each.stream_id == 1))
OVER = Verdict("END_STREAM", _any(lambda each: each.stream_id == 1 and "END_STREAM" in each.flags))
GREETED = Verdict("SETTINGS", _any(lambda each: isinstance(each, SettingsFrame) and "ACK" not in each.flags))
PONG = Verdict("PING ACK", _any(lambda e: isinstance(e, PingFrame) and e.opaque_data == b"h2spec\0\0"))
PONG_OR_CLOSED = Verdict("PING ACK or closed", lambda peer: peer.closed or PONG.holds(peer))
SHUT = Verdict("closed", lambda peer: peer.closed)
GOAWAY_PROTOCOL = Verdict("GOAWAY 1", lambda peer: peer.goaway == PROTOCOL)
SOME_DATA = Verdict("DATA", _any(lambda each: isinstance(each, DataFrame)))


def acknowledged(count: int) -> Verdict:
    """As many SETTINGS were acknowledged, the client's first one among them."""
    return Verdict(
        f"{count} SETTINGS ACK",
        lambda peer: sum(isinstance(e, SettingsFrame) and "ACK" in e.flags for e in peer.seen) >= count,
    )


def data_sizes(*sizes: int) -> Verdict:
    return Verdict(
        f"DATA of {sizes}",
        lambda peer: tuple(len(e.data) for e in peer.seen if isinstance(e, DataFrame)) == sizes,
    )
