"""What the planner makes of submits, with the clock and chance in hand."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsproxy.domain.address import Address
from smsproxy.simulator.plan import Bucket, Plan, Planner
from smsproxy.simulator.script import Rule, Script
from smsproxy.smpp.constants import ESME_RMSGQFUL, ESME_RTHROTTLED
from smsproxy.smpp.pdu import DataSm, SubmitSm


def a_submit(
    text: bytes = b"hello", to: str = "998901234567", *, asks: int = 1, **fields: object
) -> SubmitSm:
    return SubmitSm(
        source_addr=Address(5, 0, "MYBRAND"),
        destination_addr=Address(1, 1, to),
        short_message=text,
        registered_delivery=asks,
        **fields,
    )


class Desk:
    """A planner with one account."""

    def __init__(self, *rules: Rule, seed: int = 1, **fields: object) -> None:
        self.planner = Planner(Script(rules=rules, **fields), Random(seed), 0.0)
        self.bucket = Bucket()

    def plan(self, pdu: SubmitSm | DataSm | None = None, now: float = 0.0) -> Plan:
        return self.planner.plan(pdu or a_submit(), self.bucket, now)

    def fires(self, count: int) -> list[int]:
        """Which of so many equal submits are not simply taken, counted from 1."""
        return [number for number in range(1, count + 1) if self.plan().action is not None]


def test_the_ordinary_submit_is_taken_at_once_with_one_receipt_after_the_answer() -> None:
    assert Desk().plan() == Plan(state="DELIVRD", states=("DELIVRD",))


def test_above_the_rate_submits_are_throttled_until_tokens_come_back() -> None:
    desk = Desk(throttle_per_s=2, throttle_burst=3)
    assert [desk.plan(now=10).command_status for _ in range(4)] == [0, 0, 0, ESME_RTHROTTLED]
    assert desk.plan(now=10.4).command_status == ESME_RTHROTTLED
    assert desk.plan(now=10.5).command_status == 0
    assert [desk.plan(now=1e9).command_status for _ in range(4)] == [0, 0, 0, ESME_RTHROTTLED]


def test_a_throttle_without_a_burst_lets_a_second_through_at_once() -> None:
    desk = Desk(throttle_per_s=5)
    assert [desk.plan().command_status for _ in range(6)] == [0] * 5 + [ESME_RTHROTTLED]
    slow = Desk(throttle_per_s=0.5)
    assert [slow.plan(now=now).command_status for now in (0, 1, 2)] == [0, ESME_RTHROTTLED, 0]


@given(st.lists(st.floats(0, 10), max_size=50), st.floats(0.5, 20))
def test_no_more_pass_the_throttle_than_rate_and_burst_allow(pauses: list[float], rate: float) -> None:
    desk, now, passed = Desk(throttle_per_s=rate, throttle_burst=2), 0.0, 0
    for pause in pauses:
        now += pause
        passed += desk.plan(now=now).command_status == 0
    assert passed <= 2 + now * rate + 1e-6


def test_the_queue_is_full_for_its_period_only() -> None:
    desk = Desk(queue_full_after_s=5, queue_full_for_s=10)
    statuses = {now: desk.plan(now=now).command_status for now in (0, 4.9, 5, 14.9, 15)}
    assert statuses == {0: 0, 4.9: 0, 5: ESME_RMSGQFUL, 14.9: ESME_RMSGQFUL, 15: 0}


def test_what_is_throttled_does_not_count_for_rules() -> None:
    desk = Desk(Rule(do="silent", every=2), throttle_per_s=1, throttle_burst=1)
    assert [desk.plan(now=now).action for now in (0, 0, 0, 1)] == [None, None, None, "silent"]


def test_a_rule_fires_on_every_nth_and_at_most_so_often() -> None:
    assert Desk(Rule(do="silent", every=3)).fires(10) == [3, 6, 9]
    assert Desk(Rule(do="silent", every=3, at_most=2)).fires(10) == [3, 6]
    assert Desk(Rule(do="repeat", at_most=1)).fires(3) == [1]


def test_a_rule_fires_on_a_share() -> None:
    fired = len(Desk(Rule(do="silent", share=0.1)).fires(2000))
    assert 140 < fired < 260
    assert Desk(Rule(do="silent", share=0.0)).fires(20) == []


def test_chance_is_the_same_for_the_same_seed() -> None:
    rule = Rule(do="silent", share=0.5)
    assert Desk(rule, seed=7).fires(50) == Desk(rule, seed=7).fires(50) != Desk(rule, seed=8).fires(50)


def test_a_rule_counts_only_what_its_conditions_let_through() -> None:
    desk = Desk(Rule(do="error", destination_prefix="7", every=2))
    statuses = [bool(desk.plan(a_submit(to=to)).command_status) for to in ("7", "8", "8", "7", "77", "7")]
    assert statuses == [False, False, False, True, False, True]


@pytest.mark.parametrize(
    ("rule", "matches", "differs"),
    [
        (Rule(do="silent", destination_prefix="99"), a_submit(to="991"), a_submit(to="199")),
        (Rule(do="silent", destination_suffix="99"), a_submit(to="199"), a_submit(to="991")),
        (Rule(do="silent", text_contains="code"), a_submit(b"your code"), a_submit(b"your")),
        (
            Rule(do="silent", text_contains="\u0434"),
            a_submit("\u0434\u0430".encode("utf-16-be"), data_coding=8),
            a_submit("\u0434\u0430".encode("utf-16-be"), data_coding=4),
        ),
        (
            Rule(do="silent", segment_no=2),
            a_submit(b"\x05\0\x03\1\2\2x", esm_class=0x40),
            a_submit(b"\x05\0\x03\1\2\1x", esm_class=0x40),
        ),
        (Rule(do="silent", segment_no=1), a_submit(b"\x05\0\x03\1\2\1x", esm_class=0x40), a_submit()),
    ],
)
def test_a_rule_matches_what_it_describes(rule: Rule, matches: SubmitSm, differs: SubmitSm) -> None:
    desk = Desk(rule)
    assert desk.plan(matches).silent
    assert not desk.plan(differs).silent


def test_states_go_in_turn_or_by_weight() -> None:
    turn = Desk(receipt_states=("DELIVRD", "UNDELIV", "EXPIRED"))
    assert [turn.plan().state for _ in range(4)] == ["DELIVRD", "UNDELIV", "EXPIRED", "DELIVRD"]
    weighted = Desk(receipt_states=("DELIVRD", "UNDELIV"), receipt_weights=(9.0, 1.0))
    bad = sum(weighted.plan().state == "UNDELIV" for _ in range(1000))
    assert 60 < bad < 140


def test_receipts_come_with_intermediate_later_and_repeated_ones() -> None:
    desk = Desk(receipts_before=("ENROUTE",), receipts_after=("EXPIRED",), receipt_repeats=2)
    assert desk.plan().states == ("ENROUTE", "DELIVRD", "DELIVRD", "DELIVRD", "EXPIRED")


def test_delays_vary_within_their_jitter_and_never_below_zero() -> None:
    desk = Desk(answer_delay_s=0.02, answer_jitter_s=0.01, receipt_delay_s=0.1, receipt_jitter_s=0.4)
    plans = [desk.plan() for _ in range(200)]
    assert all(0.01 <= plan.answer_s <= 0.03 for plan in plans)
    waits = [plan.receipt_s - plan.answer_s for plan in plans]
    assert all(0.1 <= wait <= 0.5 for wait in waits)
    assert max(waits) > 0.4
    assert min(Desk(answer_jitter_s=1.0).plan().answer_s for _ in range(5)) >= 0


def test_early_receipts_go_ahead_of_the_answer_by_so_much() -> None:
    desk = Desk(answer_delay_s=2.0, early_receipt_share=1.0, early_receipt_s=0.5, receipt_delay_s=9.0)
    plan = desk.plan()
    assert plan.early
    assert (plan.answer_s, plan.receipt_s) == (2.0, 1.5)
    assert Desk(early_receipt_share=1.0, early_receipt_s=5.0).plan().receipt_s == 0
    early = sum(Desk(early_receipt_share=0.05, seed=seed).plan().early for seed in range(1000))
    assert 20 < early < 90


def test_a_receipt_rule_says_the_state_or_that_none_comes() -> None:
    assert Desk(Rule(do="receipt", state="EXPIRED")).plan().states == ("EXPIRED",)
    never = Desk(Rule(do="receipt", state="")).plan()
    assert never.taken
    assert (never.state, never.states) == ("", ())


def test_refused_and_silent_submits_have_no_receipt() -> None:
    for action in ("error", "nack", "silent", "cut"):
        plan = Desk(Rule(do=action), receipts="always").plan()
        assert not plan.taken
        assert plan.states == ()


def test_data_sm_is_planned_alike() -> None:
    data = DataSm(destination_addr=Address(1, 1, "7"), registered_delivery=1, tlvs={0x0424: b"text"})
    assert Desk(Rule(do="silent", text_contains="ext")).plan(data).silent
