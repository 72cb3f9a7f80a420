"""One long stream with bad messages inside: python -m tests.flow.rows.odd_stream TARGET FOLDER COUNT STOP_S.

What row 17 holds load beside. Every hundredth request is bad. After a third of the answers the reader gives
no window back for STOP_S; the last hundred requests go out with the half-close. The answers are in
FOLDER/answers.bin as they came, what else was seen is the JSON line at the end.
"""

from __future__ import annotations

import asyncio
import json
import struct
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from tests.flow.grpc_edge.grpc_edge_kit import RawClient, messages_in
from tests.flow.kit import sms
from tests.flow.rows.odd_caller import STREAM, headers_of

WINDOW = 65_535
"""Octets of answers that may be under way: HTTP/2's default, of the stream and the connection."""
LAST = 100
MALFORMED = b"\x0a"
POOL = 1000
NUMBERS = "99892{:07}"


def request(number: int) -> bytes:
    """Of every hundred the 50th has a bad field, and the 100th is no protobuf at all, in turns."""
    if number % 200 == 199:
        return MALFORMED
    daddr = "12" if number % 200 == 99 else NUMBERS.format(number)
    return bytes(
        sms(
            transaction_id=f"long-{number}", message=f"long stream message {number}", daddr=daddr, esme=POOL
        ).SerializeToString()
    )


@dataclass
class Seen:
    sent: int = 0
    answered: int = 0
    stopped_at: float = 0.0
    """Unix time, as `resumed_at`."""
    resumed_at: float = 0.0
    answered_at_stop: int = 0
    sent_at_stop: int = 0
    """When the stop was over."""
    left_at_half_close: int = 0
    status: int = -1


class LongStream:
    """Sends as fast as it is let, reads and gives back window but for the stop."""

    def __init__(self, client: RawClient, file: BinaryIO, count: int, stop_s: float) -> None:
        given = [pair for pair in headers_of() if pair[0] != ":path"]
        self._client = client
        self._stream_id = client.open(headers=[(":path", STREAM), *given])
        self._stream = client.streams[self._stream_id]
        self._file = file
        self._count = count
        self._stop_s = stop_s
        self.seen = Seen()

    async def send(self) -> None:
        client, seen = self._client, self.seen
        for number in range(self._count):
            packed = request(number)
            if number < self._count - LAST:
                await client.window_for(self._stream_id, len(packed) + 5)
            client.data(self._stream_id, struct.pack(">BI", 0, len(packed)) + packed)
            seen.sent += 1
            if number % 50 == 0:
                await asyncio.sleep(0)
        client.data(self._stream_id, b"", end=True)
        seen.left_at_half_close = seen.sent - seen.answered

    async def read(self) -> None:
        client, stream, seen = self._client, self._stream, self.seen
        while not (stream.ended or client.closed) or stream.data:
            await client.until(lambda: stream.data or stream.ended or client.closed)
            octets = self._whole()
            if not seen.stopped_at and seen.answered >= self._count // 3:
                await self._stop()
            if octets:
                client.grow(octets, self._stream_id)
            await asyncio.sleep(0.001)  # several frames at once
        seen.status = stream.grpc_status

    async def _stop(self) -> None:
        seen = self.seen
        seen.stopped_at, seen.answered_at_stop = time.time(), seen.answered
        print("stopped", flush=True)
        await asyncio.sleep(self._stop_s)
        print("resumed", flush=True)
        seen.resumed_at, seen.sent_at_stop = time.time(), seen.sent

    def _whole(self) -> int:
        """Take the whole messages out of what came; how many octets."""
        data = self._stream.data
        at = 0
        while at + 5 <= len(data) and at + 5 + int.from_bytes(data[at + 1 : at + 5]) <= len(data):
            at += 5 + int.from_bytes(data[at + 1 : at + 5])
            self.seen.answered += 1
        self._file.write(data[:at])
        del data[:at]
        return at


async def main(port: int, folder: Path, count: int, stop_s: float) -> None:
    client = await RawClient.connect(port)
    client.bound_s += stop_s
    with (folder / "answers.bin").open("wb") as file:
        stream = LongStream(client, file, count, stop_s)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(stream.send())
            tasks.create_task(stream.read())
    await client.aclose()
    print(json.dumps(asdict(stream.seen)), flush=True)


def answers_in(folder: Path) -> list[bytes]:
    return messages_in((folder / "answers.bin").read_bytes())


if __name__ == "__main__":
    port = int(sys.argv[1].rpartition(":")[2])
    asyncio.run(main(port, Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
