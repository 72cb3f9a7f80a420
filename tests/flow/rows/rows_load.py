"""Load for the rows that measure: a campaign pumped as fast as it is taken, and calls at a fixed rate.

Both go over the bench's hand-made HTTP/2 connection: a Python gRPC client would be what is measured. The
calls are open-loop: a latency counts from when the call was due, so a stall is told by all that it met.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections import deque
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

import uvloop
from rows_kit import Campaign

from tests.bench.h2client import DATA, END_STREAM, H2Connection, HeaderList, frame
from tests.flow.kit import M, sms, token

_PREFIX = struct.Struct(">BL")
_TICK_S = 0.001
_STREAM_ID = 1
_LAST_CALL_S = 30
_REFUSALS = {8: "rate_limited", 14: "unavailable", 4: "expired"}
"""The grpc-status of unary calls that were not sent, and the status word it stands for (spec §2.1)."""
T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run to its end on a loop that is fast enough not to be what is measured."""
    return uvloop.run(work)


class Pump:
    """One SendMessageStream that takes all that flow control lets through, then half-closes.

    A driver of `H2Connection`. `ended` gets the grpc-status, or an error; `answers` what came, with its time.
    """

    def __init__(self, requests: Iterable[Any]) -> None:
        self.connection: H2Connection | None = None
        self.answers: list[tuple[float, bytes]] = []
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._frames = [_framed(request.SerializeToString()) for request in requests]
        self._sent = 0
        self._partial = b""

    def ready(self) -> None:
        connection = self._connected()
        connection.write(connection.open_stream(_STREAM_ID))

    def pump(self) -> None:
        connection, frames, first = self._connected(), self._frames, self._sent
        room = min(connection.window, connection.windows[_STREAM_ID])
        octets = 0
        while self._sent < len(frames) and octets + len(frames[self._sent]) - 9 <= room:
            octets += len(frames[self._sent]) - 9  # a frame's head is not counted
            self._sent += 1
        if first == self._sent:
            return
        connection.window -= octets
        connection.windows[_STREAM_ID] -= octets
        last = frame(DATA, END_STREAM, _STREAM_ID, b"") if self._sent == len(frames) else b""
        connection.write(b"".join(frames[first : self._sent]) + last)

    def data(self, stream_id: int, buffer: bytes, start: int, stop: int) -> None:
        octets, at, now = self._partial + buffer[start:stop], 0, time.time()
        while len(octets) - at >= _PREFIX.size:
            end = at + _PREFIX.size + _PREFIX.unpack_from(octets, at)[1]
            if end > len(octets):
                break
            self.answers.append((now, octets[at + _PREFIX.size : end]))
            at = end
        self._partial = octets[at:]

    def headers(self, stream_id: int, headers: HeaderList, ended: bool) -> None:
        if ended:
            self._end(dict(headers).get("grpc-status", "none"))

    def reset(self, stream_id: int, code: int) -> None:
        self._end(f"reset {code}")

    def lost(self, reason: str) -> None:
        self._end(f"lost: {reason}")

    def _end(self, status: str) -> None:
        if not self.ended.done():
            self.ended.set_result(status)

    def _connected(self) -> H2Connection:
        assert self.connection is not None
        return self.connection


def _framed(message: bytes) -> bytes:
    return frame(DATA, 0, _STREAM_ID, _PREFIX.pack(0, len(message)) + message)


async def pump(target: str, campaign: Campaign, *, timeout_s: float, esme: int = 100) -> list[float]:
    """Send the campaign on one stream in request order, note its answers; when each came, Unix seconds."""
    texts = campaign.texts.items()
    driver = Pump(sms(transaction_id=key, message=text, esme=esme) for key, text in texts)
    connection = await _connect(target, "SendMessageStream", driver)
    try:
        async with asyncio.timeout(timeout_s):
            assert await driver.ended == "0"
    finally:
        connection.close()
    for _, answer in driver.answers:
        campaign.note(M["SmsResponse"].FromString(answer))
    assert list(campaign.said) == list(campaign.texts), "answers out of order"
    return [at for at, _ in driver.answers]


