"""Latency under an offered load: what the pipeline adds at 10, 50, 80 % of its maximum, and the whole curve.

The maximum is measured first, closed loop, in the same daemon and run. Then come open-loop rounds
(openloop.py), some seconds at each share of it, the shares taking turns. `added` is what remains over the
SMSC's own delay as its peer sees it (probe.py, the median): lateness of the load, its core's queue and all
sockets count as ours. Called by run.py.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.bench.histogram import Histogram
from tests.bench.probe import probing
from tests.bench.rows import Row, chosen
from tests.bench.sides import PipelineSide, Round

SHOWN = (10, 50, 80)
CURVE = tuple(range(10, 120, 10))
PERCENTS = {"p50": 50, "p99": 99, "p99.9": 99.9, "max": 100}
_FULL_ROUNDS = 3
_FULL_SHARE = 0.5
"""Of a row's usual messages: what a closed-loop round for the maximum takes."""
_PROMPT = ("--tick-ms", "0")
"""Load and SMSC read as soon as there is something: a rest of theirs would count as the pipeline's."""


@dataclass(slots=True)
class Point:
    """One row at one share of its maximum, over all its rounds."""

    percent: int
    offered_per_s: float
    rounds: list[Round] = field(default_factory=list)
    latency: Histogram = field(default_factory=Histogram)
    lateness: Histogram = field(default_factory=Histogram)
    smsc: Histogram = field(default_factory=Histogram)
    held: int = 0
    p99s_ms: list[float] = field(default_factory=list)
    """Of each round by itself, added."""

    def take(self, round_: Round, report: dict[str, Any], smsc: Histogram) -> None:
        """One more round."""
        seen = Histogram.from_json(report["latency"])
        self.rounds.append(round_)
        self.latency.merge(seen)
        self.lateness.merge(Histogram.from_json(report["lateness"]))
        self.smsc.merge(smsc)
        self.held += report["held"]
        self.p99s_ms.append(round(max(seen.percentile_ms(99) - smsc.percentile_ms(50), 0), 3))

    @property
    def smsc_ms(self) -> float:
        return self.smsc.percentile_ms(50)

    def added_ms(self, percent: float) -> float:
        return round(max(self.latency.percentile_ms(percent) - self.smsc_ms, 0), 3)

    def mean(self, name: str) -> float:
        """Of a figure of the rounds."""
        return statistics.fmean(getattr(round_, name) for round_ in self.rounds)

    def as_json(self) -> dict[str, Any]:
        """What a reader needs, in ms and shares of a core."""
        return {
            "percent_of_maximum": self.percent,
            "offered_per_s": round(self.offered_per_s),
            "achieved_per_s": round(self.mean("messages_per_s")),
            "messages": self.latency.count,
            "added_ms": {name: self.added_ms(percent) for name, percent in PERCENTS.items()},
            "added_p99_ms_by_round": self.p99s_ms,
            "smsc_as_seen_ms": {"p50": self.smsc_ms, "p99": self.smsc.percentile_ms(99)},
            "load_late_ms": {"p50": self.lateness.percentile_ms(50), "p99": self.lateness.percentile_ms(99),
                             "max": self.lateness.percentile_ms(100)},
            "held_by_server": self.held,
            "server_core": round(self.mean("server_cpu_share"), 3),
            "load_core": round(self.mean("load_cpu_share"), 3),
            "smsc_core": round(self.mean("smsc_cpu_share"), 3),
        }  # fmt: skip


@dataclass(slots=True)
class LatencyResult:
    """One row: the most it can, and its points by share."""

    row: Row
    maximum_per_s: float
    points: list[Point]

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.row.name,
            "maximum_per_s": round(self.maximum_per_s),
            "points": [point.as_json() for point in self.points],
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how often: `shown` rounds for SHOWN, one for what only the plot needs."""

    percents: Sequence[int]
    seconds: float
    rounds: int
    messages: int

    def order(self) -> list[int]:
        """All rounds, the shares taking turns, so that a slow minute of the machine meets all of them."""
        often = [percent for percent in self.percents if percent in SHOWN]
        return [*self.percents, *(often * (self.rounds - 1))]


def rows() -> list[Row]:
    """The two that callers meet: four streams, and unary calls over four connections (100 calls each)."""
    stream, unary = chosen("stream,unary")
    calls = ("--unary", "--connections", "4", "--streams", "4", "--window", "25")
    return [
        replace(stream, smsc=(*stream.smsc, *_PROMPT)),
        replace(unary, load=calls, smsc=(*unary.smsc, *_PROMPT)),
    ]


def measure(row: Row, plan: Plan, core: int | None, console: Console, folder: Path) -> LatencyResult:
    """One row. Raises BenchError when a round is not valid."""
    folder.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="bench-", dir=folder))
    with ExitStack() as stack:
        side = PipelineSide(row, core, directory, "")
        stack.callback(side.stop)
        side.start()
        messages = max(1000, int(plan.messages * row.messages_share * _FULL_SHARE))
        full = [side.round(messages, number * messages) for number in range(_FULL_ROUNDS + 1)]
        maximum = statistics.median(round_.messages_per_s for round_ in full[1:])
        console.print(f"{row.name}: at most {maximum:,.0f}/s, closed loop", highlight=False)
        points = {each: Point(each, maximum * each / 100) for each in plan.percents}
        first = (_FULL_ROUNDS + 1) * messages
        for percent in plan.order():
            first += _round(side, points[percent], plan.seconds, first)
            _progress(console, row, points[percent])
    shutil.rmtree(directory)
    return LatencyResult(row, maximum, list(points.values()))


def _round(side: PipelineSide, point: Point, seconds: float, first: int) -> int:
    """One open-loop round; how many messages it took."""
    messages = max(100, int(point.offered_per_s * seconds))
    with probing(side.smsc_address) as smsc:
        round_, report = side.measured(messages, first, ("--rate", f"{point.offered_per_s:.1f}", *_PROMPT))
    point.take(round_, report["open"], smsc)
    return messages


def _progress(console: Console, row: Row, point: Point) -> None:
    last = point.rounds[-1]
    console.print(
        f"{row.name} at {point.percent} %: {last.messages_per_s:,.0f} of {point.offered_per_s:,.0f}/s, "
        f"p99 {point.p99s_ms[-1]:.1f} ms added; load {last.load_cpu_share:.0%} of its core",
        highlight=False,
    )
