"""Every metric of the daemon: its name, its promise, and where its number comes from.

Numbers are plain integers that the parts keep for themselves; they are read when somebody scrapes, so a
message pays for an addition and nothing else. app.py hands the parts to the functions below (protocols say
what is needed of them, so this module knows none) and `exposition` makes the text of it.
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


# -- the parts, as far as their counters are concerned ------------------------------------------------------


class Items(Protocol):
    """Counters by name."""

    def items(self) -> Iterable[tuple[str, int]]: ...


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


class PipelineView(Protocol):
    """The pipeline (pipeline.pipeline.Pipeline)."""

    @property
    def submitted(self) -> int: ...
    @property
    def in_flight(self) -> int: ...
    @property
    def ended_by_status(self) -> Items: ...
    @property
    def counters(self) -> Items: ...


class OutageView(Protocol):
    """A store that can be away (stores.base.Health)."""

    @property
    def away(self) -> str: ...
    @property
    def outages(self) -> int: ...
    @property
    def refused(self) -> int: ...


class Verdicts(Protocol):
    """Counts by (strategy, verdict)."""

    def items(self) -> Iterable[tuple[tuple[str, str], int]]: ...


class PolicyView(Protocol):
    """The contact policy (policy.engine.ContactPolicy)."""

    @property
    def verdicts(self) -> Verdicts: ...
    @property
    def shadow_verdicts(self) -> Verdicts: ...
    @property
    def checked(self) -> Verdicts: ...
    @property
    def counters(self) -> Items: ...
    @property
    def allowed_on_error(self) -> int: ...
    @property
    def released(self) -> int: ...


class LimitsView(Protocol):
    """The process and app limits (limits.local.LocalLimits, limits.shared.SharedLimits)."""

    @property
    def granted(self) -> int: ...
    @property
    def refused_by_app(self) -> int: ...
    @property
    def refused_by_process(self) -> int: ...


class AuthView(Protocol):
    """The token check (auth.doorkeeper.Doorkeeper)."""

    @property
    def verified(self) -> int: ...
    @property
    def remembered_hits(self) -> int: ...
    @property
    def refused(self) -> Items: ...
    @property
    def refused_by_memory(self) -> int: ...
    @property
    def delayed(self) -> int: ...
    @property
    def lines_dropped(self) -> int: ...


class GrantView(Protocol):
    """The token endpoint (auth.grants.Grants)."""

    @property
    def granted(self) -> int: ...
    @property
    def refused(self) -> Items: ...
    @property
    def lines_dropped(self) -> int: ...


_PIPELINE_COUNTERS: Mapping[str, str] = {
    "withdrawn": "Requests whose caller left before anything was sent.",
    "limits_awaited": "Requests that waited for one call to Redis to know their limit.",
    "repeats_followed": "Repeats that waited for the end of a request in flight.",
    "repeats_timed_out": "Repeats that waited in vain and were told unknown.",
    "results_delayed": "Answers of an SMSC that had to wait for the store.",
    "results_lost": "Answers of an SMSC that the store never took: their records stay unknown.",
    "withdrawals_delayed": "Intents of messages not sent that were withdrawn late.",
    "withdrawals_lost": "Intents of messages not sent that stay: they read as unknown.",
    "policy_releases_delayed": "Counts of the contact policy that were given back late.",
    "policy_releases_lost": "Counts of the contact policy that were never given back.",
    "screened_numbers": "Numbers the contact policy was asked about before there was a message.",
    "screenings_refused": "Screenings refused because too many were under way.",
    "lookups_refused": "Look-ups of single records refused because too many waited.",
    "inbound_taken": "Messages from handsets that the sink took.",
    "inbound_incomplete": "Messages from handsets given out as far as they came: their time was over.",
    "inbound_overflowed": "Messages from handsets given out incomplete because too much waited.",
    "inbound_sent_back": "Messages from handsets that the SMSC was asked to repeat.",
    "inbound_lost": "Incomplete messages from handsets that the sink did not take in time.",
    "receipts_sent_back": "Receipts the store could not take in time: the SMSC was asked to repeat them.",
}


# -- one function per part ----------------------------------------------------------------------------------


def message_metrics(pipeline: PipelineView) -> Iterator[Metric]:
    """What became of the requests (spec §2.1)."""
    yield _counter("requests_total", "Requests that reached the pipeline.", pipeline.submitted)
    yield _counters(
        "messages_total", "Requests by how they ended.", "status", pipeline.ended_by_status.items()
    )
    yield _gauge("messages_in_flight", "Requests that have not ended yet.", pipeline.in_flight)
    for name, value in pipeline.counters.items():
        text = _PIPELINE_COUNTERS.get(name, f"Counter {name} of the pipeline.")
        yield _counter(f"{name}_total", text, value)


_LINK_COUNTERS: Mapping[str, tuple[str, str]] = {
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
    shrinks: Values = [((("link", str(link.link_id)),), link.shrinks) for link in links]
    text = "Decreases of a link's rate because the SMSC throttled."
    yield Metric("smsproxy_link_rate_shrinks_total", text, "counter", shrinks)
    values: dict[str, Values] = {}
    for link in links:
        for name, value in link.counters.items():
            values.setdefault(name, []).append(((("link", str(link.link_id)),), value))
    for name, found in values.items():
        shown, text = _LINK_COUNTERS.get(name, (f"link_{name}_total", f"Counter {name} of the link."))
        yield Metric(f"smsproxy_{shown}", text, "counter", found)


_STORE_COUNTERS: Mapping[str, str] = {
    "intents_stored": "Intents stored before the first octet left.",
    "results_stored": "Ends of segments stored.",
    "receipts_stored": "Delivery receipts stored; only then were they answered ok.",
    "receipts_repeated": "Receipts that said what was known already.",
    "receipts_parked": "Receipts that came before their message was known.",
    "receipts_lapsed": "Parked receipts that no message asked for in time.",
    "receipts_parking_overflow": "Parked receipts that made room for newer ones.",
    "smsc_ids_reused": "SMSC ids that were given a second time.",
    "intents_withdrawn": "Intents whose message provably was not sent.",
    "intents_marked_unknown": "Intents an earlier life left without a result.",
    "messages_swept": "Records dropped at the end of their retention.",
}


def store_metrics(counters: Items) -> Iterator[Metric]:
    """The record store's own counts; one that is new to this table is shown under its own name."""
    for name, value in counters.items():
        yield _counter(f"{name}_total", _STORE_COUNTERS.get(name, f"Counter {name} of the store."), value)


