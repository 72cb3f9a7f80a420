"""The message buffer: whole messages out of any cut of the octets, bounds at the prefix, honest windows."""

from __future__ import annotations

import asyncio
import gc
import gzip
import struct
import weakref

import pytest
from grpclib.const import Status
from hypothesis import given
from hypothesis import strategies as st

from smsproxy.rpc.buffer import MessageBuffer
from smsproxy.rpc.codec import MalformedRequestError, decode_request
from smsproxy.rpc.status import RefusalError

MAX = 100


def framed(data: bytes, flag: int = 0) -> bytes:
    return struct.pack(">BI", flag, len(data)) + data


class Released:
    """Counts the octets a buffer is done with."""

    def __init__(self) -> None:
        self.octets = 0

    def __call__(self, size: int) -> None:
        self.octets += size


def a_buffer() -> tuple[MessageBuffer, Released]:
    released = Released()
    return MessageBuffer(MAX, released), released


async def all_of(buffer: MessageBuffer, batch: int = 3) -> list[bytes]:
    taken: list[bytes] = []
    while got := await buffer.read_batch(batch):
        assert len(got) <= batch
        taken += got
    return taken


@given(st.lists(st.binary(max_size=2 * MAX).map(framed) | st.binary(max_size=30), max_size=6))
def test_frames_cut_out_of_a_read_are_taken_as_their_payload_would_be(frames: list[bytes]) -> None:
    async def run() -> None:
        ours, released_ours = a_buffer()
        theirs, released_theirs = a_buffer()
        at, read = 0, b"".join(frames)
        for frame in frames:
            ours.add_frame(read, at, at + len(frame))
            theirs.add(frame)
            at += len(frame)
        assert repr(ours) == repr(theirs)
        assert (ours.readable, ours.oversized) == (theirs.readable, theirs.oversized)
        ours.close(released_ours)
        theirs.close(released_theirs)
        assert released_ours.octets == released_theirs.octets

    asyncio.run(run())


@given(st.lists(st.binary(max_size=MAX), max_size=12), st.data())
def test_messages_come_out_whole_however_the_octets_are_cut(
    messages: list[bytes], data: st.DataObject
) -> None:
    async def run() -> None:
        buffer, released = a_buffer()
        octets = b"".join(map(framed, messages))
        cuts = sorted(data.draw(st.lists(st.integers(0, len(octets)), max_size=20)))
        for start, stop in zip([0, *cuts], [*cuts, len(octets)], strict=True):
            if data.draw(st.booleans()):
                buffer.add(octets[start:stop])
            else:
                buffer.add_frame(octets, start, stop)
        assert released.octets == 0  # nothing is released before it is taken
        buffer.eof()
        assert await all_of(buffer) == messages
        assert released.octets == len(octets)

    asyncio.run(run())


async def test_one_octet_at_a_time_is_one_message() -> None:
    buffer, _ = a_buffer()
    for octet in framed(b"hello"):
        assert not buffer.readable
        buffer.add(bytes([octet]))
        buffer.add(b"")  # empty DATA is legal anywhere
    assert await buffer.read_batch(9) == [b"hello"]


async def test_a_waiting_reader_gets_what_arrives() -> None:
    buffer, _ = a_buffer()
    reader = asyncio.create_task(buffer.read_batch(9))
    await asyncio.sleep(0)
    buffer.add(framed(b"a") + framed(b"b") + b"\0\0")
    assert await reader == [b"a", b"b"]
    assert repr(buffer) == "<MessageBuffer messages=0 partial=2 eof=False>"


@pytest.mark.parametrize(
    ("bad", "status", "text"),
    [
        (struct.pack(">BI", 0, MAX + 1), Status.RESOURCE_EXHAUSTED, "message is larger than 100 bytes"),
        (struct.pack(">BI", 0, 0xFFFFFFFF), Status.RESOURCE_EXHAUSTED, "message is larger than 100 bytes"),
        (framed(b"x", flag=7), Status.INVALID_ARGUMENT, "bad compressed flag"),
    ],
)
async def test_a_bad_message_is_refused_at_its_prefix_after_those_before_it(
    bad: bytes, status: Status, text: str
) -> None:
    buffer, released = a_buffer()
    octets = framed(b"good") + bad
    buffer.add(octets)
    buffer.add(b"much more of it")
    buffer.eof()
    assert await buffer.read_batch(9) == [b"good"]
    for _ in range(2):
        with pytest.raises(RefusalError) as refused:
            await buffer.read_batch(9)
        assert (refused.value.status, refused.value.message) == (status, text)
    assert released.octets == len(octets) + len(b"much more of it")


