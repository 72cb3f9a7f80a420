"""Bad requests by the thousand: python -m tests.flow.rows.noisy_caller TARGET HTTP PER_S SECONDS.

What row 36 holds beside the load: a stream of bad messages at a rate, and beside it bad tokens, odd headers,
octets that are no HTTP/2, and failures at the token endpoint (HTTP is its Unix socket). All of them carry the
planted words. At the end one JSON line: how many there were, and every text that they were answered with.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import struct
import sys
from collections import Counter
from urllib.parse import urlencode

import uvloop

from tests.bench.h2client import H2Connection, HeaderList, frame
from tests.flow.grpc_edge.grpc_edge_kit import RawClient
from tests.flow.kit import M, sms, token
from tests.flow.rows.odd_caller import headers_of

TEXT = "plantedtext7319"
NUMBER = "998907319731"
WORD = "planted-secret-of-nobody-that-is-long-enough"
BAD_TOKEN = token(secret=WORD)
TICK_S = 0.01
SLOWLY_S = 0.02
TEXTS = 1000
_PREFIX = struct.Struct(">BL")


def bad_messages() -> list[bytes]:
    """Each breaks another rule with a planted word where the fault is."""
    fields: list[dict[str, object]] = [
        {"daddr": NUMBER * 2}, {"daddr": f"+{NUMBER}x"}, {"saddr": TEXT}, {"saddr": NUMBER * 3},
        {"message": TEXT * 200}, {"message": f"{TEXT}\0"}, {"transaction_id": NUMBER * 9}, {"strategy": "x"},
        {"esme": 4242, "message": TEXT}, {"app_id": 2, "message": TEXT}, {"app_id": 0, "daddr": NUMBER},
        {"ston": 256, "daddr": NUMBER},
    ]  # fmt: skip
    whole = [sms(**{"message": TEXT, "daddr": NUMBER, **one}).SerializeToString() for one in fields]
    return [*whole, b"\x0a" + TEXT.encode(), whole[0][:-3], b"\xff" * 20]


class BadStream:
    """A stream of bad messages, so many a second. A driver of `H2Connection`."""

    def __init__(self, per_s: float) -> None:
        self.connection: H2Connection | None = None
        self.sent = 0
        self.answers = Counter[str]()
        self.texts: set[str] = set()
        self.ended = ""
        self._per_s = per_s
        self._frames = itertools.cycle(
            frame(0, 0, 1, _PREFIX.pack(0, len(message)) + message) for message in bad_messages()
        )
        self._partial = b""
        self._ready = asyncio.Event()

    async def run(self, seconds: float) -> None:
        await self._ready.wait()
        connection, loop = self.connection, asyncio.get_running_loop()
        assert connection is not None
        connection.write(connection.open_stream(1))
        began = loop.time()
        while (elapsed := loop.time() - began) < seconds and not self.ended:
            due = int(elapsed * self._per_s) - self.sent
            frames = []
            while due > 0 and min(connection.window, connection.windows[1]) > 8000:
                one = next(self._frames)
                connection.window -= len(one) - 9
                connection.windows[1] -= len(one) - 9
                frames.append(one)
                due -= 1
            connection.write(b"".join(frames))
            self.sent += len(frames)
            await asyncio.sleep(TICK_S)

    def ready(self) -> None:
        self._ready.set()

    def pump(self) -> None:
        pass

    def data(self, stream_id: int, buffer: bytes, start: int, stop: int) -> None:
        octets, at = self._partial + buffer[start:stop], 0
        while len(octets) - at >= 5 and (end := at + 5 + _PREFIX.unpack_from(octets, at)[1]) <= len(octets):
            self._answered(octets[at + 5 : end])
            at = end
        self._partial = octets[at:]

    def _answered(self, octets: bytes) -> None:
        """One in a hundred is read: the rest is counted."""
        self.answers["all"] += 1
        if self.answers["all"] % 100 < 15:
            answer = M["SmsResponse"].FromString(octets)
            self.answers[answer.status] += 1
            if len(self.texts) < TEXTS:
                self.texts.add(answer.error)

    def headers(self, stream_id: int, headers: HeaderList, ended: bool) -> None:
        self.ended = str(dict(headers)) if ended else ""

    def reset(self, stream_id: int, code: int) -> None:
        self.ended = f"reset {code}"

    def lost(self, reason: str) -> None:
        self.ended = self.ended or reason


async def bad_calls(port: int, told: set[str], calls: Counter[str]) -> None:
    """Tokens that are none of ours, and headers against the rules, on one connection."""
    client = await RawClient.connect(port, {4: 2**30})
    client.grow(2**30)
    kinds = [
        [*headers_of(but=("authorization",)), ("authorization", f"Bearer {BAD_TOKEN}")],
        headers_of(("grpc-timeout", TEXT)), headers_of(("x-bin", TEXT)), headers_of((TEXT.upper(), NUMBER)),
        headers_of((b"x", f"{TEXT}é".encode())), headers_of(but=("te",)), headers_of(("te", TEXT)),
    ]  # fmt: skip
    for headers in itertools.cycle(kinds):
        stream_id = client.open(headers=headers)
        client.data(stream_id, _PREFIX.pack(0, 2) + b"\x08\x01", end=True)
        stream = await client.end_of(stream_id)
        told.add(str(stream.headers))
        calls[str(stream.trailers.get("grpc-status", "none"))] += 1
        await asyncio.sleep(SLOWLY_S)


async def no_http2(port: int, calls: Counter[str]) -> None:
    """Octets that are none; each connection from an address of its own."""
    for number in itertools.count():
        address = f"127.0.{3 + number // 250 % 200}.{1 + number % 250}"
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
        writer.write(f"GET /{TEXT} HTTP/1.1\r\nauthorization: Bearer {BAD_TOKEN}\r\n\r\n".encode())
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()
        calls["no HTTP/2"] += 1
        await asyncio.sleep(SLOWLY_S)


async def bad_grants(path: str, told: set[str], calls: Counter[str]) -> None:
    """Secrets that are none at /oauth/token."""
    body = urlencode({"grant_type": "client_credentials", "client_id": "1", "client_secret": WORD})
    head = f"POST /oauth/token HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {len(body)}\r\n"
    request = f"{head}content-type: application/x-www-form-urlencoded\r\n\r\n{body}".encode()
    while True:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(request)
        status, _, rest = (await reader.read()).decode().partition("\r\n")
        writer.close()
        if len(told) < TEXTS:
            told.add(rest)
        calls[status] += 1
        await asyncio.sleep(SLOWLY_S)


async def main(target: str, path: str, per_s: float, seconds: float) -> None:
    port = int(target.rpartition(":")[2])
    told: set[str] = set()
    calls: Counter[str] = Counter()
    bad = BadStream(per_s)
    headers = [pair for pair in headers_of() if pair[0] != ":path"]
    headers.insert(0, (":path", "/sms.v1.SmsService/SendMessageStream"))
    bad.connection = connection = H2Connection(bad, [(str(n), str(v)) for n, v in headers], 0.001)
    await asyncio.get_running_loop().create_connection(lambda: connection, "127.0.0.1", port)
    beside = [
        asyncio.create_task(bad_calls(port, told, calls)),
        asyncio.create_task(no_http2(port, calls)),
        asyncio.create_task(bad_grants(path, told, calls)),
    ]
    await bad.run(seconds)
    await asyncio.sleep(0.5)
    for task in beside:
        assert not task.done(), await task
        task.cancel()
    await asyncio.gather(*beside, return_exceptions=True)
    for client in RawClient.opened:
        await client.aclose()
    texts = sorted(told | bad.texts)
    print(
        json.dumps(
            {"sent": bad.sent, "answers": bad.answers, "calls": calls, "texts": texts, "end": bad.ended}
        )
    )


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4])))
