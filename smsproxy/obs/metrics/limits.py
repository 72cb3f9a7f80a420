"""The process and app limits, and the leases by which instances share them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from smsproxy.obs.metrics.metric import Items, Metric, by_label, counter, gauge, named_counters


class LimitsView(Protocol):
    """The process and app limits (limits.local.LocalLimits, limits.shared.SharedLimits)."""

    @property
    def granted(self) -> int: ...
    @property
    def refused_by_app(self) -> int: ...
    @property
    def refused_by_process(self) -> int: ...


class SourceView(Protocol):
    """Where leases are filled (limits.source.TokenSource)."""

    @property
    def away(self) -> bool: ...
    @property
    def counters(self) -> Items: ...


_COUNTERS: Mapping[str, str] = {
    "lease_calls": "Calls for tokens of shared limits, each for every limit that needed some.",
    "leases": "Limits filled by these calls.",
    "lease_tokens": "Tokens that Redis granted to this instance.",
    "fallbacks": "Times that limits fell back because Redis gave no answer.",
}


def limit_metrics(limits: LimitsView) -> Iterator[Metric]:
    """The process and app limits (spec §4)."""
    refused = {"app": limits.refused_by_app, "process": limits.refused_by_process}
    yield counter("limit_granted_total", "Requests within the process and app limits.", limits.granted)
    yield by_label("limit_refused_total", "Requests over a limit.", "limit", refused.items())


def source_metrics(source: SourceView) -> Iterator[Metric]:
    """Limits shared through Redis (spec §4)."""
    text = "1 while limits are this instance's own share because Redis gives no answer."
    yield gauge("limit_fallback", text, float(source.away))
    yield from named_counters("shared limits", "limit_", _COUNTERS, source.counters)
