"""A Redis that may be away: every call bounded in time, a breaker in front, return without anybody's doing.

Who calls: the shared limits and the redis policy engine, through their coalescers, so few calls are in
flight at a time. A call ends with a reply or with `RemoteUnavailableError` within its time; one that was
cancelled or timed out takes its connection with it, so no later call can read its reply. While the breaker is
open calls are refused at once, and a probe looks whether the server takes writes again, fast enough.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from smsproxy.aio.wait import patience, settled
from smsproxy.obs.log import Log
from smsproxy.remote import client as redis
from smsproxy.remote.breaker import Breaker
from smsproxy.remote.keys import TAGS
from smsproxy.remote.script import Script
from smsproxy.remote.url import RemoteUrl

Argument = str | bytes | int
Call = tuple[Sequence[str], Sequence[Argument]]
"""(keys, arguments) of one run of a script."""

CALL_S = 0.05
"""What a caller waits at most unless it says otherwise (spec §4)."""
PROBE_S = 0.5
"""Between probes of an open breaker: back well within 5 s, and next to nothing for a server in trouble."""
_CONNECT_S = 2 * redis.CONNECT_S
MAX_CALLS = 64
_REASON_SHOWN = 200


class RemoteUnavailableError(Exception):
    """No reply; the call may have been carried out all the same. The text says why, without secrets."""


class Remote:
    """One server, Sentinel service or cluster. Counters are read at scrape time."""

    def __init__(
        self, url: RemoteUrl, log: Log, *, max_calls: int = MAX_CALLS, call_s: float = CALL_S
    ) -> None:
        """`max_calls`: more at a time are refused. `call_s`: what a call may take, and a probe, too."""
        self.url = url
        self.breaker = Breaker()
        self._log = log
        self._max_calls = max_calls
        self._call_s = call_s
        # A cancelled call's place is free before its connection is: hence some more of them.
        self._client = redis.make_client(url, 2 * max_calls + TAGS)
        self._probing: asyncio.Task[None] | None = None
        self.in_flight = 0
        self.calls = 0
        self.failures = 0
        self.refused = 0
        self.cancelled = 0
        self.script_loads = 0

    def __repr__(self) -> str:
        return f"<Remote {self.url} {'up' if self.available else 'away'} in_flight={self.in_flight}>"

    @property
    def available(self) -> bool:
        """Calls go through; else they are refused at once."""
        return not self.breaker.is_open

    @property
    def sharded(self) -> bool:
        """A cluster: all keys of one call must carry one tag (see `keys`)."""
        return self.url.kind == "cluster"

    @property
    def connections(self) -> int:
        return redis.open_connections(self._client)

    @property
    def counters(self) -> Mapping[str, int]:
        return {
            "calls": self.calls,
            "failures": self.failures,
            "refused": self.refused,
            "cancelled": self.cancelled,
            "script_loads": self.script_loads,
            "breaker_opened": self.breaker.opened,
        }

    async def open(self) -> bool:
        """Connect. False when it does not answer: then it is looked for until it does, and that is logged."""
        reason = await self._probe()
        if reason:
            self._open_breaker(reason)
        return not reason

    async def aclose(self) -> None:
        """Let calls under way end, then close every connection. Calls after it are refused."""
        self.breaker.open()
        await settled(lambda: not self.in_flight, timeout_s=self._call_s)
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)
        await redis.close(self._client)

    async def run(
        self,
        script: Script,
        keys: Sequence[str],
        args: Sequence[Argument],
        timeout_s: float | None = None,
    ) -> object:
        """The script's reply. Raises RemoteUnavailableError, after `timeout_s` at most (None: `call_s`)."""
        timeout_s = self._call_s if timeout_s is None else timeout_s
        self._admit()
        self.in_flight += 1
        try:
            async with patience(timeout_s):
                reply = await self._run(script, keys, args)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        except Exception as error:  # whatever the library throws, to callers it means: no reply
            reason = _reason(error, timeout_s)
            self._failed(reason)
            raise RemoteUnavailableError(reason) from None
        finally:
            self.in_flight -= 1
        self.breaker.succeeded()
        return reply

    async def run_many(
        self, script: Script, calls: Sequence[Call], timeout_s: float | None = None
    ) -> list[object | RemoteUnavailableError]:
        """One run for each of `calls`, side by side; in its place the reply, or why there is none."""
        if len(calls) == 1:
            return [await self._reply(script, calls[0], timeout_s)]
        return await asyncio.gather(*(self._reply(script, call, timeout_s) for call in calls))

    async def _reply(
        self, script: Script, call: Call, timeout_s: float | None
    ) -> object | RemoteUnavailableError:
        try:
            return await self.run(script, call[0], call[1], timeout_s)
        except RemoteUnavailableError as error:
            return error

    def _admit(self) -> None:
        if self.breaker.is_open:
            self.refused += 1
            raise RemoteUnavailableError("not available")
        if self.in_flight >= self._max_calls:
            self.refused += 1
            raise RemoteUnavailableError("too many calls in flight")
        self.calls += 1

    async def _run(self, script: Script, keys: Sequence[str], args: Sequence[Argument]) -> object:
        try:
            return await self._client.execute_command("EVALSHA", script.sha, len(keys), *keys, *args)
        except redis.NoScriptError:
            self.script_loads += 1
            return await self._client.execute_command("EVAL", script.text, len(keys), *keys, *args)

    # -- the breaker ----------------------------------------------------------------------------------------

    def _failed(self, reason: str) -> None:
        self.failures += 1
        if self.breaker.failed(asyncio.get_running_loop().time()):
            self._away(reason)

    def _open_breaker(self, reason: str) -> None:
        if self.breaker.open():
            self._away(reason)

    def _away(self, reason: str) -> None:
        """It has just opened."""
        self._log.warning("redis_away", url=str(self.url), reason=reason)
        if self._probing is None:
            self._probing = asyncio.get_running_loop().create_task(self._look_for_it(), name="redis-probe")

    async def _look_for_it(self) -> None:
        """Probe until it answers; then let calls through again."""
        while True:
            await asyncio.sleep(PROBE_S)
            if not await self._probe():
                break
        self._probing = None
        self.breaker.close()
        self._log.info("redis_back", url=str(self.url))

    async def _probe(self) -> str:
        """Why it cannot be used now, or "". It writes: a full or read-only server answers a PING well."""
        reason = await self._write_everywhere(_CONNECT_S)  # connects where that is needed
        return reason or await self._write_everywhere(self._call_s)

    async def _write_everywhere(self, timeout_s: float) -> str:
        tags = range(TAGS if self.sharded else 1)
        try:
            async with asyncio.timeout(timeout_s):
                await self._client.initialize()  # before it knows a cluster's slots, it would guess
                async with asyncio.TaskGroup() as group:
                    for tag in tags:
                        group.create_task(self._write(f"smsproxy:{{{tag}}}:probe"))
        except Exception as error:
            first = error.exceptions[0] if isinstance(error, ExceptionGroup) else error
            return _reason(first, timeout_s)
        return ""

    async def _write(self, key: str) -> None:
        await self._client.execute_command("SET", key, 1, "PX", 1000)


def _reason(error: Exception, timeout_s: float) -> str:
    if isinstance(error, TimeoutError) and not str(error):
        return f"no answer within {timeout_s * 1000:.0f} ms"
    text = str(error).partition(" : <redis.")[0]  # of a sentinel's: it goes on with the client's objects
    return (text or type(error).__name__)[:_REASON_SHOWN]
