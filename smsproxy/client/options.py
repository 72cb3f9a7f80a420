"""The bounds of a client: how long it waits and how often it tries."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """Defaults suit a sender beside the daemon or in the same data centre."""

    timeout_s: float = 30.0
    """A unary call, repeats included; also the deadline the daemon is told. Its own default is 30 s too."""
    connect_timeout_s: float = 5.0
    attempts: int = 3
    """Unary calls: tries when a connection breaks under them. A connect that is refused is tried once."""
    silence_s: float = 120.0
    """A stream without an answer for so long is opened again. Links answer or time out within seconds; the
    longest that a message is made to wait on purpose is three pauses of a throttled link, 30 s each."""
    give_up_s: float = 180.0
    """`send_many`: how long without one answer it keeps reconnecting. A restart takes seconds, a failover
    minutes."""
    reconnect_max_s: float = 5.0
    """Longest pause between two connects; the first is 0.1 s, then it doubles."""
