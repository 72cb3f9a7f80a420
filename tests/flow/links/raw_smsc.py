"""A scripted SMSC on loopback that shares no code with the product: struct on one side, smpplib on the other.

What it does by itself (answer binds, enquire_links, unbinds, submits) is switched per field; everything else
a test does by hand, PDU by PDU. Waits are for PDUs, with a bound.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import smpplib.smpp
from smpplib import command_codes

BOUND_S = 5.0
RESP = 0x80000000
_IDS: dict[str, int] = {**command_codes.commands, "generic_nack": RESP}
_NAMES = {number: name for name, number in _IDS.items()}
BINDS = ("bind_transceiver", "bind_transmitter", "bind_receiver")


class _Numbers:
    """What smpplib's parser wants of a client."""

    sequence = 1

    def next_sequence(self) -> int:
        return 1


@dataclass
class Seen:
    """A PDU that came, and when."""

    name: str
    status: int
    number: int
    octets: bytes
    at: float

    @property
    def fields(self) -> Any:
        """Its fields, as smpplib reads them."""
        return smpplib.smpp.parse_pdu(self.octets, client=_Numbers(), allow_unknown_opt_params=True)


def pdu(name: str, number: int, body: bytes = b"", status: int = 0) -> bytes:
    return struct.pack(">LLLL", 16 + len(body), _IDS[name], status, number) + body


def receipt_body(smsc_id: str, stat: str = "DELIVRD", err: str = "000") -> bytes:
    """The body of a deliver_sm with a receipt, as Appendix B writes it."""
    text = (
        f"id:{smsc_id} sub:001 dlvrd:001 submit date:2611210600 done date:2611210601 "
        f"stat:{stat} err:{err} text:hello"
    ).encode()
    addresses = b"\x01\x01998901234567\0" + b"\x05\x00MYBRAND\0"
    return b"\0" + addresses + bytes((4, 0, 0)) + b"\0\0" + bytes((0, 0, 0, 0, len(text))) + text


class RawSession:
    """One TCP connection of an ESME."""

    def __init__(self, smsc: RawSmsc, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.smsc = smsc
        self.seen: list[Seen] = []
        self.by_hand: asyncio.Queue[Seen] = asyncio.Queue()
        self.closed = asyncio.Event()
        self.bind = ""
        self.outstanding = 0
        self.most_outstanding = 0
        self._reader = reader
        self._writer = writer
        self._ids = 0
        self.hearing = asyncio.Event()
        self.hearing.set()

    async def run(self) -> None:
        try:
            while True:
                head = await self._reader.readexactly(16)
                await self.hearing.wait()
                length, command, status, number = struct.unpack(">LLLL", head)
                octets = head + await self._reader.readexactly(length - 16)
                at = asyncio.get_running_loop().time()
                self._take(Seen(_NAMES.get(command, hex(command)), status, number, octets, at))
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self.closed.set()
            self._writer.close()

    def _take(self, seen: Seen) -> None:
        self.seen.append(seen)
        smsc = self.smsc
        if seen.name in BINDS:
            self.bind = seen.name
            if smsc.bind_status is not None:
                self.answer(seen, b"raw smsc\0" if smsc.bind_status == 0 else b"", smsc.bind_status)
                smsc.bound.put_nowait(self)
        elif seen.name == "submit_sm":
            self.outstanding += 1
            self.most_outstanding = max(self.most_outstanding, self.outstanding)
            status = smsc.submit_status(seen)
            if status is None:
                self.by_hand.put_nowait(seen)
            else:
                self.answer_submit(seen, status=status)
        elif seen.name == "unbind" and smsc.answers_unbind:
            self.answer(seen)
            self._writer.close()
        elif seen.name == "enquire_link" and smsc.answers_enquire_link:
            self.answer(seen)
        else:
            self.by_hand.put_nowait(seen)

    async def next(self, name: str) -> Seen:
        """The next PDU that was left to the test; it must be a `name`."""
        async with asyncio.timeout(BOUND_S):
            seen = await self.by_hand.get()
        assert seen.name == name, seen
        return seen

    async def take(self, name: str, count: int) -> list[Seen]:
        return [await self.next(name) for _ in range(count)]

    def answer(self, seen: Seen, body: bytes = b"", status: int = 0) -> None:
        self.send(f"{seen.name}_resp", seen.number, body, status)

    def answer_submit(self, seen: Seen, smsc_id: str = "", status: int = 0) -> None:
        self.outstanding -= 1
        self._ids += 1
        body = f"{smsc_id or f'id-{self._ids}'}\0".encode() if status == 0 else b""
        self.answer(seen, body, status)

    def deliver(self, smsc_id: str, number: int = 900, stat: str = "DELIVRD") -> None:
        self.send("deliver_sm", number, receipt_body(smsc_id, stat))

    def send(self, name: str, number: int, body: bytes = b"", status: int = 0) -> None:
        self.send_octets(pdu(name, number, body, status))

    def send_octets(self, octets: bytes) -> None:
        self._writer.write(octets)

    def cut(self) -> None:
        """RST, if it is still open."""
        if self.closed.is_set():
            return
        connection = self._writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def hang_up(self) -> None:
        """FIN."""
        self._writer.close()

    def go_deaf(self) -> None:
        """TCP stays open, nothing is read or answered."""
        self.hearing.clear()

    def names(self, *wanted: str) -> list[str]:
        return [seen.name for seen in self.seen if not wanted or seen.name in wanted]


class RawSmsc:
    """Listens on a port of its own; `async with`."""

    def __init__(self) -> None:
        self.bind_status: int | None = 0
        self.answers_unbind = True
        self.answers_enquire_link = True
        self.submit_status: Callable[[Seen], int | None] = lambda _: None
        self.bound: asyncio.Queue[RawSession] = asyncio.Queue()
        self.sessions: list[RawSession] = []
        self.tls: ssl.SSLContext | None = None
        self.port = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> RawSmsc:
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and cut every session."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None
        for session in self.sessions:
            session.hearing.set()
            session.cut()
        for task in list(self._tasks):
            await task

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        session = RawSession(self, reader, writer)
        self.sessions.append(session)
        try:
            await session.run()
        finally:
            self._tasks.discard(task)

    async def next_bound(self) -> RawSession:
        """The next session that was bound (or refused)."""
        async with asyncio.timeout(BOUND_S):
            return await self.bound.get()
