"""[limits]: how fast this process may take requests, and how limits are shared (spec §4).

Rates of apps and links hold over all instances that name the same Redis; process_rate_per_s is each process'
own. Who reads it: limits, and links for the longest wait of unary calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from smsproxy.remote.url import RemoteUrl, parse_url
from smsproxy.settings.faults import KeyPath, Report
from smsproxy.settings.fields import FileRef, SecretField, Section
from smsproxy.settings.secrets import Secret


def _redis_url(text: str) -> str:
    if text:
        parse_url(text)
    return text


class LimitsSettings(Section):
    """[limits]"""

    LOADED_FROM: ClassVar[Mapping[str, str]] = {"redis_password": "redis_password_file"}

    redis_url: Annotated[str, AfterValidator(_redis_url)] = Field(
        "",
        description="Redis for limits over all instances: redis://, rediss://, unix://, redis+sentinel://, "
        "redis+cluster://; empty is this process.",
    )
    redis_password_file: FileRef = Field("", description="File with the password of the URL's user.")
    redis_password: SecretField = Field(
        Secret(), description="The password itself, for development; filled from redis_password_file."
    )
    process_rate_per_s: int = Field(
        0,
        ge=0,
        le=10_000_000,
        description="Requests a second of all apps, 0 is unlimited; ten times a host's best.",
    )
    max_wait_ms: float = Field(
        1000,
        ge=0,
        le=600_000,
        description="Longest wait of a unary call for a link, ms; deadlines are under 10 min.",
    )
    on_redis_loss: Literal["local", "refuse"] = Field(
        "local", description="Without Redis: the configured rate / instances, or refuse."
    )
    instances: int = Field(
        1, ge=1, le=10_000, description="Instances that share the limits; more than 10,000 would be a slip."
    )

    @property
    def redis(self) -> RemoteUrl | None:
        """Where the limits are shared, password included; None: nowhere."""
        if not self.redis_url:
            return None
        url = parse_url(self.redis_url)
        return replace(url, password=self.redis_password.text()) if self.redis_password else url


def check_limits(limits: LimitsSettings, at: KeyPath, report: Report) -> None:
    """The rules that need more than one key."""
    if not limits.redis_url:
        return
    if limits.instances == 1 and limits.on_redis_loss == "local":
        report.warn(
            (*at, "instances"), "is 1: while Redis is away every instance takes the whole of each rate"
        )
    if not parse_url(limits.redis_url).password:
        return
    if limits.redis_password:
        report.fault((*at, "redis_url"), "give a password in it or in redis_password_file, not in both")
    else:
        report.warn(
            (*at, "redis_url"), "its password stands in the file: for development, else redis_password_file"
        )
