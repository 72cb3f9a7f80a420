"""What a policy engine and a key-value store are built from in the contract suites.

A new engine or key-value store is one function here and one name in ENGINES or KEY_VALUES; the suites run
unchanged against it.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol, TypeVar

import pytest

from smsproxy.domain.errors import StoreUnavailableError
from smsproxy.obs.log import get_log
from smsproxy.policy.base import KeyValue, PolicyEngine, PolicyRequest, Transaction
from smsproxy.policy.blacklist import Blacklist
from smsproxy.policy.embedded import EmbeddedState
from smsproxy.policy.engine import ContactPolicy
from smsproxy.policy.http import HttpState
from smsproxy.policy.memory import MemoryKeyValue
from smsproxy.policy.shared import SharedState
from smsproxy.policy.strategies import Strategy
from smsproxy.remote.remote import Remote
from smsproxy.remote.url import parse_url
from smsproxy.stores.sqlite_kv import SqliteKeyValue
from tests.policy_service import PolicyService
from tests.redis_kit import RedisServer

R = TypeVar("R")

LISTED = "998900000000"


class HandClock:
    """Unix seconds, turned by hand. It begins on a Wednesday at noon UTC."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 18, 12, tzinfo=UTC).timestamp()

    def __call__(self) -> float:
        return self.now


# --- key-value stores -------------------------------------------------------------------------------------

KeyValueFactory = Callable[[HandClock, Path], AbstractAsyncContextManager[KeyValue]]


@asynccontextmanager
async def memory_key_value(clock: HandClock, _directory: Path) -> AsyncIterator[KeyValue]:
    yield MemoryKeyValue(clock)


@asynccontextmanager
async def sqlite_key_value(clock: HandClock, directory: Path) -> AsyncIterator[KeyValue]:
    kv = SqliteKeyValue(directory / "policy.db", clock)
    await kv.open()
    try:
        yield kv
    finally:
        await kv.close()


KEY_VALUES: dict[str, KeyValueFactory] = {"memory": memory_key_value, "sqlite": sqlite_key_value}


# --- engines ----------------------------------------------------------------------------------------------


class PolicyBench(Protocol):
    """One engine under test, and the switch that takes its state away."""

    engine: PolicyEngine

    def reload(self, *strategies: Strategy, timezone: str = "UTC") -> None:
        """Give the engine these strategies."""

    def go_away(self) -> None:
        """From now on the state cannot be reached."""

    def come_back(self) -> None:
        """It can again; what was counted is still there."""


BenchFactory = Callable[[HandClock, Path, pytest.FixtureRequest], AbstractAsyncContextManager[PolicyBench]]
"""The request is for fixtures that only one engine needs."""


@dataclass
class SwitchedKeyValue:
    """A key-value store with a plug to pull."""

    kv: KeyValue
    away: bool = False

    async def transact(self, work: Callable[[Transaction], R]) -> R:
        if self.away:
            raise StoreUnavailableError("unplugged")
        return await self.kv.transact(work)


@dataclass
class EmbeddedBench:
    engine: ContactPolicy
    kv: SwitchedKeyValue

    def reload(self, *strategies: Strategy, timezone: str = "UTC") -> None:
        self.engine.reload(strategies, timezone)

    def go_away(self) -> None:
        self.kv.away = True

    def come_back(self) -> None:
        self.kv.away = False


def embedded_over(make_kv: KeyValueFactory) -> BenchFactory:
    @asynccontextmanager
    async def bench(
        clock: HandClock, directory: Path, _request: pytest.FixtureRequest
    ) -> AsyncIterator[PolicyBench]:
        async with make_kv(clock, directory) as inner:
            kv = SwitchedKeyValue(inner)
            engine = ContactPolicy([], "UTC", EmbeddedState(kv), clock, Blacklist([int("1" + LISTED)]))
            yield EmbeddedBench(engine, kv)

    return bench


