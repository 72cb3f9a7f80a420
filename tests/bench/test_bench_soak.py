"""What a soak and a pair of instances make of their samples."""

from __future__ import annotations

import pytest

from tests.bench.instances import _joined
from tests.bench.soak import Sample, slope_per_hour, summary
from tests.bench.tally import OpenLoop


def a_sample(number: int, rss_mib: float = 100.0, rate: float = 2000.0) -> Sample:
    return Sample(10.0 * number, rate, 5.0, 9.0, 20.0, rss_mib, 26, 10, float(number))


def test_memory_that_grows_has_a_slope_and_memory_that_stands_has_none() -> None:
    assert slope_per_hour([a_sample(number) for number in range(30)]) == 0
    assert slope_per_hour([a_sample(number, 100 + number / 360) for number in range(30)]) == 1.0


def test_a_soak_compares_its_first_part_with_its_last() -> None:
    samples = [a_sample(number, rate=2000.0 if number < 90 else 1000.0) for number in range(180)]
    told = summary(samples)
    assert (told["rate_first"], told["rate_last"]) == (2000.0, 1000.0)
    assert (told["files"], told["threads"], told["store_mib"]) == ([26, 26], [10, 10], [0.0, 179.0])


def test_an_interval_has_its_own_latencies_and_the_whole_run_all_of_them() -> None:
    loop = OpenLoop(100.0)
    for seconds in (0.001, 0.5):
        loop.latency.record(seconds)
        assert loop.new_interval().count == 1
    loop.latency.record(0.02)
    loop.end_intervals()
    assert loop.latency.count == 3
    assert loop.latency.percentile_ms(100) == pytest.approx(500, rel=0.01)


def test_loads_that_ran_together_count_as_one() -> None:
    report = {
        "messages": 10,
        "cpu_s": 0.5,
        "first_send_at": 5.0,
        "last_answer_at": 7.0,
        "p50_ms": 1,
        "p99_ms": 2,
    }
    later = report | {"first_send_at": 5.5, "last_answer_at": 8.0, "p99_ms": 9}
    joined = _joined([report, later])
    assert (joined["messages"], joined["cpu_s"], joined["p99_ms"]) == (20, 1.0, 9)
    assert (joined["first_send_at"], joined["last_answer_at"]) == (5.0, 8.0)
