"""The patience of one connection: what is silent, unfinished, idle, old or dead is ended. One sweep for all.

The server looks at every connection a few times a second (`guard`), so a connection costs no timer of its own
and a message none at all: whether something new came is read off counters that are kept anyway.

    no first frames ─ first_byte_s ─> cut          a frame or message half here ─ message_s ─> refused
    no call open ─── idle_s ───────> GOAWAY        max_age_s +/- 10 % ─ a quiet moment ─────> GOAWAY
                                                                      ─ short calls only ───> farewell
    calls open, peer silent ─ keepalive_s ─> PING ─ keepalive_timeout_s without a sound ──> cut
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, auto
from typing import Protocol

from smsproxy.rpc.options import RpcOptions

AGE_SPREAD = 0.1
"""Connections that came together (after a restart) do not leave together."""
QUIET_S = 1.0
"""Who has no call open for so long will hardly open one in the very moment of our GOAWAY."""


class Verdict(Enum):
    """What is to become of the connection now."""

    STAY = auto()
    SILENT = auto()
    UNFINISHED = auto()
    DEAD = auto()
    IDLE = auto()
    OLD = auto()
    """And quiet: it can go at once."""
    RETIRE = auto()
    """Old and busy with short calls: it can be asked to open no more."""
    PING = auto()


class Unfinished(Protocol):
    """A call as the watch sees it."""

    @property
    def unfinished(self) -> int:
        """0, or a number that stays the same while the same message is half here."""
        ...

    def give_up_message(self) -> None:
        """Its message took too long."""
        ...


class ConnectionWatch:
    """Times are seconds of one monotonic clock; `spread` is a random number in 0..1."""

    __slots__ = (
        "_born",
        "_calls",
        "_frame",
        "_heard",
        "_old_at",
        "_opened",
        "_options",
        "_pinged_at",
        "_quiet_since",
        "_reads",
    )  # fmt: skip

    def __init__(self, options: RpcOptions, now: float, spread: float) -> None:
        self._options = options
        self._born = self._heard = self._quiet_since = now
        self._old_at = now + options.max_age_s * (1 + AGE_SPREAD * (2 * spread - 1))
        self._reads = 0
        self._opened = 0
        self._pinged_at: float | None = None
        self._frame = (0, now)
        self._calls: dict[Unfinished, tuple[int, float]] = {}

    def look(
        self,
        now: float,
        *,
        reads: int,
        frame: int,
        begun: bool,
        opened: int,
        open_calls: int,
        long_calls: bool,
    ) -> Verdict:
        """Decide about the connection.

        `reads` counts reads of the socket, `opened` calls so far; `frame` is 0, or a number that stays while
        the same frame is half here; `begun`: the peer's first frames came; `long_calls`: one of those that
        are open may go on for hours.
        """
        options = self._options
        if reads != self._reads:
            self._reads, self._heard, self._pinged_at = reads, now, None
        if not begun:
            return Verdict.SILENT if now - self._born > options.first_byte_s else Verdict.STAY
        if frame != self._frame[0]:
            self._frame = (frame, now)
        elif frame and now - self._frame[1] > options.message_s:
            return Verdict.UNFINISHED
        if open_calls or opened != self._opened:
            self._opened, self._quiet_since = opened, now
        if now >= self._old_at and not long_calls:
            if open_calls:
                return Verdict.RETIRE
            if now - self._quiet_since > min(QUIET_S, options.idle_s):
                return Verdict.OLD
        if now - self._quiet_since > options.idle_s:
            return Verdict.IDLE
        return self._silence(now) if open_calls else Verdict.STAY

    def _silence(self, now: float) -> Verdict:
        """Dead is who was asked and had time to answer: a pause of ours is no silence of theirs."""
        silent_s, options = now - self._heard, self._options
        if silent_s > options.keepalive_s and self._pinged_at is None:
            self._pinged_at = now
            return Verdict.PING
        asked = self._pinged_at is not None and now - self._pinged_at > options.keepalive_timeout_s / 2
        over = silent_s > options.keepalive_s + options.keepalive_timeout_s
        return Verdict.DEAD if asked and over else Verdict.STAY

    def late_messages(self, calls: Iterable[Unfinished], now: float) -> list[Unfinished]:
        """The calls whose message has been half here for longer than `message_s`."""
        before, self._calls = self._calls, {}
        late = []
        for call in calls:
            number = call.unfinished
            if not number:
                continue
            mark = before.get(call)
            if mark is None or mark[0] != number:
                mark = (number, now)
            self._calls[call] = mark
            if now - mark[1] > self._options.message_s:
                late.append(call)
        return late
