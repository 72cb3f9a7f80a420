"""One call on the guarded server: grpclib's server stream, reading from our buffer, ending by our rules.

The generated methods, health and reflection use it as grpclib's Stream; the two hot RPCs use `buffer`,
`headers` and `end` directly.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, cast

from grpclib import server
from grpclib.const import Handler as Method
from grpclib.const import Status
from grpclib.encoding.base import CodecBase
from grpclib.events import _DispatchServerEvents
from grpclib.metadata import encode_grpc_message
from h2.errors import ErrorCodes
from h2.stream import StreamState

from smsproxy.rpc.buffer import MessageBuffer
from smsproxy.rpc.codec import framed
from smsproxy.rpc.details import Reason
from smsproxy.rpc.flow import GuardedStream
from smsproxy.rpc.headers import CallHeaders, Metadata
from smsproxy.rpc.status import DRAINING, RefusalError
from smsproxy.rpc.whole import OPENING

LINGER_S = 0.05
NOT_YET = "the message did not arrive within {:g} s"
DRAIN_MESSAGE_S = 0.5
"""How long a drain waits for the message of a call that was opened without one."""

Headers = list[tuple[str, str]]


class Call(server.Stream[Any, Any]):
    """`deadline_at` is on the loop's clock, None for a stream without one."""

    _stream: GuardedStream

    def __init__(
        self,
        stream: GuardedStream,
        method: Method,
        headers: CallHeaders,
        *,
        codec: CodecBase,
        dispatch: _DispatchServerEvents,
        deadline_at: float | None,
        deadline_is_ours: bool = False,
    ) -> None:
        super().__init__(
            stream,
            headers.path,
            method.cardinality,
            method.request_type,
            method.reply_type,
            codec=codec,
            status_details_codec=None,
            dispatch=dispatch,
            user_agent=headers.user_agent,
        )
        self.call_metadata: Metadata = headers.metadata
        self.buffer.encoding = headers.encoding
        self.deadline_at = deadline_at
        self.deadline_is_ours = deadline_is_ours
        """The caller named none: it is the default one."""
        self.timeout = asyncio.timeout_at(deadline_at)
        """What ends the method at the deadline; `dispatch` runs it under this."""
        self.draining = False
        self.taken = False
        """The message of a unary call is here."""
        self.on_drain: Callable[[], None] | None = None

    @property
    def stream(self) -> GuardedStream:
        return self._stream

    @property
    def buffer(self) -> MessageBuffer:
        return self._stream.buffer

    @property
    def ended(self) -> bool:
        """True when trailers went out: nothing more may."""
        return self._send_trailing_metadata_done

    @property
    def address(self) -> str:
        """Where the caller is; "" on a Unix socket."""
        return self._stream.connection.address

    @property
    def certified(self) -> bool:
        """The connection showed a certificate of our client CA."""
        return self._stream.connection.certified

    def only(self, name: str) -> str | None:
        """The one value of a metadata name; None when it is absent or given twice."""
        values = self.call_metadata.getall(name, [])
        return values[0] if len(values) == 1 and isinstance(values[0], str) else None

    def drain(self) -> None:
        """The server is stopping: streams from the caller are read no further; what was read is answered.

        A unary call whose message is on its way gets a moment to bring it; one that never does was not sent.
        """
        self.draining = True
        if self._cardinality.client_streaming:
            self.buffer.interrupt()
        elif not self.taken:
            asyncio.get_running_loop().call_later(DRAIN_MESSAGE_S, self._give_up_message)
        if self.on_drain is not None:
            self.on_drain()

    def _give_up_message(self) -> None:
        if not self.taken and not self.ended:
            self.buffer.interrupt()

    @property
    def long(self) -> bool:
        """May go on for hours, as streams in either direction do."""
        return bool(self._cardinality.client_streaming or self._cardinality.server_streaming)

    @property
    def unfinished(self) -> int:
        """See watch.Unfinished. A call's one message counts from its opening, a stream's once begun."""
        waits_for_first = not (self.taken or self.ended or self._cardinality.client_streaming)
        return self.buffer.unfinished or int(waits_for_first and not self.buffer.readable)

    def give_up_message(self) -> None:
        """See watch.Unfinished."""
        message_s = self._stream.connection.options.message_s
        self._stream.connection.counters.messages_unfinished_total += 1
        self.buffer.refuse(RefusalError(Status.DEADLINE_EXCEEDED, NOT_YET.format(message_s)))

    async def linger(self) -> None:
        """Before a refusal at the opening of a stream: let the caller's first message come, briefly.

        grpcio's asyncio client, when a refusal overtakes its first write, reports that write as INTERNAL
        instead of the status (175 of 200 calls here).
        """
        if self._cardinality.client_streaming and not self._send_initial_metadata_done:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LINGER_S):
                    await self.buffer.wait_readable()

    async def send_initial_metadata(self, *, metadata: Any = None) -> None:
        """grpclib's, with what we can inflate; nothing of ours has metadata of its own to send."""
        await self._stream.send_headers(list(OPENING))
        self._send_initial_metadata_done = True

    async def read_one(self) -> bytes:
        """The message of a unary call. Raises RefusalError when there is none or more than one."""
        batch = await self.buffer.read_batch(2)
        self.taken = bool(batch)
        if not batch and self.draining:
            raise RefusalError(Status.UNAVAILABLE, DRAINING, Reason.DRAINING)
        if len(batch) != 1:
            text = "no message" if not batch else "more than one message"
            raise RefusalError(Status.INVALID_ARGUMENT, text, Reason.MALFORMED_MESSAGE)
        return batch[0]

    async def recv_message(self) -> Any:
        """For generated methods: the next message, None at the end of a stream of them."""
        if not self._cardinality.client_streaming:
            return self._codec.decode(await self.read_one(), self._recv_type)
        batch = await self.buffer.read_batch(1)
        return self._codec.decode(batch[0], self._recv_type) if batch else None

    async def answer_once(self, packed: bytes) -> None:
        """The whole of a unary answer, headers to trailers, in one write where the windows allow."""
        data = framed(packed)
        await self._stream.connection.write_ready.wait()
        if not self._stream.closable:
            return
        if not self._stream.answer_whole(data):
            await self.send_initial_metadata()
            await self._stream.send_data(data)
            await self.end(Status.OK)
            return
        self._send_initial_metadata_done = self._send_message_done = True
        self._send_trailing_metadata_done = True

    async def end(self, status: Status, message: str | None = None, trailers: Headers | None = None) -> None:
        """Send the trailers, once. A caller who has not half-closed is told to stop sending."""
        if self.ended:
            return
        headers = [] if self._send_initial_metadata_done else list(OPENING)
        self._send_trailing_metadata_done = True
        await send_end(self._stream, headers, status, message, trailers or [])


