"""A message as the caller asked for it, after decoding and before any check (spec §2, SmsRequest)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Message:
    """One SMS request. Not frozen: the field checks normalise addresses in place (spec §2.5)."""

    app_id: int
    route_id: int
    """The API's `esme`: a link or a pool."""
    saddr: str
    daddr: str
    text: str
    transaction_id: str = ""
    task_id: int = 0
    ston: int | None = None
    snpi: int | None = None
    dton: int | None = None
    dnpi: int | None = None
    sent_at: int = 0
    strategy: str = ""
