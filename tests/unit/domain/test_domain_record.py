"""States of segments, what they add up to, and what time alone makes of them (spec §6)."""

from __future__ import annotations

from random import Random

import hypothesis.strategies as st
import pytest
from hypothesis import given

from smsproxy.domain.record import (
    AWAITS_RECEIPT,
    AWAITS_RESULT,
    FINAL,
    INTENT_S,
    STATE_WORDS,
    MessageRecord,
    SegmentRecord,
    SegmentState,
    overall,
)

SUBMITTING, SUBMITTED, UNKNOWN = SegmentState.SUBMITTING, SegmentState.SUBMITTED, SegmentState.UNKNOWN
DELIVERED, EXPIRED, REJECTED = SegmentState.DELIVERED, SegmentState.EXPIRED, SegmentState.REJECTED
UNDELIVERABLE, NOT_SENT = SegmentState.UNDELIVERABLE, SegmentState.NOT_SENT
STATES = st.sampled_from(list(SegmentState))
NOW = 1_795_000_000.0
TIMEOUT_S = 1000.0


def a_record(*segments: SegmentRecord, **more: object) -> MessageRecord:
    return MessageRecord(b"x" * 16, 1, 100, "tx", 7, NOW, list(segments), **more)


def a_segment(state: SegmentState, smsc_id: str = "1", at: float = NOW) -> SegmentRecord:
    return SegmentRecord(state, smsc_id, "", at)


def test_stored_numbers_never_change() -> None:
    assert {state.name: int(state) for state in SegmentState} == {
        "SUBMITTING": 0,
        "SUBMITTED": 1,
        "DELIVERED": 2,
        "UNDELIVERABLE": 3,
        "EXPIRED": 4,
        "REJECTED": 5,
        "NOT_SENT": 6,
        "UNKNOWN": 7,
    }


def test_every_state_has_its_word_of_the_contract() -> None:
    assert list(STATE_WORDS.values()) == [
        "submitting",
        "submitted",
        "DELIVERED",
        "UNDELIVERABLE",
        "EXPIRED",
        "REJECTED",
        "not_sent",
        "unknown",
    ]
    assert set(STATE_WORDS) == set(SegmentState)


def test_final_states_await_nothing() -> None:
    assert not FINAL & (AWAITS_RESULT | AWAITS_RECEIPT)
    assert set(SegmentState) - FINAL - AWAITS_RESULT - AWAITS_RECEIPT == {NOT_SENT}


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([DELIVERED, DELIVERED], DELIVERED),
        ([DELIVERED, SUBMITTED], SUBMITTED),
        ([SUBMITTED], SUBMITTED),
        ([DELIVERED, REJECTED, UNDELIVERABLE, EXPIRED], REJECTED),
        ([EXPIRED, UNDELIVERABLE, UNKNOWN], UNDELIVERABLE),
        ([EXPIRED, UNKNOWN, SUBMITTING], EXPIRED),
        ([UNKNOWN, DELIVERED, SUBMITTING], UNKNOWN),
        ([SUBMITTING, SUBMITTED, DELIVERED], SUBMITTING),
        ([SUBMITTED, REJECTED, NOT_SENT], REJECTED),
        ([NOT_SENT, NOT_SENT], NOT_SENT),
        ([DELIVERED, NOT_SENT], SUBMITTED),
    ],
)
def test_the_overall_state_is_computed(states: list[SegmentState], expected: SegmentState) -> None:
    assert overall(states) is expected
    assert a_record(*map(a_segment, states)).status is expected


@given(st.lists(STATES, min_size=1, max_size=10), st.randoms(use_true_random=False))
def test_the_order_of_segments_does_not_matter(states: list[SegmentState], random: Random) -> None:
    expected = overall(states)
    random.shuffle(states)
    assert overall(states) is expected
    assert (expected is DELIVERED) == (set(states) == {DELIVERED})


def test_a_record_shows_its_ids_in_order_and_its_latest_change() -> None:
    record = a_record(a_segment(SUBMITTED, "a", NOW + 5), a_segment(REJECTED, ""), a_segment(DELIVERED, "c"))
    assert record.smsc_ids == ("a", "c")
    assert record.updated_at == NOW + 5
    assert a_record().updated_at == NOW


def test_the_last_receipt_is_spread_over_what_the_smsc_took_and_nothing_else() -> None:
    record = a_record(
        a_segment(SUBMITTED),
        a_segment(UNKNOWN, ""),
        a_segment(REJECTED, ""),
        SegmentRecord(UNDELIVERABLE, "4", "UNDELIV err:045", NOW + 9),
        last_receipt_settles_all=True,
    )
    record.spread_last_receipt()
    assert [one.state for one in record.segments] == [UNDELIVERABLE, UNKNOWN, REJECTED, UNDELIVERABLE]
    assert record.segments[0] == SegmentRecord(UNDELIVERABLE, "1", "UNDELIV err:045", NOW + 9)


@pytest.mark.parametrize(
    ("last", "asked"),
    [
        (a_segment(SUBMITTED), True),
        (a_segment(REJECTED, ""), True),  # refused on submission: not a receipt
        (a_segment(DELIVERED), False),
    ],
)
def test_nothing_is_spread_without_the_last_receipt(last: SegmentRecord, asked: bool) -> None:
    record = a_record(a_segment(SUBMITTED), last, last_receipt_settles_all=asked)
    record.spread_last_receipt()
    assert record.segments[0] == a_segment(SUBMITTED)


def test_an_overdue_receipt_reads_as_expired_and_not_a_moment_before() -> None:
    record = a_record(a_segment(SUBMITTED), a_segment(SUBMITTED, at=NOW + 1), a_segment(DELIVERED))
    record.expire(NOW + TIMEOUT_S, TIMEOUT_S)
    assert [one.state for one in record.segments] == [SUBMITTED, SUBMITTED, DELIVERED]
    record.expire(NOW + TIMEOUT_S + 0.5, TIMEOUT_S)
    assert [one.state for one in record.segments] == [EXPIRED, SUBMITTED, DELIVERED]
    assert record.segments[0].reason == "no receipt in time"


def test_a_message_without_receipts_never_expires() -> None:
    record = a_record(a_segment(SUBMITTED), receipts_expected=False)
    record.expire(NOW + 100 * TIMEOUT_S, TIMEOUT_S)
    assert record.status is SUBMITTED


@pytest.mark.parametrize("receipts_expected", [True, False])
def test_an_intent_without_a_result_reads_as_unknown_after_a_minute(receipts_expected: bool) -> None:
    record = a_record(a_segment(SUBMITTING, ""), receipts_expected=receipts_expected)
    record.expire(NOW + INTENT_S, TIMEOUT_S)
    assert record.status is SUBMITTING
    record.expire(NOW + INTENT_S + 0.5, TIMEOUT_S)
    assert record.status is UNKNOWN
    assert record.segments[0].reason == "no answer is recorded"
