"""GCRA against a slow model in fractions, and the edges an operator would try by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsproxy.limits.base import NS_PER_S, ms_from_ns
from smsproxy.limits.gcra import Gcra

MS = 1_000_000

RATES = st.one_of(st.integers(1, 12), st.sampled_from([333, 999_983, 1_000_000]))
STEPS_NS = st.one_of(st.integers(0, 5), st.integers(0, 3 * NS_PER_S), st.sampled_from([MS, 333_333_333]))


@dataclass
class FractionBucket:
    """The token bucket of the textbook: a level that grows with time, in exact fractions."""

    rate: int
    burst: int
    level: Fraction = field(init=False)
    at_ns: int = 0

    def __post_init__(self) -> None:
        self.level = Fraction(self.burst)

    def take(self, now_ns: int, n: int) -> int:
        grown = self.level + Fraction(self.rate * (now_ns - self.at_ns), NS_PER_S)
        self.level, self.at_ns = min(Fraction(self.burst), grown), now_ns
        missing = min(n, self.burst) - self.level
        if missing > 0:
            return -(-missing * NS_PER_S // self.rate)
        self.level -= n
        return 0

    def give_back(self, n: int) -> None:
        self.level += n


@given(RATES, st.integers(1, 6), st.lists(st.tuples(STEPS_NS, st.integers(1, 8), st.booleans()), max_size=60))
def test_every_answer_is_that_of_an_exact_token_bucket(
    rate: int, burst: int, steps: list[tuple[int, int, bool]]
) -> None:
    bucket, model, now = Gcra(rate, burst), FractionBucket(rate, burst), 7
    for step_ns, n, unused in steps:
        now += step_ns
        expected = model.take(now, n)
        assert bucket.wait(now, n) == expected
        assert bucket.take(now, n) == expected
        if unused and expected == 0:
            bucket.give_back(n)
            model.give_back(n)


@given(RATES, st.integers(1, 6), st.lists(st.tuples(STEPS_NS, st.integers(1, 6)), min_size=1, max_size=40))
def test_no_window_grants_more_than_burst_and_rate(
    rate: int, burst: int, steps: list[tuple[int, int]]
) -> None:
    bucket, now = Gcra(rate, burst), 0
    granted: list[tuple[int, int]] = []
    for step_ns, n in steps:
        now += step_ns
        n = min(n, burst)
        if bucket.take(now, n) == 0:
            granted.append((now, n))
    for first, (start, _) in enumerate(granted):
        total = 0
        for at, n in granted[first:]:
            total += n
            assert total <= burst + Fraction(rate * (at - start), NS_PER_S)


@given(RATES, st.integers(1, 5), st.integers(1, 9), st.integers(0, 10**18))
def test_the_wait_is_exact_to_the_nanosecond(rate: int, burst: int, n: int, now: int) -> None:
    bucket = Gcra(rate, burst)
    while (wait := bucket.take(now, n)) == 0:
        pass
    assert bucket.take(now + wait - 1, n) == 1
    assert bucket.take(now + wait, n) == 0


def test_two_hundred_greedy_tasks_get_6020_in_a_minute_at_100_a_second_and_burst_20() -> None:
    bucket = Gcra(100, 20)
    granted = 0
    for now_ms in range(60_001):
        for _task in range(200):
            if bucket.take(now_ms * MS):
                break
            granted += 1
    assert granted == 6_020


def test_rate_zero_is_unlimited() -> None:
    bucket = Gcra(0, 5)
    assert all(bucket.take(0, 1_000) == 0 for _ in range(1_000))
    assert bucket.wait(0, 10**9) == 0


@pytest.mark.parametrize(("rate", "burst"), [(1, 1), (7, 7), (200, 200)])
def test_burst_zero_is_one_second_of_the_rate(rate: int, burst: int) -> None:
    bucket = Gcra(rate)
    assert sum(bucket.take(5) == 0 for _ in range(burst + 3)) == burst
    assert repr(bucket) == f"<Gcra {rate}/s burst={burst}>"


def test_more_than_the_burst_is_taken_from_a_full_bucket_and_paid_for_later() -> None:
    bucket = Gcra(10, 5)
    assert bucket.take(0, 8) == 0
    assert bucket.wait(0, 1) == 400 * MS  # three tokens of debt, then one
    assert bucket.wait(0, 8) == 800 * MS  # full again
    assert bucket.take(800 * MS, 8) == 0


def test_a_token_given_back_is_there_again_at_once() -> None:
    bucket = Gcra(1, 2)
    assert bucket.take(0, 2) == 0
    assert bucket.take(0) == NS_PER_S
    bucket.give_back()
    assert bucket.take(0) == 0
    assert bucket.take(0) == NS_PER_S


def test_giving_back_never_makes_the_bucket_deeper() -> None:
    bucket = Gcra(1, 2)
    assert bucket.take(0, 2) == 0
    bucket.give_back(2)
    bucket.give_back(2)
    assert bucket.take(NS_PER_S, 2) == 0
    assert bucket.take(NS_PER_S) > 0


def test_a_clock_that_steps_back_grants_nothing_extra() -> None:
    bucket = Gcra(10, 1)
    assert bucket.take(5 * NS_PER_S) == 0
    assert bucket.take(4 * NS_PER_S) == NS_PER_S + 100 * MS
    assert bucket.take(5 * NS_PER_S + 100 * MS) == 0


@pytest.mark.parametrize(("rate", "burst"), [(-1, 0), (1, -1)])
def test_a_negative_rate_or_burst_is_refused(rate: int, burst: int) -> None:
    with pytest.raises(ValueError, match="at least 0"):
        Gcra(rate, burst)


@pytest.mark.parametrize(("wait_ns", "ms"), [(0, 0), (1, 1), (MS, 1), (MS + 1, 2), (333_333_334, 334)])
def test_retry_after_is_rounded_up_to_whole_milliseconds(wait_ns: int, ms: int) -> None:
    assert ms_from_ns(wait_ns) == ms
