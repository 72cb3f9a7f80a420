"""Failures cost their address time, never a good token its answer; and at most a log line a second."""

from __future__ import annotations

import asyncio
import time
from typing import Any, cast

import pytest
from fake_time import in_fake_time
from tokens_by_hand import NOW, OTHER, token

from smsproxy.auth import doorkeeper as module
from smsproxy.auth.doorkeeper import FAILURES_AT_ONCE, FAILURES_PER_S, PATIENCE_S, Doorkeeper
from smsproxy.domain.errors import UnauthenticatedError
from smsproxy.obs.log import Log
from smsproxy.settings import AppSettings

Apps = dict[int, AppSettings]
BOT = "192.0.2.66"


class Lines(list[dict[str, Any]]):
    """A log that keeps its lines."""

    def warning(self, event: str, **fields: object) -> None:
        self.append({"event": event, **fields})


def a_doorkeeper(apps: Apps, lines: Lines | None = None) -> Doorkeeper:
    return Doorkeeper(apps, cast(Log, Lines() if lines is None else lines), lambda: NOW)


async def refused_after(doorkeeper: Doorkeeper, text: str, address: str = BOT) -> float:
    """Seconds of the loop's clock until the one refusal."""
    loop = asyncio.get_running_loop()
    begin = loop.time()
    with pytest.raises(UnauthenticatedError, match=r"\Aauthentication failed\Z"):
        await doorkeeper.authenticate(f"Bearer {text}", "1", address)
    return loop.time() - begin


async def taken_after(doorkeeper: Doorkeeper, text: str, address: str = BOT) -> float:
    """Seconds of the loop's clock until the caller was known."""
    loop = asyncio.get_running_loop()
    begin = loop.time()
    assert (await doorkeeper.authenticate(f"Bearer {text}", "1", address)).app_id == 1
    return loop.time() - begin


def bad(number: int) -> str:
    return token(secret=OTHER, jti=str(number))


async def flood(doorkeeper: Doorkeeper, count: int) -> list[float]:
    return await asyncio.gather(*(refused_after(doorkeeper, bad(number)) for number in range(count)))


@in_fake_time
async def test_bad_tokens_beyond_the_budget_of_their_address_wait_their_turn(apps: Apps) -> None:
    doorkeeper = a_doorkeeper(apps)
    waits = await flood(doorkeeper, FAILURES_AT_ONCE + 300)
    assert waits[:FAILURES_AT_ONCE] == [0] * FAILURES_AT_ONCE
    assert waits[FAILURES_AT_ONCE] == pytest.approx(1 / FAILURES_PER_S)
    line = waits[: FAILURES_AT_ONCE + int(FAILURES_PER_S * PATIENCE_S)]
    assert line == sorted(line)
    crowd = waits[len(line) + 1 :]
    assert PATIENCE_S / 2 <= min(crowd) < max(crowd) <= PATIENCE_S + 1e-6
    assert len(set(crowd)) == len(crowd)
    assert doorkeeper.delayed == 300
    assert doorkeeper.verified == FAILURES_AT_ONCE + 300


@in_fake_time
async def test_a_good_token_never_seen_is_taken_beside_a_flood_of_its_address(apps: Apps) -> None:
    doorkeeper = a_doorkeeper(apps)
    flooding = asyncio.create_task(flood(doorkeeper, FAILURES_AT_ONCE + 1000))
    await asyncio.sleep(1e-6)
    assert await taken_after(doorkeeper, token(jti="elsewhere"), "192.0.2.1") == 0
    assert 0 < await taken_after(doorkeeper, token()) <= PATIENCE_S
    assert await taken_after(doorkeeper, token()) == 0  # seen before
    await flooding


@in_fake_time
async def test_callers_that_make_a_token_per_call_never_wait(apps: Apps) -> None:
    doorkeeper = a_doorkeeper(apps)
    for number in range(5 * FAILURES_AT_ONCE):
        assert await taken_after(doorkeeper, token(jti=str(number))) == 0
    assert doorkeeper.delayed == 0


@in_fake_time
async def test_tokens_seen_before_or_without_shape_are_answered_at_once(apps: Apps) -> None:
    doorkeeper = a_doorkeeper(apps)
    await flood(doorkeeper, FAILURES_AT_ONCE + 1000)
    before = doorkeeper.verified
    assert await refused_after(doorkeeper, bad(3)) == 0
    assert await refused_after(doorkeeper, "x") == 0
    assert doorkeeper.verified == before
    assert doorkeeper.refused_by_memory == 1


@in_fake_time
async def test_a_call_that_waited_is_judged_by_the_apps_of_then(apps: Apps) -> None:
    doorkeeper = a_doorkeeper(apps)
    flooding = asyncio.create_task(flood(doorkeeper, FAILURES_AT_ONCE + 50))
    await asyncio.sleep(1e-6)
    waiting = asyncio.create_task(refused_after(doorkeeper, token()))
    await asyncio.sleep(0)
    doorkeeper.reload({2: apps[2]})
    assert await waiting > 0
    await flooding


@in_fake_time
async def test_a_stream_asks_again_without_waiting(apps: Apps) -> None:
    doorkeeper = a_doorkeeper(apps)
    await flood(doorkeeper, FAILURES_AT_ONCE + 10)
    assert doorkeeper.authenticate_again(f"Bearer {token()}", "1").app_id == 1
    doorkeeper.reload({})
    with pytest.raises(UnauthenticatedError):
        doorkeeper.authenticate_again(f"Bearer {token()}", "1")


async def test_failures_are_one_log_line_a_second_that_counts_the_others(
    apps: Apps, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(module, "SampledLog", lambda log, event: sampled(log, event, lambda: clock[0]))
    lines = Lines()
    doorkeeper = a_doorkeeper(apps, lines)
    for _ in range(10):
        await refused_after(doorkeeper, bad(1))
    clock[0] += 1.0
    with pytest.raises(UnauthenticatedError):
        await doorkeeper.authenticate(None, "1" * 5000, "")
    line = {"event": "authentication_failed", "reason": "signature", "app_id": "1", "address": BOT}
    assert lines[0] == line | {"dropped": 0}
    assert lines[1] == line | {"reason": "no_bearer", "app_id": None, "address": "", "dropped": 9}
    assert doorkeeper.lines_dropped == 9
    assert token() not in str(lines)


sampled = module.SampledLog


async def test_a_bad_token_costs_a_fraction_of_a_millisecond(apps: Apps) -> None:
    doorkeeper = a_doorkeeper(apps)
    texts = [f"Bearer {bad(number)}" for number in range(FAILURES_AT_ONCE)]
    begin = time.process_time()
    for text in texts:
        with pytest.raises(UnauthenticatedError):
            await doorkeeper.authenticate(text, "1", BOT)
    assert (time.process_time() - begin) / len(texts) < 5e-3  # the promise is 1 ms; five times that here
