"""Engine redis against a real server: judged as by the embedded engine, and honest when it is away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from policy_bench import CP1, CP2, ONBUILD_CP1, SHIPPED, HandClock, a_request, at, moment

from smsproxy.aio.wait import settled
from smsproxy.domain.errors import StoreUnavailableError
from smsproxy.obs.log import get_log
from smsproxy.policy.added import AddedFullError
from smsproxy.policy.base import PolicyRequest, PolicyUnavailableError, Verdict
from smsproxy.policy.blacklist import Blacklist
from smsproxy.policy.embedded import EmbeddedState
from smsproxy.policy.engine import ContactPolicy
from smsproxy.policy.memory import MemoryKeyValue
from smsproxy.policy.shared import MAX_BATCH, SharedState, call_of
from smsproxy.policy.shared_added import SharedAdded
from smsproxy.policy.state import Case
from smsproxy.policy.strategies import Rulebook, Strategy
from smsproxy.remote.keys import tag
from smsproxy.remote.remote import Remote
from smsproxy.remote.url import parse_url
from tests.faulty_proxy import FaultyProxy
from tests.redis_kit import RedisServer

OK, REFUSED = Verdict.OK, Verdict.UNAVAILABLE
STRATEGIES = (
    *SHIPPED,
    Strategy("all", daily_max=2, weekly_max=4, duplicate_window_s=600, scope="recipient_app"),
    Strategy("sender", daily_max=1, scope="recipient_sender"),
    Strategy("count", counts_as="all", mode="count"),
    Strategy("look", counts_as="all", mode="check"),
    Strategy("long", counts_as="cp2", duplicate_window_s=3 * 86_400, mode="count"),
    Strategy("none", daily_max=0),
)
REQUESTS = st.builds(
    a_request,
    st.integers(1, 12),
    st.sampled_from([one.name for one in STRATEGIES]),
    daddr=st.sampled_from(["998901234567"] * 3 + ["998907654321"]),
    saddr=st.sampled_from(["BRAND"] * 3 + ["OTHER"]),
    app_id=st.sampled_from([1, 1, 1, 2]),
    text=st.sampled_from(["hello", "hello", "bye"]),
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["reserve", "reserve", "reserve", "release", "check"]),
        st.lists(REQUESTS, min_size=1, max_size=12),
        st.sampled_from([0, 0, 1, 599, 3_600, 86_399, 86_400, 3 * 86_400, -30]),
    ),
    max_size=12,
)


def policy_over(state: EmbeddedState | SharedState, clock: HandClock, *strategies: Strategy) -> ContactPolicy:
    return ContactPolicy(strategies or SHIPPED, "Europe/Berlin", state, clock, Blacklist())


@pytest.fixture
async def remote(redis: RedisServer) -> AsyncIterator[Remote]:
    remote = Remote(parse_url(redis.url), get_log("test"))
    yield remote
    await remote.aclose()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["2026-12-30 22:00", "2026-10-24 20:00", "2026-11-18 12:00"]), STEPS)
def test_the_script_judges_as_the_embedded_engine_does(
    redis: RedisServer, start: str, steps: list[tuple[str, list[PolicyRequest], int]]
) -> None:
    async def run() -> None:
        redis.fresh()
        clock = HandClock(at(start, "Europe/Berlin"))
        remote = Remote(parse_url(redis.url), get_log("test"))
        shared = policy_over(SharedState(remote, timeout_s=5.0), clock, *STRATEGIES)
        embedded = policy_over(EmbeddedState(MemoryKeyValue(clock)), clock, *STRATEGIES)
        for op, batch, passing_s in steps:
            clock.now += passing_s
            said = [await getattr(policy, op)(batch) for policy in (shared, embedded)]
            assert said[0] == said[1]
        assert (shared.released, shared.ids_forgotten) == (embedded.released, embedded.ids_forgotten)
        await remote.aclose()

    asyncio.run(run())


async def test_what_count_mode_remembers_is_bounded_as_in_the_embedded_engine(remote: Remote) -> None:
    clock = HandClock()
    rules = (CP1, ONBUILD_CP1, CP2, Strategy("more", counts_as="cp2", mode="count"))
    shared = policy_over(SharedState(remote, timeout_s=5.0), clock, *rules)
    embedded = policy_over(EmbeddedState(MemoryKeyValue(clock)), clock, *rules)
    batch = [a_request(n, name) for n in range(200) for name in ("onbuild_cp1", "more")]
    for policy in (shared, embedded):
        await policy.reserve(batch)
        await policy.release(batch)
    assert shared.ids_forgotten == embedded.ids_forgotten > 100
    assert shared.released == embedded.released


async def test_two_instances_share_every_count_and_the_same_hundred_texts_pass_once(
    redis: RedisServer,
) -> None:
    remotes = [Remote(parse_url(redis.url), get_log("test")) for _ in range(2)]
    policies = [policy_over(SharedState(remote, timeout_s=5.0), HandClock()) for remote in remotes]
    batches = [[a_request(100 * b + n, "cp2") for n in range(10)] for b in range(10)]
    answers = await asyncio.gather(*(policies[b % 2].reserve(batch) for b, batch in enumerate(batches)))
    assert sum(answer.count(OK) for answer in answers) == 1
    assert await policies[0].reserve([a_request(1)]) == [OK]
    assert await policies[1].reserve([a_request(2)]) == [Verdict.DAILY_CP]
    for remote in remotes:
        await remote.aclose()


async def test_a_batch_is_one_call_and_a_flush_of_scripts_is_nobodys_business(
    redis: RedisServer, remote: Remote
) -> None:
    policy = policy_over(SharedState(remote, timeout_s=5.0), HandClock())
    for first in (0, 1_000):
        batch = [a_request(first + n, daddr=f"9989{first + n:08}") for n in range(MAX_BATCH)]
        assert await policy.reserve(batch) == [OK] * MAX_BATCH
        redis.command("SCRIPT", "FLUSH")
    assert policy.counters["calls"] == 2
    assert policy.max_batch == MAX_BATCH
    long = [a_request(n, daddr=f"9979{n:08}") for n in range(MAX_BATCH + 1)]
    assert await policy.reserve(long) == [OK] * len(long)


async def test_keys_lapse_and_name_nobody(redis: RedisServer, remote: Remote) -> None:
    clock = HandClock()
    policy = policy_over(SharedState(remote, timeout_s=5.0), clock)
    await policy.reserve([a_request(1), a_request(1, "cp2")])
    keys = redis.command("KEYS", "*")
    assert keys.count(b":policy:") == 2
    assert b"998901234567" not in keys
    assert redis.keys_without_ttl() == []
    await policy.release([a_request(1), a_request(1, "cp2")])
    assert redis.command("DBSIZE") == b":0\r\n"


def test_all_keys_of_a_recipient_carry_its_tag() -> None:
    rulebook = Rulebook([replace(CP1, duplicate_window_s=60)])
    rule = rulebook.get("cp1")
    assert rule is not None
    for n in range(50):
        request = a_request(n, daddr=f"9989{n:08}")
        keys, _ = call_of("reserve", [Case(rule, request)], moment("2026-11-18 12:00"))
        assert [key.split(":")[1] for key in keys] == [f"{{{tag(request.daddr)}}}"] * 2


async def test_a_deaf_server_costs_50_ms_until_the_breaker_opens_and_what_it_heard_is_given_back(
    redis: RedisServer,
) -> None:
    async with FaultyProxy(redis.path) as proxy:
        remote = Remote(parse_url(f"redis://127.0.0.1:{proxy.port}"), get_log("test"))
        soft = Strategy("soft", daily_max=1, on_error="allow")
        policy = policy_over(SharedState(remote), HandClock(), CP1, soft)
        await remote.open()
        proxy.deaf = True
        began = time.monotonic()
        for n in range(20):
            assert await policy.reserve([a_request(n), a_request(n, "soft")]) == [REFUSED, OK]
        assert time.monotonic() - began < 5 * 0.2, "three calls of 50 ms, then none"
        assert len(policy.take_doubtful()) <= 3, "calls that were not made are not in doubt"
        with pytest.raises(PolicyUnavailableError):
            await policy.release([a_request(1)])
        proxy.deaf = False
        assert await settled(lambda: remote.available, timeout_s=10)
        assert await policy.reserve([a_request(100, daddr="998900000001")]) == [OK]
        await remote.aclose()


# -- the added numbers -------------------------------------------------------------------------------------


async def test_added_numbers_are_shared_and_read_when_they_changed(
    redis: RedisServer, remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, theirs = SharedAdded(remote), SharedAdded(remote)
    assert await mine.changed() == frozenset()
    assert await mine.changed() is None
    assert [await theirs.add("998901234567"), await theirs.add("998901234567")] == [True, False]
    assert await mine.changed() == {"998901234567"}
    assert await mine.changed() is None
    assert await theirs.holds("998901234567")
    assert [await theirs.remove("998901234567"), await theirs.remove("998901234567")] == [True, False]
    assert await mine.changed() == frozenset()
    assert redis.keys_without_ttl() == []


async def test_a_list_that_is_gone_from_redis_unlists_nobody(redis: RedisServer, remote: Remote) -> None:
    numbers = SharedAdded(remote)
    await numbers.add("998901234567")
    assert await numbers.changed() == {"998901234567"}
    redis.fresh()
    with pytest.raises(StoreUnavailableError, match="gone from Redis"):
        await numbers.changed()


async def test_a_list_begun_anew_after_redis_lost_it_is_read(redis: RedisServer, remote: Remote) -> None:
    numbers = SharedAdded(remote)
    await numbers.add("998901234567")
    assert await numbers.changed() == {"998901234567"}
    redis.fresh()
    await numbers.add("998907654321")
    assert await numbers.changed() == {"998907654321"}


async def test_the_shared_list_is_bounded(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smsproxy.policy.shared_added.ADDED_MAX", 1)
    numbers = SharedAdded(remote)
    assert await numbers.add("1")
    with pytest.raises(AddedFullError):
        await numbers.add("2")
