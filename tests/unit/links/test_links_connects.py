"""Five connects a second to one host, with seconds as arguments."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from smsproxy.links.connects import ConnectLimiter


def test_the_first_five_go_at_once_and_the_others_in_the_order_they_asked() -> None:
    connects = ConnectLimiter()
    delays = [connects.delay("smsc", 10) for _ in range(12)]
    assert delays == [0] * 5 + [1] * 5 + [2] * 2


def test_another_host_has_a_line_of_its_own() -> None:
    connects = ConnectLimiter()
    for _ in range(9):
        connects.delay("smsc", 10)
    assert connects.delay("other", 10) == 0


def test_a_host_is_the_same_in_capitals() -> None:
    connects = ConnectLimiter()
    for _ in range(5):
        connects.delay("smsc.example", 10)
    assert connects.delay("SMSC.example", 10) == 1


def test_a_host_that_is_quiet_for_a_second_is_forgotten() -> None:
    connects = ConnectLimiter()
    connects.delay("smsc", 10)
    connects.delay("other", 10.5)
    assert repr(connects) == "<ConnectLimiter hosts=2>"
    connects.delay("other", 11)
    assert repr(connects) == "<ConnectLimiter hosts=1>"


@given(st.lists(st.integers(0, 500), max_size=60))
def test_no_second_has_more_than_five(pauses_ms: list[int]) -> None:
    connects = ConnectLimiter()
    now = 0
    given_at = []
    for pause_ms in pauses_ms:
        now += pause_ms
        given_at.append(now + round(connects.delay("smsc", now / 1000) * 1000))
    assert given_at == sorted(given_at)
    assert all(later - first >= 999 for first, later in zip(given_at, given_at[5:], strict=False))
