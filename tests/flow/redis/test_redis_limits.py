"""Rows 28 and 30 of the reliability matrix, and limits over a cluster and a sentinel: real servers."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from faulty_proxy import FaultyProxy
from redis_flow_kit import a_cluster, a_sentinel
from redis_kit import RedisServer

from smsproxy.aio.wait import settled
from smsproxy.limits.base import ASK, GRANTED, NS_PER_S
from smsproxy.limits.shared import SharedLimits
from smsproxy.limits.source import TokenSource
from smsproxy.obs.log import get_log
from smsproxy.remote.remote import Remote, RemoteUnavailableError
from smsproxy.remote.script import Script
from smsproxy.remote.url import parse_url
from tests.flow.kit import ROOT

SOAK = bool(os.environ.get("SMSPROXY_SOAK"))
WORKER = Path(__file__).parent / "limit_worker.py"
ECHO = Script.of("echo", "return {KEYS[1], ARGV[1]}")


@pytest.mark.long
def test_row_28_four_processes_share_one_key_exactly(redis: RedisServer) -> None:
    """200/s and a burst of 50, 500/s offered by each; the script cache is flushed twice on the way."""
    seconds, rate, burst = (60 if SOAK else 6), 200, 50
    command = [sys.executable, str(WORKER), redis.url, *map(str, (rate, burst, 500, seconds))]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    workers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ)
        for _ in range(4)
    ]
    try:
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
        redis.fresh()
        began = time.monotonic()
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
        for _ in range(2):
            time.sleep(seconds / 3)
            redis.command("SCRIPT", "FLUSH")
            assert redis.keys_without_ttl() == []
        told = [json.loads(worker.communicate(timeout=seconds + 30)[0]) for worker in workers]
        took = time.monotonic() - began
    finally:
        for worker in workers:
            worker.kill()
            worker.wait(5)
    granted = [one["granted"] for one in told]
    assert sum(one["failures"] for one in told) == 0
    print(f"row 28: granted {granted}, {sum(granted)} in {seconds} s")
    assert sum(granted) >= 0.98 * (burst + rate * seconds)
    assert sum(granted) <= burst + rate * (took if not SOAK else seconds + 0.1)


@pytest.mark.long
async def test_row_30_ten_thousand_cancelled_calls_cross_no_reply(redis: RedisServer) -> None:
    """500 calls a second through a proxy that is 100 ms late; half of them are cancelled at random points."""
    chance = random.Random(30)
    cancels = 10_000 if SOAK else 1_000
    async with FaultyProxy(redis.path) as proxy:
        url = parse_url(f"redis://127.0.0.1:{proxy.port}")
        remote = Remote(url, get_log("test"), max_calls=400, call_s=10)
        await remote.open()
        proxy.delay_s = 0.1
        loop = asyncio.get_running_loop()
        calls: list[asyncio.Task[None]] = []

        async def call(name: str) -> None:
            with suppress(RemoteUnavailableError):  # a connect too slow for a busy machine: no reply at all
                reply = await remote.run(ECHO, [name], [name])
                assert reply == [name.encode()] * 2

        while remote.counters["cancelled"] < cancels:
            for _ in range(5):
                task = loop.create_task(call(f"key-{len(calls)}"))
                calls.append(task)
                if chance.random() < 0.5:
                    loop.call_later(chance.random() * 0.6, task.cancel)
            await asyncio.sleep(0.01)
        replies = await asyncio.gather(*calls, return_exceptions=True)
        wrong = [one for one in replies if one is not None and not isinstance(one, asyncio.CancelledError)]
        assert wrong == []
        assert remote.in_flight == 0
        print(f"row 30: {len(calls)} calls, {remote.counters['cancelled']} cancelled, 0 crossed")
        assert remote.connections <= 816
        await remote.aclose()


async def _grants(remote: Remote, apps: int, tries: int) -> list[int]:
    """How many of `tries` requests of each app pass at once, 10 being the burst."""
    source = TokenSource(remote, get_log("test"), instances=1, refuse_when_away=True)
    limits = SharedLimits(0, dict.fromkeys(range(1, apps + 1), (1, 10)), source)
    loop = asyncio.get_running_loop()
    granted = []
    for app in range(1, apps + 1):
        limits.admit(app, int(loop.time() * NS_PER_S))
    assert await settled(lambda: source.idle, timeout_s=5)
    for app in range(1, apps + 1):
        count = 0
        for _ in range(tries):
            while (answer := limits.admit(app, int(loop.time() * NS_PER_S))) == ASK:
                await settled(lambda: source.idle, timeout_s=5, poll_s=0.0005)
            count += answer == GRANTED
        granted.append(count)
    return granted


@pytest.mark.long
async def test_limits_over_a_cluster_are_asked_for_by_their_tags_and_come_back_after_a_restart() -> None:
    with a_cluster() as nodes:
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
        remote = Remote(parse_url(f"redis+cluster://{hosts}"), get_log("test"))
        try:
            assert await remote.open()
            assert set(await _grants(remote, apps=40, tries=12)) <= {10, 11}
            assert remote.counters["failures"] == 0
            nodes[1].kill()
            async with asyncio.timeout(10):
                while remote.available:
                    await remote.run_many(ECHO, [([f"{{{tag}}}"], [1]) for tag in range(16)])
            nodes[1].restart()
            assert await settled(lambda: remote.available, timeout_s=15)
            replies = await remote.run_many(ECHO, [([f"{{{tag}}}"], [1]) for tag in range(16)], timeout_s=5)
            assert not any(isinstance(reply, Exception) for reply in replies)
        finally:
            await remote.aclose()


@pytest.mark.long
async def test_limits_through_a_sentinel_find_the_server_past_a_sentinel_that_is_gone() -> None:
    with a_sentinel() as (server, sentinel):
        url = f"redis+sentinel://127.0.0.1:1,127.0.0.1:{sentinel.port}/main"
        remote = Remote(parse_url(url), get_log("test"))
        try:
            assert await remote.open()
            assert set(await _grants(remote, apps=3, tries=12)) <= {10, 11}
            assert b"smsproxy" in server.command("KEYS", "*")
        finally:
            await remote.aclose()
