"""The policy state of engine `redis`: one count over all instances, a batch of recipients a call.

The judging is a Lua script (scripts/contact.lua), which is evaluator.py over the same packed values; calendar
and clock are ours, and go with the call. Keys hold no numbers: they are hashes, spread by recipient over 16
tags (remote.keys), so a batch is one call to a server and at most 16 side by side to a cluster. Made by
assembly.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence

from smsproxy.policy.base import PolicyUnavailableError, Verdict
from smsproxy.policy.days import Moment, week_expires_at
from smsproxy.policy.evaluator import GRANTED, Judgement, claims_key_of, tally_key_of
from smsproxy.policy.state import Case
from smsproxy.policy.strategies import Rule
from smsproxy.remote.keys import TAGS, by_tag, tag
from smsproxy.remote.remote import CALL_S, Argument, Call, Remote, RemoteUnavailableError
from smsproxy.remote.script import Script

CONTACT = Script.load("smsproxy.policy", "scripts/contact.lua")
MAX_BATCH = 256
"""One run of the script holds the server for a millisecond or two, and others wait meanwhile. The place of a
rule is one byte: a batch has no more different ones than cases."""

_TEXT, _WEEK = 1, 2
_JUDGEMENTS = {
    ord("o"): GRANTED,
    ord("u"): Judgement(Verdict.DUPLICATE),
    ord("d"): Judgement(Verdict.DAILY_CP),
    ord("w"): Judgement(Verdict.WEEKLY_CP),
}
_GAVE_BACK = ord("y")
_SPARED = Judgement(Verdict.UNAVAILABLE)
_NO_ANSWER = Judgement(Verdict.UNAVAILABLE, in_doubt=True)
_PREFIXES = tuple(f"smsproxy:{{{number}}}:policy:" for number in range(TAGS))
_HEADS = tuple(tuple(bytes((place, with_keys)) for with_keys in range(4)) for place in range(MAX_BATCH))
"""What stands before the message_id of a case: the place of its rule, and which keys it has."""
_blake2b = hashlib.blake2b


class SharedState:
    """See `PolicyState`. `remote` is closed by who opened it."""

    name = "redis"
    max_batch = MAX_BATCH
    judges_all = False

    def __init__(self, remote: Remote, timeout_s: float = CALL_S) -> None:
        self._remote = remote
        self._timeout_s = timeout_s

    @property
    def counters(self) -> Mapping[str, int]:
        """See `PolicyState`."""
        found = self._remote.counters
        return {
            "calls": found["calls"],
            "calls_failed": found["failures"],
            "calls_spared": found["refused"],
        }

    async def reserve(self, cases: Sequence[Case], moment: Moment) -> list[Judgement]:
        """See `PolicyState`."""
        return await self._judged("reserve", cases, moment)

    async def check(self, cases: Sequence[Case], moment: Moment) -> list[Judgement]:
        """See `PolicyState`."""
        return await self._judged("check", cases, moment)

    async def _judged(self, op: str, cases: Sequence[Case], moment: Moment) -> list[Judgement]:
        none = _NO_ANSWER if self._remote.available else _SPARED
        judgements = [none] * len(cases)

        def take(places: Sequence[int], letters: bytes, forgotten: int) -> None:
            for place, letter in zip(places, letters, strict=True):
                judgements[place] = _JUDGEMENTS[letter]
            if forgotten:
                judgements[places[0]] = judgements[places[0]]._replace(forgotten=forgotten)

        await self._ask(op, cases, moment, take)
        return judgements

    async def release(self, cases: Sequence[Case], moment: Moment) -> int:
        """See `PolicyState`."""
        found: list[bytes] = []
        if not await self._ask("release", cases, moment, lambda _, letters, __: found.append(letters)):
            raise PolicyUnavailableError("Redis does not answer, not all was given back")
        return sum(letters.count(_GAVE_BACK) for letters in found)

    async def _ask(
        self,
        op: str,
        cases: Sequence[Case],
        moment: Moment,
        take: Callable[[Sequence[int], bytes, int], None],
    ) -> bool:
        """`take(places, letters, forgotten)` for each call that was answered; False: not all were."""
        complete = True
        for groups in self._rounds(cases):
            calls = [call_of(op, [cases[place] for place in places], moment) for places in groups]
            replies = await self._remote.run_many(CONTACT, calls, self._timeout_s)
            for places, reply in zip(groups, replies, strict=True):
                if isinstance(reply, RemoteUnavailableError):
                    complete = False
                else:
                    take(places, *_reply(reply))
        return complete

    def _rounds(self, cases: Sequence[Case]) -> list[list[list[int]]]:
        """Places of the cases: rounds in order, each of groups that go side by side (a cluster's tags)."""
        rounds = []
        for first in range(0, len(cases), MAX_BATCH):
            places = range(first, min(first + MAX_BATCH, len(cases)))
            if not self._remote.sharded:
                rounds.append([list(places)])
                continue
            grouped = by_tag(cases[place].request.daddr for place in places)
            rounds.append([[first + at for at in group] for group in grouped])
        return rounds

    async def aclose(self) -> None:
        """The remote is closed by who opened it."""


def call_of(op: str, cases: Sequence[Case], moment: Moment) -> Call:
    """Keys and arguments of one run of the script."""
    keys: list[str] = []
    places: dict[Rule, int] = {}
    asked: list[bytes] = []
    for rule, request in cases:
        place = places.setdefault(rule, len(places))
        prefix = _PREFIXES[tag(request.daddr)]
        with_keys = 0
        if rule.window_s and request.text_sha256:
            with_keys = _TEXT
            keys.append(prefix + claims_key_of(rule, request).hex())
        if rule.has_caps:
            with_keys |= _WEEK
            # Without the recipient: numbers are personal data, and Redis is elsewhere.
            keys.append(prefix + _blake2b(tally_key_of(rule, request), digest_size=16).hexdigest())
        asked += _HEADS[place][with_keys], request.message_id
    week_ttl = week_expires_at(moment.week) - moment.now
    head: list[Argument] = [op, repr(moment.now), moment.week, moment.day, repr(week_ttl), len(places)]
    return keys, [*head, *map(_rule_words, places), b"".join(asked)]


def _rule_words(rule: Rule) -> str:
    daily = -1 if rule.daily_max is None else rule.daily_max
    weekly = -1 if rule.weekly_max is None else rule.weekly_max
    window, kept = repr(float(rule.window_s)), repr(float(rule.window_kept_s))
    return f"{daily} {weekly} {window} {kept} {rule.checks:d} {rule.counts:d} {rule.ids_kept}"


def _reply(reply: object) -> tuple[bytes, int]:
    if isinstance(reply, list) and len(reply) == 2:
        letters, forgotten = reply
        if isinstance(letters, bytes) and isinstance(forgotten, int):
            return letters, forgotten
    raise TypeError("the script's reply is not of its form")
