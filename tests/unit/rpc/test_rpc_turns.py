"""Who brings much is served in slices, each in turn, and whoever waits is bounded."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from smsproxy.rpc import turns as module
from smsproxy.rpc.options import RpcCounters
from smsproxy.rpc.sweep import LATE_CALLS, LateCalls
from smsproxy.rpc.turns import Turns


class Worker:
    """Needs `slices` turns, and writes its name down at each."""

    def __init__(self, name: str, slices: int, seen: list[str], octets: int = 0) -> None:
        self.name = name
        self.left = slices
        self.seen = seen
        self.octets = octets
        self.suspect = False

    def take_turn(self) -> bool:
        self.seen.append(self.name)
        self.left -= 1
        return self.left > 0


class Slow(Worker):
    """Takes all the time of a turn."""

    def take_turn(self) -> bool:
        ends = time.perf_counter() + module.TURN_S
        while time.perf_counter() < ends:
            pass
        return super().take_turn()


class LateCall:
    """A call as the watch sees it."""

    def __init__(self, unfinished: int = 1) -> None:
        self.unfinished = unfinished
        self.given_up = 0

    def give_up_message(self) -> None:
        self.given_up += 1


async def test_everybody_has_one_slice_in_a_turn_of_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TURN_S", 60.0)  # a busy machine takes the test's core for longer than a turn
    turns, seen = Turns(RpcCounters()), list[str]()
    for worker in (Worker("a", 3, seen), Worker("b", 1, seen), Worker("c", 2, seen)):
        assert turns.ask(worker)
    assert repr(turns) == "<Turns waiting=3 suspects=0 octets=0>"
    found = []
    for _ in range(4):
        await asyncio.sleep(0)
        found.append("".join(seen))
    assert found == ["abc", "abcac", "abcaca", "abcaca"]


async def test_nobody_begins_when_the_time_of_the_turn_is_over() -> None:
    turns, seen = Turns(RpcCounters()), list[str]()
    for worker in (Slow("a", 2, seen), Worker("b", 2, seen), Slow("c", 1, seen)):
        assert turns.ask(worker)
    found = []
    for _ in range(4):
        await asyncio.sleep(0)
        found.append("".join(seen))
    assert found == ["a", "abc", "abca", "abcab"]


async def test_more_than_the_bound_does_not_wait_and_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_OCTETS", 100)
    counters, seen = RpcCounters(), list[str]()
    turns = Turns(counters)
    assert turns.ask(Worker("a", 2, seen, octets=60))
    assert not turns.ask(Worker("b", 1, seen, octets=41))
    assert turns.ask(Worker("c", 1, seen, octets=40))
    assert (counters.turns_total, counters.turns_full_total) == (2, 1)
    for _ in range(3):
        await asyncio.sleep(0)
    assert seen == ["a", "c", "a"]
    assert repr(turns) == "<Turns waiting=0 suspects=0 octets=0>"


async def test_suspects_go_on_one_by_one_after_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SUSPECT_S", 0.0)
    turns, seen = Turns(RpcCounters()), list[str]()
    workers = [Worker(name, 2, seen) for name in "abc"]
    for worker in workers[:2]:
        worker.suspect = True
    for worker in workers:
        assert turns.ask(worker)
    assert repr(turns) == "<Turns waiting=1 suspects=2 octets=0>"
    found = [""]
    async with asyncio.timeout(10):
        while len(seen) < 6:
            await asyncio.sleep(0)
            if "".join(seen) != found[-1]:
                found.append("".join(seen))
    assert all(later.replace("c", "") in ("", "a", "ab", "aba", "abab") for later in found)
    assert {len(later.replace("c", "")) for later in found} == {0, 1, 2, 3, 4}


async def test_an_error_of_one_does_not_stop_the_others() -> None:
    seen: list[str] = []
    told: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))

    class Broken(Worker):
        def take_turn(self) -> bool:
            raise ZeroDivisionError

    turns = Turns(RpcCounters())
    for worker in (Broken("a", 1, seen), Worker("b", 2, seen)):
        assert turns.ask(worker)
    for _ in range(4):
        await asyncio.sleep(0)
    assert [type(error) for error in told] == [ZeroDivisionError]
    assert seen == ["b", "b"]


async def test_late_calls_are_ended_a_few_in_a_turn_and_once() -> None:
    late, calls = LateCalls(Turns(RpcCounters())), [LateCall() for _ in range(2 * LATE_CALLS)]
    late.add(calls[: LATE_CALLS + 1])
    late.add(calls)
    calls[-1].unfinished = 0  # its message came in the last moment
    found = []
    for _ in range(4):
        await asyncio.sleep(0)
        found.append(sum(call.given_up for call in calls))
    assert found == [LATE_CALLS, 2 * LATE_CALLS - 1, 2 * LATE_CALLS - 1, 2 * LATE_CALLS - 1]
    late.add(calls[:1])
    await asyncio.sleep(0)
    assert calls[0].given_up == 2


async def test_late_calls_are_ended_at_once_where_too_much_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_OCTETS", -1)
    late, calls = LateCalls(Turns(RpcCounters())), [LateCall() for _ in range(2 * LATE_CALLS)]
    late.add(calls)
    assert all(call.given_up == 1 for call in calls)
