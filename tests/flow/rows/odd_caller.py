"""Callers that ask oddly, as a process: python -m tests.flow.rows.odd_caller KIND TARGET SECONDS FOLDER.

What rows 16, 18 and 20 hold load beside: odd deadlines, messages that are too large, headers against the
rules. Frames are written by hand, because no gRPC library says such things; in a process of their own, so
that the threads of the held load do not lengthen what is measured. What became of each call is a JSON line in
FOLDER/calls.jsonl (`odd_calls` reads them); `done` is printed at the end.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import struct
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TextIO

from hpack import Encoder
from hyperframe.frame import ContinuationFrame, HeadersFrame

from tests.flow.grpc_edge.grpc_edge_kit import RawClient, RawStream, good_headers, messages_in
from tests.flow.kit import sms, token

SEND = "/sms.v1.SmsService/SendMessage"
STREAM = "/sms.v1.SmsService/SendMessageStream"
POOL, SLOW = 1000, 104
"""The held load's pool; and a link of one message a second, on which calls wait in vain."""
EVERY_S = 0.1
WINDOW = 2**30
"""For all answers of a run: none is given back."""
BEARER = f"Bearer {token(ttl_s=3600)}"
Headers = list[tuple[str | bytes, str | bytes]]


@dataclass
class Ended:
    """A call; `code` -1: its stream was reset, -2: its connection was ended, `reason` then says by what."""

    case: str
    code: int
    reason: str
    waited_s: float
    key: str = ""
    text: str = ""
    daddr: str = ""
    answer: str = ""
    """The SmsResponse in hex."""


class Caller:
    """Makes calls until the time is over; each is told in the file when it has ended."""

    def __init__(self, port: int, seconds: float, file: TextIO) -> None:
        self.port = port
        self._ends = asyncio.get_running_loop().time() + seconds
        self._file = file
        self._numbers = itertools.count()
        self._addresses = itertools.count()

    @property
    def going(self) -> bool:
        return asyncio.get_running_loop().time() < self._ends

    async def connect(self, *, stranger: bool = False) -> RawClient:
        """`stranger`: from an address of its own, as one that is ended for a flood comes back slowly."""
        number = next(self._addresses)
        address = f"127.0.{2 + number // 250}.{1 + number % 250}" if stranger else ""
        client = await RawClient.connect(self.port, {4: WINDOW}, address=address)
        client.grow(WINDOW)
        return client

    def message(self, esme: int = POOL) -> tuple[str, str, str, bytes]:
        """(key, text, daddr, framed octets) of a message of its own."""
        number = next(self._numbers)
        key, daddr = f"odd-{number}", f"99891{number:07}"
        text = f"odd message {number}"
        packed = sms(transaction_id=key, message=text, daddr=daddr, esme=esme).SerializeToString()
        return key, text, daddr, struct.pack(">BI", 0, len(packed)) + packed

    async def call(self, client: RawClient, case: str, headers: Headers, *, esme: int = POOL) -> Ended:
        """One SendMessage with these headers."""
        key, text, daddr, octets = self.message(esme)
        began = asyncio.get_running_loop().time()
        stream_id = client.open(headers=headers)
        client.data(stream_id, octets, end=True)
        ended = await self.ended(client, stream_id, case, began)
        ended.key, ended.text, ended.daddr = key, text, daddr
        self.tell(ended)
        return ended

    async def ended(self, client: RawClient, stream_id: int, case: str, began: float) -> Ended:
        """How a call ended, once it has."""
        stream = await client.end_of(stream_id)
        waited_s = asyncio.get_running_loop().time() - began
        code, reason = code_of(client, stream)
        answers = messages_in(bytes(stream.data)) if code == 0 else []
        return Ended(case, code, reason, waited_s, answer=answers[0].hex() if answers else "")

    def tell(self, ended: Ended) -> None:
        self._file.write(json.dumps(asdict(ended)) + "\n")


def code_of(client: RawClient, stream: RawStream) -> tuple[int, str]:
    if "grpc-status" in stream.trailers:
        code = stream.grpc_status
        return code, stream.reason if code else ""
    if client.closed:
        return -2, f"GOAWAY {client.goaway}"
    return -1, f"RST_STREAM {stream.reset}"


def headers_of(*more: tuple[str | bytes, str | bytes], but: tuple[str, ...] = ()) -> Headers:
    """Those of a good call, with more or fewer."""
    ours = [(name, BEARER if name == "authorization" else value) for name, value in good_headers(SEND)]
    return [*[pair for pair in ours if pair[0] not in but], *more]


async def rounds(caller: Caller, one: Callable[[], Awaitable[object]]) -> None:
    while caller.going:
        await one()
        await asyncio.sleep(EVERY_S)


# -- row 16: deadlines ---------------------------------------------------------------------------------------

TIMEOUTS = {
    "0": ("0S", POOL, 1), "1 ms": ("1m", POOL, 1), "50 ms": ("50m", POOL, 1), "hours": ("99999999H", POOL, 1),
    "400 digits": ("9" * 400 + "S", POOL, 1), "junk": ("soon", POOL, 1),
    "50 ms in vain": ("50m", SLOW, 2), "none in vain": ("", SLOW, 5),
}  # fmt: skip
"""Name: grpc-timeout, link, how many at once."""


