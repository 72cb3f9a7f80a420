"""`SmsClient`: the five calls of sms.v1 as a sender wants them. Who uses it: the CLI and campaign senders."""

from __future__ import annotations

import contextlib
import ssl
import uuid
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from types import TracebackType
from typing import Any, Self

from google.protobuf.message import Message
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from smsproxy.client.connection import Connection, TokenSource, trailers_of
from smsproxy.client.errors import NotFoundError, client_error
from smsproxy.client.messages import (
    CheckEsmeRequest,
    CheckEsmeResponse,
    CheckTextLenRequest,
    CheckTextLenResponse,
    EsmeState,
    MessageInfo,
    Sms,
    SmsAnswer,
    SmsResponse,
    SmsStatusRequest,
    SmsStatusResponse,
    TextLength,
    answer_of,
    info_of,
    wire_request,
)
from smsproxy.client.options import ClientOptions
from smsproxy.client.stream import Sending

# How a unary call tells the ends that a stream tells in band (spec §2.1).
_STATUS_WORDS: dict[Status, str] = {
    Status.INVALID_ARGUMENT: "invalid",
    Status.PERMISSION_DENIED: "forbidden",
    Status.NOT_FOUND: "no_route",
    Status.RESOURCE_EXHAUSTED: "rate_limited",
    Status.UNAVAILABLE: "unavailable",
    Status.DEADLINE_EXCEEDED: "expired",
    Status.INTERNAL: "internal",
}


class SmsClient:
    """One connection to one daemon, made when first used and again after it broke. Use it with `async with`.

    Every method raises ClientError (see errors.py) when there is no answer.
    """

    def __init__(
        self,
        target: str,
        token_source: TokenSource,
        app_id: int,
        *,
        options: ClientOptions | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`target`: host:port, [v6]:port or unix:/path. Raises ValueError when it is none of these."""
        self._app_id = app_id
        self._connection = Connection(target, token_source, app_id, options or ClientOptions(), tls)
        self.reconnects = 0
        """Streams of `send_many` that had to be opened again."""
        self.rewritten = 0
        """Messages of `send_many` that were written on more than one stream."""

    def __repr__(self) -> str:
        return f"<SmsClient {self._connection.target} app={self._app_id} reconnects={self.reconnects}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connection. Calls under way end with UnreachableError."""
        self._connection.close()

    async def send(self, sms: Sms) -> SmsAnswer:
        """Send one message. A call that breaks is repeated, with the same transaction_id."""
        transaction_id = sms.transaction_id or str(uuid.uuid4())
        request = wire_request(sms, self._app_id, transaction_id)
        try:
            response = await self._connection.unary("SendMessage", request, SmsResponse)
        except GRPCError as error:
            word = _STATUS_WORDS.get(error.status)
            if word is None:
                raise client_error(error, self._connection.target) from None
            wait = trailers_of(error).get("retry-after-ms", "")
            return SmsAnswer(
                word,
                error=error.message or word,
                esme=sms.esme,
                transaction_id=transaction_id,
                task_id=sms.task_id,
                retry_after_ms=int(wait) if wait.isascii() and wait.isdigit() else 0,
            )
        return answer_of(response)

    async def send_many(
        self, messages: AsyncIterable[Sms] | Iterable[Sms], window: int = 500
    ) -> AsyncGenerator[tuple[Sms, SmsAnswer], None]:
        """Send a campaign over one stream: each message with its answer, in the order they came.

        At most `window` messages are between the source and the consumer. A stream that breaks is opened
        again and what has no answer is sent again, with the same transaction_id. Raises when the first
        connect fails, when there was no answer for `give_up_s`, and when the daemon does not accept the
        token. To stop early, close it: ``contextlib.aclosing(client.send_many(...))``.
        """
        sending = Sending(self._connection, self._app_id, messages, window)
        try:
            async with contextlib.aclosing(sending.answers()) as answers:
                async for pair in answers:
                    yield pair
        finally:
            self.reconnects += sending.reconnects
            self.rewritten += sending.window.rewritten

    async def info(self, message_id: str, esme: int) -> MessageInfo:
        """The recorded state of a message. `esme` is the link of its answer, or a pool that holds it.

        Raises NotFoundError for every reason not to know it.
        """
        request = SmsStatusRequest(esme=esme, message_id=message_id)
        response = await self._read("SmsInfo", request, SmsStatusResponse)
        if response.error:
            raise NotFoundError("NOT_FOUND", response.error)
        return info_of(response)

    async def check_esme(self, esme: int) -> EsmeState:
        """Whether the link, or a member of the pool, can submit now. Raises NotFoundError, ForbiddenError."""
        response = await self._read("CheckESME", CheckEsmeRequest(esme=esme), CheckEsmeResponse)
        return EsmeState(response.persist, response.system_id)

    async def check_text(self, text: str, esme: int = 0) -> TextLength:
        """What a text becomes on the wire of `esme`, or with the default settings."""
        request = CheckTextLenRequest(text=text, esme=esme)
        response = await self._read("CheckTextLen", request, CheckTextLenResponse)
        return TextLength(response.encode, response.symbols, response.parts, response.units, response.error)

    async def _read(self, method: str, request: Message, reply: type[Message]) -> Any:
        try:
            return await self._connection.unary(method, request, reply)
        except GRPCError as error:
            raise client_error(error, self._connection.target) from None
