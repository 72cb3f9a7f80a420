"""A foreign ESME for these tests: smpplib's PDUs on a plain asyncio stream, and simulators that are closed.

Every wait has a bound. That something does not come is shown by asking for something else that comes after it
(`assert_quiet`), not by waiting for time; only deafness leaves nothing to ask.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, ClassVar

from smpplib import client as smpplib_client
from smpplib import smpp

from smsproxy.simulator.script import Rule, Script
from smsproxy.simulator.smsc import Smsc

WAIT_S = 5.0
HANDSET = "998901234567"


class _Numbers:
    """smpplib burns a number for each PDU it parses, so its parser gets a generator of its own."""

    def __init__(self) -> None:
        self._generator = smpplib_client.SimpleSequenceGenerator()

    @property
    def sequence(self) -> int:
        return self._generator.sequence

    def next_sequence(self) -> int:
        return self._generator.next_sequence()


class ForeignEsme:
    """One connection. `auto` answers deliver_sm with this status as it is read; None: the test answers."""

    all: ClassVar[list[ForeignEsme]] = []
    """Closed by the simulator's context."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.all.append(self)
        self._reader = reader
        self._writer = writer
        self._parsing = _Numbers()
        self._last = 0
        self.auto: int | None = 0
        self.delivered: list[Any] = []

    @classmethod
    async def connect(cls, port: int) -> ForeignEsme:
        async with asyncio.timeout(WAIT_S):
            return cls(*await asyncio.open_connection("127.0.0.1", port))

    @classmethod
    async def bound(cls, port: int, kind: str = "transceiver", system_id: str = "esme") -> ForeignEsme:
        esme = await cls.connect(port)
        answer = await esme.bind(kind, system_id)
        assert answer.status == 0
        return esme

    async def bind(self, kind: str = "transceiver", system_id: str = "esme") -> Any:
        self.send(f"bind_{kind}", system_id=system_id, password="secret", interface_version=0x34)
        return await self.expect(f"bind_{kind}_resp")

    def send(self, command: str, sequence: int | None = None, status: int = 0, **fields: Any) -> int:
        """Write one PDU of smpplib; its sequence number."""
        pdu = smpp.make_pdu(command, client=self._parsing, **fields)
        if sequence is None:
            self._last += 1
            sequence = self._last
        pdu.sequence = sequence
        pdu.status = status
        self.write(pdu.generate())
        return sequence

    def write(self, octets: bytes) -> None:
        self._writer.write(octets)

    def submit(self, text: bytes = b"hello", to: str = HANDSET, *, receipt: int = 1, **fields: Any) -> int:
        return self.send(
            "submit_sm",
            source_addr_ton=5,
            source_addr="MYBRAND",
            dest_addr_ton=1,
            dest_addr_npi=1,
            destination_addr=to,
            short_message=text,
            registered_delivery=receipt,
            **fields,
        )

    async def read(self) -> Any:
        """The next PDU, deliveries answered on the way as `auto` says. Raises ConnectionError at the end."""
        async with asyncio.timeout(WAIT_S):
            try:
                head = await self._reader.readexactly(4)
                frame = head + await self._reader.readexactly(int.from_bytes(head, "big") - 4)
            except asyncio.IncompleteReadError:
                raise ConnectionError("closed") from None
        pdu = smpp.parse_pdu(frame, client=self._parsing, allow_unknown_opt_params=True)
        if pdu.command in ("deliver_sm", "data_sm"):
            self.delivered.append(pdu)
            if self.auto is not None:
                self.answer(pdu, self.auto)
        return pdu

    async def expect(self, command: str) -> Any:
        """The next PDU, which must be this one."""
        pdu = await self.read()
        assert pdu.command == command, f"{pdu.command} status {pdu.status} instead of {command}"
        return pdu

    async def expect_all(self, *commands: str) -> list[Any]:
        return [await self.expect(command) for command in commands]

    def answer(self, pdu: Any, status: int = 0) -> None:
        self.send(f"{pdu.command}_resp", sequence=pdu.sequence, status=status)

    async def assert_quiet(self) -> None:
        """Nothing was on its way to us: what we ask now is answered next."""
        number = self.send("enquire_link")
        answer = await self.expect("enquire_link_resp")
        assert answer.sequence == number

    async def end(self) -> str:
        """How the connection ends, when it does: "closed" or "reset"."""
        try:
            while True:
                await self.read()
        except ConnectionResetError:
            return "reset"
        except ConnectionError:
            return "closed"

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()


def text_of(pdu: Any) -> str:
    return (pdu.short_message or pdu.message_payload or b"").decode("latin-1")


def a_script(*rules: Rule, **fields: Any) -> Script:
    return Script(rules=rules, **fields)


@contextlib.asynccontextmanager
async def simulator(*rules: Rule, **fields: Any) -> AsyncIterator[Smsc]:
    """A running simulator with this script."""
    smsc = Smsc(a_script(*rules, **fields))
    await smsc.start()
    try:
        yield smsc
    finally:
        while ForeignEsme.all:
            await ForeignEsme.all.pop().close()
        await smsc.aclose()


@contextlib.asynccontextmanager
async def talking(
    *rules: Rule, kind: str = "transceiver", **fields: Any
) -> AsyncIterator[tuple[Smsc, ForeignEsme]]:
    """A running simulator with this script, and an ESME bound to it."""
    async with simulator(*rules, **fields) as smsc:
        yield smsc, await ForeignEsme.bound(smsc.port, kind)
