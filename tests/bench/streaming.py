"""The campaign driver: long SendMessageStreams, each gRPC message in its own DATA frame, many frames per
write.

A stream keeps at most `window` messages unanswered and tops up when a good part of the window is free: one
write then carries many frames, as from a client that pumps as fast as it can. Answers are counted by
walking the gRPC prefixes; they may be split over frames or joined in one. Latency counts from the write to
the read of the answer.
"""

from __future__ import annotations

import struct
import time
from collections import deque
from collections.abc import Callable

from tests.bench.h2client import DATA, END_STREAM, H2Connection, HeaderList, frame
from tests.bench.messages import Request, Template
from tests.bench.tally import SAMPLE_EVERY, SUCCESS, Tally

_PREFIX = struct.Struct(">BL")
_MAX_TOP_UP = 64  # frames that are worth a write of their own


class Lane:
    """One stream: how far it has sent, how far it was answered."""

    __slots__ = ("answered", "ended", "first", "marks", "partial", "sent", "stream_id", "template", "total")

    def __init__(self, stream_id: int, request: Request, first: int, total: int) -> None:
        self.stream_id = stream_id
        self.template = Template(request, stream_id)
        self.first = first
        self.total = total
        self.sent = 0
        self.answered = 0
        self.partial = b""
        self.marks: deque[float] = deque()  # when each sampled, unanswered message was written
        self.ended = False


class StreamDriver:
    """Drives the lanes of one connection; calls `finished` when the last of them has ended."""

    def __init__(self, lanes: list[Lane], window: int, tally: Tally, finished: Callable[[], None]) -> None:
        self.connection: H2Connection | None = None
        self._lanes = {lane.stream_id: lane for lane in lanes}
        self._open = len(lanes)
        self._window = window
        self._top_up = max(1, min(window // 4, _MAX_TOP_UP))
        self._tally = tally
        self._finished = finished

    def ready(self) -> None:
        connection = self._connected()
        if connection.max_streams < len(self._lanes):
            self.lost(f"the server allows {connection.max_streams} streams, {len(self._lanes)} asked")
            return
        self._tally.started()
        connection.write(b"".join(connection.open_stream(stream_id) for stream_id in self._lanes))

    def pump(self) -> None:
        connection = self._connected()
        now = time.monotonic()
        writes = [self._top_up_lane(connection, lane, now) for lane in self._lanes.values()]
        octets = b"".join(writes)
        if octets:
            connection.write(octets)

    def _top_up_lane(self, connection: H2Connection, lane: Lane, now: float) -> bytes:
        left = lane.total - lane.sent
        room = self._window - lane.sent + lane.answered
        if not left or lane.ended or room < min(left, self._top_up):
            return b""
        sent = lane.sent
        written = self._frames(connection, lane, min(left, room))
        lane.marks.extend([now] * _sampled(sent, lane.sent))
        if written and lane.sent == lane.total:
            return written + frame(DATA, END_STREAM, lane.stream_id, b"")
        return written

    def _frames(self, connection: H2Connection, lane: Lane, wanted: int) -> bytes:
        """The lane's next messages, as many of the wanted as the server's windows take, as sent."""
        octets = lane.template.octets
        windows, stream_id = connection.windows, lane.stream_id
        count = min(wanted, windows[stream_id] // octets, connection.window // octets)
        if count <= 0:
            return b""
        windows[stream_id] -= count * octets
        connection.window -= count * octets
        lane.sent += count
        return lane.template.frames(lane.first + lane.sent - count, count)

    def data(self, stream_id: int, buffer: bytes, start: int, stop: int) -> None:
        lane = self._lanes[stream_id]
        if lane.partial:
            buffer = lane.partial + buffer[start:stop]
            start, stop = 0, len(buffer)
        answered = good = 0
        unpack = _PREFIX.unpack_from
        while stop - start >= 5:
            body = start + 5
            end = body + unpack(buffer, start)[1]
            if end > stop:
                break
            if buffer[body : body + 2] == SUCCESS:
                good += 1
            else:
                self._tally.refused(buffer[body:end])
            answered += 1
            start = end
        lane.partial = buffer[start:stop]
        if answered:
            self._count(lane, answered, good)

    def _count(self, lane: Lane, answered: int, good: int) -> None:
        tally = self._tally
        tally.last_answer_at = now = time.monotonic()
        self._measure(lane, answered, now)
        lane.answered += answered
        tally.answered += answered
        tally.succeeded += good

    def _measure(self, lane: Lane, answered: int, now: float) -> None:
        """Latencies of the lane's next `answered` messages; each SAMPLE_EVERY-th, from its write on."""
        samples = _sampled(lane.answered, lane.answered + answered)
        for _ in range(min(samples, len(lane.marks))):
            self._tally.latencies_s.append(now - lane.marks.popleft())

    def headers(self, stream_id: int, headers: HeaderList, ended: bool) -> None:
        if not ended:
            return
        fields = dict(headers)
        if fields.get("grpc-status") == "0":
            self._end(stream_id, "")
        else:
            self._end(
                stream_id,
                f"stream ended: grpc-status {fields.get('grpc-status')} {fields.get('grpc-message')}",
            )

    def reset(self, stream_id: int, code: int) -> None:
        self._end(stream_id, f"stream reset: code {code}")

    def lost(self, reason: str) -> None:
        for stream_id in self._lanes:
            self._end(stream_id, f"connection lost: {reason}")

    def _end(self, stream_id: int, trouble: str) -> None:
        lane = self._lanes[stream_id]
        if lane.ended:
            return
        lane.ended = True
        self._open -= 1
        if trouble:
            self._tally.problem(trouble)
        elif lane.answered != lane.total or lane.partial:
            self._tally.problem(f"stream ended OK after {lane.answered} of {lane.total} answers")
        if not self._open:
            self._finished()

    def _connected(self) -> H2Connection:
        assert self.connection is not None
        return self.connection


def _sampled(start: int, stop: int) -> int:
    """How many multiples of SAMPLE_EVERY lie in [start, stop)."""
    return (stop + SAMPLE_EVERY - 1) // SAMPLE_EVERY - (start + SAMPLE_EVERY - 1) // SAMPLE_EVERY
