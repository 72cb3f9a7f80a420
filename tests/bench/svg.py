"""A small writer of line charts as SVG: panels in a grid, axes with ticks, a line a curve, a dot a point.

Each dot has its figures as a tooltip (`title`). Called by plot.py; knows nothing of what it draws.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from xml.sax.saxutils import escape

_WIDTH, _HEIGHT = 460, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 46, 48
_TICKS = 6


@dataclass(frozen=True, slots=True)
class Curve:
    """Points (x, y); `dashed` where it is only for comparison, without dots."""

    label: str
    colour: str
    points: Sequence[tuple[float, float]]
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart. x begins at 0, y too, or at a power of ten with `log`."""

    title: str
    x_label: str
    y_label: str
    curves: Sequence[Curve]
    log: bool = False


def figure(panels: Sequence[Panel], columns: int, caption: str) -> str:
    """All panels, row by row, under a caption. Returns the document's text."""
    rows = -(-len(panels) // columns)
    width, height = columns * _WIDTH, rows * _HEIGHT + 28
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" font-family="sans-serif" font-size="11" fill="#333">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        _text(12, 18, caption, size=12),
    ]
    for place, panel in enumerate(panels):
        x, y = place % columns * _WIDTH, place // columns * _HEIGHT + 28
        parts.append(f'<g transform="translate({x},{y})">\n{_panel(panel)}\n</g>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(panel: Panel) -> str:
    points = [point for curve in panel.curves for point in curve.points]
    x_ticks = _linear(max(x for x, _ in points))
    y_values = [y for _, y in points]
    y_ticks = _decades(min(y_values), max(y_values)) if panel.log else _linear(max(y_values))
    x_at = _scale(x_ticks, _LEFT, _WIDTH - _RIGHT, log=False)
    y_at = _scale(y_ticks, _HEIGHT - _BOTTOM, _TOP, log=panel.log)
    parts = [_text(_LEFT, 16, panel.title, size=13)]
    for tick in y_ticks:
        y = y_at(tick)
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="#ddd"/>')
        parts.append(_text(_LEFT - 6, y + 4, f"{tick:,.10g}", anchor="end"))
    for tick in x_ticks:
        x = x_at(tick)
        parts.append(f'<path d="M{x:.1f} {_HEIGHT - _BOTTOM}v4" stroke="#333"/>')
        parts.append(_text(x, _HEIGHT - _BOTTOM + 16, f"{tick:,.10g}", anchor="middle"))
    parts.append(
        f'<path d="M{_LEFT} {_TOP}V{_HEIGHT - _BOTTOM}H{_WIDTH - _RIGHT}" fill="none" stroke="#333"/>'
    )
    parts.append(_text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 12, panel.x_label, anchor="middle"))
    parts.append(_text(8, _TOP - 10, panel.y_label))
    legend_x = float(_LEFT + 90)
    for curve in panel.curves:
        parts.append(_curve(curve, [(x_at(x), y_at(y)) for x, y in curve.points]))
        parts.append(f'<path d="M{legend_x} {_TOP - 14}h16" stroke="{curve.colour}" stroke-width="2"/>')
        parts.append(_text(legend_x + 20, _TOP - 10, curve.label))
        legend_x += 34 + 6.2 * len(curve.label)
    return "\n".join(parts)


def _curve(curve: Curve, places: Sequence[tuple[float, float]]) -> str:
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dash = ' stroke-dasharray="4 3"' if curve.dashed else ' stroke-width="2"'
    parts = [f'<polyline points="{line}" fill="none" stroke="{curve.colour}"{dash}/>']
    if not curve.dashed:
        for (x, y), (true_x, true_y) in zip(places, curve.points, strict=True):
            tip = escape(f"{curve.label}: {true_y:,.6g} at {true_x:,.6g}")
            parts.append(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{curve.colour}"><title>{tip}</title></circle>'
            )
    return "\n".join(parts)


def _text(x: float, y: float, words: str, *, anchor: str = "start", size: int = 11) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{escape(words)}</text>'


def _scale(ticks: Sequence[float], start: float, stop: float, *, log: bool) -> Callable[[float], float]:
    """Where a value lies between the first tick, at `start`, and the last, at `stop`."""
    low, high = (math.log10(ticks[0]), math.log10(ticks[-1])) if log else (ticks[0], ticks[-1])

    def place(value: float) -> float:
        at = math.log10(max(value, ticks[0])) if log else value
        return start + (at - low) / (high - low) * (stop - start)

    return place


def _linear(most: float) -> list[float]:
    """Round ticks from 0 to at least `most`."""
    rough = max(most, 1e-9) / _TICKS
    ten = 10 ** math.floor(math.log10(rough))
    step = next(ten * factor for factor in (1, 2, 5, 10) if ten * factor >= rough)
    return [step * number for number in range(math.ceil(most / step - 1e-9) + 1)]


def _decades(least: float, most: float) -> list[float]:
    """1, 2, 5, 10 ... around the values, each at least 0.1."""
    marks = (factor * 10.0**power for power in count(-1) for factor in (1, 2, 5))
    ticks: list[float] = []
    for mark in marks:
        if mark <= max(least, 0.1):
            ticks.clear()
        ticks.append(mark)
        if mark >= most and len(ticks) > 1:
            return ticks
    return ticks
