"""From Settings to parts: which class, with which numbers. Called by app.py, and by the
commands that look at what a daemon keeps.

What needs the packages redis or aerospike is imported only where the settings ask for it: each costs a tenth
of the start.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from smsproxy.aio.server_tls import H2, HTTP_1, TlsFiles, server_context
from smsproxy.domain.ids import id_text
from smsproxy.limits.gcra import Gcra
from smsproxy.limits.local import LocalLimits
from smsproxy.links.base import MakeShaper, Shaper
from smsproxy.obs.log import get_log
from smsproxy.pipeline.pipeline import PipelineOptions
from smsproxy.policy import blacklist
from smsproxy.policy.added import AddedInStore, AddedNumbers
from smsproxy.policy.base import KeyValue, PolicyRequest, Verdict
from smsproxy.policy.embedded import EmbeddedState
from smsproxy.policy.engine import ContactPolicy
from smsproxy.policy.memory import MemoryKeyValue
from smsproxy.policy.state import PolicyState
from smsproxy.policy.strategies import Strategy
from smsproxy.rpc.options import RpcOptions
from smsproxy.settings import (
    ConfigError,
    Fault,
    LinkSettings,
    PolicySettings,
    ServerSettings,
    Settings,
    all_need_certificates,
)
from smsproxy.stores.base import Store
from smsproxy.stores.memory import MemoryStore
from smsproxy.stores.readout import Readout
from smsproxy.stores.sqlite import SqliteStore
from smsproxy.stores.sqlite_kv import SqliteKeyValue
from smsproxy.stores.sqlite_readout import SqliteReadout

if TYPE_CHECKING:
    from smsproxy.limits.source import TokenSource
    from smsproxy.policy.shared_added import SharedAdded
    from smsproxy.remote.remote import Remote


def record_store(settings: Settings) -> Store:
    url = settings.store.url
    if url.kind == "aerospike":
        return _aerospike_store(settings)
    if url.path is not None:
        return SqliteStore(url.path, retention_s=settings.store.retention_s)
    return MemoryStore(retention_s=settings.store.retention_s)


def _aerospike_store(settings: Settings) -> Store:
    from smsproxy.stores.aerospike import AerospikeStore
    from smsproxy.stores.aerospike_check import Place

    store = settings.store
    password = store.password.octets().decode(errors="replace")
    return AerospikeStore(
        Place(store.url.hosts, store.url.namespace, store.user, password, store.tls_name),
        retention_s=store.retention_s,
        instance=settings.server.instance_name(socket.gethostname()),
    )


def readout(settings: Settings) -> Readout | None:
    """The record store for reading from outside the daemon; None where it has no outside."""
    path = settings.store.url.path
    return None if path is None else SqliteReadout(path)


def key_value(settings: Settings) -> KeyValue:
    """The embedded policy's counters: in their own file beside the store, in memory beside `memory:`."""
    path = settings.policy_path
    return SqliteKeyValue(Path(path), time.time) if path else MemoryKeyValue(time.time)


def policy_redis(settings: Settings) -> Remote | None:
    """The Redis that the contact policy shares, with connections of its own; None when there is none."""
    url = settings.policy_redis
    if url is None:
        return None
    from smsproxy.remote.remote import Remote

    return Remote(url, get_log("smsproxy.policy"))


def shared_added(remote: Remote) -> SharedAdded:
    from smsproxy.policy.shared_added import SharedAdded

    return SharedAdded(remote)


def added_numbers(kv: KeyValue, remote: Remote | None) -> AddedNumbers:
    """Where daemons and `smsproxy blacklist` meet."""
    return AddedInStore(kv) if remote is None else shared_added(remote)


def policy_state(settings: PolicySettings, kv: KeyValue, remote: Remote | None) -> PolicyState:
    """The engine of [policy]. Those that need a client are imported where they are asked for."""
    if settings.engine == "redis" and remote is not None:
        from smsproxy.policy.shared import SharedState

        return SharedState(remote)
    if settings.engine == "http":
        from smsproxy.policy.http import HttpState

        return HttpState(settings.url, settings.timeout_ms / 1000, settings.concurrency, _log_service)
    return EmbeddedState(kv)


def _log_service(back: bool, reason: str) -> None:
    log = get_log("smsproxy.policy")
    if back:
        log.info("policy_service_back")
    else:
        log.warning("policy_service_away", reason=reason)


def contact_policy(settings: PolicySettings, state: PolicyState) -> ContactPolicy:
    return ContactPolicy(
        strategies(settings),
        settings.timezone,
        state,
        time.time,
        blacklist.Blacklist(),
        on_shadow=_log_shadow,
    )