@dataclass
class HttpBench:
    engine: ContactPolicy
    service: PolicyService

    def reload(self, *strategies: Strategy, timezone: str = "UTC") -> None:
        self.engine.reload(strategies, timezone)
        enforcing = [replace(one, shadow=False, on_error="refuse") for one in strategies]
        self.service.policy.reload(enforcing, timezone)

    def go_away(self) -> None:
        self.service.fault = "status 500"

    def come_back(self) -> None:
        self.service.fault = ""


@asynccontextmanager
async def http_bench(
    clock: HandClock, _directory: Path, _request: pytest.FixtureRequest
) -> AsyncIterator[PolicyBench]:
    """Over a service that judges by the same rules. One call at a time, or a batch has no order."""
    with PolicyService(clock=clock) as service:
        state = HttpState(service.url, timeout_s=10.0, concurrency=1, changed=lambda back, why: None)
        engine = ContactPolicy([], "UTC", state, clock, Blacklist([int("1" + LISTED)]))
        yield HttpBench(engine, service)
        await engine.aclose()


ENGINES: dict[str, BenchFactory] = {
    f"embedded-{name}": embedded_over(make_kv) for name, make_kv in KEY_VALUES.items()
}
ENGINES["http"] = http_bench


@dataclass
class RedisBench:
    engine: ContactPolicy
    remote: Remote

    def reload(self, *strategies: Strategy, timezone: str = "UTC") -> None:
        self.engine.reload(strategies, timezone)

    def go_away(self) -> None:
        self.remote.breaker.open()

    def come_back(self) -> None:
        self.remote.breaker.close()


@asynccontextmanager
async def redis_bench(
    clock: HandClock, _directory: Path, request: pytest.FixtureRequest
) -> AsyncIterator[PolicyBench]:
    server: RedisServer = request.getfixturevalue("redis")
    remote = Remote(parse_url(server.url), get_log("test"))
    state = SharedState(remote, timeout_s=5.0)
    engine = ContactPolicy([], "UTC", state, clock, Blacklist([int("1" + LISTED)]))
    yield RedisBench(engine, remote)
    assert server.keys_without_ttl() == []
    await remote.aclose()


ENGINES["redis"] = redis_bench


# --- fixtures ---------------------------------------------------------------------------------------------


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture(params=sorted(KEY_VALUES))
async def key_value(
    request: pytest.FixtureRequest, clock: HandClock, tmp_path: Path
) -> AsyncIterator[KeyValue]:
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(KEY_VALUES[request.param](clock, tmp_path))


@pytest.fixture(params=sorted(ENGINES))
async def bench(
    request: pytest.FixtureRequest, clock: HandClock, tmp_path: Path
) -> AsyncIterator[PolicyBench]:
    async with AsyncExitStack() as stack:
        made = await stack.enter_async_context(ENGINES[request.param](clock, tmp_path, request))
        made.reload(
            Strategy("cp1", daily_max=1, weekly_max=3, blacklist=True),
            Strategy("onbuild_cp1", counts_as="cp1", blacklist=True, mode="count"),
            Strategy("cp2", duplicate_window_s=86_400),
            Strategy("blacklist", blacklist=True),
            Strategy("look", counts_as="cp1", mode="check"),
            Strategy("soft", daily_max=1, on_error="allow"),
            Strategy("trial", daily_max=1, shadow=True),
        )
        yield made


class Ask(Protocol):
    """Builds a request: message number `n`, everything else alike unless said."""

    def __call__(
        self,
        n: int = 1,
        strategy: str = "cp1",
        *,
        daddr: str = "998901234567",
        saddr: str = "BRAND",
        app_id: int = 1,
        text: str = "hello",
    ) -> PolicyRequest: ...


@pytest.fixture
def ask() -> Ask:
    def build(
        n: int = 1,
        strategy: str = "cp1",
        *,
        daddr: str = "998901234567",
        saddr: str = "BRAND",
        app_id: int = 1,
        text: str = "hello",
    ) -> PolicyRequest:
        digest = hashlib.sha256(text.encode()).digest()
        return PolicyRequest(uuid.UUID(int=n, version=4).bytes, strategy, app_id, daddr, saddr, digest)

    return build


@pytest.fixture
def listed() -> str:
    """A number on the blacklist of every engine."""
    return LISTED