async def timeouts(caller: Caller) -> None:
    async def calls(case: str, given: str, esme: int) -> None:
        client = await caller.connect()
        headers = headers_of(*([("grpc-timeout", given)] if given else []))
        await rounds(caller, lambda: caller.call(client, case, headers, esme=esme))

    tasks = [
        calls(case, given, esme) for case, (given, esme, count) in TIMEOUTS.items() for _ in range(count)
    ]
    await asyncio.gather(*tasks)


# -- row 18: sizes -------------------------------------------------------------------------------------------

SIZES = {"64 KiB + 1": 2**16 + 1, "4 MiB": 2**22, "4 GiB": 2**32 - 1}
AT_ONCE = 50
PAUSE_S = 0.2
DRIBBLE_S = 0.02


async def sizes(caller: Caller) -> None:
    """Fifty at once on one connection, fast and slowly; then a fine call on that very connection."""
    client = await caller.connect()

    async def fast(case: str, size: int) -> None:
        stream_id, began = opened(size)
        client.data(stream_id, bytes(8000))  # of all fifty less than the connection's window
        caller.tell(await caller.ended(client, stream_id, f"{case} fast", began))

    async def slow(case: str, size: int) -> None:
        stream_id, began = opened(size)
        stream = client.streams[stream_id]
        while not stream.ended and stream.reset is None and not client.closed:
            client.data(stream_id, b"x")
            await asyncio.sleep(DRIBBLE_S)
        caller.tell(await caller.ended(client, stream_id, f"{case} slow", began))

    def opened(size: int) -> tuple[int, float]:
        stream_id = client.open(headers=headers_of())
        client.data(stream_id, struct.pack(">BI", 0, size))
        return stream_id, asyncio.get_running_loop().time()

    while caller.going:
        for case, size in SIZES.items():
            for pace in (fast, slow):
                await asyncio.gather(*[pace(case, size) for _ in range(AT_ONCE)])
                await caller.call(client, "after", headers_of())
                await asyncio.sleep(PAUSE_S)


# -- row 20: headers -----------------------------------------------------------------------------------------

HEADERS: dict[str, Headers] = {
    "no :method": headers_of(but=(":method",)),
    "no :path": headers_of(but=(":path",)),
    "bad -bin": headers_of(("x-bin", "AAAAA")),
    "non-ASCII": headers_of((b"x", b"caf\xc3\xa9")),
    "upper case": headers_of(("Upper", "x")),
    "two authorizations": headers_of(("authorization", BEARER)),
    "two app_ids": headers_of(("app_id", "1")),
}
LARGE: dict[str, Headers] = {
    "80 KB": headers_of(("x", "y" * 80_000)),
    "1,000 entries": headers_of(*[(f"x-{number}", "y" * 10) for number in range(1000)]),
}


async def headers(caller: Caller) -> None:
    """On one connection with fine calls and a stream, which nothing of this reaches."""
    client = await caller.connect()
    odd = itertools.cycle(HEADERS.items())
    large = itertools.cycle(LARGE)
    for case in LARGE:
        block_of(case)

    async def one_odd() -> None:
        await caller.call(client, *next(odd))

    async def one_large() -> None:
        await too_many(caller, next(large))

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(rounds(caller, one_odd))
        tasks.create_task(rounds(caller, one_large))
        tasks.create_task(rounds(caller, lambda: caller.call(client, "sibling call", headers_of())))
        tasks.create_task(sibling_stream(caller, client))


@cache
def block_of(case: str) -> bytes:
    """As the first of a connection; made once, for it takes long."""
    return bytes(Encoder().encode(LARGE[case], huffman=False))


async def too_many(caller: Caller, case: str) -> None:
    """A header block of several frames, on a connection that it ends."""
    client = await caller.connect(stranger=True)
    block = block_of(case)
    began = asyncio.get_running_loop().time()
    client.streams[1] = RawStream()
    client.send(HeadersFrame(1, block[:16_000]))
    for at in range(16_000, len(block), 16_000):
        client.send(ContinuationFrame(1, block[at : at + 16_000]))
    client.send(ContinuationFrame(1, b"", flags=["END_HEADERS"]))
    caller.tell(await caller.ended(client, 1, case, began))
    await client.aclose()


async def sibling_stream(caller: Caller, client: RawClient) -> None:
    """A stream beside the odd calls, message by message."""
    loop = asyncio.get_running_loop()
    given = [pair for pair in headers_of() if pair[0] != ":path"]
    stream_id = client.open(headers=[(":path", STREAM), *given])
    stream = client.streams[stream_id]
    while caller.going:
        key, text, daddr, octets = caller.message()
        stream.data.clear()
        began = loop.time()
        client.data(stream_id, octets)
        await client.until(lambda: messages_in(bytes(stream.data)) or stream.ended or client.closed)
        answers = messages_in(bytes(stream.data))
        code, reason = (0, "") if answers else code_of(client, stream)
        answer = answers[0].hex() if answers else ""
        caller.tell(Ended("sibling stream", code, reason, loop.time() - began, key, text, daddr, answer))
    client.data(stream_id, b"", end=True)
    caller.tell(await caller.ended(client, stream_id, "sibling stream's end", loop.time()))


KINDS: dict[str, Callable[[Caller], Awaitable[None]]] = {
    "timeouts": timeouts, "sizes": sizes, "headers": headers,
}  # fmt: skip


async def main(kind: str, port: int, seconds: float, folder: Path) -> None:
    with (folder / "calls.jsonl").open("w") as file:
        await KINDS[kind](Caller(port, seconds, file))
    for client in RawClient.opened:
        await client.aclose()
    print("done", flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2].rpartition(":")[2]), float(sys.argv[3]), Path(sys.argv[4])))