def outage_metrics(store: OutageView) -> Iterator[Metric]:
    """Whether the record store takes new messages."""
    yield _gauge("store_away", "1 while the record store takes no new messages.", float(bool(store.away)))
    yield _counter("store_outages_total", "How often the record store went away.", store.outages)
    yield _counter(
        "store_calls_refused_total", "Calls told without a try that the record store is away.", store.refused
    )


_POLICY_COUNTERS: Mapping[str, str] = {
    "in_doubt": "Unavailable, and perhaps counted: given back once the engine answers.",
    "calls": "Calls to the policy's engine.",
    "calls_failed": "Calls without a usable answer in time.",
    "calls_spared": "Calls not made because the engine has just failed.",
}


def policy_metrics(policy: PolicyView) -> Iterator[Metric]:
    """The contact policy's answers (spec §5)."""
    yield _verdicts("policy_verdicts_total", "Answers of the contact policy.", policy.verdicts)
    yield _verdicts(
        "policy_shadow_verdicts_total",
        "Refusals of strategies in shadow mode; the message went on.",
        policy.shadow_verdicts,
    )
    yield _verdicts("policy_checked_total", "Answers of screenings that counted nothing.", policy.checked)
    yield _counter(
        "policy_allowed_on_error_total",
        "Messages let through because the policy's state could not be reached.",
        policy.allowed_on_error,
    )
    yield _counter(
        "policy_released_total", "Counts given back for messages that were not sent.", policy.released
    )
    for name, value in policy.counters.items():
        text = _POLICY_COUNTERS.get(name, f"Counter {name} of the policy's engine.")
        yield _counter(f"policy_{name}_total", text, value)


def limit_metrics(limits: LimitsView) -> Iterator[Metric]:
    """The process and app limits (spec §4)."""
    refused = {"app": limits.refused_by_app, "process": limits.refused_by_process}
    yield _counter("limit_granted_total", "Requests within the process and app limits.", limits.granted)
    yield _counters("limit_refused_total", "Requests over a limit.", "limit", refused.items())


class RemoteView(Protocol):
    """Redis (remote.remote.Remote)."""

    @property
    def available(self) -> bool: ...
    @property
    def connections(self) -> int: ...
    @property
    def counters(self) -> Items: ...


class SourceView(Protocol):
    """Where leases are filled (limits.source.TokenSource)."""

    @property
    def away(self) -> bool: ...
    @property
    def counters(self) -> Items: ...


