"""The embedded policy engine: this process decides, a `KeyValue` remembers.

One unit of work a batch, its requests decided in order inside, so that of a hundred equal messages at once
exactly one passes. app.py builds it, reloads it at SIGHUP and hands over new blacklists; the pipeline asks
it. Counters are plain ints, read at scrape time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol
from zoneinfo import ZoneInfo

from smsproxy.domain.errors import StoreUnavailableError
from smsproxy.policy import evaluator
from smsproxy.policy.base import KeyValue, PolicyRequest, PolicyUnavailableError, Transaction, Verdict
from smsproxy.policy.days import moment_at
from smsproxy.policy.evaluator import Judgement
from smsproxy.policy.strategies import Rule, Rulebook, Strategy


class NumberList(Protocol):
    """A set of numbers; see `Blacklist`."""

    def contains(self, daddr: str) -> bool:
        """`daddr` in digits, without ``+``."""
        ...


def _no_log(request: PolicyRequest, verdict: Verdict) -> None:
    """Shadow verdicts are counted all the same."""


class EmbeddedPolicy:
    """See `PolicyEngine`. `clock` gives Unix seconds.

    A shadow strategy decides and counts as if it were enforced, so its counters foretell what enforcing would
    do; the verdict it gives is always ok, and what it would have refused goes to `on_shadow` (for the log).
    """

    def __init__(
        self,
        strategies: Iterable[Strategy],
        timezone: str,
        kv: KeyValue,
        clock: Callable[[], float],
        blacklist: NumberList,
        on_shadow: Callable[[PolicyRequest, Verdict], None] = _no_log,
    ) -> None:
        """Raises ValueError for strategies that do not fit together, ZoneInfoNotFoundError for the zone."""
        self._rulebook = Rulebook(strategies)
        self._zone = ZoneInfo(timezone)
        self._kv = kv
        self._clock = clock
        self._blacklist = blacklist
        self._on_shadow = on_shadow
        self.verdicts: Counter[tuple[str, Verdict]] = Counter()
        """Answers given, by strategy and verdict."""
        self.shadow_verdicts: Counter[tuple[str, Verdict]] = Counter()
        """What shadow strategies would have refused, by strategy and verdict."""
        self.allowed_on_error = 0
        self.strategy_gone = 0
        self.released = 0
        self.ids_forgotten = 0

    def __repr__(self) -> str:
        answers = sum(self.verdicts.values())
        return f"<EmbeddedPolicy strategies={len(self._rulebook)} zone={self._zone} answers={answers}>"

    def knows(self, strategy: str) -> bool:
        """See `PolicyEngine`."""
        return strategy in self._rulebook

    def reload(self, strategies: Iterable[Strategy], timezone: str) -> None:
        """Take new rules; counts go on where name and scope stay. Raises as __init__, changing nothing."""
        rulebook, zone = Rulebook(strategies), ZoneInfo(timezone)
        self._rulebook, self._zone = rulebook, zone

    def replace_blacklist(self, blacklist: NumberList) -> None:
        """Take a newly loaded blacklist."""
        self._blacklist = blacklist

    async def reserve(self, batch: Sequence[PolicyRequest]) -> list[Verdict]:
        """See `PolicyEngine`. A strategy that a reload has just removed answers `unavailable`."""
        rules = [self._rulebook.get(request.strategy) for request in batch]
        cases = list(zip(rules, batch, strict=True))
        judgements = [self._without_state(rule, request) for rule, request in cases]
        stateful = [
            (rule, request)
            for (rule, request), judgement in zip(cases, judgements, strict=True)
            if rule is not None and judgement is None
        ]
        asked = iter(await self._with_state(stateful))
        return [
            self._answer(rule, request, judgement or next(asked))
            for (rule, request), judgement in zip(cases, judgements, strict=True)
        ]

    def _without_state(self, rule: Rule | None, request: PolicyRequest) -> Judgement | None:
        """What needs no store; None when the store has to be asked."""
        if rule is None:
            return Judgement(Verdict.UNAVAILABLE)
        if rule.blacklist and self._blacklist.contains(request.daddr):
            return Judgement(Verdict.BLACKLIST)
        return None if rule.needs_state else Judgement(Verdict.OK)

    async def _with_state(self, cases: list[tuple[Rule, PolicyRequest]]) -> list[Judgement]:
        if not cases:
            return []
        moment = moment_at(self._clock(), self._zone)

        def work(transaction: Transaction) -> list[Judgement]:
            return [evaluator.reserve(rule, request, moment, transaction) for rule, request in cases]

        try:
            return await self._kv.transact(work)
        except StoreUnavailableError:
            return [Judgement(Verdict.UNAVAILABLE)] * len(cases)

    def _answer(self, rule: Rule | None, request: PolicyRequest, judgement: Judgement) -> Verdict:
        """What the caller is told: `on_error` and `shadow` applied, everything counted."""
        verdict = judgement.verdict
        self.ids_forgotten += judgement.forgotten
        if rule is None:
            self.strategy_gone += 1
            return verdict
        if verdict is Verdict.UNAVAILABLE and (rule.allow_on_error or rule.shadow):
            self.allowed_on_error += 1
            verdict = Verdict.OK
        if verdict is not Verdict.OK and rule.shadow:
            self.shadow_verdicts[rule.name, verdict] += 1
            self._on_shadow(request, verdict)
            verdict = Verdict.OK
        self.verdicts[rule.name, verdict] += 1
        return verdict

    async def release(self, batch: Sequence[PolicyRequest]) -> None:
        """See `PolicyEngine`. Nothing is released for a strategy that a reload has removed."""
        moment = moment_at(self._clock(), self._zone)
        rules = [self._rulebook.get(request.strategy) for request in batch]
        cases = [(r, request) for r, request in zip(rules, batch, strict=True) if r and r.needs_state]
        if not cases:
            return

        def work(transaction: Transaction) -> int:
            return sum(evaluator.release(rule, request, moment, transaction) for rule, request in cases)

        try:
            self.released += await self._kv.transact(work)
        except StoreUnavailableError as error:
            raise PolicyUnavailableError("the policy state is away, nothing was given back") from error
