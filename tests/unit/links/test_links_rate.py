"""The two rates of a link, the one that is set and the one it is shrunk to, asked as one."""

from __future__ import annotations

import pytest
from links_kit import Bench, EarlyLoop, leased_bench

from smsproxy.limits.gcra import Gcra
from smsproxy.links.pace import Pace
from smsproxy.links.rate import Rate

NANO = 1_000_000_000


def shrunk(pace: Pace, now_ns: int) -> None:
    """The SMSC took ten segments in a second, and no more."""
    for _ in range(10):
        pace.accepted(now_ns)
    pace.throttled(now_ns, 0)


def test_a_link_that_was_never_throttled_has_the_rate_that_is_set() -> None:
    rate = Rate(10, 1, Gcra(10, 1), Pace(10))
    assert (rate.per_s, rate.shrunk, rate.shrinks, repr(rate)) == (10, False, 0, "<Rate 10/10>")
    assert rate.take(NANO) == 0
    assert rate.take(NANO) == rate.wait(NANO) == NANO // 10


def test_a_shrunk_link_waits_for_the_slower_of_the_two() -> None:
    pace = Pace(1000)
    rate = Rate(1000, 1000, Gcra(1000, 1000), pace)
    shrunk(pace, NANO)
    assert rate.shrunk
    assert (rate.shrinks, rate.per_s) == (1, pace.per_s)
    assert rate.per_s < 1000
    assert rate.take(2 * NANO) == 0
    assert rate.take(2 * NANO) == rate.wait(2 * NANO) == NANO * 1000 // pace.rate


def test_what_the_shrunk_rate_keeps_back_takes_no_token_of_the_other() -> None:
    pace = Pace(0)
    rate = Rate(0, 0, shaper := Gcra(1, 2), pace)
    shrunk(pace, NANO)
    assert rate.take(2 * NANO) == 0
    for _ in range(5):
        assert rate.take(2 * NANO) > 0
    assert shaper.wait(2 * NANO) == 0


@pytest.mark.parametrize(
    ("rate_per_s", "burst", "rest_s"),
    [(1000, 200, 0.010), (1000, 0, 0.010), (1000, 9, 0.004), (30, 2, 0.010), (30, 1, 0.001), (0, 0, 0.001)],
)
def test_tokens_ripen_for_ten_ms_or_for_half_of_what_the_bucket_takes_beside_one(
    rate_per_s: int, burst: int, rest_s: float
) -> None:
    rate = Rate(rate_per_s, burst, Gcra(rate_per_s, burst), Pace(rate_per_s))
    assert rate.rest_s == rest_s


def test_a_shrunk_link_gives_tokens_out_as_they_come() -> None:
    pace = Pace(1000)
    rate = Rate(1000, 200, Gcra(1000, 200), pace)
    shrunk(pace, NANO)
    assert rate.rest_s == 0.001


SMALL_BURSTS = [(30, 1), (30, 2), (50, 1), (99, 1), (99, 2), (200, 5), (1000, 20)]


def sent_in_ten_seconds(bench: Bench, rate_per_s: int, key: tuple[int, str]) -> float:
    """As a part of what the rate allows; the window is never full."""
    for _ in range(11 * rate_per_s):
        bench.offer(key=key)
    for _ in range(40):
        bench.loop.advance(0.25)
        bench.answer_all()
    sent = len(bench.session.written) - bench.settings.burst
    assert sent <= 10 * rate_per_s
    return sent / (10 * rate_per_s)


@pytest.mark.parametrize(("rate_per_s", "burst"), SMALL_BURSTS)
@pytest.mark.parametrize("key", [(1, "stream"), (2, "unary")])
def test_a_small_burst_does_not_slow_a_link_whose_timers_come_early_by_a_hair(
    rate_per_s: int, burst: int, key: tuple[int, str]
) -> None:
    settings = {"rate_per_s": rate_per_s, "burst": burst, "window": 1000, "max_waiting": 100_000}
    assert sent_in_ten_seconds(Bench(loop=EarlyLoop(), **settings), rate_per_s, key) > 0.9


@pytest.mark.parametrize(("rate_per_s", "burst"), SMALL_BURSTS)
@pytest.mark.parametrize("key", [(1, "stream"), (2, "unary")])
def test_nor_does_it_slow_one_that_shares_its_rate_by_more_than_its_calls_take(
    rate_per_s: int, burst: int, key: tuple[int, str]
) -> None:
    bench = leased_bench(rate_per_s, burst, loop=EarlyLoop(), window=1000, max_waiting=100_000)
    assert sent_in_ten_seconds(bench, rate_per_s, key) > 0.75
