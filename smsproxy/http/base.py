"""What the HTTP door asks of the daemon. app.py implements it; nothing here reaches further into the core."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

from smsproxy.domain.grant import Granted
from smsproxy.obs.metrics import Metric


class HttpState(Protocol):
    """The daemon as balancers and monitoring see it. Plain calls in the loop's thread, no I/O."""

    @property
    def ready(self) -> bool:
        """Traffic is taken: true between the start and the beginning of the drain."""
        ...

    @property
    def reason(self) -> str:
        """Why not ready: ``starting``, ``draining``, ``store away: ...``. Only asked when not `ready`."""
        ...

    def links(self) -> Mapping[int, bool]:
        """Every link, and whether a message could be submitted over it now."""
        ...

    def services(self) -> Mapping[str, bool]:
        """What it shares with other instances (``redis``), where that is configured, and whether it is up."""
        ...

    def collect(self) -> Iterable[Metric]:
        """All metrics now (obs.metrics has a function per part)."""
        ...


class TokenGrants(Protocol):
    """Who gives tokens for secrets. Plain calls in the loop's thread, no I/O."""

    def grant(self, client_id: str, readings: Collection[bytes], scope: str, address: str) -> Granted:
        """A token. `readings` are the ways to read what the client sent as its secret, `scope` is "" when it
        asked for none, `address` "" on a Unix socket. Raises GrantRefusedError."""
        ...
