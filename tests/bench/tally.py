"""What a load run has seen: counts, failures in words, sampled latencies. Filled by the drivers, read by
load.py.

An answer is a success by its first two octets: SmsResponse field 1, `bool success = true`, is 08 01 and
every serializer writes fields in order. Only failures are decoded.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import DecodeError

from tests.bench.histogram import Histogram
from tests.bench.messages import message_class

SUCCESS = b"\x08\x01"
SAMPLE_EVERY = 64
_MAX_TEXTS = 5


@dataclass(slots=True)
class OpenLoop:
    """What an open-loop run adds: every latency, from the moment at which the message should have gone."""

    rate_per_s: float
    latency: Histogram = field(default_factory=Histogram)
    lateness: Histogram = field(default_factory=Histogram)
    """How late the load saw that a message was due: its own fault, not the server's."""
    held: int = 0
    """Messages that were due and could not be written, for the server's windows were full."""
    _before: Histogram = field(default_factory=Histogram)

    def new_interval(self) -> Histogram:
        """The latencies since the last call."""
        seen, self.latency = self.latency, Histogram()
        self._before.merge(seen)
        return seen

    def end_intervals(self) -> None:
        """From now on `latency` is that of the whole run."""
        self.latency.merge(self._before)
        self._before = Histogram()

    def as_json(self) -> dict[str, Any]:
        return {
            "rate_per_s": self.rate_per_s,
            "latency": self.latency.as_json(),
            "lateness": self.lateness.as_json(),
            "held": self.held,
        }


class Tally:
    """Counts of one run over all its connections. `open_` where the load has a fixed schedule."""

    def __init__(self, messages: int, open_: OpenLoop | None = None) -> None:
        self.messages = messages
        self.open = open_
        self.answered = 0
        self.succeeded = 0
        self.failures: Counter[str] = Counter()
        self.problems: Counter[str] = Counter()
        self.latencies_s: list[float] = []
        self.first_send_at = 0.0
        self.last_answer_at = 0.0
        self._cpu_started_s = 0.0
        self.cpu_s = 0.0

    def __repr__(self) -> str:
        return (
            f"<Tally {self.succeeded}/{self.answered}/{self.messages} problems={sum(self.problems.values())}>"
        )

    def started(self) -> None:
        """The first message is about to be sent (idempotent)."""
        if not self.first_send_at:
            self.begin(time.monotonic())

    def begin(self, at: float) -> None:
        """The run's time counts from `at` on."""
        self._cpu_started_s = time.process_time()
        self.first_send_at = at

    def finished(self) -> None:
        """The last stream has ended."""
        self.cpu_s = time.process_time() - self._cpu_started_s

    def refused(self, wire: bytes) -> None:
        """One answer that does not begin with success."""
        try:
            answer: Any = message_class("SmsResponse").FromString(wire)
        except DecodeError:
            self._count(self.failures, "an undecodable SmsResponse")
            return
        if answer.success:  # another field came first: legal, only never seen
            self.succeeded += 1
        else:
            self._count(self.failures, f"{answer.status or 'no status'}: {answer.error}")

    def problem(self, text: str) -> None:
        """A stream or a connection ended badly."""
        self._count(self.problems, text)

    def _count(self, counter: Counter[str], text: str) -> None:
        counter[text if text in counter or len(counter) < _MAX_TEXTS else "others"] += 1

    def percentile_ms(self, share: float) -> float:
        """Latency in ms that `share` of the samples do not exceed; 0.0 without samples."""
        if self.open is not None:
            return self.open.latency.percentile_ms(share * 100)
        ordered = sorted(self.latencies_s)
        return round(ordered[int(share * (len(ordered) - 1))] * 1000, 3) if ordered else 0.0

    def as_json(self) -> dict[str, Any]:
        """The report of the run; times are CLOCK_MONOTONIC seconds, comparable over processes."""
        wall_s = max(self.last_answer_at - self.first_send_at, 0.0)
        return {
            "messages": self.messages,
            "answered": self.answered,
            "succeeded": self.succeeded,
            "failures": dict(self.failures),
            "problems": dict(self.problems),
            "wall_s": round(wall_s, 4),
            "messages_per_s": round(self.answered / wall_s) if wall_s else 0,
            "cpu_s": round(self.cpu_s, 4),
            "cpu_us_per_message": round(self.cpu_s / max(self.answered, 1) * 1e6, 2),
            "p50_ms": self.percentile_ms(0.50),
            "p99_ms": self.percentile_ms(0.99),
            "max_ms": self.percentile_ms(1.0),
            "first_send_at": self.first_send_at,
            "last_answer_at": self.last_answer_at,
            **({"open": self.open.as_json()} if self.open is not None else {}),
        }
