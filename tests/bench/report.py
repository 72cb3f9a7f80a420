"""What the bench prints and writes: medians with their spread, ratios by pair of rounds and their median."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table

from tests.bench.latency import LatencyResult, Point
from tests.bench.rows import Row
from tests.bench.sides import Round

_CORES = ("server_cpu_share", "load_cpu_share", "smsc_cpu_share")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class RowResult:
    """The measured rounds of a row, pair by pair: echo[n] ran right before pipeline[n]."""

    row: Row
    messages: int
    echo: Sequence[Round]
    pipeline: Sequence[Round]
    names: tuple[str, str] = ("echo", "pipeline")
    """Of the two sides; with `--stored` both are the pipeline."""

    def ratios(self) -> list[float]:
        """Answers: the pipeline's messages/s over the echo's."""
        return [_share(ours.messages_per_s, bare.messages_per_s) for bare, ours in self._pairs()]

    def settled_ratios(self) -> list[float]:
        """The same until the last receipt was answered: the honest one where receipts lag behind."""
        return [_share(ours.settled_per_s, bare.settled_per_s) for bare, ours in self._pairs()]

    def cpu_ratios(self) -> list[float]:
        """Messages per second of the server's own CPU: what a busy machine changes least."""
        return [_share(bare.server_cpu_us, ours.server_cpu_us) for bare, ours in self._pairs()]

    def _pairs(self) -> list[tuple[Round, Round]]:
        return list(zip(self.echo, self.pipeline, strict=True))

    def as_json(self) -> dict[str, Any]:
        """Everything, for build/bench.json."""
        return {
            "name": self.row.name,
            "what": self.row.what,
            "load": list(self.row.load),
            "messages": self.messages,
            "ratio": _summary(self.ratios()),
            "settled_ratio": _summary(self.settled_ratios()),
            "cpu_ratio": _summary(self.cpu_ratios()),
            self.names[0]: _side(self.echo),
            self.names[1]: _side(self.pipeline),
        }


def _share(ours: float, bare: float) -> float:
    return round(ours / bare, 3)


def _summary(values: Sequence[float]) -> dict[str, Any]:
    return {
        "median": statistics.median(values),
        "min": min(values),
        "max": max(values),
        "rounds": list(values),
    }


def _side(rounds: Sequence[Round]) -> dict[str, Any]:
    documents = [asdict(round_) for round_ in rounds]
    return {key: _summary([document[key] for document in documents]) for key in documents[0]}


@dataclass(slots=True)
class Results:
    """What one run of the bench has measured, part by part."""

    rows: list[RowResult] = field(default_factory=list)
    latency: list[LatencyResult] = field(default_factory=list)
    growth: list[RowResult] = field(default_factory=list)
    failed: int = 0
    """Rows without figures."""


def show(console: Console, make: Callable[[Sequence[_T]], Table], results: Sequence[_T]) -> None:
    """Print a part's table, if the part has any figures."""
    if results:
        console.print(make(results))


def table(results: Sequence[RowResult]) -> Table:
    """The human form."""
    compared = {f"{result.names[1]} against {result.names[0]}" for result in results}
    words = compared.pop() if len(compared) == 1 else "each row's second side against its first"
    made = Table(title=f"{words}, medians (least-most)")
    columns = ("row", "side", "messages/s", "with receipts/s", "ratio", "settled", "µs CPU/message", "core",
               "p50 ms", "p99 ms", "RSS (peak) MiB", "load core", "smsc core")  # fmt: skip
    for column in columns:
        made.add_column(column, justify="left" if column in ("row", "side") else "right")
    for result in results:
        made.add_row(result.row.name, result.names[0], *_cells(result.echo, "", ""))
        ratios = _spread(result.ratios(), 2), _median(result.settled_ratios(), 2)
        made.add_row("", result.names[1], *_cells(result.pipeline, *ratios), end_section=True)
    return made


def _cells(rounds: Sequence[Round], ratio: str, settled_ratio: str) -> list[str]:
    return [
        _spread([round_.messages_per_s for round_ in rounds], 0),
        _median([round_.settled_per_s for round_ in rounds], 0),
        ratio,
        settled_ratio,
        _median([round_.server_cpu_us for round_ in rounds], 1),
        _percent([round_.server_cpu_share for round_ in rounds]),
        _median([round_.p50_ms for round_ in rounds], 1),
        _median([round_.p99_ms for round_ in rounds], 1),
        f"{rounds[-1].rss_mib:,.0f} ({rounds[-1].peak_rss_mib:,.0f})",
        _percent([round_.load_cpu_share for round_ in rounds]),
        _percent([round_.smsc_cpu_share for round_ in rounds]),
    ]


def latency_table(results: Sequence[LatencyResult]) -> Table:
    """Open loop: ms over the SMSC's own delay, from the moment at which a message should have been sent."""
    made = Table(title="latency added under an offered load, ms")
    columns = ("row", "of maximum", "offered/s", "answered/s", "p50", "p99 (rounds)", "p99.9", "max",
               "SMSC p50 (p99)", "load late p50 (p99)", "held", "core", "load core", "smsc core")  # fmt: skip
    for column in columns:
        made.add_column(column, justify="left" if column == "row" else "right")
    for result in results:
        for point in result.points:
            made.add_row(result.row.name, *_point_cells(point), end_section=point is result.points[-1])
    return made


def _point_cells(point: Point) -> list[str]:
    cores = [f"{point.mean(name) * 100:.0f} %" for name in _CORES]
    return [
        f"{point.percent} %",
        f"{point.offered_per_s:,.0f}",
        f"{point.mean('messages_per_s'):,.0f}",
        f"{point.added_ms(50):.1f}",
        f"{point.added_ms(99):.1f} ({min(point.p99s_ms):.1f}-{max(point.p99s_ms):.1f})",
        f"{point.added_ms(99.9):.1f}",
        f"{point.added_ms(100):.1f}",
        f"{point.smsc_ms:.2f} ({point.smsc.percentile_ms(99):.2f})",
        f"{point.lateness.percentile_ms(50):.1f} ({point.lateness.percentile_ms(99):.1f})",
        f"{point.held:,}",
        *cores,
    ]


def _median(values: Sequence[float], digits: int) -> str:
    return f"{statistics.median(values):,.{digits}f}"


def _spread(values: Sequence[float], digits: int) -> str:
    return f"{_median(values, digits)} ({min(values):,.{digits}f}-{max(values):,.{digits}f})"


def _percent(values: Sequence[float]) -> str:
    return f"{statistics.median(values) * 100:.0f} %"


def write(path: Path, results: Results, options: dict[str, Any]) -> None:
    """Write the machine form; makes the folder."""
    document = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "options": options,
        "rows": [result.as_json() for result in results.rows],
        "latency": [result.as_json() for result in results.latency],
        "growth": [result.as_json() for result in results.growth],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n")


def machine() -> dict[str, Any]:
    """What a reader needs to compare two files."""
    model = next((line for line in _cpuinfo() if line.startswith("model name")), "unknown")
    libraries = ("grpclib", "h2", "hpack", "protobuf", "uvloop")
    return {
        "cpu": model.partition(":")[2].strip() or platform.machine(),
        "cpus": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in libraries},
        "load_average_1m": round(os.getloadavg()[0], 2),
    }


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []
