"""Each link: state, window, waiting room, rate, and what the SMSC answered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Literal, Protocol

from smsproxy.obs.metrics.metric import Items, Metric, Values


class LinkView(Protocol):
    """A link (links.link.Link)."""

    @property
    def link_id(self) -> int: ...
    @property
    def bound(self) -> bool: ...
    @property
    def in_flight(self) -> int: ...
    @property
    def waiting(self) -> int: ...
    @property
    def rate_per_s(self) -> int: ...
    @property
    def shrinks(self) -> int: ...
    @property
    def counters(self) -> Items: ...


_COUNTERS: Mapping[str, tuple[str, str]] = {
    "submits": ("submits_total", "submit_sm written, repeats after a throttling answer included."),
    "accepted": ("submits_accepted_total", "Segments the SMSC took."),
    "refused": ("submits_refused_total", "Segments the SMSC refused."),
    "refused_temporary": (
        "submits_refused_temporary_total",
        "Segments refused for a trouble of the SMSC's own (ESME_RSYSERR, ESME_RX_T_APPN).",
    ),
    "link_faults": ("link_faults_total", "Segments refused with ESME_RINVBNDSTS: the session binds again."),
    "in_doubt": ("submits_in_doubt_total", "Segments written and not answered: never sent again."),
    "settled_late": ("submits_settled_late_total", "Segments in doubt that a late answer settled."),
    "throttled": ("submits_throttled_total", "Answers that said: slow down; the segment is tried again."),
    "lost_before_write": (
        "submits_not_sent_total",
        "Segments whose session ended before the write.",
    ),
    "receipts": ("receipts_received_total", "Delivery receipts that came over the link."),
    "receipts_bad": ("receipts_malformed_total", "Receipts without an id or a state: refused."),
    "inbound": ("inbound_segments_total", "Segments of messages from handsets."),
    "unexpected": ("answers_unexpected_total", "Answers that belong to nothing we sent."),
    "waiting_full": ("link_waiting_full_total", "Messages refused because too many waited for the link."),
    "binds": ("link_binds_total", "Sessions bound."),
    "binds_refused": ("link_binds_refused_total", "Binds the SMSC refused."),
    "connects_failed": ("link_connects_failed_total", "Connects that failed."),
    "connects_delayed": ("link_connects_delayed_total", "Connects that waited: five a second to one host."),
}


def link_metrics(links: Iterable[LinkView]) -> Iterator[Metric]:
    """State and counters of every link. A counter that is new to this table is shown under its own name."""
    links = list(links)
    yield _per_link("link_bound", "1 while a message could be submitted over the link.", links, _bound)
    yield _per_link("link_window_in_use", "Segments sent and not answered.", links, lambda one: one.in_flight)
    yield _per_link(
        "link_waiting", "Messages that wait for a token or a slot.", links, lambda one: one.waiting
    )
    yield _per_link(
        "link_rate_per_s",
        "Segments per second at most, shrunk by throttling or not; 0: unlimited.",
        links,
        lambda one: one.rate_per_s,
    )
    text = "Decreases of a link's rate because the SMSC throttled."
    yield _per_link("link_rate_shrinks_total", text, links, lambda one: one.shrinks, kind="counter")
    values: dict[str, Values] = {}
    for link in links:
        for name, value in link.counters.items():
            values.setdefault(name, []).append(((("link", str(link.link_id)),), value))
    for name, found in values.items():
        shown, text = _COUNTERS.get(name, (f"link_{name}_total", f"Counter {name} of the link."))
        yield Metric(f"smsproxy_{shown}", text, "counter", found)


def _per_link(
    name: str,
    text: str,
    links: Iterable[LinkView],
    value: Callable[[LinkView], float],
    kind: Literal["counter", "gauge"] = "gauge",
) -> Metric:
    found: Values = [((("link", str(link.link_id)),), value(link)) for link in links]
    return Metric(f"smsproxy_{name}", text, kind, found)


def _bound(link: LinkView) -> float:
    return float(link.bound)
