"""Answers that had arrived when grpclib ended their stream.

A daemon that drains answers what it has read, then ends the stream and resets it, often in one TCP segment;
grpclib then raises at once and leaves those answers in its buffer. They are read here, from its private parts
(a test of ours holds them still). What cannot be read is no loss, only repeated. Who calls: `stream`.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.message import DecodeError, Message
from grpclib.client import Stream

from smsproxy.client.messages import SmsAnswer, SmsResponse, answer_of

_PREFIX_BYTES = 5  # compressed flag and length


def left_answers(stream: Stream[Message, Message]) -> list[SmsAnswer]:
    """The whole answers in the buffer, in order. It may begin inside a message: the first doubt ends it."""
    data = _left_bytes(stream)
    answers: list[SmsAnswer] = []
    at = 0
    while len(data) >= at + _PREFIX_BYTES and not data[at]:
        end = at + _PREFIX_BYTES + int.from_bytes(data[at + 1 : at + _PREFIX_BYTES], "big")
        if end > len(data):
            break
        try:
            response: Any = SmsResponse.FromString(data[at + _PREFIX_BYTES : end])
        except DecodeError:
            break
        if not response.transaction_id:  # nothing to tell by that it is an answer
            break
        answers.append(answer_of(response))
        at = end
    return answers


def _left_bytes(stream: Stream[Message, Message]) -> bytes:
    buffer = stream._stream.buffer
    chunks = [bytes(chunk.data) for chunk in buffer._acked]
    while not buffer._unacked.empty():
        chunks.append(buffer._unacked.get_nowait().data)
    return b"".join(chunks)
