"""Whole gRPC messages out of HTTP/2 DATA, taken in batches. Replaces grpclib's byte buffer.

Every stream of the guarded server has one. DATA is cut at the 5-byte gRPC prefix as it arrives, so that a
message too large or cut short is refused at its prefix, before a byte of it is kept, and after the whole
messages that came before it. Compressed ones are kept as they came and inflated when taken. `released(n)`
tells the stream's window that n bytes are done with: only when messages are taken, so a reader who stops
slows the sender through HTTP/2 flow control.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from struct import Struct

from grpclib.const import Status

from smsproxy.rpc.details import Reason
from smsproxy.rpc.inflate import ACCEPTED, GZIP, Compressed, InflatedTooLargeError, inflate
from smsproxy.rpc.status import RefusalError

PREFIX_BYTES = 5
_prefix = Struct(">BI").unpack_from

TOO_LARGE = "message is larger than {} bytes"
CUT = "the last message was cut short"
BAD_FLAG = "bad compressed flag"
UNKNOWN_ENCODING = "messages may be compressed by gzip, announced in grpc-encoding, and by nothing else"
ACCEPT_ENCODING = (("grpc-accept-encoding", ACCEPTED),)
NO_MESSAGE = b"\x07"
"""No protobuf message begins so: what cannot be inflated is refused by the decoder, in its place."""
INFLATED_AT_ONCE = 8
"""Compressed messages taken in one batch: they can become large, and all of a batch are held at once."""


CRUMB_OCTETS = 128
"""A client cuts a message where a frame or a window is full, in thousands of octets."""


class MessageBuffer:
    """What one stream received and nobody took yet.

    Bounded by the stream's receive window: the peer may not send more than was released.
    """

    __slots__ = ("_compressed", "_ended", "_eof", "_fault", "_interrupted", "_max_message", "_messages",
                 "_need", "_partial", "_released", "_waiter", "begun", "crumbs", "encoding",
                 "oversized")  # fmt: skip

    def __init__(self, max_message_bytes: int, released: Callable[[int], None]) -> None:
        self._max_message = max_message_bytes
        self._released = released
        self._messages: list[bytes] = []
        self._partial = bytearray()
        self._need = PREFIX_BYTES
        self._fault: RefusalError | None = None
        self._eof = False
        self._interrupted = False
        self._ended = False
        """Nothing more is taken in: one of the three above. A plain field: it is read per frame."""
        self._compressed = False
        self.encoding = ""
        """The call's grpc-encoding, known before anything is taken."""
        self._waiter: asyncio.Future[None] | None = None
        self.begun = 0
        """Messages of which a part came before the rest: tells one unfinished message from the next."""
        self.oversized = 0
        self.crumbs = 0
        """Frames below CRUMB_OCTETS in the middle of a message, not charged yet."""

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

    def allow(self, max_message_bytes: int) -> None:
        """Let messages be this large, before the first DATA: a method may have a bound of its own."""
        self._max_message = max(self._max_message, max_message_bytes)

    def add_frame(self, octets: bytes, start: int, stop: int) -> None:
        """Take the payload of one DATA frame, which is `octets[start:stop]`.

        The rule, one whole message, is cut out of what was read without a copy in between.
        """
        if stop - start >= PREFIX_BYTES and not (self._partial or self._ended):
            flag, size = _prefix(octets, start)
            if flag == 0 and size == stop - start - PREFIX_BYTES and size <= self._max_message:
                self._messages.append(octets[start + PREFIX_BYTES : stop])
                if self._waiter is not None:
                    self._wake()
                return
        self.add(octets[start:stop])

    def add(self, data: bytes) -> None:
        """Take the payload of one DATA frame. An empty one is fine."""
        if self._ended:
            self._released(len(data))
            return
        if self._partial:
            self._partial += data
            if len(self._partial) < self._need:
                self.crumbs += len(data) < CRUMB_OCTETS
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
            flag = data[at]
            if flag > 1 or size > self._max_message:
                self._refuse(flag, size, end - at)
                return
            need = PREFIX_BYTES + size
            if at + need > end:
                break
            message = data[at + PREFIX_BYTES : at + need]
            if flag:
                message, self._compressed = Compressed(message), True
            self._messages.append(message)
            at += need
            need = PREFIX_BYTES
        if at < end:
            self._partial += data[at:]
            self._need = need
            self.begun += 1

    def _refuse(self, flag: int, size: int, dropped: int) -> None:
        self._ended = True
        if flag > 1:
            self._fault = RefusalError(Status.INVALID_ARGUMENT, BAD_FLAG, Reason.MALFORMED_MESSAGE)
        else:
            self.oversized = size
            self._fault = self._too_large()
        self._released(dropped)

    def eof(self) -> None:
        """The peer half-closed. What it left unfinished is INVALID_ARGUMENT, never silence."""
        if self._partial and self._fault is None:
            self._fault = RefusalError(Status.INVALID_ARGUMENT, CUT, Reason.MALFORMED_MESSAGE)
        self._eof = self._ended = True
        self._wake()

    def refuse(self, refusal: RefusalError) -> None:
        """Readers get this once the messages before are taken; what comes is dropped."""
        if self._fault is None:
            self._fault, self._ended = refusal, True
            self._released(len(self._partial))
            self._partial.clear()
            self._wake()

    def interrupt(self) -> None:
        """Readers get no more (drain): what is here stays untaken, what comes is dropped."""
        self._interrupted = self._ended = True
        self._wake()

    def close(self, released: Callable[[int], None]) -> None:
        """The call is over: hand back what nobody will take; what still comes is told to `released`.

        From here on the stream's own window is nobody's business, and stream and buffer must not keep each
        other alive: what is left of unary calls would wait for the collector, and others for that (10 ms).
        """
        self.interrupt()
        held = len(self._partial) + _wire_size(self._messages)
        self._messages.clear()
        self._partial.clear()
        if held:
            self._released(held)
        self._released = released

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
        if self._compressed:
            max_n = min(max_n, INFLATED_AT_ONCE)
        if len(messages) <= max_n:
            batch, self._messages = messages, []
        else:
            batch = messages[:max_n]
            del messages[:max_n]
        self._released(_wire_size(batch))
        return await self._inflated(batch) if self._compressed else batch

    async def _inflated(self, batch: list[bytes]) -> list[bytes]:
        """The batch up to the first that may not be taken; what comes behind that one is dropped."""
        whole: list[bytes] = []
        for message in batch:
            if isinstance(message, Compressed):
                try:
                    message = self._inflate(message)
                except RefusalError as refusal:
                    self._released(_wire_size(self._messages))
                    self._messages.clear()
                    self.refuse(refusal)
                    break
            whole.append(message)
        return whole or await self.read_batch(1)

    def _inflate(self, message: bytes) -> bytes:
        if self.encoding != GZIP:
            raise RefusalError(
                Status.UNIMPLEMENTED, UNKNOWN_ENCODING, Reason.UNKNOWN_COMPRESSION, extra=ACCEPT_ENCODING
            )
        try:
            inflated = inflate(message, self._max_message)
        except InflatedTooLargeError:
            self.oversized = self._max_message + 1
            raise self._too_large() from None
        return NO_MESSAGE if inflated is None else inflated

    def _too_large(self) -> RefusalError:
        text = TOO_LARGE.format(self._max_message)
        return RefusalError(Status.RESOURCE_EXHAUSTED, text, Reason.MESSAGE_TOO_LARGE)

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
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


def _wire_size(messages: list[bytes]) -> int:
    return sum(map(len, messages)) + PREFIX_BYTES * len(messages)
