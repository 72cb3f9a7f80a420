"""The rules themselves: against a slow model that remembers everything, then example by example."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_bench import SHIPPED, DictTransaction, a_request, at, moment

from smsproxy.policy import evaluator
from smsproxy.policy.base import PolicyRequest, Verdict
from smsproxy.policy.counters import MAX_CLAIMS
from smsproxy.policy.days import moment_at
from smsproxy.policy.evaluator import Judgement
from smsproxy.policy.strategies import MIN_IDS_KEPT, Rule, Rulebook, Strategy

OK = Verdict.OK

ODD = (
    Strategy("tight", daily_max=2, weekly_max=3, duplicate_window_s=3_600, scope="recipient_app"),
    Strategy("weekly", weekly_max=2, scope="recipient_sender"),
    Strategy("looking", counts_as="cp1", mode="check"),
    Strategy("stricter", counts_as="tight", daily_max=1),
    Strategy("quick", counts_as="cp2", duplicate_window_s=600),
    Strategy("counted_text", counts_as="cp2", mode="count"),
    Strategy("nobody", daily_max=0),
    Strategy("apart", daily_max=1, weekly_max=3),
)
STRATEGIES = {strategy.name: strategy for strategy in (*SHIPPED, *ODD)}
BOOK = Rulebook(STRATEGIES.values())


def rule_of(name: str, book: Rulebook = BOOK) -> Rule:
    rule = book.get(name)
    assert rule is not None
    return rule


@dataclass
class SlowPolicy:
    """Every reservation ever made, in a list, and the spec's sentences over it."""

    zone: ZoneInfo
    contacts: list[tuple[str, tuple[object, ...], bytes, date]] = field(default_factory=list)
    texts: list[tuple[str, tuple[object, ...], bytes, float]] = field(default_factory=list)

    def _terms(
        self, request: PolicyRequest
    ) -> tuple[Strategy, Strategy, tuple[object, ...], tuple[object, ...]]:
        own = STRATEGIES[request.strategy]
        root = STRATEGIES[own.counts_as] if own.counts_as else own
        who: tuple[object, ...] = (request.daddr,)
        if root.scope == "recipient_app":
            who = (request.app_id, request.daddr)
        elif root.scope == "recipient_sender":
            who = (request.saddr, request.daddr)
        return own, root, who, (request.app_id, request.daddr, request.text_sha256)

    def reserve(self, request: PolicyRequest, now: float) -> Verdict:
        own, root, who, what = self._terms(request)
        caps = own if (own.daily_max, own.weekly_max) != (None, None) else root
        window = own.duplicate_window_s or root.duplicate_window_s
        today = datetime.fromtimestamp(now, self.zone).date()
        texts = {i for f, w, i, then in self.texts if (f, w) == (root.name, what) and now - then < window}
        week = [
            (i, day)
            for f, w, i, day in self.contacts
            if (f, w) == (root.name, who) and day.isocalendar()[:2] == today.isocalendar()[:2]
        ]
        counted = any(i == request.message_id for i, _ in week)
        if own.mode != "count":
            if texts and request.message_id not in texts:
                return Verdict.DUPLICATE
            contacts_today = sum(day == today for _, day in week)
            if not counted and caps.daily_max is not None and contacts_today >= caps.daily_max:
                return Verdict.DAILY_CP
            if not counted and caps.weekly_max is not None and len(week) >= caps.weekly_max:
                return Verdict.WEEKLY_CP
        if own.mode != "check":
            if window and request.message_id not in texts:
                self.texts.append((root.name, what, request.message_id, now))
            if not counted and (caps.daily_max, caps.weekly_max) != (None, None):
                self.contacts.append((root.name, who, request.message_id, today))
        return OK

    def release(self, request: PolicyRequest) -> None:
        own, root, who, what = self._terms(request)
        if own.duplicate_window_s or root.duplicate_window_s:
            gone = (root.name, what, request.message_id)
            self.texts = [text for text in self.texts if text[:3] != gone]
        gone = (root.name, who, request.message_id)
        self.contacts = [contact for contact in self.contacts if contact[:3] != gone]


