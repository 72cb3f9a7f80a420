"""The three policy engines as row 31 breaks them: a table for the configuration, faults, and the way back.

`spent_s` is what a broken one may cost a message; tests assert five times that, on two shared cores.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from smsproxy.policy.strategies import Strategy
from tests.policy_service import PolicyService
from tests.redis_kit import RedisServer, redis_server

RULES = (
    Strategy("cp1", daily_max=1, weekly_max=3),
    Strategy("cp2", duplicate_window_s=86_400),
    Strategy("soft", daily_max=1),
    Strategy("trial", daily_max=1),
)
TABLES: dict[str, dict[str, Any]] = {
    "policy.strategies.soft": {"daily_max": 1, "on_error": "allow"},
    "policy.strategies.trial": {"daily_max": 1, "shadow": True},
}


class HttpEngine:
    """An external service."""

    faults = ("down", "slow", "garbage", "status 500")
    tries, spent_s = 15, 0.2

    def __init__(self, service: PolicyService) -> None:
        self.service = service
        self.policy: dict[str, Any] = {"engine": "http", "url": service.url}

    def break_it(self, fault: str) -> None:
        if fault == "down":
            self.service.stop()
        else:
            self.service.fault = fault

    def heal(self, fault: str) -> None:
        if fault == "down":
            self.service.start()
        self.service.fault = ""


class RedisEngine:
    """A server of its own; `deaf` is one that is stopped in its tracks."""

    faults = ("down", "deaf")
    tries, spent_s = 15, 0.2

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self.policy: dict[str, Any] = {"engine": "redis", "url": server.url}

    def break_it(self, fault: str) -> None:
        if fault == "down":
            self._server.stop()
        else:
            os.kill(self._server.pid, signal.SIGSTOP)

    def heal(self, fault: str) -> None:
        if fault == "down":
            self._server.start()
        else:
            os.kill(self._server.pid, signal.SIGCONT)


class EmbeddedEngine:
    """The policy's file, held by somebody else."""

    faults = ("held",)
    tries, spent_s = 3, 1.0  # half a second a unit of work, and a look at the blacklist may be before ours
    policy: dict[str, Any] = {"engine": "embedded"}  # noqa: RUF012 - a constant

    def __init__(self, path: Path) -> None:
        self._path = path
        self._holder: sqlite3.Connection | None = None

    def break_it(self, _fault: str) -> None:
        self._holder = sqlite3.connect(self._path, isolation_level=None, timeout=10)
        self._holder.execute("BEGIN IMMEDIATE")

    def heal(self, _fault: str) -> None:
        if self._holder is not None:
            self._holder.close()


Engine = HttpEngine | RedisEngine | EmbeddedEngine


@contextmanager
def engine_of(name: str, folder: Path) -> Iterator[Engine]:
    """One engine, whole; what was broken is healed at the end, so that it can be ended."""
    with contextlib.ExitStack() as stack:
        engine: Engine
        if name == "http":
            engine = HttpEngine(stack.enter_context(PolicyService(*RULES)))
        elif name == "redis":
            server = stack.enter_context(redis_server())
            engine = RedisEngine(server)
            stack.callback(lambda: os.kill(server.pid, signal.SIGCONT))
        else:
            engine = EmbeddedEngine(folder / "store.db.policy")
        yield engine
