"""Shared limits on a real server: exact over instances, one call for many, and the fallback."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import pytest
from redis_kit import RedisServer, a_remote, behind_proxy

from smsproxy.aio.wait import settled
from smsproxy.limits.base import ASK, GRANTED, NS_PER_MS, NS_PER_S, UNAVAILABLE
from smsproxy.limits.shared import SharedBucket, SharedLimits, link_bucket
from smsproxy.limits.source import TokenSource
from smsproxy.obs.log import get_log
from smsproxy.remote.remote import Remote

LOG = get_log("test")


class Room:
    """limits.base.Parked with futures for requests."""

    def __init__(self) -> None:
        self.asking: dict[int, list[asyncio.Future[None]]] = {}

    def waiting(self, app_id: int) -> int:
        return len(self.asking.get(app_id, ()))

    def told(self, app_id: int) -> None:
        for one in self.asking.pop(app_id, ()):
            if not one.done():
                one.set_result(None)

    async def wait(self, app_id: int) -> None:
        one = asyncio.get_running_loop().create_future()
        self.asking.setdefault(app_id, []).append(one)
        await one


class Instance:
    """One process' limits. `admit` waits where the pipeline's limit stage would."""

    def __init__(
        self,
        remote: Remote,
        apps: dict[int, tuple[int, int]],
        *,
        process: int = 0,
        instances: int = 1,
        refuse: bool = False,
    ) -> None:
        self.remote = remote
        self.source = TokenSource(remote, LOG, instances=instances, refuse_when_away=refuse)
        self.limits = SharedLimits(process, apps, self.source)
        self.room = Room()
        self.limits.attach(self.room)

    @property
    def now_ns(self) -> int:
        return int(asyncio.get_running_loop().time() * NS_PER_S)

    async def admit(self, app_id: int = 1) -> int:
        while True:
            wait_ns = self.limits.admit(app_id, self.now_ns)
            if wait_ns != ASK:
                return wait_ns
            await self.room.wait(app_id)

    async def granted(self, tries: int, app_id: int = 1) -> int:
        return sum(
            [
                wait_ns == GRANTED
                for wait_ns in await asyncio.gather(*[self.admit(app_id) for _ in range(tries)])
            ]
        )


MakeInstance = Callable[..., Instance]


async def test_a_thousand_requests_share_a_few_calls(redis: RedisServer) -> None:
    async with a_remote(redis.url) as remote:
        one = Instance(remote, {1: (1000, 1000), 2: (1000, 1000)})
        granted = await asyncio.gather(one.granted(500), one.granted(500, app_id=2))
        assert granted == [500, 500]
        assert one.source.counters["lease_calls"] <= 3
        assert one.source.counters["leases"] >= 2


async def test_a_busy_app_is_decided_without_waiting(redis: RedisServer) -> None:
    async with a_remote(redis.url) as remote:
        one = Instance(remote, {1: (10_000, 10_000)})
        await one.admit()
        for calls in range(2, 6):  # more is asked for while half of the lease is left
            while one.source.counters["lease_calls"] < calls:
                assert one.limits.admit(1, one.now_ns) == GRANTED
                await settled(lambda: one.source.idle, timeout_s=1)


async def test_two_instances_get_one_burst_between_them(redis: RedisServer) -> None:
    async with a_remote(redis.url) as first, a_remote(redis.url) as second:
        instances = [Instance(remote, {1: (1, 30)}) for remote in (first, second)]
        assert sum(await asyncio.gather(*(one.granted(100) for one in instances))) in (30, 31)
        assert redis.keys_without_ttl() == []


async def test_an_app_over_its_rate_hears_at_once_when_to_come_back(redis: RedisServer) -> None:
    async with a_remote(redis.url) as remote:
        one = Instance(remote, {1: (1, 1)})
        assert await one.admit() == GRANTED
        assert 0.9 * NS_PER_S < await one.admit() <= NS_PER_S
        assert 0.8 * NS_PER_S < one.limits.admit(1, one.now_ns) <= NS_PER_S
        assert one.limits.refused_by_app == 2


async def test_a_request_that_the_process_refuses_costs_its_app_nothing(redis: RedisServer) -> None:
    async with a_remote(redis.url) as remote:
        one = Instance(remote, {1: (1, 2)}, process=1)
        assert await one.admit() == GRANTED
        assert await one.admit() > 0
        assert one.limits.refused_by_process == 1
        one.limits.reload(0, {1: (1, 2)})
        assert await one.admit() == GRANTED
        assert await one.admit() > 0


async def test_an_app_without_a_rate_needs_no_redis(redis: RedisServer) -> None:
    async with a_remote(redis.url) as remote:
        one = Instance(remote, {1: (0, 0)})
        assert await one.granted(100) == 100
        assert one.source.counters["lease_calls"] == 0


async def test_a_reload_keeps_the_lease_of_an_unchanged_app(redis: RedisServer) -> None:
    async with a_remote(redis.url) as remote:
        one = Instance(remote, {1: (100, 1000)})
        assert await one.granted(50) == 50
        calls = one.source.counters["lease_calls"]
        one.limits.reload(0, {1: (100, 1000), 2: (5, 5)})
        assert one.limits.admit(1, one.now_ns) == GRANTED
        assert one.source.counters["lease_calls"] == calls
        one.limits.reload(0, {1: (1, 1)})
        assert await one.admit() > 0


async def test_scripts_that_are_flushed_are_seen_by_nobody(redis: RedisServer) -> None:
    async with a_remote(redis.url) as remote:
        one = Instance(remote, {1: (100, 100)})
        for _ in range(2):
            assert await one.granted(20) == 20
            redis.command("SCRIPT", "FLUSH")
        assert await one.granted(20) == 20
        assert remote.counters["failures"] == 0


async def test_while_redis_is_deaf_an_instance_has_its_share_and_nobody_waits_longer_than_a_call(
    redis: RedisServer,
) -> None:
    async with behind_proxy(redis) as (proxy, remote):
        one = Instance(remote, {1: (100, 40)}, instances=4)
        proxy.deaf = True
        loop = asyncio.get_running_loop()
        began = loop.time()
        granted = await one.granted(100)
        assert loop.time() - began < 0.25
        assert 10 <= granted <= 10 + 25 * 0.25 + 1  # its share of the burst, and of the rate since
        assert one.source.away
        await _until(lambda: not remote.available, one)
        assert one.limits.admit(1, one.now_ns) != ASK
        proxy.deaf = False
        assert await settled(lambda: remote.available, timeout_s=5)
        await _until(lambda: not one.source.away, one)
        assert one.source.counters["fallbacks"] == 1


async def test_who_asks_while_a_call_is_failing_does_not_wait_for_another_one(redis: RedisServer) -> None:
    async with behind_proxy(redis) as (proxy, remote):
        one = Instance(remote, {1: (100, 40), 2: (100, 40)}, instances=4)
        proxy.deaf = True
        first = asyncio.create_task(one.admit(1))
        await asyncio.sleep(0.01)
        assert await one.admit(2) == GRANTED
        assert await first == GRANTED
        assert (remote.counters["calls"], remote.counters["failures"]) == (1, 1), "one call for both"


async def test_refuse_means_unavailable_until_redis_is_back(redis: RedisServer) -> None:
    async with behind_proxy(redis) as (proxy, remote):
        one = Instance(remote, {1: (100, 100)}, refuse=True)
        assert await one.admit() == GRANTED
        await proxy.stop()
        await _until(lambda: one.source.away, one)
        assert await one.admit() == UNAVAILABLE
        assert await one.admit(app_id=9) == UNAVAILABLE
        await proxy.start()
        await _until(lambda: not one.source.away, one)
        assert await one.admit() == GRANTED


async def _until(condition: Callable[[], bool], instance: Instance) -> None:
    """Until it holds, under load."""
    async with asyncio.timeout(6):
        while not condition():
            await instance.admit()
            await asyncio.sleep(0.001)


async def test_a_restart_that_forgets_everything_grants_one_burst_more(redis: RedisServer) -> None:
    async with a_remote(redis.url) as remote:
        one = Instance(remote, {1: (1, 20)})
        assert await one.granted(50) == 20
        redis.fresh()
        await asyncio.sleep(1.01)  # it was told to come back then
        assert await one.granted(50) in (20, 21)


class Shaped:
    """What a link does with its bucket: waits, is woken, looks again."""

    def __init__(self, remote: Remote, rate: int, burst: int, *, refuse: bool = False) -> None:
        self.source = TokenSource(remote, LOG, instances=2, refuse_when_away=refuse)
        self.woken = asyncio.Event()
        self.bucket = link_bucket(
            100, rate, burst, self.source, waiting=lambda: 1, hurried=lambda: False, wake=self.woken.set
        )

    def now_ns(self) -> int:
        return int(asyncio.get_running_loop().time() * NS_PER_S)

    async def send(self) -> None:
        while wait_ns := self.bucket.take(self.now_ns()):
            self.woken.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self.woken.wait(), wait_ns / NS_PER_S)


async def test_a_link_is_woken_when_its_tokens_come(redis: RedisServer) -> None:
    async with a_remote(redis.url) as remote:
        link = Shaped(remote, 1000, 100)
        assert link.bucket.wait(link.now_ns()) == 0  # nobody says that it is empty
        assert link.bucket.take(link.now_ns()) > 0
        async with asyncio.timeout(1):
            await link.woken.wait()
        assert link.bucket.take(link.now_ns()) == 0
        assert link.bucket.wait(link.now_ns()) == 0


async def test_two_links_of_one_account_share_its_rate(redis: RedisServer) -> None:
    async with a_remote(redis.url) as first, a_remote(redis.url) as second:
        links = [Shaped(remote, 100, 10) for remote in (first, second)]
        loop = asyncio.get_running_loop()
        began = loop.time()
        sent = 0

        async def run(link: Shaped) -> None:
            nonlocal sent
            while sent < 60:
                await link.send()
                sent += 1

        await asyncio.gather(*(run(link) for link in links))
        assert loop.time() - began >= 0.45  # 10 at once, then 100 a second
        assert loop.time() - began < 2


@pytest.mark.parametrize(("hurried", "pace_ms"), [(False, 25), (True, 10)])
async def test_a_link_over_its_rate_asks_seldom_while_nobody_in_a_hurry_waits(
    redis: RedisServer, hurried: bool, pace_ms: int
) -> None:
    async with a_remote(redis.url) as remote:
        source = TokenSource(remote, LOG, instances=2, refuse_when_away=False)
        link = link_bucket(
            100, 1000, 1000, source, waiting=lambda: 1, hurried=lambda: hurried, wake=lambda: None
        )
        app = SharedBucket("app:1", 1000, 1000, source, waiting=lambda: 1, wake=lambda: None)
        assert isinstance(link, SharedBucket)
        for bucket, wait_ms in ((link, pace_ms), (app, 10)):
            bucket.filled(0, granted=0, wait_ns=1)
            assert bucket.take(0) == wait_ms * NS_PER_MS


async def test_a_link_without_a_rate_asks_nobody(redis: RedisServer) -> None:
    async with a_remote(redis.url) as remote:
        link = Shaped(remote, 0, 0)
        assert [link.bucket.take(1) for _ in range(1000)] == [0] * 1000
        assert link.source.counters["lease_calls"] == 0


@pytest.mark.parametrize("refuse", [False, True])
async def test_a_link_without_redis_sends_its_share_or_nothing(redis: RedisServer, refuse: bool) -> None:
    async with behind_proxy(redis) as (proxy, remote):
        link = Shaped(remote, 10, 10, refuse=refuse)
        await proxy.stop()
        async with asyncio.timeout(5):
            while not link.source.away:
                link.bucket.take(link.now_ns())
                await asyncio.sleep(0.01)
        taken = sum(link.bucket.take(link.now_ns()) == 0 for _ in range(20))
        assert taken == (0 if refuse else 5)
        assert link.bucket.wait(link.now_ns()) > 0