STARTS = st.sampled_from(
    [
        ("America/New_York", "2026-03-07 20:00"),  # the next day has 23 hours
        ("America/New_York", "2026-10-31 20:00"),  # the next day, a Sunday, has 25
        ("Europe/Berlin", "2026-12-30 22:00"),  # week 53 goes on into January
        ("Asia/Tashkent", "2026-11-22 23:00"),  # Sunday night
        ("UTC", "2026-11-18 12:00"),
    ]
)
REQUESTS = st.builds(
    a_request,
    st.integers(1, 6),
    st.sampled_from(sorted(STRATEGIES)),
    daddr=st.sampled_from(["998901234567"] * 3 + ["998907654321"]),
    saddr=st.sampled_from(["BRAND"] * 3 + ["OTHER"]),
    app_id=st.sampled_from([1, 1, 1, 2]),
    text=st.sampled_from(["hello", "hello", "hello", "bye"]),
)
PASSING_S = st.sampled_from([0, 0, 0, 1, 599, 600, 3_599, 3_600, 4 * 3_600, 86_399, 86_400, 3 * 86_400])
WANTS = st.sampled_from([True, True, True, False])
STEPS = st.lists(st.tuples(WANTS, REQUESTS, PASSING_S), max_size=60)


@settings(max_examples=500)
@given(STARTS, STEPS)
def test_any_interleaving_is_judged_as_by_a_model_that_remembers_everything(
    start: tuple[str, str], steps: list[tuple[bool, PolicyRequest, int]]
) -> None:
    zone = ZoneInfo(start[0])
    now, transaction, model = at(start[1], start[0]), DictTransaction(), SlowPolicy(zone)
    for wants, request, passing_s in steps:
        now += passing_s
        transaction.now = now
        rule, moment_now = rule_of(request.strategy), moment_at(now, zone)
        if wants:
            expected = model.reserve(request, now)
            assert evaluator.reserve(rule, request, moment_now, transaction) == Judgement(expected)
        else:
            evaluator.release(rule, request, moment_now, transaction)
            model.release(request)
            assert not evaluator.release(rule, request, moment_now, transaction)


@settings(max_examples=200)
@given(STARTS, st.lists(st.tuples(st.booleans(), st.integers(1, 30), PASSING_S), max_size=60))
def test_nobody_is_contacted_more_often_than_the_caps_allow(
    start: tuple[str, str], steps: list[tuple[bool, int, int]]
) -> None:
    zone, rule = ZoneInfo(start[0]), rule_of("cp1")
    now, transaction = at(start[1], start[0]), DictTransaction()
    standing: dict[int, tuple[date, tuple[int, int]]] = {}
    for wants, n, passing_s in steps:
        now += passing_s
        transaction.now = now
        today = datetime.fromtimestamp(now, zone).date()
        week = today.isocalendar()[:2]
        if not wants:
            evaluator.release(rule, a_request(n), moment_at(now, zone), transaction)
            if n in standing and standing[n][1] == week:
                del standing[n]
            continue
        asked_before = n in standing and standing[n][1] == week
        verdict = evaluator.reserve(rule, a_request(n), moment_at(now, zone), transaction).verdict
        assert verdict is OK or not asked_before, "a message that is counted was refused"
        if verdict is OK and not asked_before:
            standing[n] = (today, week)
        assert max(Counter(day for day, _ in standing.values()).values(), default=0) <= 1
        assert max(Counter(w for _, w in standing.values()).values(), default=0) <= 3