_REMOTE_COUNTERS: Mapping[str, str] = {
    "calls": "Scripts run on Redis.",
    "failures": "Calls to Redis without an answer in time.",
    "refused": "Calls that were not made: the breaker was open, or too many were under way.",
    "cancelled": "Calls whose caller left; their connections were closed.",
    "script_loads": "Scripts that Redis had forgotten and was sent again.",
    "breaker_opened": "Times that Redis was given up, until a probe found it back.",
}
_SOURCE_COUNTERS: Mapping[str, str] = {
    "lease_calls": "Calls for tokens of shared limits, each for every limit that needed some.",
    "leases": "Limits filled by these calls.",
    "lease_tokens": "Tokens that Redis granted to this instance.",
    "fallbacks": "Times that limits fell back because Redis gave no answer.",
}


def remote_metrics(remote: RemoteView) -> Iterator[Metric]:
    """Redis, and the breaker in front of it."""
    text = "1 while Redis is asked, 0 while the breaker is open."
    yield _gauge("redis_up", text, float(remote.available))
    yield _gauge("redis_connections", "Connections to Redis, idle ones included.", remote.connections)
    for name, value in remote.counters.items():
        yield _counter(f"redis_{name}_total", _REMOTE_COUNTERS[name], value)


def source_metrics(source: SourceView) -> Iterator[Metric]:
    """Limits shared through Redis (spec §4)."""
    text = "1 while limits are this instance's own share because Redis gives no answer."
    yield _gauge("limit_fallback", text, float(source.away))
    for name, value in source.counters.items():
        yield _counter(f"limit_{name}_total", _SOURCE_COUNTERS[name], value)


def auth_metrics(auth: AuthView) -> Iterator[Metric]:
    """The token check (spec §2.6). Callers get one text for all reasons; these are for operators."""
    yield _counter("tokens_verified_total", "Signatures checked.", auth.verified)
    yield _counter("tokens_remembered_total", "Tokens known from before.", auth.remembered_hits)
    yield _counters("tokens_refused_total", "Tokens refused.", "reason", auth.refused.items())
    yield _counter(
        "tokens_refused_by_memory_total", "Tokens refused that were bad before.", auth.refused_by_memory
    )
    yield _counter(
        "tokens_delayed_total", "New tokens that waited beside bad ones of their address.", auth.delayed
    )
    yield _counter("auth_log_lines_dropped_total", "Failures without a log line.", auth.lines_dropped)


def grant_metrics(grants: GrantView) -> Iterator[Metric]:
    """The token endpoint (RFC 6749)."""
    yield _counter("tokens_granted_total", "Tokens given for a secret.", grants.granted)
    yield _counters(
        "token_requests_refused_total", "Token requests refused.", "error", grants.refused.items()
    )
    yield _counter("grant_log_lines_dropped_total", "Refusals without a log line.", grants.lines_dropped)


_RPC_FAMILIES = {
    "streams_by_status": ("grpc_calls_ended_total", "gRPC calls by status.", "status"),
    "connections_ended_by": (
        "grpc_connections_ended_total",
        "Connections that we ended, by cause: a flood, or lost patience.",
        "cause",
    ),
}


def rpc_metrics(counters: Mapping[str, int | Mapping[str, int]]) -> Iterator[Metric]:
    """The gRPC edge (rpc.options.RpcCounters.as_dict): a name in ``_total`` counts, another is a state."""
    for name, value in counters.items():
        text = f"gRPC edge: {name.removesuffix('_total').replace('_', ' ')}."
        if isinstance(value, Mapping):
            yield _counters(*_RPC_FAMILIES[name], value.items())
        elif name.endswith("_total"):
            yield _counter(f"grpc_{name}", text, value)
        else:
            yield _gauge(f"grpc_{name}", text, value)


def _counter(name: str, text: str, value: int) -> Metric:
    return Metric(f"smsproxy_{name}", text, "counter", [((), value)])


def _gauge(name: str, text: str, value: float) -> Metric:
    return Metric(f"smsproxy_{name}", text, "gauge", [((), value)])


def _counters(name: str, text: str, label: str, values: Iterable[tuple[str, int]]) -> Metric:
    found: Values = [(((label, str(key)),), value) for key, value in values]
    return Metric(f"smsproxy_{name}", text, "counter", found)


def _verdicts(name: str, text: str, verdicts: Verdicts) -> Metric:
    found: Values = [
        ((("strategy", strategy), ("verdict", str(verdict))), count)
        for (strategy, verdict), count in verdicts.items()
    ]
    return Metric(f"smsproxy_{name}", text, "counter", found)


def _per_link(name: str, text: str, links: Iterable[LinkView], value: Callable[[LinkView], float]) -> Metric:
    found: Values = [((("link", str(link.link_id)),), value(link)) for link in links]
    return Metric(f"smsproxy_{name}", text, "gauge", found)


def _bound(link: LinkView) -> float:
    return float(link.bound)
