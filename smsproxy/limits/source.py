"""Where leases are filled: one call in flight at a time, with every limit that needs tokens (spec §4).

Whatever asks while a call is under way goes into the next one, so a thousand messages share a call. A call
that fails says `away` to everybody at once: from then on nobody waits for Redis and limits fall back, until a
knock of the source's own is answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Protocol

from smsproxy.aio.coalescer import Coalescer
from smsproxy.limits.base import NS_PER_S
from smsproxy.obs.log import Log
from smsproxy.remote.keys import by_tag, tagged
from smsproxy.remote.remote import Call, Remote, RemoteUnavailableError
from smsproxy.remote.script import Script

LEASE = Script.load("smsproxy.limits", "scripts/lease.lua")
_NS_PER_US = 1000
_KNOCK_S = 0.2
"""Between two looks whether Redis is back: three that fail open the breaker within a second."""
_MAX_KEYS = 256
"""In one call: a quarter of a millisecond of the server's time."""


class Fillable(Protocol):
    """What asks: a shared bucket."""

    name: str
    """Of the limit, the same in every instance: app:1, link:100."""

    def demand(self, now_ns: int) -> tuple[int, int, int]:
        """(tokens a second, burst, tokens wanted)."""
        ...

    def filled(self, now_ns: int, granted: int, wait_ns: int) -> None:
        """The answer; `tell` follows."""
        ...

    def failed(self) -> None:
        """There is none, the source is away now; `tell` follows."""
        ...

    def tell(self) -> None:
        """Serve those who waited for this."""
        ...


class TokenSource:
    """One Redis, asked in batches. Counters are read at scrape time."""

    def __init__(self, remote: Remote, log: Log, *, instances: int, refuse_when_away: bool) -> None:
        """`instances` share a rate while Redis is away, unless everything is refused then."""
        self._remote = remote
        self._log = log
        self._loop = asyncio.get_running_loop()
        # Bounded by its items: a bucket is in it at most once.
        self._asked: Coalescer[Fillable] = Coalescer(self._fill, max_batch=_MAX_KEYS)
        self._knock = _Knock()
        self._timer: asyncio.TimerHandle | None = None
        self.instances = instances
        self.refuse_when_away = refuse_when_away
        self.away = False
        """The last call failed: the fallback is in force. A plain field: it is read per message."""
        self.tokens = 0
        self.fallbacks = 0

    def __repr__(self) -> str:
        return f"<TokenSource {'away' if self.away else 'up'} calls={self._asked.batches}>"

    @property
    def refusing(self) -> bool:
        """Away, and the operator would rather refuse than share by estimate."""
        return self.away and self.refuse_when_away

    @property
    def counters(self) -> Mapping[str, int]:
        return {
            "lease_calls": self._asked.batches,
            "leases": self._asked.items,
            "lease_tokens": self.tokens,
            "fallbacks": self.fallbacks,
        }

    @property
    def idle(self) -> bool:
        """No call is under way or waited for."""
        return self._asked.idle

    def ask(self, bucket: Fillable) -> bool:
        """Fill it soon; `filled` or `failed` follows. False while nobody can be asked."""
        if not self._remote.available:
            if not self.away:
                self.fall_back("not available")
            return False
        self._asked.add(bucket)
        return True

    def close(self) -> None:
        """Knock no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        """Away: knock until an answer comes, traffic or not."""
        self._timer = None
        if not self.away:
            return
        if not self._knock.under_way and self._remote.available:
            self._knock.under_way = True
            self._asked.add(self._knock)
        self._timer = self._loop.call_later(_KNOCK_S, self._look)

    async def _fill(self, batch: list[Fillable]) -> None:
        if self.away:  # they came while the call was under way that failed: nobody waits for a second one
            self._fail(bucket for bucket in batch if bucket is not self._knock)
            batch = [bucket for bucket in batch if bucket is self._knock]
            if not batch:
                return
        now_ns = self._now_ns()
        if not self._remote.sharded:
            await self._fill_some(batch, now_ns)
            return
        groups = by_tag(bucket.name for bucket in batch)
        await asyncio.gather(*(self._fill_some([batch[at] for at in group], now_ns) for group in groups))

    async def _fill_some(self, buckets: list[Fillable], now_ns: int) -> None:
        """Those that one call may name together."""
        try:
            reply = await self._remote.run(LEASE, *_call(buckets, now_ns))
            answers = _answers(reply, len(buckets))
        except Exception as error:  # supervised: requests wait behind this call, whatever went wrong
            self.fall_back(str(error) or type(error).__name__)
            self._fail(buckets)
            return
        if self.away:
            self.away = False
            self._log.info("limits_shared_again")
        now_ns = self._now_ns()
        for bucket, (granted, wait_us) in zip(buckets, answers, strict=True):
            self.tokens += granted
            bucket.filled(now_ns, granted, wait_us * _NS_PER_US)
            self._loop.call_soon(bucket.tell)

    def _fail(self, buckets: Iterable[Fillable]) -> None:
        for bucket in buckets:
            bucket.failed()
            self._loop.call_soon(bucket.tell)

    def fall_back(self, reason: str) -> None:
        """There is no answer: limits are this instance's own from now on, until a knock is answered."""
        if not self.away:
            self.away = True
            self.fallbacks += 1
            shown = "refuse" if self.refuse_when_away else "local"
            self._log.warning("limits_fall_back", on_redis_loss=shown, reason=reason)
        if self._timer is None:
            self._timer = self._loop.call_later(_KNOCK_S, self._look)

    def _now_ns(self) -> int:
        return int(self._loop.time() * NS_PER_S)


class _Knock:
    """Wants no token, only an answer."""

    def __init__(self) -> None:
        self.name = "knock"
        self.under_way = False

    def demand(self, now_ns: int) -> tuple[int, int, int]:
        return 1, 1, 0

    def filled(self, now_ns: int, granted: int, wait_ns: int) -> None:
        self.under_way = False

    def failed(self) -> None:
        self.under_way = False

    def tell(self) -> None:
        """Nobody waits for it."""


def _call(buckets: list[Fillable], now_ns: int) -> Call:
    keys = [tagged("limit", bucket.name) for bucket in buckets]
    args = [number for bucket in buckets for number in bucket.demand(now_ns)]
    return keys, args


def _answers(reply: object, count: int) -> list[tuple[int, int]]:
    """(granted, wait in µs) for each key. Raises RemoteUnavailableError when it is not the script's reply."""
    if not isinstance(reply, list) or len(reply) != 2 * count or any(type(one) is not int for one in reply):
        raise RemoteUnavailableError("an answer that is not the script's")
    return list(zip(reply[::2], reply[1::2], strict=True))
