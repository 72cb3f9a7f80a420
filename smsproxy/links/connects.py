"""At most five connects a second to one host, over all links of this process. Pure: time is an argument.

An SMSC that comes back after a fault would else see every session of every link in the same instant, and a
fleet that binds at once is what locks accounts. First come, first served: a runner asks once for each
connect and nobody overtakes it. Shared by the runners; built by the supervisor.
"""

from __future__ import annotations

from collections import deque

CONNECTS_PER_S = 5
"""To one host, however many links and ports lead there: what providers' pages call a polite client."""
_PERIOD_S = 1.0


class ConnectLimiter:
    """Which moment a connect to a host may be made at. Seconds of one monotonic clock."""

    __slots__ = ("_given",)

    def __init__(self) -> None:
        self._given: dict[str, deque[float]] = {}
        """The last five moments given for a host. A host that was quiet for a second is forgotten."""

    def __repr__(self) -> str:
        return f"<ConnectLimiter hosts={len(self._given)}>"

    def delay(self, host: str, now: float) -> float:
        """Seconds to wait with this connect, 0 for none. The moment is the caller's, whether used or not.

        In no second are more than five given. Every caller waits for the one before it at most, and each of
        them is a session, so the line is as long as there are sessions.
        """
        self._forget_quiet_hosts(now)
        given = self._given.setdefault(host.lower(), deque(maxlen=CONNECTS_PER_S))
        at = max(now, given[0] + _PERIOD_S) if len(given) == CONNECTS_PER_S else now
        given.append(at)
        return at - now

    def _forget_quiet_hosts(self, now: float) -> None:
        quiet = [host for host, given in self._given.items() if given[-1] + _PERIOD_S <= now]
        for host in quiet:
            del self._given[host]
