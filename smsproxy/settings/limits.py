"""[limits]: how fast this process may take requests, and how limits are shared (spec §4).

Who reads it: limits, and links for the longest wait of unary calls.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from smsproxy.settings.fields import Section, check_url


def _redis_url(text: str) -> str:
    if text:
        check_url(text, ("redis", "rediss"))
    return text


class LimitsSettings(Section):
    """[limits]"""

    redis_url: Annotated[str, AfterValidator(_redis_url)] = Field(
        "",
        description="Redis for limits over all instances, redis:// or rediss://; empty is this process.",
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