async def send_end(
    stream: GuardedStream,
    headers: Headers,
    status: Status,
    message: str | None,
    trailers: Headers,
    *,
    malformed: bool = False,
) -> None:
    """End a stream with a gRPC status; `headers` open it when nothing has. A stream already gone is fine.

    A `malformed` request is answered and its stream reset, as RFC 9113 §8.1.1 has it.
    """
    headers.append(("grpc-status", str(status.value)))
    if message is not None:
        headers.append(("grpc-message", encode_grpc_message(message)))
    headers.extend(trailers)
    await stream.connection.write_ready.wait()
    if not stream.closable:
        return
    h2, stream_id = stream.connection.h2, cast(int, stream.id)
    # A closed stream cannot be reset any more: of a malformed request that is over, the reset is the end.
    over = h2.streams[stream_id].state_machine.state is StreamState.HALF_CLOSED_REMOTE
    h2.send_headers(stream_id, headers, end_stream=not (malformed and over))
    # grpcio gives window back for every call, also for one that is refused without a DATA frame of ours.
    stream.connection.data_frames += 1
    if status is not Status.OK and stream.closable:
        stream.reset_nowait(ErrorCodes.PROTOCOL_ERROR if malformed else ErrorCodes.NO_ERROR)
    stream.connection.flush()
