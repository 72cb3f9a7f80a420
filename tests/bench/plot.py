"""`build/bench.svg`: what is answered, and how late, against the load that is offered. Called by run.py."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.bench.latency import LatencyResult, Point
from tests.bench.svg import Curve, Panel, figure

_GREEN, _BLUE, _RED, _GREY = "#2a7d2e", "#1f5fbf", "#c62828", "#888"
_TITLES = {"stream": "4 streams", "unary": "unary calls"}


def write(path: Path, results: Sequence[LatencyResult], caption: str) -> None:
    """Draw all rows: above what was answered, below the latency added. Makes the folder."""
    panels = [_answered(result) for result in results] + [_latency(result) for result in results]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(figure(panels, len(results), caption))


def _answered(result: LatencyResult) -> Panel:
    points = _ordered(result)
    achieved = [(point.offered_per_s, point.mean("messages_per_s")) for point in points]
    offered = [(0.0, 0.0), (points[-1].offered_per_s, points[-1].offered_per_s)]
    curves = [Curve("answered", _GREEN, achieved), Curve("offered", _GREY, offered, dashed=True)]
    return Panel(_title(result), "messages offered a second", "messages/s", curves)


def _latency(result: LatencyResult) -> Panel:
    points = _ordered(result)
    curves = [
        Curve(label, colour, [(point.offered_per_s, point.added_ms(percent)) for point in points])
        for label, colour, percent in (("p50", _BLUE, 50), ("p99", _RED, 99))
    ]
    return Panel(f"{_title(result)}: latency added", "messages offered a second", "ms", curves, log=True)


def _ordered(result: LatencyResult) -> list[Point]:
    return sorted(result.points, key=lambda point: point.percent)


def _title(result: LatencyResult) -> str:
    return (
        f"{_TITLES.get(result.row.name, result.row.name)}, at most {result.maximum_per_s:,.0f}/s closed loop"
    )
