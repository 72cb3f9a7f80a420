"""The token check, and the endpoint that gives tokens for secrets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from smsproxy.obs.metrics.metric import Items, Metric, by_label, counter


class AuthView(Protocol):
    """The token check (auth.doorkeeper.Doorkeeper)."""

    @property
    def verified(self) -> int: ...
    @property
    def remembered_hits(self) -> int: ...
    @property
    def refused(self) -> Items: ...
    @property
    def refused_by_memory(self) -> int: ...
    @property
    def delayed(self) -> int: ...
    @property
    def lines_dropped(self) -> int: ...


class GrantView(Protocol):
    """The token endpoint (auth.grants.Grants)."""

    @property
    def granted(self) -> int: ...
    @property
    def refused(self) -> Items: ...
    @property
    def lines_dropped(self) -> int: ...


def auth_metrics(auth: AuthView) -> Iterator[Metric]:
    """The token check (spec §2.6). Callers get one text for all reasons; these are for operators."""
    yield counter("tokens_verified_total", "Signatures checked.", auth.verified)
    yield counter("tokens_remembered_total", "Tokens known from before.", auth.remembered_hits)
    yield by_label("tokens_refused_total", "Tokens refused.", "reason", auth.refused.items())
    yield counter(
        "tokens_refused_by_memory_total", "Tokens refused that were bad before.", auth.refused_by_memory
    )
    yield counter(
        "tokens_delayed_total", "New tokens that waited beside bad ones of their address.", auth.delayed
    )
    yield counter("auth_log_lines_dropped_total", "Failures without a log line.", auth.lines_dropped)


def grant_metrics(grants: GrantView) -> Iterator[Metric]:
    """The token endpoint (RFC 6749)."""
    yield counter("tokens_granted_total", "Tokens given for a secret.", grants.granted)
    yield by_label("token_requests_refused_total", "Token requests refused.", "error", grants.refused.items())
    yield counter("grant_log_lines_dropped_total", "Refusals without a log line.", grants.lines_dropped)
