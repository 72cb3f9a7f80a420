"""Screening: what the contact policy says of an audience, before there are messages (RPC Screen).

Not a stage of a message's road: it asks the same engine, in pieces no larger than messages ask in, so that
messages go on between them. With `reserve` each number that passes is counted under an id of its own, which
no message will ever have; a call that ends without its answer gives back what it had counted.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from smsproxy.domain.caller import Caller
from smsproxy.domain.errors import ForbiddenError, RefusedError
from smsproxy.domain.ids import time_ordered_id
from smsproxy.domain.outcome import Status
from smsproxy.pipeline import fields
from smsproxy.pipeline.ports import Audience
from smsproxy.policy.base import PolicyEngine, PolicyRequest, Verdict

DADDRS_MAX = 10_000
AT_ONCE_MAX = 4
"""Screenings under way. They take turns: the engine has one piece of all of them at a time."""
_PIECE = 256
_RETRY_MS = 1000
_STRATEGY_SHOWN = 32
_INVALID = "invalid"


class Screening:
    """Asked through `Core.screen`. `hand_back` takes what nobody will use."""

    def __init__(self, engine: PolicyEngine, hand_back: Callable[[Iterable[PolicyRequest]], None]) -> None:
        self._engine = engine
        self._hand_back = hand_back
        self._turn = asyncio.Lock()
        self.under_way = 0
        self.refused = 0
        """Screenings refused at AT_ONCE_MAX."""
        self.numbers = 0

    async def screen(self, caller: Caller, audience: Audience) -> list[str]:
        """See ports.Gateway.screen."""
        self._check(caller, audience)
        if self.under_way >= AT_ONCE_MAX:
            self.refused += 1
            raise RefusedError(Status.RATE_LIMITED, "too many screenings at once", _RETRY_MS)
        self.under_way += 1
        try:
            return await self._verdicts(audience)
        finally:
            self.under_way -= 1

    def _check(self, caller: Caller, audience: Audience) -> None:
        if audience.app_id <= 0:
            raise _invalid("app_id: required, must be positive")
        if audience.app_id != caller.app_id:
            raise ForbiddenError("app_id: not the caller's")
        if not audience.strategy:
            raise _invalid("strategy: required")
        if not self._engine.knows(audience.strategy):
            raise _invalid(f"strategy: {audience.strategy[:_STRATEGY_SHOWN]!r} is not configured")
        if len(audience.daddrs) > DADDRS_MAX:
            raise _invalid(f"daddrs: must be at most {DADDRS_MAX} numbers")
        if audience.saddr:
            saddr = fields.sender(audience.saddr)
            if saddr is None:
                raise _invalid(f"saddr: {fields.SADDR_RULE}")
            if not caller.may_send_as(saddr):
                raise ForbiddenError("saddr: not allowed to the app")

    async def _verdicts(self, audience: Audience) -> list[str]:
        words = [_INVALID] * len(audience.daddrs)
        counted: list[PolicyRequest] = []
        try:
            for places, requests in self._pieces(audience):
                async with self._turn:
                    if audience.reserve:
                        verdicts = await self._reserve(requests, counted)
                    else:
                        verdicts = await self._engine.check(requests)
                for place, verdict in zip(places, verdicts, strict=True):
                    words[place] = verdict.value
        except BaseException:  # the caller left, or the deadline passed: nobody learns what was counted
            self._hand_back(counted)
            raise
        return words

    async def _reserve(self, requests: list[PolicyRequest], counted: list[PolicyRequest]) -> list[Verdict]:
        """The verdicts; what is or may be counted is in `counted`, at any moment."""
        counted += requests
        verdicts = await self._engine.reserve(requests)
        del counted[-len(requests) :]
        counted += [one for one, verdict in zip(requests, verdicts, strict=True) if verdict is Verdict.OK]
        self._hand_back(self._engine.take_doubtful())
        return verdicts

    def _pieces(self, audience: Audience) -> Iterator[tuple[list[int], list[PolicyRequest]]]:
        """The places and requests of some numbers at a time, bad ones left out."""
        saddr = fields.sender(audience.saddr) or ""
        step = min(_PIECE, self._engine.max_batch)
        for first in range(0, len(audience.daddrs), step):
            self.numbers += min(step, len(audience.daddrs) - first)
            good = _good_numbers(audience.daddrs, first, step)
            if good:
                yield [place for place, _ in good], [_request(audience, saddr, number) for _, number in good]


def _good_numbers(daddrs: Sequence[str], first: int, step: int) -> list[tuple[int, str]]:
    pairs = (
        (place, fields.recipient(daddrs[place])) for place in range(first, min(first + step, len(daddrs)))
    )
    return [(place, number) for place, number in pairs if number is not None]


def _request(audience: Audience, saddr: str, daddr: str) -> PolicyRequest:
    message_id = time_ordered_id(int(time.time() * 1000), os.urandom(10))
    return PolicyRequest(message_id, audience.strategy, audience.app_id, daddr, saddr, b"")


def _invalid(reason: str) -> RefusedError:
    return RefusedError(Status.INVALID, reason)