@given(st.lists(st.sampled_from(sorted(STRATEGIES)), min_size=1, max_size=8), st.data())
def test_asking_again_with_the_same_message_id_is_granted_and_changes_nothing(
    names: list[str], data: st.DataObject
) -> None:
    transaction, noon = DictTransaction(), moment("2026-11-18 12:00")
    for n, name in enumerate(names):
        rule, request = rule_of(name), a_request(n + 1, name)
        first = evaluator.reserve(rule, request, noon, transaction)
        if first.verdict is not OK:
            continue
        before = dict(transaction.data)
        later = moment(data.draw(st.sampled_from(["2026-11-18 12:00", "2026-11-18 12:09"])))
        assert evaluator.reserve(rule, request, later, transaction) == Judgement(OK)
        assert transaction.data == before


@given(REQUESTS, REQUESTS)
def test_a_refusal_reserves_nothing(first: PolicyRequest, second: PolicyRequest) -> None:
    transaction, noon = DictTransaction(), moment("2026-11-18 12:00")
    evaluator.reserve(rule_of(first.strategy), first, noon, transaction)
    before = dict(transaction.data)
    if evaluator.reserve(rule_of(second.strategy), second, noon, transaction).verdict is not OK:
        assert transaction.data == before


@given(REQUESTS)
def test_what_is_released_leaves_no_trace(request: PolicyRequest) -> None:
    transaction, noon, rule = DictTransaction(), moment("2026-11-18 12:00"), rule_of(request.strategy)
    reserved = evaluator.reserve(rule, request, noon, transaction).verdict is OK and bool(transaction.data)
    assert evaluator.release(rule, request, noon, transaction) == reserved
    assert transaction.data == {}


def test_duplicate_is_said_before_the_caps_and_daily_before_weekly() -> None:
    book = Rulebook([Strategy("all", daily_max=1, weekly_max=1, duplicate_window_s=60)])
    rule, transaction, noon = rule_of("all", book), DictTransaction(), moment("2026-11-18 12:00")
    said = [
        evaluator.reserve(rule, a_request(n, "all", text=text), when, transaction).verdict
        for n, text, when in [
            (1, "hello", noon),
            (2, "hello", noon),
            (3, "bye", noon),
            (4, "bye", moment("2026-11-19 12:00")),
        ]
    ]
    assert said == [OK, Verdict.DUPLICATE, Verdict.DAILY_CP, Verdict.WEEKLY_CP]


def test_a_released_message_is_taken_off_the_day_it_was_counted_on() -> None:
    rule, transaction = rule_of("cp1"), DictTransaction()
    monday, tuesday = moment("2026-11-16 23:59"), moment("2026-11-17 00:01")
    assert evaluator.reserve(rule, a_request(1), monday, transaction).verdict is OK
    assert evaluator.reserve(rule, a_request(2), tuesday, transaction).verdict is OK
    assert evaluator.release(rule, a_request(1), tuesday, transaction)
    assert evaluator.reserve(rule, a_request(3), tuesday, transaction).verdict is Verdict.DAILY_CP


def test_count_mode_past_every_bound_stays_small_and_goes_on_counting() -> None:
    rule, noon = rule_of("onbuild_cp1"), moment("2026-11-18 12:00")
    transaction = DictTransaction()
    said = [evaluator.reserve(rule, a_request(n), noon, transaction) for n in range(1, 1_001)]
    assert sum(judgement.forgotten for judgement in said) == 1_000 - MIN_IDS_KEPT
    assert all(len(value) <= 32 + 17 * MIN_IDS_KEPT for value, _ in transaction.data.values())
    for n in range(1, 1_001):
        evaluator.release(rule, a_request(n), noon, transaction)
    verdict = evaluator.reserve(rule_of("cp1"), a_request(2_000), noon, transaction).verdict
    assert verdict is Verdict.DAILY_CP


def test_counted_texts_past_every_bound_stay_small_and_go_on_blocking() -> None:
    rule, noon = rule_of("counted_text"), moment("2026-11-18 12:00")
    transaction = DictTransaction()
    said = [evaluator.reserve(rule, a_request(n), noon, transaction) for n in range(1, 101)]
    assert sum(judgement.forgotten for judgement in said) == 100 - MAX_CLAIMS + 1
    for n in range(1, 101):
        evaluator.release(rule, a_request(n), noon, transaction)
    assert evaluator.reserve(rule_of("cp2"), a_request(500), noon, transaction).verdict is Verdict.DUPLICATE


