"""What the embedded engine adds to the rules: outages, shadow, reloads, counters (the rest is contract)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar
from zoneinfo import ZoneInfoNotFoundError

import pytest
from policy_bench import BLACKLIST, CP1, CP2, SHIPPED, HandClock, a_request, at

from smsproxy.domain.errors import StoreUnavailableError
from smsproxy.policy.base import PolicyEngine, PolicyRequest, PolicyUnavailableError, Transaction, Verdict
from smsproxy.policy.blacklist import Blacklist
from smsproxy.policy.embedded import EmbeddedState
from smsproxy.policy.engine import ContactPolicy
from smsproxy.policy.memory import MemoryKeyValue
from smsproxy.policy.strategies import Strategy

R = TypeVar("R")
OK = Verdict.OK
LISTED = "998900000000"


@dataclass
class FrailKeyValue:
    """Memory that can be away, and that counts how often it is asked."""

    kv: MemoryKeyValue
    away: bool = False
    asked: int = 0

    async def transact(self, work: Callable[[Transaction], R]) -> R:
        self.asked += 1
        if self.away:
            raise StoreUnavailableError("away")
        return await self.kv.transact(work)


@dataclass
class Bench:
    clock: HandClock = field(default_factory=HandClock)
    shadowed: list[tuple[bytes, Verdict]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.kv = FrailKeyValue(MemoryKeyValue(self.clock))

    def engine(self, *strategies: Strategy, timezone: str = "UTC") -> ContactPolicy:
        listed = Blacklist([int("1" + LISTED)])
        return ContactPolicy(
            strategies or SHIPPED, timezone, EmbeddedState(self.kv), self.clock, listed, self.note_shadow
        )

    def note_shadow(self, request: PolicyRequest, verdict: Verdict) -> None:
        self.shadowed.append((request.message_id, verdict))


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_a_batch_is_one_unit_of_work(bench: Bench) -> None:
    engine = bench.engine()
    verdicts = await engine.reserve([a_request(n, "cp1", daddr=f"99891{n:07}") for n in range(200)])
    assert verdicts == [OK] * 200
    assert bench.kv.asked == 1


async def test_what_the_blacklist_decides_asks_no_store(bench: Bench) -> None:
    engine = bench.engine()
    batch = [a_request(1, "blacklist"), a_request(2, "blacklist", daddr=LISTED), a_request(3, daddr=LISTED)]
    assert await engine.reserve(batch) == [OK, Verdict.BLACKLIST, Verdict.BLACKLIST]
    await engine.release(batch[:2])
    assert bench.kv.asked == 0


async def test_each_strategy_says_what_happens_while_the_state_is_away(bench: Bench) -> None:
    engine = bench.engine(
        CP1, replace(CP2, on_error="allow"), BLACKLIST, Strategy("try", daily_max=1, shadow=True)
    )
    bench.kv.away = True
    batch = [
        a_request(1, "cp1"),
        a_request(2, "cp2"),
        a_request(3, "blacklist"),
        a_request(4, "cp1", daddr=LISTED),
        a_request(5, "try"),
    ]
    assert await engine.reserve(batch) == [Verdict.UNAVAILABLE, OK, OK, Verdict.BLACKLIST, OK]
    assert engine.allowed_on_error == 2
    bench.kv.away = False
    assert await engine.reserve(batch[:1]) == [OK]


async def test_a_release_that_cannot_be_made_says_so_and_can_be_repeated(bench: Bench) -> None:
    engine = bench.engine()
    assert await engine.reserve([a_request(1)]) == [OK]
    bench.kv.away = True
    with pytest.raises(PolicyUnavailableError):
        await engine.release([a_request(1)])
    bench.kv.away = False
    await engine.release([a_request(1)])
    assert engine.released == 1
    assert await engine.reserve([a_request(2)]) == [OK]


async def test_a_shadow_strategy_counts_its_verdicts_and_enforces_nothing(bench: Bench) -> None:
    engine = bench.engine(replace(CP1, shadow=True))
    batch = [a_request(1), a_request(2), a_request(3, daddr=LISTED), a_request(4)]
    assert await engine.reserve(batch) == [OK] * 4
    assert engine.shadow_verdicts == {("cp1", Verdict.DAILY_CP): 2, ("cp1", Verdict.BLACKLIST): 1}
    assert engine.verdicts == {("cp1", OK): 4}
    assert [verdict for _, verdict in bench.shadowed] == [
        Verdict.BLACKLIST if i == 1 else Verdict.DAILY_CP for i in range(3)
    ]


async def test_a_shadow_strategy_foretells_what_enforcing_would_do(bench: Bench) -> None:
    shadow, enforced = bench.engine(replace(CP1, shadow=True)), Bench().engine(CP1)
    for n in range(20):
        bench.clock.now += 5 * 3_600
        enforced._clock = bench.clock
        for engine in (shadow, enforced):
            await engine.reserve([a_request(n)])
    refused = {key: count for key, count in enforced.verdicts.items() if key[1] is not OK}
    assert refused
    assert shadow.shadow_verdicts == refused


async def test_without_a_log_shadow_verdicts_are_still_counted(bench: Bench) -> None:
    strategies = [replace(BLACKLIST, shadow=True)]
    engine = ContactPolicy(
        strategies, "UTC", EmbeddedState(bench.kv), bench.clock, Blacklist([int("1" + LISTED)])
    )
    assert await engine.reserve([a_request(1, "blacklist", daddr=LISTED)]) == [OK]
    assert engine.shadow_verdicts == {("blacklist", Verdict.BLACKLIST): 1}


async def test_a_reload_keeps_what_is_counted(bench: Bench) -> None:
    engine = bench.engine()
    assert await engine.reserve([a_request(1)]) == [OK]
    engine.reload([replace(CP1, daily_max=2)], "Asia/Tashkent")
    assert await engine.reserve([a_request(2), a_request(3)]) == [OK, Verdict.DAILY_CP]
    assert engine.knows("cp1")
    assert not engine.knows("cp2")


async def test_a_reload_that_fails_changes_nothing(bench: Bench) -> None:
    engine = bench.engine()
    with pytest.raises(ValueError, match="does not exist"):
        engine.reload([Strategy("a", counts_as="b")], "UTC")
    with pytest.raises(ZoneInfoNotFoundError):
        engine.reload([Strategy("a")], "Moon/Tranquility")
    assert engine.knows("cp1")
    assert repr(engine) == "<ContactPolicy embedded strategies=4 zone=UTC answers=0>"


async def test_a_strategy_that_a_reload_took_away_is_unavailable_not_an_error(bench: Bench) -> None:
    engine = bench.engine()
    engine.reload([CP2], "UTC")
    assert await engine.reserve([a_request(1, "cp1"), a_request(2, "cp2")]) == [Verdict.UNAVAILABLE, OK]
    await engine.release([a_request(1, "cp1")])
    assert engine.strategy_gone == 1
    assert engine.verdicts == {("cp2", OK): 1}


async def test_a_new_blacklist_holds_from_the_next_message_on(bench: Bench) -> None:
    engine = bench.engine()
    assert await engine.reserve([a_request(1, "blacklist")]) == [OK]
    engine.replace_blacklist(Blacklist(prefixes=["99890"]))
    assert await engine.reserve([a_request(2, "blacklist")]) == [Verdict.BLACKLIST]


async def test_ids_that_had_to_be_forgotten_are_counted(bench: Bench) -> None:
    engine = bench.engine()
    await engine.reserve([a_request(n, "onbuild_cp1") for n in range(100)])
    assert engine.ids_forgotten == 36


async def test_a_day_begins_at_midnight_of_the_time_zone(bench: Bench) -> None:
    engine = bench.engine(timezone="Asia/Tashkent")
    bench.clock.now = at("2026-11-18 23:59", "Asia/Tashkent")
    assert await engine.reserve([a_request(1), a_request(2)]) == [OK, Verdict.DAILY_CP]
    bench.clock.now += 60
    assert await engine.reserve([a_request(3)]) == [OK]


def test_the_engine_fits_its_protocol(bench: Bench) -> None:
    engine: PolicyEngine = bench.engine()
    assert engine.knows("cp1")
    assert not engine.knows("")
