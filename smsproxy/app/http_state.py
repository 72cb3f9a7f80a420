"""http.base.HttpState: the daemon as balancers and monitoring see it. Made by App for the HTTP door."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from smsproxy.obs import metrics
from smsproxy.obs.metrics import Metric
from smsproxy.stores.base import Health

if TYPE_CHECKING:
    from smsproxy.app.app import App


class DaemonState:
    """Reads the parts; changes nothing."""

    def __init__(self, app: App) -> None:
        self._app = app

    @property
    def ready(self) -> bool:
        return self._app.core.ready

    @property
    def reason(self) -> str:
        if self._app.stopping:
            return "draining"
        away = self._app.core.store_away
        return f"store away: {away}" if self._app.core.started and away else "starting"

    def links(self) -> Mapping[int, bool]:
        return {link_id: link.bound for link_id, link in self._app.links.directory.links.items()}

    def services(self) -> Mapping[str, bool]:
        shared = {"redis": self._app.redis, "policy_redis": self._app.policy_redis}
        return {name: remote.available for name, remote in shared.items() if remote is not None}

    def collect(self) -> Iterator[Metric]:
        app = self._app
        yield from metrics.message_metrics(app.pipeline)
        yield from metrics.link_metrics(app.links.directory.links.values())
        yield from metrics.store_metrics(app.store.counters)
        if isinstance(app.store, Health):
            yield from metrics.outage_metrics(app.store)
        yield from metrics.policy_metrics(app.policy)
        yield from metrics.limit_metrics(app.limits.admission)
        if app.limits.source is not None:
            yield from metrics.source_metrics(app.limits.source)
        if app.redis is not None:
            yield from metrics.remote_metrics(app.redis)
        yield from metrics.auth_metrics(app.authenticator)
        yield from metrics.grant_metrics(app.grants)
        yield from metrics.rpc_metrics(app.rpc.counters.as_dict())
