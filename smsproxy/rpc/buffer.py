"""Whole gRPC messages out of HTTP/2 DATA, taken in batches. Replaces grpclib's byte buffer.

Every stream of the guarded server has one. DATA is cut at the 5-byte gRPC prefix as it arrives, so that a
message too large, compressed or cut short is refused at its prefix, before a byte of it is kept, and after
the whole messages that came before it. `released(n)` tells the stream's window that n bytes are done with:
only when messages are taken, so a reader who stops slows the sender through HTTP/2 flow control.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from grpclib.const import Status

from smsproxy.rpc.status import RefusalError

PREFIX_BYTES = 5

TOO_LARGE = "message is larger than {} bytes"
CUT = "the last message was cut short"
BAD_FLAG = "bad compressed flag"
COMPRESSED = "compressed messages are not supported"
ACCEPT_ENCODING = (("grpc-accept-encoding", "identity"),)


class MessageBuffer:
    """What one stream received and nobody took yet.

    Bounded by the stream's receive window: the peer may not send more than was released.
    """

    __slots__ = ("_eof", "_fault", "_interrupted", "_max_message", "_messages", "_need", "_partial",
                 "_released", "_waiter", "begun", "oversized")  # fmt: skip

    def __init__(self, max_message_bytes: int, released: Callable[[int], None]) -> None:
        self._max_message = max_message_bytes
        self._released = released
        self._messages: list[bytes] = []
        self._partial = bytearray()
        self._need = PREFIX_BYTES
        self._fault: RefusalError | None = None
        self._eof = False
        self._interrupted = False
        self._waiter: asyncio.Future[None] | None = None
        self.begun = 0
        """Messages of which a part came before the rest: tells one unfinished message from the next."""
        self.oversized = 0

    def __repr__(self) -> str:
        return f"<MessageBuffer messages={len(self._messages)} partial={len(self._partial)} eof={self._eof}>"

    @property
    def readable(self) -> bool:
        """True when `read_batch` would not wait."""
        return bool(self._messages) or self._ended

    @property
    def unfinished(self) -> int:
        """`begun` while a message is half here and none waits to be taken, else 0.

        With messages still here it may be our own window that keeps the rest back.
        """
        return self.begun if self._partial and not self.readable else 0

    @property
    def _ended(self) -> bool:
        return self._eof or self._interrupted or self._fault is not None

    def add(self, data: bytes) -> None:
        """Take the payload of one DATA frame. An empty one is fine."""
        if self._ended:
            self._released(len(data))
            return
        if self._partial:
            self._partial += data
            if len(self._partial) < self._need:
                return
            data = bytes(self._partial)
            self._partial.clear()
        self._split(data)
        if self._waiter is not None and (self._messages or self._fault):
            self._wake()

    def _split(self, data: bytes) -> None:
        """Cut `data`, which begins at a prefix, into messages; keep what is left of the last one."""
        at, end = 0, len(data)
        need = PREFIX_BYTES
        while end - at >= PREFIX_BYTES:
            size = int.from_bytes(data[at + 1 : at + PREFIX_BYTES])
            if data[at] or size > self._max_message:
                self._refuse(data[at], size, end - at)
                return
            need = PREFIX_BYTES + size
            if at + need > end:
                break
            self._messages.append(data[at + PREFIX_BYTES : at + need])
            at += need
            need = PREFIX_BYTES
        if at < end:
            self._partial += data[at:]
            self._need = need
            self.begun += 1

    def _refuse(self, flag: int, size: int, dropped: int) -> None:
        if flag == 1:
            self._fault = RefusalError(Status.UNIMPLEMENTED, COMPRESSED, ACCEPT_ENCODING)
        elif flag:
            self._fault = RefusalError(Status.INVALID_ARGUMENT, BAD_FLAG)
        else:
            self.oversized = size
            self._fault = RefusalError(Status.RESOURCE_EXHAUSTED, TOO_LARGE.format(self._max_message))
        self._released(dropped)

    def eof(self) -> None:
        """The peer half-closed. What it left unfinished is INVALID_ARGUMENT, never silence."""
        if self._partial and self._fault is None:
            self._fault = RefusalError(Status.INVALID_ARGUMENT, CUT)
        self._eof = True
        self._wake()

    def refuse(self, refusal: RefusalError) -> None:
        """Readers get this once the messages before are taken; what comes is dropped."""
        if not self._ended:
            self._fault = refusal
            self._released(len(self._partial))
            self._partial.clear()
            self._wake()

    def interrupt(self) -> None:
        """Readers get no more (drain): what is here stays untaken, what comes is dropped."""
        self._interrupted = True
        self._wake()

    def close(self) -> None:
        """The call is over: hand back what nobody will take."""
        self.interrupt()
        held = len(self._partial) + _wire_size(self._messages)
        self._messages.clear()
        self._partial.clear()
        if held:
            self._released(held)

    async def read_batch(self, max_n: int) -> list[bytes]:
        """Up to `max_n` messages, at least one; empty when the peer half-closed or `interrupt` was called.

        Raises RefusalError once the messages before a bad one are taken. One reader at a time.
        """
        while not self._messages or self._interrupted:
            if self._interrupted:
                return []
            if self._fault is not None:
                raise self._fault
            if self._eof:
                return []
            await self._wait()
        messages = self._messages
        if len(messages) <= max_n:
            batch, self._messages = messages, []
        else:
            batch = messages[:max_n]
            del messages[:max_n]
        self._released(_wire_size(batch))
        return batch

    async def wait_readable(self) -> None:
        """Until `read_batch` would not wait."""
        if not self.readable:
            await self._wait()

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _wire_size(messages: list[bytes]) -> int:
    return sum(map(len, messages)) + PREFIX_BYTES * len(messages)
