"""The contact policy: verdicts by strategy, and how its engine does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from smsproxy.obs.metrics.metric import Items, Metric, Values, counter, named_counters


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


_COUNTERS: Mapping[str, str] = {
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
    yield counter(
        "policy_allowed_on_error_total",
        "Messages let through because the policy's state could not be reached.",
        policy.allowed_on_error,
    )
    yield counter(
        "policy_released_total", "Counts given back for messages that were not sent.", policy.released
    )
    yield from named_counters("policy's engine", "policy_", _COUNTERS, policy.counters)


def _verdicts(name: str, text: str, verdicts: Verdicts) -> Metric:
    found: Values = [
        ((("strategy", strategy), ("verdict", str(verdict))), count)
        for (strategy, verdict), count in verdicts.items()
    ]
    return Metric(f"smsproxy_{name}", text, "counter", found)
