"""The open-loop drivers: messages go out when their time has come, whatever is still unanswered.

A latency counts from the moment at which the message should have been sent, so a message that had to wait,
for this process or for the server's windows, is as slow as it was for its sender (no coordinated omission).
Who reads the figures can tell the two apart: `lateness` is how late this process saw that a message was due,
`held` how many of them the server's windows kept back. Called by load.py.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from tests.bench.h2client import DATA, END_STREAM, frame
from tests.bench.messages import Request
from tests.bench.streaming import Lane, StreamDriver
from tests.bench.tally import OpenLoop, Tally
from tests.bench.unary import UnaryDriver

_WAKE_S = 0.001
_LEAD_S = 0.1  # between the last connection's SETTINGS and the first message
_NO_WINDOW = 10**9


class Pace:
    """When the messages of one lane are due: every `step`-th of the run's, from number `offset` on."""

    __slots__ = ("_first_s", "_interval_s", "_start_at")

    def __init__(self, rate_per_s: float, offset: int, step: int) -> None:
        self._first_s = offset / rate_per_s
        self._interval_s = step / rate_per_s
        self._start_at = 0.0

    def begin(self, start_at: float) -> None:
        """Message 0 of the run is due then."""
        self._start_at = start_at

    def due(self, now: float) -> int:
        """How many messages should have been sent by now."""
        since_s = now - self._start_at - self._first_s
        return int(since_s / self._interval_s) + 1 if since_s >= 0 else 0

    def at(self, number: int) -> float:
        """When the lane's message `number` is due."""
        return self._start_at + self._first_s + number * self._interval_s


class _Timetable:
    """A pace, and what is seen of it: how far this process has noticed, how far answers have come."""

    __slots__ = ("noticed", "open", "pace")

    def __init__(self, pace: Pace, open_: OpenLoop) -> None:
        self.pace = pace
        self.open = open_
        self.noticed = 0

    def notice(self, now: float, total: int) -> int:
        """How many are due, at most `total`; what became due since the last look counts its lateness."""
        due = min(self.pace.due(now), total)
        record, at = self.open.lateness.record, self.pace.at
        for number in range(self.noticed, due):
            record(now - at(number))
        self.noticed = max(self.noticed, due)
        return due

    def answered(self, now: float, first: int, count: int) -> None:
        record, at = self.open.latency.record, self.pace.at
        for number in range(first, first + count):
            record(now - at(number))


class OpenStreamDriver(StreamDriver):
    """The lanes of one connection; lane n of all the run's lanes sends every message n, n + lanes, ..."""

    def __init__(
        self, lanes: dict[Lane, Pace], open_: OpenLoop, tally: Tally, finished: Callable[[], None]
    ) -> None:
        super().__init__(list(lanes), _NO_WINDOW, tally, finished)
        self._held = False
        self._timetables = {lane: _Timetable(pace, open_) for lane, pace in lanes.items()}

    def begin(self, start_at: float) -> None:
        for timetable in self._timetables.values():
            timetable.pace.begin(start_at)

    def pump(self) -> None:
        if self._held:
            self.send_due(time.monotonic())

    def send_due(self, now: float) -> None:
        """Send what is due, as far as the server's windows let it."""
        connection = self._connected()
        self._held = False
        writes = [self._send_lane(lane, table, now) for lane, table in self._timetables.items()]
        octets = b"".join(writes)
        if octets:
            connection.write(octets)

    def _send_lane(self, lane: Lane, timetable: _Timetable, now: float) -> bytes:
        noticed = timetable.noticed
        due = timetable.notice(now, lane.total)
        if due == lane.sent or lane.ended:
            return b""
        written = self._frames(self._connected(), lane, due - lane.sent)
        if lane.sent < due:
            self._held = True
            timetable.open.held += due - max(lane.sent, noticed)
        return written if lane.sent < lane.total else written + frame(DATA, END_STREAM, lane.stream_id, b"")

    def _measure(self, lane: Lane, answered: int, now: float) -> None:
        self._timetables[lane].answered(now, lane.answered, answered)


class OpenUnaryDriver(UnaryDriver):
    """A call when its time has come; at most as many open as the server allows on a connection."""

    def __init__(
        self,
        request: Request,
        first: int,
        total: int,
        pace: Pace,
        open_: OpenLoop,
        tally: Tally,
        finished: Callable[[], None],
    ) -> None:
        super().__init__(request, first, total, _NO_WINDOW, tally, finished)
        self._timetable = _Timetable(pace, open_)

    def begin(self, start_at: float) -> None:
        self._timetable.pace.begin(start_at)

    def pump(self) -> None:
        if self._timetable.noticed > self._sent:
            self.send_due(time.monotonic())

    def send_due(self, now: float) -> None:
        """Open the calls that are due, as far as the server lets them."""
        noticed = self._timetable.noticed
        due = self._timetable.notice(now, self._total)
        self._send(due - self._sent, now)
        self._timetable.open.held += max(due - max(self._sent, noticed), 0)

    def _measure(self, stream_id: int, now: float) -> None:
        self._timetable.answered(now, stream_id // 2, 1)


AnyOpenDriver = OpenStreamDriver | OpenUnaryDriver


async def drive(drivers: Sequence[AnyOpenDriver], tally: Tally, done: asyncio.Event) -> None:
    """Begin when all are ready, then wake them each millisecond until `done`. The run's bound cancels it."""
    for driver in drivers:
        assert driver.connection is not None
        await driver.connection.settled.wait()
    start_at = time.monotonic() + _LEAD_S
    for driver in drivers:
        driver.begin(start_at)
    await asyncio.sleep(_LEAD_S)
    tally.begin(start_at)
    while not done.is_set():
        now = time.monotonic()
        for driver in drivers:
            driver.send_due(now)
        await asyncio.sleep(_WAKE_S)
