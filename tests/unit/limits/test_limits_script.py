"""lease.lua on a real server, its clock turned by hand, against an exact bucket in fractions."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis
from redis_kit import RedisServer

from smsproxy.limits.source import LEASE

START_US = 1_700_000_000_000_000
TEXT = LEASE.text.replace("redis.call('TIME')", "{ARGV[#ARGV - 1], ARGV[#ARGV]}")
"""The script with its clock as two more arguments."""


class Bench:
    """A client, and a clock in microseconds."""

    def __init__(self, server: RedisServer) -> None:
        self.client = Redis(unix_socket_path=server.path)
        self.now_us = START_US

    def take(self, *asked: tuple[str, int, int, int]) -> list[int]:
        """(key, rate, burst, wanted) each."""
        args = [number for _, *numbers in asked for number in numbers]
        clock = divmod(self.now_us, 1_000_000)
        reply = self.client.eval(TEXT, len(asked), *(key for key, *_ in asked), *args, *clock)
        assert isinstance(reply, list)
        return reply


@pytest.fixture
def bench(redis: RedisServer) -> Bench:
    return Bench(redis)


NUMBERS = st.integers(1, 20) | st.integers(1, 1_000_000)


@given(
    rate=NUMBERS,
    burst=NUMBERS,
    asked=st.lists(
        st.tuples(st.integers(0, 5_000_000), st.integers(0, 10) | st.integers(0, 1_000_000)), max_size=15
    ),
)
def test_every_answer_is_that_of_an_exact_bucket(
    shared_redis: RedisServer, rate: int, burst: int, asked: list[tuple[int, int]]
) -> None:
    bench = Bench(shared_redis)
    bench.client.delete("k")
    level = Fraction(burst)
    for pause_us, wanted in asked:
        bench.now_us += pause_us
        level = min(Fraction(burst), level + Fraction(pause_us * rate, 1_000_000))
        granted = min(wanted, int(level))
        level -= granted
        wait = 0 if granted == wanted else -int(-(1 - level) * 1_000_000 // rate)
        assert bench.take(("k", rate, burst, wanted)) == [granted, wait]
    bench.client.close()


def test_one_call_answers_many_keys_each_by_its_own_rate(bench: Bench) -> None:
    assert bench.take(("a", 10, 5, 3), ("b", 1, 1, 2), ("c", 1000, 0, 1)) == [3, 0, 1, 1_000_000, 0, 1000]


def test_every_key_that_is_written_lapses_a_second_after_its_bucket_is_full(bench: Bench) -> None:
    bench.take(("a", 10, 50, 50), ("b", 10, 50, 0))
    assert 5_000 < bench.client.pttl("a") <= 6_000
    assert not bench.client.exists("b")


def test_a_clock_that_steps_back_an_hour_stops_no_refill(bench: Bench) -> None:
    bench.take(("a", 100, 100, 100))
    bench.now_us -= 3_600_000_000
    assert bench.take(("a", 100, 100, 1)) == [0, 10_000]
    bench.now_us += 10_000
    assert bench.take(("a", 100, 100, 1)) == [1, 0]


def test_a_clock_that_steps_forward_an_hour_grants_one_burst(bench: Bench) -> None:
    bench.take(("a", 100, 100, 100))
    bench.now_us += 3_600_000_000
    assert bench.take(("a", 100, 100, 1000)) == [100, 10_000]


def test_a_smaller_burst_after_a_reload_holds_at_once(bench: Bench) -> None:
    bench.take(("a", 10, 100, 50))
    assert bench.take(("a", 10, 10, 1)) == [0, 4_100_000]
