"""h2spec's cases for servers, one line each: section and case, what is sent, what is acceptable.

h2spec (github.com/summerwind/h2spec) has 147, made for servers of web pages. Here they are said to a server
of gRPC: the request is a POST with gRPC's headers unless the case is about the method, and where a case needs
DATA in the answer it is a whole call.
"""

from __future__ import annotations

from h2spec_kit import (
    ANSWERED,
    CLOSED,
    COMPRESSION,
    CONTINUATION,
    END,
    END_HEADERS,
    FRAME_SIZE,
    GOAWAY_PROTOCOL,
    GREETED,
    HEADERS,
    OVER,
    PADDED,
    PONG,
    PONG_OR_CLOSED,
    PRIORITISED,
    PROTOCOL,
    REFUSED,
    SHUT,
    SOME_DATA,
    UNKNOWN,
    Case,
    Step,
    Verdict,
    acknowledged,
    block,
    call,
    common,
    connection_error,
    data,
    frame,
    goaway,
    open_stream,
    ping,
    priority,
    request,
    reset,
    settings,
    stream_error,
    window,
    with_block,
)  # fmt: skip

HELD = 1
"""The task_id of calls that the gateway does not answer: their streams stay half-closed (remote)."""
MORE = block([("x-dummy0", "x" * 1000)])
BLOCK = block(common())
STREAM = open_stream(common(path="/sms.v1.SmsService/SendMessageStream"))
"""A stream that stays open."""
CUT = frame(HEADERS, END, 1, BLOCK)
CUT_OPEN = frame(HEADERS, 0, 1, BLOCK)
"""Header blocks that go on."""
PADDED_BLOCK = bytes([8]) + BLOCK + bytes(8)
WINDOW_0 = settings((4, 0))
TWO_31 = 2**31 - 1
USER_AGENT = b"\x0auser-agent\x06h2spec"
USER_AGENT_HUFFMAN = bytes.fromhex("87b505b161cc5a93849c48aca4")
NEW_NAME = b"\x06x-test\x06h2spec"
NEW_NAME_HUFFMAN = bytes.fromhex("85f2b24a84ff849c48aca4")
bad_connection, bad_stream = connection_error(PROTOCOL), stream_error(PROTOCOL)
closed_stream = stream_error(CLOSED)
bad_size, bad_block = connection_error(FRAME_SIZE), connection_error(COMPRESSION)


def go_on(payload: bytes = MORE, flags: int = END_HEADERS, stream_id: int = 1) -> bytes:
    return frame(CONTINUATION, flags, stream_id, payload)


def cases(section: str, *rows: tuple[str, tuple[Step, ...] | bytes, Verdict]) -> list[Case]:
    return [
        Case(f"{section} {name}", steps if isinstance(steps, tuple) else (steps,), verdict)
        for name, steps, verdict in rows
    ]


