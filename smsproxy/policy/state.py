"""What remembers for the contact policy: the seam between `ContactPolicy` and the engines of [policy].

`ContactPolicy` (engine.py) has the rules, the blacklist, shadow and `on_error`; a `PolicyState` decides and
counts what needs memory: embedded.py in this process, shared.py over instances, http.py elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from smsproxy.policy.base import PolicyRequest
from smsproxy.policy.days import Moment
from smsproxy.policy.evaluator import Judgement
from smsproxy.policy.strategies import Rule


class Case(NamedTuple):
    """One request and the rule it is judged by."""

    rule: Rule
    request: PolicyRequest


class PolicyState(Protocol):
    """Counts of recipients. Cases of a batch are decided in order, as if one by one."""

    name: str
    """As `policy.engine` says it."""
    max_batch: int
    """The most cases of one call that are answered as fast as one alone."""
    judges_all: bool
    """Asked about every strategy; False: only about those with caps or a window."""

    @property
    def counters(self) -> Mapping[str, int]:
        """By name, read at scrape time."""
        ...

    async def reserve(self, cases: Sequence[Case], moment: Moment) -> list[Judgement]:
        """Judge and count. `unavailable` where the state cannot be reached; never raises for that."""
        ...

    async def check(self, cases: Sequence[Case], moment: Moment) -> list[Judgement]:
        """The same of each case alone, counting nothing."""
        ...

    async def release(self, cases: Sequence[Case], moment: Moment) -> int:
        """Give back what the message_ids hold; how many held something.

        Raises PolicyUnavailableError: not all of it was given back, ask again for all but its `given_back`.
        """
        ...

    async def aclose(self) -> None:
        """Let go of connections."""
        ...
