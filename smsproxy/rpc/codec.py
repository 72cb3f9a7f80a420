"""Bytes of the wire to the nouns of the domain, and back.

`decode_request` and `encode_answer` are the two functions every message passes: upb straight to the domain's
slotted objects. `StrictCodec` serves every other message of the server (betterproto2, health, reflection).
Both are strict: what upb cannot parse is refused, also for betterproto2, whose own parser takes a cut string
for a shorter one and a number for a text.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Any

import betterproto2
from google.protobuf import message as protobuf
from grpclib.const import Status
from grpclib.encoding.base import CodecBase

from smsproxy.domain.message import Message
from smsproxy.domain.outcome import Answer
from smsproxy.domain.outcome import Status as AnswerStatus
from smsproxy.rpc.answers import usual_answer
from smsproxy.rpc.descriptors import SmsRequest, SmsResponse, message_class
from smsproxy.rpc.details import Reason
from smsproxy.rpc.gen.message_pool import default_message_pool
from smsproxy.rpc.status import RefusalError

MALFORMED = "malformed protobuf"

# The gRPC prefix of a message: compressed flag (always 0 from us) and length.
PREFIX_BYTES = 5
_prefix = Struct(">xI").pack

# upb classes have their fields at run time only, so what they give is Any until it is a domain object.
_parse_request: Callable[[bytes], Any] = SmsRequest.FromString
_new_response: Callable[[], Any] = SmsResponse
_SUBMITTED = AnswerStatus.SUBMITTED


class MalformedRequestError(ValueError):
    """The bytes are not an SmsRequest. The caller's fault; nothing was sent."""

    def __init__(self) -> None:
        super().__init__(MALFORMED)


def decode_request(data: bytes) -> Message:
    """One SmsRequest, unchecked. Optional fields are None when absent. Raises MalformedRequestError."""
    try:
        request = _parse_request(data)
    except protobuf.DecodeError:
        raise MalformedRequestError from None
    has = request.HasField
    return Message(
        request.app_id,
        request.esme,
        request.saddr,
        request.daddr,
        request.message,
        request.transaction_id,
        request.task_id,
        request.ston if has("ston") else None,
        request.snpi if has("snpi") else None,
        request.dton if has("dton") else None,
        request.dnpi if has("dnpi") else None,
        request.sent_at,
        request.strategy,
    )


def encode_answer(answer: Answer) -> bytes:
    """One SmsResponse. Raises ValueError when a text of the answer is not valid Unicode."""
    packed = usual_answer(answer) if answer.status is _SUBMITTED else None
    return _by_upb(answer) if packed is None else packed


def _by_upb(answer: Answer) -> bytes:
    response = _new_response()
    status = answer.status
    if status is _SUBMITTED:
        response.success = True
    response.status = status.value
    response.esme = answer.route_id
    response.transaction_id = answer.transaction_id
    response.task_id = answer.task_id
    # Fields at their default cost nothing on the wire, but each costs a call here.
    if answer.message_id:
        response.message_id = answer.message_id
    if answer.smsc_ids:
        response.sms_ids.extend(answer.smsc_ids)
    if answer.error:
        response.error = answer.error
    if answer.retry_after_ms:
        response.retry_after_ms = answer.retry_after_ms
    if answer.repeated:
        response.repeated = True
    packed: bytes = response.SerializeToString()
    return packed


def encode_framed_answer(answer: Answer) -> bytes:
    """`encode_answer` behind its gRPC prefix, ready to be joined into a DATA frame."""
    packed = usual_answer(answer) if answer.status is _SUBMITTED else None
    if packed is None:
        packed = _by_upb(answer)
    return _prefix(len(packed)) + packed


def framed(packed: bytes) -> bytes:
    """Any encoded message behind its gRPC prefix."""
    return _prefix(len(packed)) + packed


class StrictCodec(CodecBase):
    """One codec for the four kinds of message on our port. Malformed input is INVALID_ARGUMENT."""

    __content_subtype__ = "proto"

    def encode(self, message: Any, message_type: Any) -> bytes:
        if isinstance(message, betterproto2.Message):
            return bytes(message)
        packed: bytes = message.SerializeToString()
        return packed

    def decode(self, data: bytes, message_type: Any) -> Any:
        try:
            if issubclass(message_type, betterproto2.Message):
                return message_type.parse(_checked(data, message_type))
            return message_type.FromString(data)
        except protobuf.DecodeError:
            raise RefusalError(Status.INVALID_ARGUMENT, MALFORMED, Reason.MALFORMED_MESSAGE) from None


def _checked(data: bytes, message_type: type[betterproto2.Message]) -> bytes:
    """`data` as upb understood it: known fields of the right wire type, nothing else."""
    full_name = default_message_pool.type_to_url[message_type].rpartition("/")[2]
    parsed = message_class(full_name).FromString(data)
    parsed.DiscardUnknownFields()
    return parsed.SerializeToString()
