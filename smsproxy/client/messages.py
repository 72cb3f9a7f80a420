"""What goes out and what comes back, as plain values with the names of the API; and their wire form.

The wire form is protobuf's own (upb), a hundred times faster than pure Python: a campaign is a million.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message

from smsproxy.client.errors import MessageError
from smsproxy.rpc.descriptors import SmsRequest, SmsResponse, message_class

# upb classes get their fields at run time: what they make is Any until it is one of the values below.
_new_request: Callable[..., Any] = SmsRequest

CheckEsmeRequest: Callable[..., Any] = message_class("sms.v1.CheckESMERequest")
CheckEsmeResponse = message_class("sms.v1.CheckESMEResponse")
CheckTextLenRequest: Callable[..., Any] = message_class("sms.v1.CheckTextLenRequest")
CheckTextLenResponse = message_class("sms.v1.CheckTextLenResponse")
SmsStatusRequest: Callable[..., Any] = message_class("sms.v1.SmsStatusRequest")
SmsStatusResponse = message_class("sms.v1.SmsStatusResponse")


@dataclass(frozen=True, slots=True)
class Sms:
    """One message to send; what the fields mean is told in sms.proto.

    Without a `transaction_id` the client makes one, so that its own repeats are safe. Give one of your own to
    make a repeat after a crash safe, too.
    """

    esme: int
    saddr: str
    daddr: str
    message: str
    strategy: str = ""
    transaction_id: str = ""
    task_id: int = 0
    ston: int | None = None
    snpi: int | None = None
    dton: int | None = None
    dnpi: int | None = None
    sent_at: int = 0


@dataclass(frozen=True, slots=True)
class SmsAnswer:
    """What the daemon said about one message (spec §2.1); refusals are answers."""

    status: str
    success: bool = False
    error: str = ""
    esme: int = 0
    transaction_id: str = ""
    message_id: str = ""
    sms_ids: tuple[str, ...] = ()
    task_id: int = 0
    retry_after_ms: int = 0
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class MessageInfo:
    """The recorded state of a message and of its parts, numbered from "1"."""

    message_id: str
    status: str
    mode: str = ""
    parts: Mapping[str, str] = field(default_factory=dict)
    delivered_count: int = 0
    sent_at: int = 0
    updated_at: int = 0
    transaction_id: str = ""
    task_id: int = 0
    reasons: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EsmeState:
    """A link or pool: whether a message could be submitted now, and to whom."""

    persist: bool
    system_id: str


@dataclass(frozen=True, slots=True)
class TextLength:
    """What a text becomes on the wire; `error` when it needs more parts than allowed."""

    encode: str
    symbols: int
    parts: int
    units: int
    error: str = ""


def wire_request(sms: Sms, app_id: int, transaction_id: str) -> Message:
    """The SmsRequest. Raises MessageError for a value that no field can hold."""
    given = {
        name: value
        for name in ("ston", "snpi", "dton", "dnpi")
        if (value := getattr(sms, name)) is not None  # absent and 0 are different things
    }
    try:
        request: Message = _new_request(
            task_id=sms.task_id,
            transaction_id=transaction_id,
            app_id=app_id,
            esme=sms.esme,
            saddr=sms.saddr,
            daddr=sms.daddr,
            message=sms.message,
            sent_at=sms.sent_at,
            strategy=sms.strategy,
            **given,
        )
    except (TypeError, ValueError) as error:
        raise MessageError(f"message to send: {error}") from None
    return request


def answer_of(response: Any) -> SmsAnswer:
    """The value of an SmsResponse."""
    return SmsAnswer(
        response.status,
        response.success,
        response.error,
        response.esme,
        response.transaction_id,
        response.message_id,
        tuple(response.sms_ids),
        response.task_id,
        response.retry_after_ms,
        response.repeated,
    )


def info_of(response: Any) -> MessageInfo:
    """The value of an SmsStatusResponse that found its message."""
    return MessageInfo(
        response.message_id,
        response.status,
        response.mode,
        dict(sorted(response.parts.items(), key=lambda part: int(part[0]))),
        response.delivered_count,
        response.sent_at,
        response.updated_at,
        response.transaction_id,
        response.task_id,
        dict(response.reasons),
    )


__all__ = [
    "CheckEsmeRequest",
    "CheckEsmeResponse",
    "CheckTextLenRequest",
    "CheckTextLenResponse",
    "EsmeState",
    "MessageInfo",
    "Sms",
    "SmsAnswer",
    "SmsResponse",
    "SmsStatusRequest",
    "SmsStatusResponse",
    "TextLength",
    "answer_of",
    "info_of",
    "wire_request",
]
