"""The embedded policy state: this process decides, a `KeyValue` remembers.

One unit of work a batch, its requests decided in order inside, so that of a hundred equal messages at once
exactly one passes. `ContactPolicy` asks it; app.py hands over the key-value store and closes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from smsproxy.domain.errors import StoreUnavailableError
from smsproxy.policy import evaluator
from smsproxy.policy.base import KeyValue, PolicyRequest, PolicyUnavailableError, Transaction, Verdict
from smsproxy.policy.days import Moment
from smsproxy.policy.evaluator import Judgement
from smsproxy.policy.state import Case
from smsproxy.policy.strategies import Rule

_Judge = Callable[[Rule, PolicyRequest, Moment, Transaction], Judgement]


class EmbeddedState:
    """See `PolicyState`."""

    name = "embedded"
    max_batch = 1024
    judges_all = False

    def __init__(self, kv: KeyValue) -> None:
        self._kv = kv
        self.counters: Mapping[str, int] = {}

    async def reserve(self, cases: Sequence[Case], moment: Moment) -> list[Judgement]:
        """See `PolicyState`. A store that is away has counted nothing: nothing is in doubt."""
        return await self._judged(evaluator.reserve, cases, moment)

    async def check(self, cases: Sequence[Case], moment: Moment) -> list[Judgement]:
        """See `PolicyState`."""
        return await self._judged(evaluator.check, cases, moment)

    async def _judged(self, judge: _Judge, cases: Sequence[Case], moment: Moment) -> list[Judgement]:
        def work(transaction: Transaction) -> list[Judgement]:
            return [judge(rule, request, moment, transaction) for rule, request in cases]

        try:
            return await self._kv.transact(work)
        except StoreUnavailableError:
            return [Judgement(Verdict.UNAVAILABLE)] * len(cases)

    async def release(self, cases: Sequence[Case], moment: Moment) -> int:
        """See `PolicyState`."""

        def work(transaction: Transaction) -> int:
            return sum(evaluator.release(rule, request, moment, transaction) for rule, request in cases)

        try:
            return await self._kv.transact(work)
        except StoreUnavailableError as error:
            raise PolicyUnavailableError("the policy state is away, nothing was given back") from error

    async def aclose(self) -> None:
        """The key-value store is closed by who opened it."""
