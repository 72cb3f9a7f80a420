"""The process and app limits of one process."""

from __future__ import annotations

from smsproxy.limits.base import GRANTED, NS_PER_S, Admission, Bucket
from smsproxy.limits.gcra import Gcra
from smsproxy.limits.local import LocalLimits

MS = 1_000_000


def granted(limits: LocalLimits, app_id: int, tries: int, now_ns: int = 0) -> int:
    return sum(limits.admit(app_id, now_ns) == GRANTED for _ in range(tries))


def test_an_app_over_its_rate_does_not_spend_the_process_tokens() -> None:
    limits = LocalLimits(10, {1: (2, 0), 2: (100, 0)})
    assert granted(limits, 1, tries=50) == 2
    assert granted(limits, 2, tries=50) == 8
    assert (limits.refused_by_app, limits.refused_by_process, limits.granted) == (48, 42, 10)


def test_a_request_the_process_refuses_costs_its_app_nothing() -> None:
    limits = LocalLimits(1, {1: (5, 5)})
    assert granted(limits, 1, tries=10) == 1
    limits.reload(0, {1: (5, 5)})
    assert granted(limits, 1, tries=10) == 4


def test_the_wait_is_long_enough_for_both_limits() -> None:
    limits = LocalLimits(1, {1: (100, 1)})
    assert limits.admit(1, 0) == GRANTED
    assert limits.admit(1, 0) == NS_PER_S
    assert limits.admit(1, 10 * MS) == 990 * MS
    assert limits.admit(1, NS_PER_S) == GRANTED


def test_an_app_without_a_rate_is_held_by_the_process_alone() -> None:
    limits = LocalLimits(3, {1: (0, 9)})
    assert granted(limits, 1, tries=2) == 2
    assert granted(limits, 99, tries=5) == 1


def test_no_rates_at_all_limit_nothing() -> None:
    assert granted(LocalLimits(0, {}), 1, tries=1_000) == 1_000


def test_reload_keeps_the_state_of_unchanged_buckets() -> None:
    limits = LocalLimits(10, {1: (2, 0), 2: (2, 2), 3: (1, 0)})
    for app_id in (1, 2, 3):
        assert granted(limits, app_id, tries=2) > 0
    limits.reload(10, {1: (2, 2), 2: (3, 2)})  # burst 0 of rate 2 is a burst of 2: the same bucket
    assert granted(limits, 1, tries=9) == 0
    assert granted(limits, 2, tries=9) == 2
    assert granted(limits, 3, tries=9) == 3  # no longer limited, and the process has 3 of 10 left
    assert limits.refused_by_process == 6
    assert repr(limits) == "<LocalLimits process=<Gcra 10/s burst=10> apps=2 refused app=17 process=6>"


def test_the_classes_fit_their_protocols() -> None:
    bucket: Bucket = Gcra(1)
    admission: Admission = LocalLimits(1, {})
    assert bucket.take(0) == admission.admit(1, 0) == GRANTED
