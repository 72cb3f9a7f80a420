"""What the Aerospike store keeps, and what must not share a batch: the pure parts."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from contract.store.store_kit import NOW, SUBMITTED, a_result, an_intent
from hypothesis import given

from smsproxy.stores import aerospike_changes as changes
from smsproxy.stores.aerospike_errors import Answer, answer_of, in_words
from smsproxy.stores.aerospike_records import (
    Generations,
    Life,
    intent_of,
    is_live,
    key_name,
    message_bins,
    seconds_left,
)
from smsproxy.stores.aerospike_rounds import rounds
from smsproxy.stores.base import ReceiptMode

LIFE = Life("one", "boot")


@given(st.lists(st.sets(st.integers(0, 5), min_size=1, max_size=3), max_size=30))
def test_no_round_touches_a_record_twice_and_what_shares_one_keeps_its_order(touched: list[set[int]]) -> None:
    items = list(enumerate(touched))
    cut = rounds(items, lambda one: one[1])
    assert sorted(item for each in cut for item in each) == items
    for each in cut:
        names = [name for _, names in each for name in names]
        assert len(names) == len(set(names))
    for name in range(6):
        assert [at for each in cut for at, names in each if name in names] == [
            at for at, names in items if name in names
        ]


def test_what_touches_nothing_twice_goes_in_one_round() -> None:
    assert rounds(range(1000), lambda one: [one]) == [list(range(1000))]
    assert rounds([], lambda one: [one]) == []


def test_an_intent_comes_back_from_its_bins() -> None:
    intent = an_intent(7, segments=3, receipts=ReceiptMode.LAST)
    intent.generation = 99
    bins = message_bins(intent, 99, 1000.0, LIFE)
    assert intent_of(bins) == intent
    assert max(map(len, bins)) <= 15
    assert is_live(bins, NOW + 1000)
    assert not is_live(bins, NOW + 1000.001)
    assert not is_live({"gen": 99}, NOW)


def test_keys_of_two_accounts_never_meet() -> None:
    assert key_name("a", "bc") != key_name("ab", "c")
    assert key_name("1:a", "b") != key_name("1", ":ab")


def test_generations_rise_and_fit_into_63_bits() -> None:
    generations = Generations()
    numbers = generations.several(600) + generations.several(400)
    assert numbers == sorted(set(numbers))
    assert numbers[-1] < 1 << 63


def test_a_time_to_live_is_never_less_than_a_second() -> None:
    assert [seconds_left(NOW, 10.0, now) for now in (NOW, NOW + 9.5, NOW + 10, NOW + 99)] == [10, 1, 1, 1]


@pytest.mark.parametrize(
    ("code", "in_doubt", "answer"),
    [
        (0, False, Answer.DONE),
        (2, False, Answer.MISSING),
        (5, False, Answer.EXISTS),
        (27, False, Answer.FILTERED),
        (9, True, Answer.IN_DOUBT),
        (9, False, Answer.IN_DOUBT),
        (-15, True, Answer.IN_DOUBT),
        (-10, True, Answer.IN_DOUBT),
        (-15, False, Answer.UNSENT),
        (-10, False, Answer.UNSENT),
        (3, False, Answer.CHANGED),
        (13, False, Answer.FAILED),
        (22, False, Answer.FAILED),
    ],
)
def test_a_code_says_what_became_of_a_write(code: int, in_doubt: bool, answer: Answer) -> None:
    assert answer_of(code, in_doubt=in_doubt) is answer


def test_codes_without_words_are_told_by_number() -> None:
    assert in_words(13) == "the record is too big (code 13)"
    assert in_words(-1) == "the client could not connect or ask (code -1)"
    assert in_words(4711) == "the server refused (code 4711)"
    assert in_words(None) == "the server refused (code None)"


def test_every_write_keeps_the_time_to_live_but_those_that_set_it() -> None:
    intent = an_intent()
    bins = message_bins(intent, 1, 1000.0, LIFE)
    assert changes.creation(intent.message_id, bins, 1000).ttl == 1000
    assert changes.result(a_result(intent, SUBMITTED, "a"), NOW).ttl == changes.KEEP_TTL
    assert changes.closing(intent.message_id, 1, 1, 1).ttl == changes.KEEP_TTL
