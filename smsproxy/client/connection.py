"""One grpclib channel to one daemon, and the unary calls over it. Who calls: `client` and `stream`.

grpclib ends a call whose connection breaks by cancelling the task that waits in it, which leaves that task
marked as cancelled and confuses the `asyncio.timeout` around it. So each call runs in a task of its own.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, TypeVar

from google.protobuf.message import Message
from grpclib.client import Channel, Stream
from grpclib.config import Configuration
from grpclib.const import Cardinality
from grpclib.exceptions import GRPCError
from grpclib.exceptions import ProtocolError as GrpcProtocolError
from multidict import MultiDict

from smsproxy.client.backoff import Backoff
from smsproxy.client.errors import BROKEN, FOREIGN, UnreachableError, client_error
from smsproxy.client.messages import SmsResponse
from smsproxy.client.options import ClientOptions
from smsproxy.client.retired import Retired, takes_no_calls
from smsproxy.domain.endpoint import Endpoint, parse_target
from smsproxy.rpc.descriptors import SERVICE_NAME, SmsRequest

STREAM_WINDOW_BYTES = 256 * 1024
"""Answers that may lie unread in a stream: about a thousand. grpclib's own default is 4 MiB."""
CONNECTION_WINDOW_BYTES = 1024 * 1024

T = TypeVar("T")
TokenSource = Callable[[], str]
"""Gives a JWT that is good for some minutes; asked for each call and each time a stream is opened."""


class Connection:
    """See the module. Connects when first used, and again after it broke."""

    def __init__(
        self,
        target: str,
        token_source: TokenSource,
        app_id: int,
        options: ClientOptions,
        tls: ssl.SSLContext | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Raises ValueError for a target that is none."""
        self.target = target
        self.options = options
        self.jitter = jitter
        self._where = parse_target(target)
        self._token_source = token_source
        self._app_id = app_id
        self._tls = tls
        self._channel: Channel | None = None
        self._retired = Retired()
        self._closed = False

    def close(self) -> None:
        """Close the connection; calls under way end with UnreachableError."""
        self._closed = True
        self._retired.close()
        if self._channel is not None:
            self._channel.close()

    async def unary(self, method: str, request: Message, reply: type[Message]) -> Any:
        """One call, repeated when the connection breaks under it. Raises ClientError, and GRPCError for the
        daemon's own word, with its trailers in `trailers_of`."""
        try:
            return await isolated(self._repeating(method, request, reply), self.options.timeout_s)
        except GRPCError:
            raise
        except FOREIGN as error:
            raise client_error(error, self.target) from None

    def stream(self) -> Stream[Message, Message]:
        """A SendMessageStream, not opened yet."""
        return self._request("SendMessageStream", Cardinality.STREAM_STREAM, SmsRequest, SmsResponse)

    async def _repeating(self, method: str, request: Message, reply: type[Message]) -> Any:
        backoff = Backoff(self.options.reconnect_max_s)
        for attempt in range(1, self.options.attempts + 1):
            try:
                return await self._once(method, request, reply)
            except BROKEN as error:
                refused = isinstance(error, OSError) and attempt == 1
                if refused or attempt == self.options.attempts or self._closed:
                    raise
                await asyncio.sleep(backoff.next(self.jitter()))
        raise ValueError("ClientOptions.attempts must be at least 1")

    async def _once(self, method: str, request: Message, reply: type[Message]) -> Any:
        call = self._request(
            method, Cardinality.UNARY_UNARY, type(request), reply, timeout=self.options.timeout_s
        )
        try:
            async with call:
                async with asyncio.timeout(self.options.connect_timeout_s):
                    await call.send_request()
                await call.send_message(request, end=True)
                response = await call.recv_message()
        except GRPCError as error:
            error.details = call.trailing_metadata or MultiDict()
            raise
        if response is None:
            raise GrpcProtocolError("an answer without a message")
        return response

    def _request(
        self,
        method: str,
        cardinality: Cardinality,
        request: type[Message],
        reply: type[Message],
        timeout: float | None = None,
    ) -> Stream[Message, Message]:
        if self._closed:
            raise UnreachableError(f"{self.target}: the client is closed")
        metadata = {"authorization": f"Bearer {self._token_source()}", "app_id": str(self._app_id)}
        return self._open().request(
            f"/{SERVICE_NAME}/{method}", cardinality, request, reply, timeout=timeout, metadata=metadata
        )

    def _open(self) -> Channel:
        if self._channel is not None and takes_no_calls(self._channel):
            self._retired.add(self._channel)
            self._channel = None
        if self._channel is None:
            self._channel = _channel(self._where, self._tls)
        return self._channel


def trailers_of(error: GRPCError) -> MultiDict[str]:
    """What `unary` kept of the trailers."""
    found: MultiDict[str] = error.details
    return found


async def isolated(work: Coroutine[Any, Any, T], limit_s: float) -> T:
    """`work` in a task of its own. Raises TimeoutError past `limit_s`, and what `work` raises."""
    task = asyncio.create_task(work)
    try:
        await asyncio.wait({task}, timeout=limit_s)
        if not task.done():
            raise TimeoutError
        return task.result()
    finally:
        await stopped(task)


async def stopped(*tasks: asyncio.Task[Any]) -> None:
    """Cancel what still runs, and see every one to its end; their errors count as seen."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.exception()


def _channel(where: Endpoint, tls: ssl.SSLContext | None) -> Channel:
    config = Configuration(
        http2_stream_window_size=STREAM_WINDOW_BYTES, http2_connection_window_size=CONNECTION_WINDOW_BYTES
    )
    if where.unix_path:
        config = replace(config, ssl_target_name_override="localhost")  # a path is no name to check
        return Channel(path=where.unix_path, ssl=tls, config=config)
    return Channel(where.host, where.port, ssl=tls, config=config)