@pytest.mark.parametrize("encoding", ["", "identity", "deflate", "snappy"])
async def test_an_unknown_compression_is_refused_with_what_we_accept(encoding: str) -> None:
    buffer, released = a_buffer()
    buffer.encoding = encoding
    octets = framed(b"good") + framed(b"x", flag=1) + framed(b"more") * 9
    buffer.add(octets)
    assert await buffer.read_batch(20) == [b"good"]
    for _ in range(2):
        with pytest.raises(RefusalError) as refused:
            await buffer.read_batch(1)
    assert refused.value.status is Status.UNIMPLEMENTED
    assert refused.value.extra == (("grpc-accept-encoding", "identity,gzip"),)
    assert released.octets == len(octets)


async def test_gzip_is_inflated_beside_plain_messages() -> None:
    buffer, released = a_buffer()
    buffer.encoding = "gzip"
    octets = b"".join(framed(gzip.compress(b"x" * size), flag=1) + framed(b"plain") for size in range(8))
    buffer.add(octets)
    taken = []
    while buffer.readable:
        taken += await buffer.read_batch(9)
    assert taken == [message for size in range(8) for message in (b"x" * size, b"plain")]
    assert released.octets == len(octets)


async def test_what_inflates_beyond_the_largest_message_is_refused_for_its_size() -> None:
    buffer, _ = a_buffer()
    buffer.encoding = "gzip"
    buffer.add(framed(gzip.compress(b"x" * MAX), flag=1) + framed(gzip.compress(b"x" * (MAX + 1)), flag=1))
    assert await buffer.read_batch(9) == [b"x" * MAX]
    with pytest.raises(RefusalError, match="larger than 100 bytes"):
        await buffer.read_batch(9)
    assert buffer.oversized == MAX + 1


@pytest.mark.parametrize(
    "octets", [b"", b"no gzip", gzip.compress(b"cut")[:-1], gzip.compress(b"x") + b"y"], ids=len
)
async def test_broken_gzip_is_a_malformed_message_in_its_place(octets: bytes) -> None:
    buffer, _ = a_buffer()
    buffer.encoding = "gzip"
    buffer.add(framed(b"before") + framed(octets, flag=1) + framed(b"behind"))
    before, broken, behind = await buffer.read_batch(9)
    assert (before, behind) == (b"before", b"behind")
    with pytest.raises(MalformedRequestError):
        decode_request(broken)


async def test_the_largest_message_is_taken() -> None:
    buffer, _ = a_buffer()
    buffer.add(framed(b"x" * MAX))
    assert await buffer.read_batch(1) == [b"x" * MAX]


@pytest.mark.parametrize("kept", [1, 4, 5, 7])
async def test_a_message_cut_by_the_end_of_the_stream_is_invalid(kept: int) -> None:
    buffer, _ = a_buffer()
    buffer.add(framed(b"one") + framed(b"two")[:kept])
    buffer.eof()
    assert await buffer.read_batch(9) == [b"one"]
    with pytest.raises(RefusalError) as refused:
        await buffer.read_batch(9)
    assert refused.value.status is Status.INVALID_ARGUMENT


async def test_interrupt_ends_reading_and_leaves_what_was_not_taken() -> None:
    buffer, released = a_buffer()
    waiting = asyncio.create_task(buffer.read_batch(1))
    await asyncio.sleep(0)
    buffer.interrupt()
    assert await waiting == []
    buffer.add(framed(b"late"))
    assert await buffer.read_batch(1) == []
    assert released.octets == len(framed(b"late"))


async def test_close_hands_back_every_octet_once() -> None:
    buffer, released = a_buffer()
    octets = framed(b"one") + framed(b"two") + b"\0\0\0"
    buffer.add(octets)
    assert await buffer.read_batch(1) == [b"one"]
    late = Released()
    buffer.close(late)
    buffer.close(late)
    assert released.octets == len(octets)
    buffer.add(framed(b"late"))
    assert late.octets == len(framed(b"late"))


def test_a_stream_that_is_over_does_not_wait_for_the_collector() -> None:
    class Stream:
        def __init__(self) -> None:
            self.buffer = MessageBuffer(MAX, self.released)

        def released(self, size: int) -> None: ...

    stream = Stream()
    seen = weakref.ref(stream)
    gc.disable()
    try:
        stream.buffer.close(Released())
        del stream
        assert seen() is None
    finally:
        gc.enable()
