"""How much control traffic a connection may cause before it is told to calm down. Pure: time is an argument.

HTTP/2 frames that carry no message are cheap to send and not to handle: rapid resets (CVE-2023-44487), floods
of PING, SETTINGS, PRIORITY, WINDOW_UPDATE, CONTINUATION or empty DATA (CVE-2019-9511 to 9518). Each kind has
a budget per ten seconds, wide enough for every client library; what our own sending causes (a WINDOW_UPDATE
for what was read, a PING to measure it) is not charged. Kept by `fence`, one per connection.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError

WINDOW_S = 10.0


class Flood(StrEnum):
    """What a connection was ended for: labels of a counter."""

    RESETS = "resets"
    PINGS = "pings"
    SETTINGS = "settings"
    EMPTY_DATA = "empty_data"
    CRUMBS = "crumbs"
    PRIORITY = "priority"
    WINDOW_UPDATES = "window_updates"
    CONTINUATION = "continuation"
    UNKNOWN = "unknown_frames"


class FloodError(ProtocolError):
    """Ends the connection with ENHANCE_YOUR_CALM."""

    error_code = ErrorCodes.ENHANCE_YOUR_CALM

    def __init__(self, flood: Flood) -> None:
        super().__init__(f"too many {flood}")
        self.flood = flood

    @property
    def debug_data(self) -> bytes:
        """What the GOAWAY says: at `too_many_pings` gRPC's clients send their keepalive PINGs less often."""
        return str(self).replace(" ", "_").encode()


BUDGETS: Mapping[Flood, int] = {
    Flood.PINGS: 1000,
    Flood.SETTINGS: 100,
    Flood.EMPTY_DATA: 1000,
    Flood.CRUMBS: 1000,
    Flood.PRIORITY: 1000,
    Flood.WINDOW_UPDATES: 1000,
    Flood.UNKNOWN: 1000,
}
"""Frames per WINDOW_S. A well-behaved client stays below a tenth of each."""
PER_DATA_FRAME = 10
"""PINGs and WINDOW_UPDATEs a client may send besides for each DATA frame it got from us (Envoy's figure).
A large frame counts as several (`flow`), the end of a call as one (`call`)."""
SUSPECT_RESETS = 8
"""In the window. Whoever resets more, and over half, is served slowly until its budget ends it."""
MAX_PING_STRIKES = 2
"""PINGs that come too soon with nothing sent between: gRPC's servers end the connection at the third."""


class FrameBudget:
    """The counts of one connection. Times are seconds of one monotonic clock."""

    __slots__ = ("_counts", "_data_before", "_max_resets", "_opened", "_ping_interval_s", "_pinged", "_since",
                 "_strikes")  # fmt: skip

    def __init__(self, max_resets: int, ping_interval_s: float) -> None:
        self._max_resets = max_resets
        self._ping_interval_s = ping_interval_s
        self._since = float("-inf")
        self._counts: dict[Flood, int] = {}
        self._opened = 0
        self._data_before = -1
        self._pinged = (float("-inf"), 0)
        self._strikes = 0

    def __repr__(self) -> str:
        return f"<FrameBudget {self._counts} opened={self._opened} strikes={self._strikes}>"

    def opened(self, now: float) -> None:
        """The peer opened a stream."""
        self._roll(now)
        self._opened += 1

    def reset(self, now: float) -> None:
        """A stream was reset soon after it was opened, or by us for the peer's fault. Raises FloodError.

        Only past half of the streams it opened: who cancels some of very many calls floods nobody.
        """
        resets = self._count(Flood.RESETS, now)
        if resets > self._max_resets and 2 * resets > self._opened:
            raise FloodError(Flood.RESETS)

    @property
    def suspect(self) -> bool:
        """More resets than chance brings, and over half: a flood, or callers in distress."""
        resets = self._counts.get(Flood.RESETS, 0)
        return resets > SUSPECT_RESETS and 2 * resets > self._opened

    def charge(self, kind: Flood, now: float, frames: int = 1) -> None:
        """Frames of a kind that nothing of ours causes. Raises FloodError."""
        if self._count(kind, now, frames) > BUDGETS[kind]:
            raise FloodError(kind)

    def window_update(self, now: float, data_frames: int) -> None:
        """`data_frames`: DATA frames we sent on this connection so far. Raises FloodError."""
        self._charge_beside_data(Flood.WINDOW_UPDATES, now, data_frames)

    def ping(self, now: float, data_frames: int) -> None:
        """Like `window_update`; and one too soon after the last, with nothing sent between, is a strike."""
        self._charge_beside_data(Flood.PINGS, now, data_frames)
        last, data_then = self._pinged
        self._pinged = (now, data_frames)
        if data_frames != data_then:
            self._strikes = 0
        elif now - last < self._ping_interval_s:
            self._strikes += 1
            if self._strikes > MAX_PING_STRIKES:
                raise FloodError(Flood.PINGS)

    def _charge_beside_data(self, kind: Flood, now: float, data_frames: int) -> None:
        count = self._count(kind, now)
        if self._data_before < 0:
            self._data_before = data_frames
        if count > BUDGETS[kind] + PER_DATA_FRAME * (data_frames - self._data_before):
            raise FloodError(kind)

    def _count(self, kind: Flood, now: float, frames: int = 1) -> int:
        self._roll(now)
        count = self._counts[kind] = self._counts.get(kind, 0) + frames
        return count

    def _roll(self, now: float) -> None:
        if now - self._since >= WINDOW_S:
            self._since = now
            self._counts.clear()
            self._opened = 0
            self._data_before = -1
