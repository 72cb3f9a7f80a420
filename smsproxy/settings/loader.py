"""Loading: from a path to Settings, or to every fault at once (spec §3).

Who calls: every command of the CLI, and the SIGHUP reload.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from smsproxy.settings.apps import AppSettings, check_app
from smsproxy.settings.build import as_table, build, unknown_key
from smsproxy.settings.checks import (
    check_accounts,
    check_anything_to_do,
    check_files,
    check_instances,
    check_references,
)
from smsproxy.settings.client_certs import check_client_certificates
from smsproxy.settings.faults import ConfigError, Fault, KeyPath, Report
from smsproxy.settings.fields import Section
from smsproxy.settings.limits import LimitsSettings, check_limits
from smsproxy.settings.links import LinkSettings, PoolSettings, check_link
from smsproxy.settings.policy import (
    SHIPPED,
    BlacklistSettings,
    PolicySettings,
    StrategySettings,
    check_policy,
)
from smsproxy.settings.root import Settings
from smsproxy.settings.server import HttpSettings, ServerSettings, check_listeners, check_server
from smsproxy.settings.sources import Sources, Table, read_sources
from smsproxy.settings.store import StoreSettings, check_store
from smsproxy.settings.text import TextSettings

ENVIRONMENT_KEY = "SMSPROXY_CONFIG"
SEARCHED = (Path("config/smsproxy.toml"), Path("/etc/smsproxy/smsproxy.toml"))

_SECTIONS = ("server", "http", "apps", "text", "limits", "policy", "store", "links", "pools")
_MAX_ID = 2**63 - 1  # ids are int64 in the API
_MAX_STRATEGY_NAME = 64

SectionT = TypeVar("SectionT", bound=Section)
Check = Callable[[SectionT, KeyPath, Report], None]


def default_path(
    explicit: Path | None, environ: Mapping[str, str], searched: Sequence[Path] = SEARCHED
) -> Path:
    """The configuration to use: --config, else SMSPROXY_CONFIG, else the first that exists (spec §7).

    Raises ConfigError when there is none. A file named by the first two is not looked for here: `load` says
    that it is missing.
    """
    if explicit is not None:
        return explicit
    named = environ.get(ENVIRONMENT_KEY, "")
    if named:
        return Path(named)
    for path in searched:
        if path.is_file():
            return path
    tried = " nor ".join(map(str, searched))
    message = f"no configuration: neither {tried} exists; name one with --config FILE or {ENVIRONMENT_KEY}"
    raise ConfigError([Fault(str(searched[-1]), "", message)])


def load(path: Path, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read, check and resolve a configuration. Raises ConfigError with every fault found."""
    sources = read_sources(path)
    report = Report(sources.origins)
    report.faults.extend(sources.faults)
    settings = _Loader(sources, report, environ).settings()
    check_files(settings, report)
    if not sources.faults:
        check_references(settings, report)
        check_client_certificates(settings, report)
        check_accounts(settings, report)
        check_instances(settings, report)
        check_policy(settings.policy, settings.limits.redis_url, ("policy",), report)
        check_anything_to_do(settings, report)
    if report.faults:
        raise ConfigError(report.faults)
    return replace(settings, warnings=tuple(report.warnings))


class _Loader:
    """The joined tables of one load, on their way into models."""

    def __init__(self, sources: Sources, report: Report, environ: Mapping[str, str]) -> None:
        self._tables = sources.tables
        self._files = tuple(sources.files)
        self._report = report
        self._environ = environ

    def settings(self) -> Settings:
        for key in [key for key in self._tables if key not in _SECTIONS]:  # in the order of the file
            self._report.fault((key,), unknown_key(key, _SECTIONS))
        settings = Settings(
            server=self._section(ServerSettings, "server"),
            http=self._section(HttpSettings, "http"),
            apps=self._by_id(AppSettings, "apps", check_app),
            text=self._section(TextSettings, "text"),
            limits=self._section(LimitsSettings, "limits"),
            policy=self._policy(),
            store=self._section(StoreSettings, "store"),
            links=self._by_id(LinkSettings, "links", check_link),
            pools=self._by_id(PoolSettings, "pools"),
            files=self._files,
        )
        check_server(settings.server, ("server",), self._report)
        check_listeners(settings.server, settings.http, self._report)
        check_store(settings.store, ("store",), self._report)
        check_limits(settings.limits, ("limits",), self._report)
        return settings

    def _section(self, model: type[SectionT], name: str) -> SectionT:
        return self._built(model, self._tables.get(name, {}), (name,))

    def _built(self, model: type[SectionT], raw: object, at: KeyPath) -> SectionT:
        return build(model, raw, at, self._report, self._environ)

    def _by_id(
        self, model: type[SectionT], name: str, check: Check[SectionT] | None = None
    ) -> dict[int, SectionT]:
        """apps, links and pools: TOML keys are text, ours are integers."""
        found: dict[int, SectionT] = {}
        for key, raw in as_table(self._tables.get(name, {}), (name,), self._report).items():
            at = (name, key)
            number = _id(key)
            if number is None:
                self._report.fault(at, f"an id is an integer from 1 to {_MAX_ID}, without leading zeros")
            section = self._built(model, raw, at)
            if check is not None:
                check(section, at, self._report)
            if number is not None:
                found[number] = section
        return found

    def _policy(self) -> PolicySettings:
        """[policy] with its own tables built first, each with the file it came from."""
        at = ("policy",)
        table = as_table(self._tables.get("policy", {}), at, self._report)
        raw = as_table(table.pop("strategies", {}), (*at, "strategies"), self._report)
        blacklist = self._built(BlacklistSettings, table.pop("blacklist", {}), (*at, "blacklist"))
        policy = self._built(PolicySettings, table, at)
        return policy.model_copy(update={"strategies": self._strategies(raw), "blacklist": blacklist})

    def _strategies(self, raw: Table) -> dict[str, StrategySettings]:
        strategies = dict(SHIPPED)
        for name, table in raw.items():
            at = ("policy", "strategies", name)
            if not (0 < len(name) <= _MAX_STRATEGY_NAME and name.isascii() and name.isprintable()):
                self._report.fault(
                    at, f"a strategy's name has 1 to {_MAX_STRATEGY_NAME} printable ASCII characters"
                )
            strategies[name] = self._built(StrategySettings, table, at)
        return strategies


def _id(key: str) -> int | None:
    canonical = key.isascii() and key.isdigit() and not key.startswith("0") and len(key) <= 19
    return int(key) if canonical and int(key) <= _MAX_ID else None
