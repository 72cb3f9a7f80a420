"""The process and app limits: one bucket for the process, one for each app that has a rate.

They police (spec §4): one token of each a request, refused at once with the wait. The pipeline asks once a
request; app.py builds it and hands over new rates at SIGHUP. Here all of them are this process' own (L1);
`shared` makes the apps' ones hold over all instances.
"""

from __future__ import annotations

from collections.abc import Mapping

from smsproxy.limits.base import GRANTED, Bucket, Parked
from smsproxy.limits.gcra import Gcra


class LocalLimits:
    """Process and app limits, decided in one synchronous step. Counters are read at scrape time."""

    __slots__ = ("_apps", "_process", "granted", "refused_by_app", "refused_by_process")

    def __init__(self, process_rate_per_s: int, apps: Mapping[int, tuple[int, int]]) -> None:
        """`apps`: app_id -> (rate_per_s, burst); an app that is absent or has rate 0 is unlimited."""
        self._process = Gcra(process_rate_per_s)
        self._apps: dict[int, Bucket] = {}
        self.granted = 0
        self.refused_by_app = 0
        self.refused_by_process = 0
        self.reload(process_rate_per_s, apps)

    def __repr__(self) -> str:
        refused = f"app={self.refused_by_app} process={self.refused_by_process}"
        return f"<LocalLimits process={self._process!r} apps={len(self._apps)} refused {refused}>"

    def admit(self, app_id: int, now_ns: int) -> int:
        """Take one token of the app and one of the process, or none of either.

        0 = granted; else the ns after which both could be had. A request is refused by its app first, so that
        an app over its own rate costs the others nothing.
        """
        app = self._apps.get(app_id)
        if app is not None:
            wait = app.take(now_ns)
            if wait:
                if wait < 0:
                    return wait
                self.refused_by_app += 1
                return max(wait, self._process.wait(now_ns))
        wait = self._process.take(now_ns)
        if wait:
            if app is not None:
                app.give_back()
            self.refused_by_process += 1
            return wait
        self.granted += 1
        return GRANTED

    def reload(self, process_rate_per_s: int, apps: Mapping[int, tuple[int, int]]) -> None:
        """Take new rates. A bucket whose rate and burst are unchanged keeps its state, a new one is full."""
        if self._process.rate_per_s != process_rate_per_s:
            self._process = Gcra(process_rate_per_s)
        self._apps = {
            app_id: self._keep_or_make(app_id, rate_per_s, burst)
            for app_id, (rate_per_s, burst) in apps.items()
            if rate_per_s
        }

    def attach(self, parked: Parked) -> None:
        """Nobody ever waits for limits of this process."""

    def _keep_or_make(self, app_id: int, rate_per_s: int, burst: int) -> Bucket:
        old, new = self._apps.get(app_id), self._make(app_id, rate_per_s, burst)
        if old is not None and (old.rate_per_s, old.burst) == (new.rate_per_s, new.burst):
            return old
        return new

    def _make(self, app_id: int, rate_per_s: int, burst: int) -> Bucket:
        return Gcra(rate_per_s, burst)
