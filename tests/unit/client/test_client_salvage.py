"""Answers that are still in grpclib's buffer when a stream is terminated."""

from __future__ import annotations

from types import SimpleNamespace

from grpclib.protocol import Buffer
from hypothesis import given
from hypothesis import strategies as st

from smsproxy.client.messages import answer_of
from smsproxy.client.salvage import left_answers
from smsproxy.rpc.gen.sms.v1 import SmsResponse


def framed(response: SmsResponse) -> bytes:
    packed = bytes(response)
    return b"\0" + len(packed).to_bytes(4, "big") + packed


def a_stream(*chunks: bytes) -> SimpleNamespace:
    buffer = Buffer(lambda _: None)
    for chunk in chunks:
        buffer.add(chunk, len(chunk))
    buffer.eof()
    return SimpleNamespace(_stream=SimpleNamespace(buffer=buffer))


ANSWERS = [SmsResponse(status="submitted", transaction_id=f"t{number}") for number in range(3)]
OCTETS = b"".join(map(framed, ANSWERS))


@given(st.integers(0, len(OCTETS)), st.integers(1, 40))
def test_whole_answers_are_found_however_they_were_cut_into_frames(length: int, size: int) -> None:
    octets = OCTETS[:length]
    chunks = [octets[at : at + size] for at in range(0, length, size)]
    whole = sum(length >= len(OCTETS) // 3 * number for number in (1, 2, 3))
    assert left_answers(a_stream(*chunks)) == [answer_of(answer) for answer in ANSWERS[:whole]]


async def test_what_was_half_read_before_is_continued_from_where_it_is() -> None:
    stream = a_stream(OCTETS)
    first = len(framed(ANSWERS[0]))
    await stream._stream.buffer.read(first)
    assert [answer.transaction_id for answer in left_answers(stream)] == ["t1", "t2"]


@given(st.binary(max_size=60))
def test_octets_that_are_no_answers_are_left(octets: bytes) -> None:
    assert all(answer.transaction_id for answer in left_answers(a_stream(octets)))


def test_an_answer_without_an_id_ends_it() -> None:
    assert left_answers(a_stream(framed(SmsResponse(status="internal")), OCTETS)) == []
