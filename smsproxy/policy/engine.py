"""The contact policy the pipeline asks: rules, blacklist, shadow and `on_error` before any engine's memory.

Made by app.py over one `PolicyState`, reloaded at SIGHUP, given new blacklists as they are loaded. The
blacklist comes first whatever the engine is: a listed number costs no call, and no engine can let it pass.
Counters are plain ints, read at scrape time.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Protocol
from zoneinfo import ZoneInfo

from smsproxy.policy.base import PolicyRequest, Verdict
from smsproxy.policy.days import Moment, moment_at
from smsproxy.policy.evaluator import GRANTED, Judgement
from smsproxy.policy.state import Case, PolicyState
from smsproxy.policy.strategies import Rule, Rulebook, Strategy

DOUBTFUL_MAX = 100_000
"""As many as the pipeline keeps to give back; then the oldest stay counted until their week is over."""
_LISTED = Judgement(Verdict.BLACKLIST)
_UNKNOWN = Judgement(Verdict.UNAVAILABLE)
_OK = Verdict.OK
_new = tuple.__new__  # half the price of a NamedTuple's own constructor


class NumberList(Protocol):
    """A set of numbers; see `Blacklist`."""

    def contains(self, daddr: str) -> bool:
        """`daddr` in digits, without ``+``."""
        ...


def _no_log(request: PolicyRequest, verdict: Verdict) -> None:
    """Shadow verdicts are counted all the same."""


class ContactPolicy:
    """See `PolicyEngine`. `clock` gives Unix seconds.

    A shadow strategy decides and counts as if it were enforced, so its counters foretell what enforcing would
    do; the verdict it gives is always ok, and what it would have refused goes to `on_shadow` (for the log).
    """

    def __init__(
        self,
        strategies: Iterable[Strategy],
        timezone: str,
        state: PolicyState,
        clock: Callable[[], float],
        blacklist: NumberList,
        on_shadow: Callable[[PolicyRequest, Verdict], None] = _no_log,
    ) -> None:
        """Raises ValueError for strategies that do not fit together, ZoneInfoNotFoundError for the zone."""
        self._rulebook = Rulebook(strategies)
        self._zone = ZoneInfo(timezone)
        self._state = state
        self._clock = clock
        self._blacklist = blacklist
        self._added: frozenset[str] | None = frozenset()
        self._on_shadow = on_shadow
        self._doubtful: deque[PolicyRequest] = deque(maxlen=DOUBTFUL_MAX)
        self.verdicts: Counter[tuple[str, Verdict]] = Counter()
        """Answers given, by strategy and verdict."""
        self.shadow_verdicts: Counter[tuple[str, Verdict]] = Counter()
        """What shadow strategies would have refused, by strategy and verdict."""
        self.checked: Counter[tuple[str, Verdict]] = Counter()
        """Answers of dry runs, by strategy and verdict."""
        self.allowed_on_error = 0
        self.strategy_gone = 0
        self.released = 0
        self.ids_forgotten = 0
        self.in_doubt = 0

    def __repr__(self) -> str:
        answers = sum(self.verdicts.values())
        return (
            f"<ContactPolicy {self._state.name} strategies={len(self._rulebook)} zone={self._zone}"
            f" answers={answers}>"
        )

    @property
    def counters(self) -> Mapping[str, int]:
        """What became rare, and what the engine counts for itself."""
        return {"in_doubt": self.in_doubt, **self._state.counters}

    @property
    def max_batch(self) -> int:
        """See `PolicyEngine`."""
        return self._state.max_batch

    def knows(self, strategy: str) -> bool:
        """See `PolicyEngine`."""
        return strategy in self._rulebook

    def reads_text(self, strategy: str) -> bool:
        """See `PolicyEngine`."""
        return self._state.judges_all or strategy in self._rulebook.with_window

    def reload(self, strategies: Iterable[Strategy], timezone: str) -> None:
        """Take new rules; counts go on where name and scope stay. Raises as __init__, changing nothing."""
        rulebook, zone = Rulebook(strategies), ZoneInfo(timezone)
        self._rulebook, self._zone = rulebook, zone

    def replace_blacklist(self, blacklist: NumberList) -> None:
        """Take newly loaded files."""
        self._blacklist = blacklist

    def replace_added(self, numbers: frozenset[str] | None) -> None:
        """Take the numbers added one by one; None: not known yet, so rules with a blacklist cannot decide."""
        self._added = numbers

    async def reserve(self, batch: Sequence[PolicyRequest]) -> list[Verdict]:
        """See `PolicyEngine`. A strategy that a reload has just removed answers `unavailable`."""
        rules, judgements = await self._judged(batch, self._state.reserve)
        verdicts: list[Verdict] = []
        passed: list[str] = []
        for rule, request, judgement in zip(rules, batch, judgements, strict=True):
            if judgement is GRANTED and rule is not None:
                passed.append(rule.name)
                verdicts.append(_OK)
            else:
                verdicts.append(self._answer(rule, request, judgement))
        for name, count in Counter(passed).items():
            self.verdicts[name, _OK] += count
        return verdicts

    async def check(self, batch: Sequence[PolicyRequest]) -> list[Verdict]:
        """See `PolicyEngine`. The verdict is what a message would be told: a shadow strategy says ok."""
        rules, judgements = await self._judged(batch, self._state.check)
        verdicts = [told(rule, one.verdict) for rule, one in zip(rules, judgements, strict=True)]
        self.checked.update((one.strategy, verdict) for one, verdict in zip(batch, verdicts, strict=True))
        return verdicts

    async def _judged(
        self,
        batch: Sequence[PolicyRequest],
        judge: Callable[[Sequence[Case], Moment], Coroutine[object, object, list[Judgement]]],
    ) -> tuple[list[Rule | None], list[Judgement]]:
        rules: list[Rule | None] = []
        judgements: list[Judgement | None] = []
        cases: list[Case] = []
        get, asks_all = self._rulebook.get, self._state.judges_all
        for request in batch:
            rule = get(request.strategy)
            judgement = _UNKNOWN if rule is None else self._listed(request.daddr) if rule.blacklist else None
            if judgement is None and rule is not None:
                if asks_all or rule.needs_state:
                    cases.append(_new(Case, (rule, request)))
                else:
                    judgement = GRANTED
            rules.append(rule)
            judgements.append(judgement)
        asked = await judge(cases, moment_at(self._clock(), self._zone)) if cases else []
        if len(asked) == len(batch):
            return rules, asked
        rest = iter(asked)
        return rules, [judgement or next(rest) for judgement in judgements]

    def _listed(self, daddr: str) -> Judgement | None:
        """What the blacklist says; None: nothing."""
        if self._blacklist.contains(daddr):
            return _LISTED
        if self._added is None:
            return _UNKNOWN
        return _LISTED if daddr in self._added else None

    def _answer(self, rule: Rule | None, request: PolicyRequest, judgement: Judgement) -> Verdict:
        """What the caller is told, everything counted."""
        verdict = told(rule, judgement.verdict)
        self.ids_forgotten += judgement.forgotten
        if rule is None:
            self.strategy_gone += 1
            return verdict
        if judgement.in_doubt and verdict is Verdict.UNAVAILABLE:
            self.in_doubt += 1
            self._doubtful.append(request)
        if verdict is Verdict.OK and judgement.verdict is Verdict.UNAVAILABLE:
            self.allowed_on_error += 1
        elif verdict is not judgement.verdict:
            self.shadow_verdicts[rule.name, judgement.verdict] += 1
            self._on_shadow(request, judgement.verdict)
        self.verdicts[rule.name, verdict] += 1
        return verdict

    async def release(self, batch: Sequence[PolicyRequest]) -> None:
        """See `PolicyEngine`. Nothing is released for a strategy that a reload has removed."""
        rules = [self._rulebook.get(request.strategy) for request in batch]
        cases = [
            Case(rule, request)
            for rule, request in zip(rules, batch, strict=True)
            if rule is not None and (rule.needs_state or self._state.judges_all)
        ]
        if cases:
            self.released += await self._state.release(cases, moment_at(self._clock(), self._zone))

    def take_doubtful(self) -> list[PolicyRequest]:
        """See `PolicyEngine`."""
        taken = list(self._doubtful)
        self._doubtful.clear()
        return taken

    async def aclose(self) -> None:
        """Let go of the state's connections."""
        await self._state.aclose()


def told(rule: Rule | None, verdict: Verdict) -> Verdict:
    """A judgement in the caller's words: `on_error` and `shadow` applied."""
    if rule is None or verdict is Verdict.OK:
        return verdict
    if verdict is Verdict.UNAVAILABLE:
        return Verdict.OK if rule.allow_on_error or rule.shadow else verdict
    return Verdict.OK if rule.shadow else verdict
