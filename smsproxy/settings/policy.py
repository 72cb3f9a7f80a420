"""[policy]: the contact policy's engine, its strategies, and the blacklist files (spec §5).

The four shipped strategies exist without any table; an operator's table of the same name replaces one whole.
Who reads it: policy, and the field check for strategy names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field

from smsproxy.remote.url import parse_url
from smsproxy.settings.faults import KeyPath, Report
from smsproxy.settings.fields import AsTuple, FileRef, Printable, Section, check_url


def _time_zone(name: str) -> str:
    if name == "UTC":  # known without a time zone database
        return name
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # not found; not a key; a directory of the database
        raise ValueError(f"{name!r} is not a time zone like Europe/Tallinn") from None
    return name


def _service_url(text: str) -> str:
    """Of engine http or redis; `check_policy` knows which."""
    if text.startswith(("http://", "https://")):
        check_url(text, ("http", "https"))
    elif text.startswith(("redis", "unix:")):
        parse_url(text)
    elif text:
        raise ValueError("must begin with http:// or https://, or be the URL of a Redis")
    return text


class StrategySettings(Section):
    """One row of rules. Caps of 0 do not apply."""

    daily_max: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="Messages a calendar day, 0 is no cap; a million to one number is none.",
    )
    weekly_max: int = Field(
        0, ge=0, le=1_000_000, description="Messages an ISO week, 0 is no cap; bounded like daily_max."
    )
    duplicate_window_s: float = Field(
        0,
        ge=0,
        le=31_622_400,
        description="Seconds the same text of an app is a duplicate, 0 is off; a year at most.",
    )
    blacklist: bool = Field(False, description="Refuse numbers of the blacklist.")
    counts_as: Printable = Field("", max_length=64, description="Count against this strategy's caps.")
    mode: Literal["enforce", "count", "check"] = Field(
        "enforce", description="Caps and duplicates: check and count, count alone, or check alone."
    )
    scope: Literal["recipient", "recipient_app", "recipient_sender"] = Field(
        "recipient", description="Whose messages a cap adds up."
    )
    shadow: bool = Field(False, description="Verdicts are counted and logged, nothing is refused.")
    on_error: Literal["", "refuse", "allow"] = Field(
        "", description="When the engine cannot answer; empty is policy.on_error."
    )


SHIPPED: Mapping[str, StrategySettings] = {
    "cp1": StrategySettings(daily_max=1, weekly_max=3, blacklist=True),
    # The audience was screened when it was built: it counts, and is refused only by the blacklist.
    "onbuild_cp1": StrategySettings(counts_as="cp1", blacklist=True, mode="count"),
    "cp2": StrategySettings(duplicate_window_s=86_400),
    "blacklist": StrategySettings(blacklist=True),
}


class BlacklistSettings(Section):
    """[policy.blacklist]"""

    files: Annotated[tuple[FileRef, ...], AsTuple] = Field(
        ("blacklist.csv",),
        max_length=1000,
        validate_default=True,
        description="Files with a number or prefix* per line, read again on change; a missing one is empty.",
    )


class PolicySettings(Section):
    """[policy]"""

    engine: Literal["embedded", "redis", "http"] = Field("embedded", description="Who keeps the counts.")
    path: FileRef = Field("", description="State of the embedded engine; empty is beside the SQLite store.")
    url: Annotated[str, AfterValidator(_service_url)] = Field(
        "",
        description="The service of engine http; the Redis of engine redis, empty is limits.redis_url.",
    )
    timeout_ms: float = Field(
        200,
        ge=1,
        le=60_000,
        description="Longest wait for the policy service, ms; deadlines are about a minute.",
    )
    concurrency: int = Field(
        64, ge=1, le=10_000, description="Calls to the policy service at once; one connection each."
    )
    on_error: Literal["refuse", "allow"] = Field("refuse", description="When the engine cannot answer.")
    timezone: Annotated[str, AfterValidator(_time_zone)] = Field(
        "UTC", description="Where calendar days and weeks begin and end (IANA name)."
    )
    strategies: dict[str, StrategySettings] = Field(
        default_factory=lambda: dict(SHIPPED),
        description="Strategies by name; the shipped ones are always there.",
    )
    blacklist: BlacklistSettings = Field(
        default_factory=BlacklistSettings, description="The blacklist's files."
    )

    @property
    def engine_keys(self) -> tuple[object, ...]:
        """What an engine is made with: a change needs a restart."""
        return self.engine, self.path, self.url, self.timeout_ms, self.concurrency


def check_policy(policy: PolicySettings, redis_url: str, at: KeyPath, report: Report) -> None:
    """The rules that need more than one key, counts_as included."""
    if policy.engine == "http" and not policy.url and report.clean((*at, "url")):
        report.fault((*at, "url"), 'engine "http" needs the policy service\'s URL')
    clean = report.clean((*at, "url"))
    if policy.url and clean and policy.engine in ({"http", "redis"} - {_engine_of(policy.url)}):
        report.fault((*at, "url"), f'is not for engine "{policy.engine}"')
    if policy.engine == "redis" and not (policy.url or redis_url) and report.clean(("limits", "redis_url")):
        report.fault((*at, "engine"), 'engine "redis" needs policy.url or limits.redis_url')
    for name, strategy in policy.strategies.items():
        wrong = _counts_as_fault(name, strategy, policy.strategies)
        if wrong:
            report.fault((*at, "strategies", name, "counts_as"), wrong)


def _engine_of(url: str) -> str:
    return "http" if url.startswith("http") else "redis"


def _counts_as_fault(
    name: str, strategy: StrategySettings, all_of_them: Mapping[str, StrategySettings]
) -> str:
    if not strategy.counts_as:
        return ""
    target = all_of_them.get(strategy.counts_as)
    if target is None:
        return f"names no strategy: {strategy.counts_as!r}"
    if strategy.counts_as == name:
        return "names the strategy itself"
    return f"{strategy.counts_as!r} itself counts as another strategy" if target.counts_as else ""
