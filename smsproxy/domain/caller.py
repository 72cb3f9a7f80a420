"""Who asks: the caller after authentication."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated app. Past `expires_at` (Unix seconds, leeway already added) the caller is nobody."""

    app_id: int
    expires_at: float
    scopes: frozenset[str] = frozenset({"send", "read"})
    esmes: frozenset[int] = frozenset()
    """Link and pool ids the app may use; empty means all."""
    senders: frozenset[str] = frozenset()
    """Source addresses the app may use; empty means all."""
    client_cert_required: bool = False
    """The token counts only on a connection that showed a certificate of our client CA."""

    def may_use(self, route_id: int) -> bool:
        return not self.esmes or route_id in self.esmes

    def may_send_as(self, saddr: str) -> bool:
        return not self.senders or saddr in self.senders
