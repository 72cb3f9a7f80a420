"""One `send_many`: three tasks around a SendWindow.

    fill    source -> window, as long as it has room; lives for the whole of it (a source cannot be rewound)
    run     opens a stream, reads its answers, opens the next when it breaks; gives up after `give_up_s`
    write   window -> stream; one per stream

The consumer takes the answers. A stream that ends early is no loss: what has no answer is written again with
the same transaction_id, and the daemon answers a repeat with what it did the first time (spec §2.3).
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from typing import Any, NoReturn

from google.protobuf.message import Message
from grpclib.client import Stream
from grpclib.exceptions import StreamTerminatedError

from smsproxy.client.backoff import Backoff
from smsproxy.client.connection import Connection, stopped
from smsproxy.client.errors import (
    FOREIGN,
    ClientError,
    TimedOutError,
    UnauthenticatedError,
    UnavailableError,
    UnreachableError,
    client_error,
)
from smsproxy.client.messages import Sms, SmsAnswer, answer_of, wire_request
from smsproxy.client.salvage import left_answers
from smsproxy.client.window import Open, SendWindow

_PASSING = (UnreachableError, TimedOutError, UnavailableError)
"""What a new stream may cure. Anything else is raised when the stream brought no answer."""


class Sending:
    """See the module."""

    def __init__(
        self,
        connection: Connection,
        app_id: int,
        messages: AsyncIterable[Sms] | Iterable[Sms],
        window: int,
    ) -> None:
        self._connection = connection
        self._options = connection.options
        self._app_id = app_id
        self._messages = messages
        self.window = SendWindow(window)
        self.reconnects = 0
        self._room = asyncio.Event()
        self._work = asyncio.Event()
        self._news = asyncio.Event()
        self._filling: asyncio.Task[None] | None = None
        self._closing = False
        self._opened = False

    # -- the consumer's side --------------------------------------------------------------------------------

    async def answers(self) -> AsyncGenerator[tuple[Sms, SmsAnswer], None]:
        """Every message with its answer, in order. Raises ClientError, or what the source raised, after all
        answers that came before it."""
        filling = self._filling = asyncio.create_task(self._fill())
        running = asyncio.create_task(self._run(filling))
        filling.add_done_callback(lambda _: self._work.set())
        running.add_done_callback(lambda _: self._news.set())
        try:
            while True:
                while (pair := self.window.deliver()) is not None:
                    self._room.set()
                    yield pair
                if running.done():
                    running.result()
                    filling.result()
                    return
                self._news.clear()
                await self._news.wait()
        finally:
            self._closing = True
            await stopped(running, filling)

    async def _fill(self) -> None:
        async with contextlib.aclosing(_each(self._messages)) as messages:
            async for sms in messages:
                while not self.window.has_room:
                    self._room.clear()
                    await self._room.wait()
                transaction_id = sms.transaction_id or str(uuid.uuid4())
                self.window.add(Open(sms, transaction_id, wire_request(sms, self._app_id, transaction_id)))
                self._work.set()

    # -- the daemon's side ----------------------------------------------------------------------------------

    async def _run(self, filling: asyncio.Task[None]) -> None:
        backoff = Backoff(self._options.reconnect_max_s)
        loop = asyncio.get_running_loop()
        last_progress_at = loop.time()
        while not self._finished(filling):
            answers = self.window.answers
            failure = await self._one_stream(filling)
            if self._finished(filling) or self._closing:
                return
            progress = self.window.answers > answers
            if progress or not self.window.open:  # an idle stream that ends is no failure
                last_progress_at = loop.time()
            if not progress and not (self._opened and isinstance(failure, _PASSING)):
                raise failure
            if loop.time() - last_progress_at > self._options.give_up_s:
                raise failure
            if progress:
                backoff.reset()
            self.reconnects += 1
            await asyncio.sleep(backoff.next(self._connection.jitter()))

    def _finished(self, filling: asyncio.Task[None]) -> bool:
        return filling.done() and not self.window.open

    async def _one_stream(self, filling: asyncio.Task[None]) -> ClientError:
        """Open a stream and serve it to its end; why it ended."""
        self.window.rewind()
        try:
            async with self._connection.stream() as stream:
                async with asyncio.timeout(self._options.connect_timeout_s):
                    await stream.send_request()
                self._opened = True
                writing = asyncio.create_task(self._write(stream, filling))
                try:
                    await self._read(stream, filling)
                except StreamTerminatedError:
                    for answer in left_answers(stream):
                        self._take(answer)
                    raise
                finally:
                    await stopped(writing)
        except (ClientError, *FOREIGN) as error:
            return client_error(error, self._connection.target)

    async def _write(self, stream: Stream[Message, Message], filling: asyncio.Task[None]) -> None:
        while True:
            message = self.window.next_to_write()
            if message is not None:
                await stream.send_message(message)
            elif filling.done():
                await stream.end()
                return
            else:
                self._work.clear()
                await self._work.wait()

    async def _read(self, stream: Stream[Message, Message], filling: asyncio.Task[None]) -> NoReturn:
        """Take answers until there are no more, which is an error or told as one."""
        while True:
            last = self._finished(filling)
            async with asyncio.timeout(self._options.connect_timeout_s if last else self._options.silence_s):
                response: Any = await stream.recv_message()
            if response is None:
                # grpclib looks for the status that the daemon ended the stream with, and raises that instead
                raise StreamTerminatedError("the daemon ended the stream")
            self._take(answer_of(response))

    def _take(self, answer: SmsAnswer) -> None:
        if answer.status == "unauthenticated":  # the token ran out: the next stream brings a fresh one
            raise UnauthenticatedError(answer.error or "authentication failed")
        self.window.answer(answer)
        self._news.set()


async def _each(messages: AsyncIterable[Sms] | Iterable[Sms]) -> AsyncGenerator[Sms, None]:
    if isinstance(messages, AsyncIterable):
        async for sms in messages:
            yield sms
    else:
        for sms in messages:
            yield sms
