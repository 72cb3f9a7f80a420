"""Calls to a real server: replies, lost scripts, time, the breaker, and its way back."""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from pathlib import Path

import pytest
from faulty_proxy import FaultyProxy
from redis_kit import RedisServer, a_remote, behind_proxy, redis_server

from smsproxy.aio.wait import settled
from smsproxy.obs.log import get_log
from smsproxy.remote.remote import Remote, RemoteUnavailableError
from smsproxy.remote.script import Script
from smsproxy.remote.url import parse_url
from tests.unit.links.tls_files import CertificateAuthority

ECHO = Script.of("echo", "return {KEYS[1], ARGV[1]}")
WRITE = Script.of("write", "return redis.call('SET', KEYS[1], ARGV[1], 'PX', 1000)")
BROKEN = Script.of("broken", "return redis.call('NO-SUCH-COMMAND')")


async def _fails_within(remote: Remote, seconds: float) -> str:
    began = time.perf_counter()
    with pytest.raises(RemoteUnavailableError) as refusal:
        await remote.run(ECHO, ["k"], [1])
    assert time.perf_counter() - began < seconds
    return str(refusal.value)


async def test_a_reply_is_the_scripts_and_a_flushed_script_is_loaded_again(redis: RedisServer) -> None:
    async with a_remote(redis.url) as remote:
        for round_no in range(3):
            assert await remote.run(ECHO, ["k"], [round_no]) == [b"k", str(round_no).encode()]
            redis.command("SCRIPT", "FLUSH")
        assert remote.counters["failures"] == 0
        assert remote.counters["script_loads"] >= 3


async def test_several_runs_come_back_in_their_places(redis: RedisServer) -> None:
    async with a_remote(redis.url) as remote:
        replies = await remote.run_many(ECHO, [([f"k{n}"], [n]) for n in range(5)])
        assert replies == [[f"k{n}".encode(), str(n).encode()] for n in range(5)]
        (failed,) = await remote.run_many(BROKEN, [(["k"], [1])])
        assert isinstance(failed, RemoteUnavailableError)


async def test_more_calls_than_allowed_are_refused_at_once(redis: RedisServer) -> None:
    remote = Remote(parse_url(redis.url), get_log("test"), max_calls=2)
    await remote.open()
    replies = await remote.run_many(ECHO, [(["k"], [n]) for n in range(5)], timeout_s=5)
    assert sum(isinstance(reply, RemoteUnavailableError) for reply in replies) == 3
    assert remote.counters["refused"] == 3
    await remote.aclose()


async def test_a_deaf_server_costs_little_then_nothing_and_comes_back_by_itself(redis: RedisServer) -> None:
    async with behind_proxy(redis) as (proxy, remote):
        await remote.run(ECHO, ["k"], [1])
        proxy.deaf = True
        for _ in range(3):
            assert await _fails_within(remote, 0.25) == "no answer within 50 ms"
        assert await _fails_within(remote, 0.02) == "not available"
        assert not remote.available
        proxy.deaf = False
        assert await settled(lambda: remote.available, timeout_s=5)
        assert await remote.run(ECHO, ["k"], [2]) == [b"k", b"2"]


async def test_a_server_that_is_there_but_too_slow_stays_away(redis: RedisServer) -> None:
    async with behind_proxy(redis) as (proxy, remote):
        proxy.delay_s = 0.2
        for _ in range(3):
            await _fails_within(remote, 0.25)
        assert not await settled(lambda: remote.available, timeout_s=1)
        proxy.delay_s = 0
        assert await settled(lambda: remote.available, timeout_s=5)


async def test_a_connection_cut_inside_a_reply_is_replaced(redis: RedisServer) -> None:
    async with behind_proxy(redis) as (proxy, remote):
        await remote.run(ECHO, ["k"], [1])
        proxy.cut_after = 0
        with pytest.raises(RemoteUnavailableError):
            await remote.run(ECHO, ["k"], [1])
        proxy.cut_after = None
        assert await remote.run(ECHO, ["k"], [2], timeout_s=1) == [b"k", b"2"]


async def test_no_server_at_the_start_is_told_and_it_is_found_when_it_comes(redis: RedisServer) -> None:
    async with FaultyProxy(redis.path) as proxy:
        await proxy.stop()
        remote = Remote(parse_url(f"redis://127.0.0.1:{proxy.port}"), get_log("test"))
        assert not await remote.open()
        assert "not available" in await _fails_within(remote, 0.02)
        await proxy.start()
        assert await settled(lambda: remote.available, timeout_s=5)
        await remote.aclose()


async def test_a_full_server_is_away_until_it_takes_writes_again() -> None:
    with redis_server() as redis:
        async with a_remote(redis.url) as remote:
            redis.command("CONFIG", "SET", "maxmemory", 1)
            for _ in range(3):
                with pytest.raises(RemoteUnavailableError, match="maxmemory"):
                    await remote.run(WRITE, ["k"], [1], timeout_s=1)
            assert not await settled(lambda: remote.available, timeout_s=0.7)
            redis.command("CONFIG", "SET", "maxmemory", 0)
            assert await settled(lambda: remote.available, timeout_s=5)


async def test_tls_trusts_the_authority_that_the_url_names_and_nobody_else(
    redis: RedisServer, tmp_path: Path
) -> None:
    authority = CertificateAuthority(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority.issue("localhost"))
    async with FaultyProxy(redis.path, context) as proxy:
        async with a_remote(f"rediss://127.0.0.1:{proxy.port}?ca_file={authority.file}") as remote:
            assert await remote.run(ECHO, ["k"], [1], timeout_s=5) == [b"k", b"1"]
        async with a_remote(f"rediss://127.0.0.1:{proxy.port}") as remote:
            assert not remote.available


async def test_sentinels_that_are_not_there_are_told_without_the_clients_objects() -> None:
    async with a_remote("redis+sentinel://127.0.0.1:1/sms") as remote:
        assert "<redis" not in await _fails_within(remote, 1)


async def test_a_password_is_sent_and_a_wrong_one_means_away() -> None:
    with redis_server() as redis:
        redis.command("CONFIG", "SET", "requirepass", "hush")
        async with a_remote(f"unix://:hush@{redis.path}?db=1") as remote:
            assert await remote.run(ECHO, ["k"], [1], timeout_s=5) == [b"k", b"1"]
        async with a_remote(f"unix://:wrong@{redis.path}") as remote:
            assert not remote.available


async def test_cancelled_calls_never_leave_their_reply_to_another(redis: RedisServer) -> None:
    """Row 30, shortened: half of the calls are cancelled at random points."""
    chance = random.Random(30)
    async with behind_proxy(redis) as (proxy, remote):
        proxy.delay_s = 0.003
        await _cancel_many(remote, chance, rounds=12)
        assert remote.counters["cancelled"] > 100


async def _cancel_many(remote: Remote, chance: random.Random, rounds: int) -> None:
    """Fifty calls at a time, each with a key of its own; what comes back must be its own."""
    loop = asyncio.get_running_loop()
    for round_no in range(rounds):
        names = [f"{round_no}-{number}" for number in range(50)]
        calls = [loop.create_task(remote.run(ECHO, [name], [name], timeout_s=5)) for name in names]
        for call in calls:
            if chance.random() < 0.5:
                loop.call_later(chance.random() * 0.03, call.cancel)
        replies = await asyncio.gather(*calls, return_exceptions=True)
        for name, reply in zip(names, replies, strict=True):
            assert isinstance(reply, asyncio.CancelledError) or reply == [name.encode()] * 2
        assert remote.in_flight == 0
        assert remote.connections <= 64
