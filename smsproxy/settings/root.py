"""Settings: the whole configuration, read once and checked whole.

Frozen; each part of the daemon gets its own section. Who makes one: `load`; tests build some from sections.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from smsproxy.remote.url import RemoteUrl, parse_url
from smsproxy.settings.apps import AppSettings
from smsproxy.settings.faults import Fault
from smsproxy.settings.limits import LimitsSettings
from smsproxy.settings.links import LinkSettings, PoolSettings
from smsproxy.settings.policy import PolicySettings
from smsproxy.settings.server import HttpSettings, ServerSettings
from smsproxy.settings.store import StoreSettings
from smsproxy.settings.text import TextSettings


@dataclass(frozen=True, slots=True)
class Settings:
    """All sections by the names of spec §3. Compare sections with == to see what a reload changed."""

    server: ServerSettings = field(default_factory=ServerSettings)
    http: HttpSettings = field(default_factory=HttpSettings)
    apps: Mapping[int, AppSettings] = field(default_factory=dict)
    text: TextSettings = field(default_factory=TextSettings)
    limits: LimitsSettings = field(default_factory=LimitsSettings)
    policy: PolicySettings = field(default_factory=PolicySettings)
    store: StoreSettings = field(default_factory=StoreSettings)
    links: Mapping[int, LinkSettings] = field(default_factory=dict)
    pools: Mapping[int, PoolSettings] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    """Every file that was read, the main one first."""

    @property
    def policy_path(self) -> str:
        """Where the contact policy keeps what it must not forget; "" is in memory."""
        beside = self.store.url.path
        return self.policy.path or (f"{beside}.policy" if beside else "")

    @property
    def policy_redis(self) -> RemoteUrl | None:
        """The Redis of the contact policy, password included: where it counts (engine redis), and where its
        blacklist is shared; None is nowhere."""
        own = self.policy.url if self.policy.engine == "redis" else ""
        return parse_url(own) if own else self.limits.redis

    warnings: tuple[Fault, ...] = ()
    """What an operator should know although it loads."""