@pytest.mark.parametrize(
    ("scope", "differing", "passes"),
    [
        ("recipient", {"app_id": 2}, False),
        ("recipient", {"saddr": "OTHER"}, False),
        ("recipient", {"daddr": "998900000000"}, True),
        ("recipient_app", {"app_id": 2}, True),
        ("recipient_app", {"saddr": "OTHER"}, False),
        ("recipient_sender", {"app_id": 2}, False),
        ("recipient_sender", {"saddr": "OTHER"}, True),
        ("recipient_sender", {"saddr": "BRAND9989", "daddr": "01234567"}, True),
    ],
)
def test_a_scope_says_whose_contacts_are_counted(
    scope: str, differing: dict[str, object], passes: bool
) -> None:
    book = Rulebook([Strategy("s", daily_max=1, scope=scope)])
    transaction, noon = DictTransaction(), moment("2026-11-18 12:00")
    evaluator.reserve(rule_of("s", book), a_request(1), noon, transaction)
    verdict = evaluator.reserve(rule_of("s", book), a_request(2, **differing), noon, transaction).verdict
    assert verdict is (OK if passes else Verdict.DAILY_CP)


def test_strategies_that_do_not_count_together_do_not_see_each_other() -> None:
    transaction, noon = DictTransaction(), moment("2026-11-18 12:00")
    batch = [a_request(n, name) for n, name in enumerate(["cp1", "apart", "cp2", "tight"])]
    said = [evaluator.reserve(rule_of(r.strategy), r, noon, transaction).verdict for r in batch]
    assert said == [OK] * 4


def test_a_shorter_window_forgets_nothing_for_the_others_of_its_family() -> None:
    book = Rulebook(
        [Strategy("long", duplicate_window_s=600), Strategy("short", counts_as="long", duplicate_window_s=60)]
    )
    transaction = DictTransaction()

    def reserve(n: int, name: str, second: int) -> Verdict:
        transaction.now = at("2026-11-18 12:00") + second
        when = moment_at(transaction.now, ZoneInfo("UTC"))
        return evaluator.reserve(rule_of(name, book), a_request(n, name), when, transaction).verdict

    assert reserve(1, "long", 0) is OK
    assert reserve(2, "short", 59) is Verdict.DUPLICATE
    assert reserve(3, "short", 60) is OK
    assert reserve(4, "long", 120) is Verdict.DUPLICATE
    later = moment_at(transaction.now, ZoneInfo("UTC"))
    assert evaluator.release(rule_of("short", book), a_request(3, "short"), later, transaction)
    assert reserve(5, "long", 121) is Verdict.DUPLICATE  # the first message still holds it
    assert reserve(6, "short", 121) is OK
    assert reserve(7, "long", 700) is Verdict.DUPLICATE  # what the short rule counted, holds for the long one


@pytest.mark.parametrize("differing", [{"app_id": 2}, {"text": "bye"}, {"daddr": "998900000000"}])
def test_a_duplicate_is_the_same_text_to_the_same_number_from_the_same_app(
    differing: dict[str, object],
) -> None:
    transaction, noon = DictTransaction(), moment("2026-11-18 12:00")
    for request in (a_request(1, "cp2"), a_request(2, "cp2", **differing)):
        assert evaluator.reserve(rule_of("cp2"), request, noon, transaction).verdict is OK
    other_sender = a_request(3, "cp2", saddr="OTHER")
    assert evaluator.reserve(rule_of("cp2"), other_sender, noon, transaction).verdict is Verdict.DUPLICATE


def test_keys_of_texts_hold_no_number() -> None:
    transaction = DictTransaction()
    evaluator.reserve(rule_of("cp2"), a_request(1, "cp2"), moment("2026-11-18 12:00"), transaction)
    assert not any(b"998901234567" in key + value for key, (value, _) in transaction.data.items())