CASES = [
    *cases("generic/1", ("client preface", b"", GREETED)),
    *cases(
        "generic/2",
        ("PRIORITY on idle", priority() + ping(), PONG),
        ("WINDOW_UPDATE on half-closed (remote)", WINDOW_0 + call() + window(1), SOME_DATA),
        ("PRIORITY on half-closed (remote)", WINDOW_0 + call() + priority() + window(1), SOME_DATA),
        ("RST_STREAM on half-closed (remote)", call(task_id=HELD) + reset() + ping(), PONG_OR_CLOSED),
        ("PRIORITY on closed", (call(), OVER, priority() + ping()), PONG),
    ),
    *cases(
        "generic/3.1",
        ("DATA", open_stream() + data(), ANSWERED),
        ("two DATA", open_stream() + data(flags=0) + data(), ANSWERED),
        ("padded DATA", open_stream() + data(b"\5test" + bytes(5), END | PADDED), ANSWERED),
    ),
    *cases(
        "generic/3.2",
        ("HEADERS", request(), ANSWERED),
        ("padded HEADERS", frame(HEADERS, END | END_HEADERS | PADDED, 1, PADDED_BLOCK), ANSWERED),
        ("HEADERS with priority", frame(HEADERS, 0x25, 1, b"\0\0\0\0\xff" + BLOCK), ANSWERED),
    ),
    *cases(
        "generic/3.3",
        ("PRIORITY 1", priority(weight=0) + request(), ANSWERED),
        ("PRIORITY 256", priority() + request(), ANSWERED),
        ("PRIORITY with dependency", priority(3, depends_on=1) + request(), ANSWERED),
        ("PRIORITY exclusive", priority(depends_on=2**31) + request(), ANSWERED),
        ("PRIORITY on idle, lower HEADERS", priority(3) + request(), ANSWERED),
    ),
    *cases("generic/3.4", ("RST_STREAM", open_stream() + reset() + ping(), PONG_OR_CLOSED)),
    *cases(
        "generic/3.5",
        (
            "SETTINGS",
            settings((1, 4096), (2, 1), (3, 100), (4, 65535), (5, 16384), (6, 100)),
            acknowledged(2),
        ),
    ),
    *cases("generic/3.7", ("PING", ping(), PONG)),
    *cases("generic/3.8", ("GOAWAY", goaway() + ping(), PONG_OR_CLOSED)),
    *cases(
        "generic/3.9",
        ("WINDOW_UPDATE of the connection", window(1, 0) + ping(), PONG),
        ("WINDOW_UPDATE of a stream", request() + window(1), ANSWERED),
    ),
    *cases(
        "generic/3.10",
        ("CONTINUATION", frame(HEADERS, END, 1, BLOCK[:5]) + go_on(BLOCK[5:]), ANSWERED),
        (
            "two CONTINUATION",
            frame(HEADERS, END, 1, BLOCK[:5]) + go_on(BLOCK[5:10], 0) + go_on(BLOCK[10:]),
            ANSWERED,
        ),
    ),
    *cases(
        "generic/4",
        ("GET", request(common(method="GET")), ANSWERED),
        ("HEAD", request(common(method="HEAD")), ANSWERED),
        ("POST", open_stream() + data(), ANSWERED),
        ("POST with trailers", open_stream() + data(flags=0) + request([("x-test", "ok")]), ANSWERED),
    ),
    *cases(
        "generic/5",
        ("indexed field", with_block(b"\xba"), ANSWERED),
        ("incremental, indexed name, Huffman", with_block(b"\x40" + USER_AGENT_HUFFMAN), ANSWERED),
        ("incremental, indexed name", with_block(b"\x40" + USER_AGENT), ANSWERED),
        ("incremental, new name", with_block(b"\x40" + NEW_NAME), ANSWERED),
        ("incremental, new name, Huffman", with_block(b"\x40" + NEW_NAME_HUFFMAN), ANSWERED),
        ("not indexed, indexed name", with_block(b"\x00" + USER_AGENT), ANSWERED),
        ("not indexed, indexed name, Huffman", with_block(b"\x00" + USER_AGENT_HUFFMAN), ANSWERED),
        ("not indexed, new name", with_block(b"\x00" + NEW_NAME), ANSWERED),
        ("not indexed, new name, Huffman", with_block(b"\x00" + NEW_NAME_HUFFMAN), ANSWERED),
        ("never indexed, indexed name", with_block(b"\x10" + USER_AGENT), ANSWERED),
        ("never indexed, indexed name, Huffman", with_block(b"\x10" + USER_AGENT_HUFFMAN), ANSWERED),
        ("never indexed, new name", with_block(b"\x10" + NEW_NAME), ANSWERED),
        ("never indexed, new name, Huffman", with_block(b"\x10" + NEW_NAME_HUFFMAN), ANSWERED),
        ("table size update", with_block(b"", head=b"\x3f\x61"), ANSWERED),
        ("two table size updates", with_block(b"", head=b"\x3f\x61\x3f\xe1\x1f"), ANSWERED),
    ),
    *cases("http2/3.5", ("client preface", b"", GREETED)),
    Case("http2/3.5 bad preface", (), bad_connection, b"INVALID CONNECTION PREFACE\r\n\r\n"),
    *cases(
        "http2/4.1",
        ("unknown type", frame(UNKNOWN, 0, 0, bytes(8)) + ping(), PONG),
        ("undefined flag", ping(flags=0x16), PONG),
        ("reserved bit", ping(flags=0x16, stream_id=2**31), PONG),
    ),
    *cases(
        "http2/4.2",
        ("DATA of 2^14", open_stream() + data(b"x" * 2**14), ANSWERED),
        ("DATA too large", open_stream() + data(b"x" * (2**14 + 1)), stream_error(FRAME_SIZE)),
        (
            "HEADERS too large",
            with_block(b"".join(block([(f"x-dummy{number}", "x" * 5000)]) for number in range(5))),
            bad_size,
        ),
    ),
    *cases(
        "http2/4.3",
        ("bad block", frame(HEADERS, END | END_HEADERS, 1, b"\x40"), bad_block),
        ("PRIORITY inside a block", CUT_OPEN + priority() + go_on(), bad_connection),
        ("HEADERS of another inside a block", CUT_OPEN + request(stream_id=3) + go_on(), bad_connection),
    ),
    *cases(
        "http2/5.1",
        ("idle: DATA", data(), stream_error(PROTOCOL, CLOSED)),
        ("idle: RST_STREAM", reset(), bad_connection),
        ("idle: WINDOW_UPDATE", window(100), bad_connection),
        ("idle: CONTINUATION", go_on(BLOCK), bad_connection),
        ("half-closed: DATA", call(task_id=HELD) + data(), closed_stream),
        ("half-closed: HEADERS", call(task_id=HELD) + request(), closed_stream),
        ("half-closed: CONTINUATION", call(task_id=HELD) + go_on(BLOCK), stream_error(CLOSED, PROTOCOL)),
        ("reset: DATA", STREAM + reset() + data(), closed_stream),
        ("reset: HEADERS", STREAM + reset() + request(), closed_stream),
        ("reset: CONTINUATION", STREAM + reset() + go_on(), stream_error(CLOSED, PROTOCOL)),
        ("closed: DATA", (call(), OVER, data()), closed_stream),
        ("closed: HEADERS", (call(), OVER, request()), connection_error(CLOSED)),
        ("closed: CONTINUATION", (call(), OVER, go_on()), connection_error(CLOSED, PROTOCOL)),
    ),
    *cases(
        "http2/5.1.1",
        ("even stream", request(stream_id=2), bad_connection),
        ("lower stream", request(stream_id=5) + request(stream_id=3), bad_connection),
    ),
    *cases(
        "http2/5.1.2",
        (
            "too many streams",
            WINDOW_0 + b"".join(open_stream(stream_id=2 * number + 1) for number in range(101)),
            stream_error(PROTOCOL, REFUSED),
        ),
    ),
    *cases(
        "http2/5.3.1",
        (
            "HEADERS on itself",
            frame(HEADERS, END | END_HEADERS | PRIORITISED, 1, b"\0\0\0\1\xff" + BLOCK),
            bad_stream,
        ),
        ("PRIORITY on itself", priority(depends_on=1), bad_stream),
    ),
    *cases(
        "http2/5.4.1",
        ("bad PING closes", ping(stream_id=3), SHUT),
        ("bad PING gets GOAWAY", ping(stream_id=3), GOAWAY_PROTOCOL),
    ),
    *cases(
        "http2/5.5",
        ("unknown frame", frame(UNKNOWN, 0, 0, bytes(8)) + ping(), PONG),
        ("unknown frame inside a block", CUT + frame(UNKNOWN, 0, 0, bytes(8)), bad_connection),
    ),
]