def _log_shadow(request: PolicyRequest, verdict: Verdict) -> None:
    """What a strategy in shadow mode would have refused: by id, never by number (P10)."""
    get_log("smsproxy.policy").info(
        "policy_shadow_verdict",
        strategy=request.strategy,
        verdict=verdict.value,
        app_id=request.app_id,
        message_id=id_text(request.message_id),
    )


def strategies(settings: PolicySettings) -> list[Strategy]:
    return [
        Strategy(
            name,
            one.daily_max or None,
            one.weekly_max or None,
            one.duplicate_window_s,
            one.blacklist,
            one.counts_as,
            one.mode,
            one.scope,
            one.shadow,
            one.on_error or settings.on_error,
        )
        for name, one in settings.strategies.items()
    ]


def app_rates(settings: Settings) -> dict[int, tuple[int, int]]:
    return {app_id: (app.rate_per_s, app.burst) for app_id, app in settings.apps.items()}


def redis(settings: Settings) -> Remote | None:
    """The Redis that instances share; None when the settings name none."""
    url = settings.limits.redis
    if url is None:
        return None
    from smsproxy.remote.remote import Remote

    return Remote(url, get_log("smsproxy.redis"))


@dataclass(frozen=True, slots=True)
class Limits:
    """What polices and what shapes; `source` where both are shared."""

    admission: LocalLimits
    make_shaper: MakeShaper
    source: TokenSource | None = None

    def reload(self, settings: Settings) -> None:
        """SIGHUP: rates, and what holds while Redis is away."""
        self.admission.reload(settings.limits.process_rate_per_s, app_rates(settings))
        if self.source is not None:
            self.source.instances = settings.limits.instances
            self.source.refuse_when_away = settings.limits.on_redis_loss == "refuse"


def limits(settings: Settings, remote: Remote | None) -> Limits:
    rate_per_s, apps = settings.limits.process_rate_per_s, app_rates(settings)
    if remote is None:
        return Limits(LocalLimits(rate_per_s, apps), _local_shaper)
    from smsproxy.limits.shared import SharedLimits, link_bucket
    from smsproxy.limits.source import TokenSource

    refuse = settings.limits.on_redis_loss == "refuse"
    log = get_log("smsproxy.limits")
    source = TokenSource(remote, log, instances=settings.limits.instances, refuse_when_away=refuse)

    def shaper(
        link_id: int,
        link: LinkSettings,
        waiting: Callable[[], int],
        hurried: Callable[[], bool],
        wake: Callable[[], None],
    ) -> Shaper:
        rate_per_s, burst = link.rate_per_s, link.burst
        return link_bucket(link_id, rate_per_s, burst, source, waiting=waiting, hurried=hurried, wake=wake)

    return Limits(SharedLimits(rate_per_s, apps, source), shaper, source)


def _local_shaper(_link_id: int, settings: LinkSettings, *_: Callable[[], object]) -> Gcra:
    return Gcra(settings.rate_per_s, settings.burst)


def rpc_options(server: ServerSettings) -> RpcOptions:
    return RpcOptions(
        stream_window=server.stream_window,
        stream_reorder_max=server.stream_reorder_max,
        max_message_bytes=server.max_message_bytes,
        default_deadline_s=server.default_deadline_s,
        max_connections=server.max_connections,
        max_connections_per_address=server.max_connections_per_address,
        max_resets_per_10s=server.max_resets_per_10s,
        first_byte_s=server.first_byte_s,
        message_s=server.message_s,
        idle_s=server.idle_s,
        max_age_s=server.max_age_s,
        reuse_port=server.reuse_port,
        trusted_proxies=server.trusted_proxies,
    )


def listener_tls(settings: Settings) -> tuple[ssl.SSLContext | None, ssl.SSLContext | None]:
    """For gRPC and for HTTP; None is plaintext. Reads files; raises ConfigError that names key and file."""
    server, http = settings.server, settings.http
    required = all_need_certificates(settings)
    grpc_files = TlsFiles(server.tls_cert_file, server.tls_key_file, server.tls_client_ca_file, required)
    http_files = TlsFiles(http.tls_cert_file, http.tls_key_file)
    return _context("server", grpc_files, H2), _context("http", http_files, HTTP_1)


def _context(section: str, files: TlsFiles, protocol: str) -> ssl.SSLContext | None:
    if not files.cert:
        return None
    try:
        return server_context(files, protocol)
    except OSError as error:
        raise ConfigError([Fault("", f"{section}.tls_cert_file", str(error))]) from error


def pipeline_options(settings: Settings) -> PipelineOptions:
    return PipelineOptions(settings.server.max_in_flight, int(settings.limits.max_wait_ms))
