"""A small asyncio client for those who send: `SmsClient`, one connection to one daemon.

    async with SmsClient("127.0.0.1:44044", token_source, app_id=1) as client:
        answer = await client.send(Sms(esme=1000, saddr="MYBRAND", daddr="998901234567", message="Hello"))
        async with contextlib.aclosing(client.send_many(campaign)) as answers:
            async for sms, answer in answers:
                ...

An answer is what the product said about a message, refusals included; an exception means that there is none.
It uses nothing of the daemon but the contract (protos/sms/v1/sms.proto).
"""

from smsproxy.client.client import SmsClient
from smsproxy.client.errors import (
    ClientError,
    ForbiddenError,
    MessageError,
    NotFoundError,
    ProtocolError,
    RefusedError,
    TimedOutError,
    UnauthenticatedError,
    UnavailableError,
    UnreachableError,
)
from smsproxy.client.messages import EsmeState, MessageInfo, Sms, SmsAnswer, TextLength
from smsproxy.client.options import ClientOptions

__all__ = [
    "ClientError",
    "ClientOptions",
    "EsmeState",
    "ForbiddenError",
    "MessageError",
    "MessageInfo",
    "NotFoundError",
    "ProtocolError",
    "RefusedError",
    "Sms",
    "SmsAnswer",
    "SmsClient",
    "TextLength",
    "TimedOutError",
    "UnauthenticatedError",
    "UnavailableError",
    "UnreachableError",
]