class Calls:
    """Unary SendMessage calls at a fixed rate until they are stopped, over a connection of their own.

    A driver of `H2Connection`. A call that finds too many open on the connection goes out when one has ended;
    its time counts all the same.
    """

    def __init__(self, target: str, name: str, rate_per_s: float, esme: int = 100) -> None:
        self.connection: H2Connection | None = None
        self.campaign = Campaign({})
        self.late_s: list[tuple[float, float]] = []
        """Of each call: when it was due (the loop's clock), and how long after that it was answered."""
        self._target = target
        self._name = name
        self._rate_per_s = rate_per_s
        self._esme = esme
        self._stopped = False
        self._opened = 0
        self._due: deque[float] = deque()
        self._open: dict[int, tuple[str, float]] = {}
        self._data: dict[int, bytes] = {}
        self._changed = asyncio.Event()

    def stop(self) -> None:
        self._stopped = True

    async def run(self) -> None:
        """Until `stop`, and until every call has its answer."""
        connection = await _connect(self._target, "SendMessage", self)
        try:
            await self._changed.wait()  # the daemon's SETTINGS
            await self._call_at_rate()
            async with asyncio.timeout(_LAST_CALL_S):
                while self._open or self._due:
                    self._changed.clear()
                    await self._changed.wait()
        finally:
            connection.close()

    async def _call_at_rate(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while not self._stopped:
            self._due.append(due)
            self.pump()
            due += 1 / self._rate_per_s
            await asyncio.sleep(due - loop.time())

    def pump(self) -> None:
        assert self.connection is not None
        while self._due and len(self._open) < self.connection.max_streams:
            self._call(self.connection, self._due.popleft())

    def _call(self, connection: H2Connection, due: float) -> None:
        number = self._opened
        self._opened += 1
        key, text = f"{self._name}-{number}", f"{self._name} message {number}"
        self.campaign.texts[key] = text
        stream_id = 2 * number + 1
        self._open[stream_id] = (key, due)
        head = connection.open_stream(stream_id)
        message = sms(transaction_id=key, message=text, esme=self._esme).SerializeToString()
        octets = _PREFIX.pack(0, len(message)) + message
        connection.window -= len(octets)
        connection.write(head + frame(DATA, END_STREAM, stream_id, octets))

    def ready(self) -> None:
        self._changed.set()

    def data(self, stream_id: int, buffer: bytes, start: int, stop: int) -> None:
        self._data[stream_id] = self._data.get(stream_id, b"") + buffer[start:stop]

    def headers(self, stream_id: int, headers: HeaderList, ended: bool) -> None:
        if not ended:
            return
        key, due = self._open.pop(stream_id)
        status = int(dict(headers)["grpc-status"])
        answer = self._data.pop(stream_id, b"")[_PREFIX.size :]
        refused = M["SmsResponse"](transaction_id=key, status=_REFUSALS.get(status, f"grpc-status {status}"))
        self.campaign.note(refused if status else M["SmsResponse"].FromString(answer))
        self.late_s.append((due, asyncio.get_running_loop().time() - due))
        assert self.connection is not None
        self.connection.windows.pop(stream_id, None)
        self._changed.set()

    def reset(self, stream_id: int, code: int) -> None:
        """The call stays without an end: the ledger check will tell."""
        self._open.pop(stream_id, None)
        self._changed.set()

    def lost(self, reason: str) -> None:
        """As `reset`, for all that were open."""
        self._open.clear()
        self._due.clear()
        self._changed.set()

    def between(self, start: float, end: float) -> list[float]:
        """The latencies of the calls that were due in [start, end), in ms, ascending."""
        return sorted(late_s * 1000 for due, late_s in self.late_s if start <= due < end)


async def _connect(target: str, method: str, driver: Pump | Calls) -> H2Connection:
    headers = [
        (":method", "POST"), (":scheme", "http"), (":path", f"/sms.v1.SmsService/{method}"),
        (":authority", target), ("te", "trailers"), ("content-type", "application/grpc"),
        ("authorization", f"Bearer {token(ttl_s=3600)}"), ("app_id", "1"),
    ]  # fmt: skip
    driver.connection = connection = H2Connection(driver, headers, _TICK_S)
    host, _, port = target.rpartition(":")
    await asyncio.get_running_loop().create_connection(lambda: connection, host, int(port))
    return connection


def rate_between(times: Iterable[float], start: float, end: float) -> float:
    """Events per second in [start, end)."""
    return sum(start <= at < end for at in times) / (end - start)


def percentile(ascending: list[float], share: float) -> float:
    """What `share` of the values do not exceed."""
    return ascending[min(len(ascending) - 1, int(share * len(ascending)))]


def spread(ascending: list[float]) -> str:
    """For people: how many values in ms, and how they lie."""
    p50, p99 = percentile(ascending, 0.5), percentile(ascending, 0.99)
    return f"n {len(ascending)}, p50 {p50:.1f} ms, p99 {p99:.1f} ms, max {ascending[-1]:.1f} ms"
