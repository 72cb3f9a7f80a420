"""What a metric is, and the ways to make one. For the modules beside this one, and for who shows metrics.

Numbers are read from plain integers at scrape time: nothing here is called for a message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

Labels = tuple[tuple[str, str], ...]
"""(name, value) pairs, the same names in the same order for every value of a metric."""
Values = list[tuple[Labels, float]]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric with all its values. A counter's name ends in ``_total``."""

    name: str
    help: str
    kind: Literal["counter", "gauge"]
    values: Values


MetricsSource = Callable[[], Iterable[Metric]]
"""Reads the counters now. Called once a scrape, in the loop's thread; it must not wait for anything."""


class Items(Protocol):
    """Counters by name."""

    def items(self) -> Iterable[tuple[str, int]]: ...


def counter(name: str, text: str, value: int) -> Metric:
    """A count without labels; `name` without the ``smsproxy_`` of all of them."""
    return Metric(f"smsproxy_{name}", text, "counter", [((), value)])


def gauge(name: str, text: str, value: float) -> Metric:
    """A state without labels."""
    return Metric(f"smsproxy_{name}", text, "gauge", [((), value)])


def by_label(name: str, text: str, label: str, values: Iterable[tuple[str, int]]) -> Metric:
    """A count for each value of one label."""
    found: Values = [(((label, str(key)),), value) for key, value in values]
    return Metric(f"smsproxy_{name}", text, "counter", found)


def named_counters(part: str, prefix: str, texts: Mapping[str, str], counters: Items) -> Iterator[Metric]:
    """A part's counters under their own names; one that `texts` does not know yet is shown all the same."""
    for name, value in counters.items():
        yield counter(f"{prefix}{name}_total", texts.get(name, f"Counter {name} of the {part}."), value)
