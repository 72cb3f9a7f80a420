"""Strategies as the operator wrote them, and the rulebook they are compiled to.

app.py converts the settings to `Strategy` values; engines ask the `Rulebook` for the `Rule` of a request. A
rule has every reference resolved, so that deciding is only looking and counting.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

Mode = Literal["enforce", "count", "check"]
Scope = Literal["recipient", "recipient_app", "recipient_sender"]
OnError = Literal["refuse", "allow"]

MIN_IDS_KEPT = 64
"""Message ids kept a counter, at least. `count` mode goes past the caps; what it counted can be recognised
and given back as long as its id is among the newest this many. 64 a week to one person is past any cap."""
MAX_IDS_KEPT = 1_000
"""The same at most, 17 KB: under a cap of more a week, older messages asking again are counted again."""


@dataclass(frozen=True, slots=True)
class Strategy:
    """One row of rules (spec §5). A cap of None or a window of 0 is no rule; a cap of 0 refuses all."""

    name: str
    daily_max: int | None = None
    weekly_max: int | None = None
    duplicate_window_s: float = 0.0
    blacklist: bool = False
    counts_as: str = ""
    """Count with this strategy: in its counters and scope, against its caps and window where this one has
    none of its own. Empty = for itself."""
    mode: Mode = "enforce"
    scope: Scope = "recipient"
    shadow: bool = False
    on_error: OnError = "refuse"


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """A strategy with its references resolved. Strategies that count together are a family, with one tag.

    Compared by identity, and what follows from its fields is worked out once: it is looked at per message.
    """

    name: str
    tag: bytes
    """Eight bytes that name the family's counters."""
    scope: Scope
    daily_max: int | None
    weekly_max: int | None
    window_s: float
    blacklist: bool
    checks: bool
    counts: bool
    shadow: bool
    allow_on_error: bool
    ids_kept: int
    window_kept_s: float
    """The family's longest window: a rule with a shorter one must not forget for the others."""
    has_caps: bool = field(init=False)
    needs_state: bool = field(init=False)
    """It has caps or a window."""
    takes_first: bool = field(init=False)
    """Where nothing is counted yet, its caps let a message pass, and count it."""

    def __post_init__(self) -> None:
        has_caps = self.daily_max is not None or self.weekly_max is not None
        object.__setattr__(self, "has_caps", has_caps)
        object.__setattr__(self, "needs_state", has_caps or self.window_s > 0)
        refuses_all = self.checks and 0 in (self.daily_max, self.weekly_max)
        object.__setattr__(self, "takes_first", self.counts and not refuses_all)


class Rulebook:
    """The rules of all configured strategies, by name. Immutable: a reload makes a new one."""

    __slots__ = ("_rules", "with_window")

    def __init__(self, strategies: Iterable[Strategy]) -> None:
        """Raises ValueError when `counts_as` names no strategy or leads in a circle."""
        by_name = {strategy.name: strategy for strategy in strategies}
        rules = [_rule(strategy, _root(strategy, by_name)) for strategy in by_name.values()]
        self._rules = {rule.name: _fitted(rule, [r for r in rules if r.tag == rule.tag]) for rule in rules}
        self.with_window = frozenset(rule.name for rule in rules if rule.window_s)
        """The names of those that look at texts."""

    def __contains__(self, name: str) -> bool:
        return name in self._rules

    def __len__(self) -> int:
        return len(self._rules)

    def get(self, name: str) -> Rule | None:
        return self._rules.get(name)


def _root(strategy: Strategy, by_name: Mapping[str, Strategy]) -> Strategy:
    """The strategy whose counters `strategy` uses in the end."""
    seen = {strategy.name}
    while strategy.counts_as and strategy.counts_as != strategy.name:
        target = by_name.get(strategy.counts_as)
        if target is None:
            raise ValueError(f"strategy {strategy.name} counts as {strategy.counts_as}, which does not exist")
        if target.name in seen:
            raise ValueError(f"strategy {target.name} counts as itself by way of {strategy.name}")
        seen.add(target.name)
        strategy = target
    return strategy


def _rule(strategy: Strategy, root: Strategy) -> Rule:
    capped = strategy.daily_max is not None or strategy.weekly_max is not None
    caps = strategy if capped else root
    return Rule(
        name=strategy.name,
        tag=hashlib.blake2b(f"{root.name}\0{root.scope}".encode(), digest_size=8).digest(),
        scope=root.scope,
        daily_max=caps.daily_max,
        weekly_max=caps.weekly_max,
        window_s=strategy.duplicate_window_s or root.duplicate_window_s,
        blacklist=strategy.blacklist,
        checks=strategy.mode != "count",
        counts=strategy.mode != "check",
        shadow=strategy.shadow,
        allow_on_error=strategy.on_error == "allow",
        ids_kept=MIN_IDS_KEPT,
        window_kept_s=0.0,
    )


def _fitted(rule: Rule, family: list[Rule]) -> Rule:
    """`rule` with room for whatever any rule of its family may have to remember."""
    return replace(
        rule,
        ids_kept=min(MAX_IDS_KEPT, max(MIN_IDS_KEPT, *(_most_a_week(member) for member in family))),
        window_kept_s=max(member.window_s for member in family),
    )


def _most_a_week(rule: Rule) -> int:
    """The most messages that the caps of `rule` let through in a week."""
    daily = 0 if rule.daily_max is None else 7 * rule.daily_max
    return daily if rule.weekly_max is None else rule.weekly_max
