"""A daemon for the tests of the client and the CLI: the real contract over real sockets, with a script.

It is written with the generated betterproto2 classes on stock grpclib, so it shares no line with the client.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from grpclib.const import Status
from grpclib.exceptions import GRPCError
from grpclib.protocol import H2Protocol
from grpclib.server import Server
from h2.settings import SettingCodes

from smsproxy.rpc.gen.sms.v1 import (
    CheckEsmeRequest,
    CheckEsmeResponse,
    CheckTextLenRequest,
    CheckTextLenResponse,
    SmsRequest,
    SmsResponse,
    SmsServiceBase,
    SmsStatusRequest,
    SmsStatusResponse,
)

BOUND_S = 10.0
"""The longest any test waits for an event."""


def accepted(request: SmsRequest, **more: object) -> SmsResponse:
    return SmsResponse(
        success=True,
        status="submitted",
        esme=request.esme,
        transaction_id=request.transaction_id,
        message_id=f"id-of-{request.transaction_id}",
        sms_ids=["7"],
        task_id=request.task_id,
        **more,
    )


def refused(request: SmsRequest, status: str, error: str = "no", **more: object) -> SmsResponse:
    return SmsResponse(
        status=status,
        error=error,
        esme=request.esme,
        transaction_id=request.transaction_id,
        task_id=request.task_id,
        **more,
    )


class CutConnectionError(Exception):
    """Raised by a script: the connection breaks here, without a word."""


Answering = Callable[[SmsRequest], SmsResponse | None]
"""The answer; None keeps the message unanswered. May raise GRPCError or CutConnectionError."""


@dataclass
class FakeDaemon(SmsServiceBase):
    """`received` are the requests of all calls in the order they came; `streams` those of each stream."""

    answering: Answering = accepted
    infos: list[SmsStatusResponse] = field(default_factory=list)
    bound: dict[int, bool] = field(default_factory=lambda: {100: True, 101: False})
    received: list[SmsRequest] = field(default_factory=list)
    streams: list[list[SmsRequest]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    metadata_error: GRPCError | None = None
    port: int = 0

    def __post_init__(self) -> None:
        self._server: Server | None = None
        self._transports: list[asyncio.BaseTransport] = []
        self._protocols: list[H2Protocol] = []
        self._arrived = asyncio.Event()

    async def start(self, port: int = 0) -> None:
        self._server = Server([self])
        create = self._server._protocol_factory

        def remembered() -> asyncio.Protocol:
            protocol = create()
            self._protocols.append(protocol)
            made = protocol.connection_made

            def connection_made(transport: asyncio.BaseTransport) -> None:
                self._transports.append(transport)
                made(transport)

            protocol.connection_made = connection_made
            return protocol

        self._server._protocol_factory = remembered
        await self._server.start("127.0.0.1", port)
        self.port = self._server._server.sockets[0].getsockname()[1]

    async def aclose(self) -> None:
        if self._server is not None:
            self.cut()
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    def cut(self) -> None:
        """Break every connection."""
        for transport in self._transports:
            transport.abort()
        self._transports.clear()

    @property
    def connections(self) -> int:
        """How many there were."""
        return len(self._protocols)

    def take_no_calls(self) -> None:
        """Say on every connection that no new stream may be opened, as a daemon that drains."""
        for protocol in self._protocols:
            protocol.connection._connection.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 0})
            protocol.connection.flush()

    async def wait_received(self, count: int) -> None:
        async with asyncio.timeout(BOUND_S):
            while len(self.received) < count:
                self._arrived.clear()
                await self._arrived.wait()

    def _take(self, request: SmsRequest) -> SmsResponse | None:
        self.received.append(request)
        self._arrived.set()
        try:
            return self.answering(request)
        except CutConnectionError:
            self.cut()
            return None

    def _check(self) -> None:
        if self.metadata_error is not None:
            raise self.metadata_error

    async def send_message(self, message: SmsRequest) -> SmsResponse:
        self._check()
        answer = self._take(message)
        if answer is None:
            await asyncio.Event().wait()
        return answer

    async def send_message_stream(self, messages: AsyncIterator[SmsRequest]) -> AsyncIterator[SmsResponse]:
        self._check()
        mine: list[SmsRequest] = []
        self.streams.append(mine)
        async for message in messages:
            mine.append(message)
            answer = self._take(message)
            if answer is not None:
                yield answer

    async def check_esme(self, message: CheckEsmeRequest) -> CheckEsmeResponse:
        self._check()
        if message.esme not in self.bound:
            raise GRPCError(Status.NOT_FOUND, f"esme: no link or pool {message.esme}")
        return CheckEsmeResponse(persist=self.bound[message.esme], system_id="SMSC-1")

    async def check_text_len(self, message: CheckTextLenRequest) -> CheckTextLenResponse:
        return CheckTextLenResponse(
            encode="GSM7", symbols=len(message.text), parts=1, units=len(message.text)
        )

    async def sms_info(self, message: SmsStatusRequest) -> SmsStatusResponse:
        self._check()
        return self.infos.pop(0) if len(self.infos) > 1 else self.infos[0]
