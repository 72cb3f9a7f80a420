"""What the bench prints and writes: medians with their spread, ratios by pair of rounds and their median."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.table import Table

from tests.bench.rows import Row
from tests.bench.sides import Round


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


def table(results: Sequence[RowResult]) -> Table:
    """The human form."""
    compared = {f"{result.names[1]} against {result.names[0]}" for result in results}
    words = compared.pop() if len(compared) == 1 else "each row's second side against its first"
    made = Table(title=f"{words}, medians (least-most)")
    columns = ("row", "side", "messages/s", "with receipts/s", "ratio", "settled", "µs CPU/message", "core",
               "p50 ms", "p99 ms", "RSS MiB", "load core", "smsc core")  # fmt: skip
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
        _median([round_.rss_mib for round_ in rounds], 0),
        _percent([round_.load_cpu_share for round_ in rounds]),
        _percent([round_.smsc_cpu_share for round_ in rounds]),
    ]


def _median(values: Sequence[float], digits: int) -> str:
    return f"{statistics.median(values):,.{digits}f}"


def _spread(values: Sequence[float], digits: int) -> str:
    return f"{_median(values, digits)} ({min(values):,.{digits}f}-{max(values):,.{digits}f})"


def _percent(values: Sequence[float]) -> str:
    return f"{statistics.median(values) * 100:.0f} %"


def write(path: Path, results: Sequence[RowResult], options: dict[str, Any]) -> None:
    """Write the machine form; makes the folder."""
    document = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "options": options,
        "rows": [result.as_json() for result in results],
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
