"""What the policy tests share: builders, a clock turned by hand, a transaction over a plain dict."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

from smsproxy.policy.base import PolicyRequest
from smsproxy.policy.days import Moment, moment_at
from smsproxy.policy.strategies import Strategy

CP1 = Strategy("cp1", daily_max=1, weekly_max=3, blacklist=True)
ONBUILD_CP1 = Strategy("onbuild_cp1", counts_as="cp1", blacklist=True, mode="count")
CP2 = Strategy("cp2", duplicate_window_s=86_400)
BLACKLIST = Strategy("blacklist", blacklist=True)
SHIPPED = (CP1, ONBUILD_CP1, CP2, BLACKLIST)


def an_id(n: int) -> bytes:
    return uuid.UUID(int=n, version=4).bytes


def a_request(
    n: int = 1,
    strategy: str = "cp1",
    *,
    daddr: str = "998901234567",
    saddr: str = "BRAND",
    app_id: int = 1,
    text: str = "hello",
) -> PolicyRequest:
    """Message number `n`; requests with different numbers are different messages."""
    return PolicyRequest(an_id(n), strategy, app_id, daddr, saddr, hashlib.sha256(text.encode()).digest())


def at(text: str, zone: str = "UTC") -> float:
    """Unix seconds of a wall clock reading, ``2026-11-21 10:00``."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def moment(text: str, zone: str = "UTC") -> Moment:
    return moment_at(at(text, zone), ZoneInfo(zone))


@dataclass
class HandClock:
    now: float = field(default_factory=lambda: at("2026-11-18 12:00"))  # a Wednesday

    def __call__(self) -> float:
        return self.now


@dataclass
class DictTransaction:
    """A transaction that keeps everything, and forgets at the very second it may."""

    now: float = 0.0
    data: dict[bytes, tuple[bytes, float]] = field(default_factory=dict)

    def get(self, key: bytes) -> bytes | None:
        value, expires_at = self.data.get(key, (b"", 0.0))
        return value if expires_at > self.now else None

    def put(self, key: bytes, value: bytes, expires_at: float) -> None:
        self.data[key] = (value, expires_at)

    def delete(self, key: bytes) -> None:
        self.data.pop(key, None)

    def keys(self, prefix: bytes) -> list[bytes]:
        return sorted(key for key in self.data if key.startswith(prefix) and self.get(key) is not None)
