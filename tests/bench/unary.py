"""The one-message-at-a-time driver: unary SendMessage calls, `concurrency` of them open on one connection.

Each call is HEADERS and one DATA frame with END_STREAM; when its trailers come, the next call is opened.
All calls that one read has freed go out in one write.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.bench.h2client import H2Connection, HeaderList
from tests.bench.messages import Request, Template
from tests.bench.tally import SAMPLE_EVERY, SUCCESS, Tally


class UnaryDriver:
    """Makes `total` calls over one connection, numbers from `first` on; calls `finished` after the last."""

    def __init__(
        self,
        request: Request,
        first: int,
        total: int,
        concurrency: int,
        tally: Tally,
        finished: Callable[[], None],
    ) -> None:
        self.connection: H2Connection | None = None
        self._request = request
        self._first = first
        self._total = total
        self._concurrency = concurrency
        self._tally = tally
        self._finished = finished
        self._sent = 0
        self._ended = 0
        self._answers: dict[int, bytes] = {}  # open calls and the DATA they got
        self._marks: dict[int, float] = {}
        self._octets = Template(request, 1).octets

    def ready(self) -> None:
        assert self.connection is not None
        self._concurrency = min(self._concurrency, self.connection.max_streams)
        self._tally.started()

    def pump(self) -> None:
        self._send(self._total - self._sent, time.monotonic())

    def _send(self, wanted: int, now: float) -> None:
        """Open the next calls, as many of the wanted as concurrency and the server's window allow."""
        connection = self.connection
        assert connection is not None
        room = min(wanted, self._concurrency - len(self._answers), connection.window // self._octets)
        if room <= 0:
            return
        connection.window -= room * self._octets
        connection.write(b"".join([self._call(connection, now) for _ in range(room)]))

    def _call(self, connection: H2Connection, now: float) -> bytes:
        stream_id = 2 * self._sent + 1
        if self._sent % SAMPLE_EVERY == 0:
            self._marks[stream_id] = now
        self._answers[stream_id] = b""
        head = connection.open_stream(stream_id)
        body = Template(self._request, stream_id, end_stream=True).frames(self._first + self._sent, 1)
        self._sent += 1
        return head + body

    def data(self, stream_id: int, buffer: bytes, start: int, stop: int) -> None:
        self._answers[stream_id] += buffer[start:stop]

    def headers(self, stream_id: int, headers: HeaderList, ended: bool) -> None:
        if not ended:
            return
        fields = dict(headers)
        if fields.get("grpc-status") != "0":
            trouble = f"call ended: grpc-status {fields.get('grpc-status')} {fields.get('grpc-message')}"
            self._end(stream_id, trouble)
            return
        answer = self._answers[stream_id][5:]
        if answer[:2] == SUCCESS:
            self._tally.succeeded += 1
        else:
            self._tally.refused(answer)
        self._tally.answered += 1
        self._end(stream_id, "")

    def reset(self, stream_id: int, code: int) -> None:
        self._end(stream_id, f"call reset: code {code}")

    def lost(self, reason: str) -> None:
        if self._ended < self._total:
            self._tally.problem(f"connection lost: {reason}")
            self._ended = self._total
            self._finished()

    def _end(self, stream_id: int, trouble: str) -> None:
        if self._answers.pop(stream_id, None) is None:
            return
        assert self.connection is not None
        self.connection.windows.pop(stream_id, None)
        self._tally.last_answer_at = now = time.monotonic()
        self._measure(stream_id, now)
        if trouble:
            self._tally.problem(trouble)
        self._ended += 1
        if self._ended == self._total:
            self._finished()

    def _measure(self, stream_id: int, now: float) -> None:
        """The latency of a call that has ended; here of every SAMPLE_EVERY-th, from its write on."""
        mark = self._marks.pop(stream_id, None)
        if mark is not None:
            self._tally.latencies_s.append(now - mark)
