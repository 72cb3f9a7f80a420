"""The packed values of the embedded policy: bounded, and readable whatever the bytes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from policy_bench import an_id

from smsproxy.policy.counters import MAX_CLAIMS, Claims, Tally

WEEK = 105_000


def test_a_tally_survives_packing() -> None:
    tally = Tally(None, WEEK)
    tally.add(an_id(1), 0, 64)
    tally.add(an_id(2), 6, 64)
    again = Tally(tally.pack(), WEEK)
    assert (again.of_week, again.of_day(0), again.of_day(6), again.of_day(3)) == (2, 1, 1, 0)
    assert again.holds(an_id(1))
    assert not again.holds(an_id(3))


def test_a_tally_of_another_week_is_empty() -> None:
    tally = Tally(None, WEEK)
    tally.add(an_id(1), 0, 64)
    assert Tally(tally.pack(), WEEK + 1).pack() is None


def test_a_message_is_taken_off_the_day_it_was_counted_on_and_only_once() -> None:
    tally = Tally(None, WEEK)
    tally.add(an_id(1), 1, 64)
    tally.add(an_id(2), 2, 64)
    assert tally.remove(an_id(1))
    assert not tally.remove(an_id(1))
    assert (tally.of_day(1), tally.of_day(2)) == (0, 1)
    assert tally.remove(an_id(2))
    assert tally.pack() is None


def test_a_tally_keeps_its_count_but_only_the_newest_ids() -> None:
    tally = Tally(None, WEEK)
    assert sum(tally.add(an_id(n), n % 7, 64) for n in range(1_000)) == 1_000 - 64
    assert tally.of_week == 1_000
    assert len(tally.pack() or b"") == 32 + 64 * 17
    assert not tally.remove(an_id(0))
    assert tally.remove(an_id(999))
    assert tally.of_week == 999


def test_a_claim_holds_for_the_window_and_not_a_second_longer() -> None:
    claims = Claims(None, 1_000.0, 60)
    claims.add(an_id(1))
    value = claims.pack()
    assert Claims(value, 1_059.9, 60).blocks(an_id(2), 60)
    assert not Claims(value, 1_060.0, 60).blocks(an_id(2), 60)
    assert not Claims(value, 1_059.9, 60).blocks(an_id(1), 60)


def test_a_claim_from_the_far_future_does_not_block() -> None:
    claims = Claims(None, 9e9, 60)
    claims.add(an_id(1))
    assert not Claims(claims.pack(), 1_000.0, 60).blocks(an_id(2), 60)


def test_claims_are_bounded_and_the_oldest_go_on_blocking() -> None:
    value, dropped = None, 0
    for n in range(100):
        claims = Claims(value, 1_000.0 + n, 1_000)
        dropped += claims.add(an_id(n))
        value = claims.pack()
    assert len(value or b"") == MAX_CLAIMS * 24
    assert dropped == 100 - (MAX_CLAIMS - 1)
    claims = Claims(value, 1_100.0, 1_000)
    assert not claims.remove(an_id(0))
    for n in range(100):
        claims.remove(an_id(n))
    assert claims.blocks(an_id(0), 1_000)
    newest_dropped_at = 1_000.0 + 100 - MAX_CLAIMS
    assert claims.newest_at == newest_dropped_at


@given(st.binary(max_size=120), st.integers(0, 2**32 - 1))
def test_any_bytes_read_as_a_tally_that_works(value: bytes, week: int) -> None:
    tally = Tally(value, week)
    counted = tally.of_week
    tally.add(an_id(1), 3, 64)
    assert tally.of_week == counted + 1
    assert tally.remove(an_id(1))
    assert Tally(tally.pack(), week).of_week == counted


@given(st.integers(0, 6), st.binary(min_size=16, max_size=16))
def test_a_count_never_falls_below_nothing(day: int, message_id: bytes) -> None:
    damaged = WEEK.to_bytes(4, "big") + bytes(28) + bytes([day]) + message_id
    tally = Tally(damaged, WEEK)
    assert tally.remove(message_id)
    assert tally.of_day(day) == 0


@given(st.binary(max_size=120), st.floats(0, 4e9))
def test_any_bytes_read_as_claims_that_work(value: bytes, now: float) -> None:
    claims = Claims(value, now, 60)
    claims.add(an_id(1))
    assert claims.holds(an_id(1), 60)
    assert Claims(claims.pack(), now, 60).holds(an_id(1), 60)
