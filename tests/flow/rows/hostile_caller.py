"""Callers that are not kind, as a process: python -m tests.flow.rows.hostile_caller KIND TARGET SECONDS.

Frames are written by hand (hyperframe and hpack), because no gRPC library says such things. A connection that
the daemon ends is made again a second later. At the end one JSON line tells what became of the connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import socket
import struct
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field

from hpack import Encoder, NeverIndexedHeaderTuple
from hyperframe.frame import DataFrame, HeadersFrame, PingFrame, RstStreamFrame, SettingsFrame

from tests.flow.kit import token

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HELLO = PREFACE + SettingsFrame(0).serialize()
BATCH = 200
AGAIN_S = 0.05
"""Between the end of a connection and the next one: as soon as they can."""
RESETTERS = 10 if os.environ.get("SMSPROXY_SOAK") else 4
"""Each costs some 15 ms once; in a short run those are more than one call in a hundred."""
DRIBBLE_S = 0.25
MANY = 1000
ADDRESSES = 16
"""127.0.1.0 and on: 1,000 connections of 16 addresses are under the bound of each and over the one of all."""
_HEADERS = [
    (":method", "POST"), (":scheme", "http"), (":path", "/sms.v1.SmsService/SendMessage"),
    (":authority", "hostile"), ("te", "trailers"), ("content-type", "application/grpc"),
    ("authorization", f"Bearer {token()}"), ("app_id", "1"),
]  # fmt: skip
BLOCK = Encoder().encode([NeverIndexedHeaderTuple(*header) for header in _HEADERS], huffman=False)


@dataclass
class Tally:
    opened: int = 0
    ended: int = 0
    """By the daemon."""
    longest_s: dict[str, float] = field(default_factory=dict)
    """By kind: the longest that the daemon kept a connection of those that it ended."""


TALLY = Tally()
Talk = Callable[[asyncio.StreamWriter], Awaitable[None]]


def opening(stream_id: int) -> bytes:
    return HeadersFrame(stream_id, BLOCK, flags=["END_HEADERS"]).serialize()


async def resets(writer: asyncio.StreamWriter) -> None:
    """As many as they can."""
    writer.write(HELLO)
    ids = itertools.count(1, 2)
    while True:
        batch = (opening(number) + RstStreamFrame(number, 8).serialize() for number in ids)
        writer.write(b"".join(itertools.islice(batch, BATCH)))
        await writer.drain()
        await asyncio.sleep(0)


async def pings(writer: asyncio.StreamWriter) -> None:
    writer.write(HELLO)
    while True:
        writer.write(PingFrame(0, opaque_data=b"12345678").serialize() * BATCH)
        await writer.drain()
        await asyncio.sleep(0)


async def gibibytes(writer: asyncio.StreamWriter) -> None:
    """Calls whose message is declared with 1 GiB, and as much of it as the windows let through."""
    writer.write(HELLO)
    for number in itertools.count(1, 2):
        data = DataFrame(number, struct.pack(">BI", 0, 1 << 30) + bytes(16_379)).serialize()
        writer.write(opening(number) + data)
        await writer.drain()
        await asyncio.sleep(0.02)


async def crumbs(writer: asyncio.StreamWriter) -> None:
    """Messages that come an octet a frame, as fast as they can."""
    writer.write(HELLO)
    for number in itertools.count(1, 2):
        message = DataFrame(number, struct.pack(">BI", 0, 8000)).serialize()
        writer.write(opening(number) + message + DataFrame(number, b"\0").serialize() * 7999)
        writer.write(RstStreamFrame(number, 8).serialize() if number % 16 == 1 else b"")
        await writer.drain()
        await asyncio.sleep(0)


async def silence(writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def preface_only(writer: asyncio.StreamWriter) -> None:
    writer.write(PREFACE)
    await asyncio.Event().wait()


async def dribble(writer: asyncio.StreamWriter) -> None:
    """A frame, an octet at a time: it never ends."""
    writer.write(HELLO)
    for octet in DataFrame(1, bytes(16_000)).serialize():
        writer.write(bytes([octet]))
        await asyncio.sleep(DRIBBLE_S)


async def no_bodies(writer: asyncio.StreamWriter) -> None:
    """A hundred calls without a message."""
    writer.write(HELLO + b"".join(opening(number) for number in range(1, 201, 2)))
    await asyncio.Event().wait()


async def connection(target: tuple[str, int], talk: Talk, address: str) -> None:
    """One connection from `address` to its end."""
    loop = asyncio.get_running_loop()
    sock = socket.socket()
    sock.setblocking(False)
    sock.bind((address, 0))
    await loop.sock_connect(sock, target)
    reader, writer = await asyncio.open_connection(sock=sock)
    TALLY.opened += 1
    born = loop.time()
    talking = asyncio.ensure_future(talk(writer))
    try:
        with contextlib.suppress(ConnectionError):
            while await reader.read(65_536):
                pass
        TALLY.ended += 1
        name = talk.__name__
        TALLY.longest_s[name] = max(TALLY.longest_s.get(name, 0.0), loop.time() - born)
    finally:
        talking.cancel()
        await asyncio.gather(talking, return_exceptions=True)
        writer.transport.abort()


async def again_and_again(target: tuple[str, int], talk: Talk) -> None:
    while True:
        with contextlib.suppress(OSError):
            await connection(target, talk, "127.0.1.1")
        await asyncio.sleep(AGAIN_S)


async def attack(kind: str, target: tuple[str, int], seconds: float) -> None:
    if kind == "many":
        kinds = itertools.cycle([silence, preface_only, dribble])
        tasks = [
            asyncio.create_task(connection(target, talk, f"127.0.1.{number % ADDRESSES}"))
            for number, talk in zip(range(MANY), kinds, strict=False)
        ]
    else:
        talks: dict[str, tuple[Talk, int]] = {
            "resets": (resets, RESETTERS), "pings": (pings, 10), "gibibytes": (gibibytes, 10),
            "slow": (dribble, 60), "bodiless": (no_bodies, 5), "crumbs": (crumbs, 16),
        }  # fmt: skip
        talk, count = talks[kind]
        tasks = [asyncio.create_task(again_and_again(target, talk)) for _ in range(count)]
    print("attacking", flush=True)
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    print(json.dumps(asdict(TALLY)), flush=True)


if __name__ == "__main__":
    host, _, port = sys.argv[2].rpartition(":")
    asyncio.run(attack(sys.argv[1], (host, int(port)), float(sys.argv[3])))
