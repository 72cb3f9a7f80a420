"""Messages from handsets: joined, taken by a sink, and only then told ok."""

from __future__ import annotations

import asyncio
from itertools import permutations
from typing import Any

import pytest
from fake_time import in_fake_time
from pipeline_bench import Bench, a_log

from smsproxy.domain.address import Address
from smsproxy.domain.inbound import InboundMessage, InboundSegment
from smsproxy.links.base import Inbound
from smsproxy.pipeline.inbound import Inbox, LogSink, masked
from smsproxy.pipeline.joining import PATIENCE_S, Joiner

PHONE, SHORT_CODE = Address(1, 1, "998901234567"), Address(0, 1, "7777")


def segment(text: str, number: int = 1, total: int = 1, reference: int = 5, **fields: Any) -> InboundSegment:
    values = {"data_coding": 0, "octets": text.encode(), "alphabet": "GSM7", **fields}
    return InboundSegment(
        "account", PHONE, SHORT_CODE, concat_ref=reference, total=total, number=number, **values
    )


class Sink:
    """Takes messages, unless it is told to fail."""

    def __init__(self) -> None:
        self.taken: list[InboundMessage] = []
        self.failing = False

    async def take(self, messages: list[InboundMessage]) -> None:
        await asyncio.sleep(0.1)
        if self.failing:
            raise ConnectionError("sink away")
        self.taken += messages

    @property
    def texts(self) -> list[str | None]:
        return [one.text for one in self.taken]


class Hall:
    """An inbox with its sink, and the answers it gave by text."""

    def __init__(self, joiner: Joiner | None = None) -> None:
        self.sink = Sink()
        self.log, self.lines = a_log()
        self.inbox = Inbox(self.sink, self.log, joiner)
        self.answers: list[tuple[str, bool]] = []

    def receive(self, *segments: InboundSegment) -> None:
        self.inbox.received(7, [self._inbound(one) for one in segments])

    def _inbound(self, one: InboundSegment) -> Inbound:
        return Inbound(one, lambda ok: self.answers.append((one.octets.decode(), ok)))


def test_segments_are_joined_whatever_their_order() -> None:
    segments = [segment(text, number, 3) for number, text in enumerate(("one ", "two ", "three"), 1)]
    for order in permutations(segments):
        joiner = Joiner()
        *before, last = [joiner.add(one, 7, 0.0) for one in order]
        assert before == [None, None]
        assert last is not None
        assert (last.message.text, last.message.complete) == ("one two three", True)
        assert repr(joiner) == f"<Joiner open=0 octets=0/{8 << 20}>"


def test_a_surrogate_pair_that_was_cut_is_whole_again() -> None:
    octets = "🙂".encode("utf-16-be")
    joiner = Joiner()
    joiner.add(segment("", 1, 2, data_coding=8, alphabet="UCS2", octets=octets[:2]), 7, 0.0)
    done = joiner.add(segment("", 2, 2, data_coding=8, alphabet="UCS2", octets=octets[2:]), 7, 0.0)
    assert done is not None
    assert done.message.text == "🙂"


def test_messages_of_other_references_totals_and_widths_are_not_mixed() -> None:
    joiner = Joiner()
    joiner.add(segment("a", 1, 2), 7, 0.0)
    assert joiner.add(segment("b", 2, 2, reference=6), 7, 0.0) is None
    assert joiner.add(segment("b", 2, 3), 7, 0.0) is None
    assert joiner.add(segment("b", 2, 2, wide=True), 7, 0.0) is None
    assert len(joiner) == 4


def test_segments_may_come_over_several_links_of_one_account() -> None:
    joiner = Joiner()
    joiner.add(segment("a", 1, 2), 7, 0.0)
    done = joiner.add(segment("b", 2, 2), 8, 0.0)
    assert done is not None
    assert (done.message.text, done.message.link_id) == ("ab", 8)


def test_a_repeated_segment_counts_once() -> None:
    joiner = Joiner()
    assert joiner.add(segment("a", 1, 2), 7, 0.0) is None
    assert joiner.add(segment("a", 1, 2), 7, 0.0) is None
    done = joiner.add(segment("b", 2, 2), 7, 0.0)
    assert done is not None
    assert done.message.text == "ab"


def test_a_message_that_is_never_whole_lapses_and_is_given_out_as_it_is() -> None:
    joiner = Joiner()
    joiner.add(segment("b", 2, 3), 7, 10.0)
    assert joiner.next_lapse() == 10 + PATIENCE_S
    assert joiner.lapsed(9 + PATIENCE_S) == []
    (done,) = joiner.lapsed(10 + PATIENCE_S)
    assert (done.message.text, done.message.complete, done.message.total) == ("b", False, 3)
    assert (joiner.lapsed_total, joiner.next_lapse()) == (1, None)


def test_when_there_is_no_room_the_one_that_waits_longest_is_given_out() -> None:
    joiner = Joiner(room_octets=1000)
    for number in range(5):
        joiner.add(segment("x" * 44, 1, 2, reference=number), 7, float(number))
    assert [one.message.octets for one in joiner.lapsed(5.0)] == [b"x" * 44] * 2
    assert (joiner.overflowed_total, len(joiner)) == (2, 3)


@in_fake_time
async def test_a_message_is_told_ok_once_the_sink_has_it() -> None:
    hall = Hall()
    hall.receive(segment("hello"))
    await asyncio.sleep(0.05)
    assert (hall.answers, hall.inbox.idle) == ([], False)
    await asyncio.sleep(0.1)
    assert (hall.answers, hall.sink.texts) == ([("hello", True)], ["hello"])
    assert (hall.inbox.idle, hall.inbox.counters["inbound_taken"]) == (True, 1)


@in_fake_time
async def test_an_smsc_that_sends_the_next_segment_only_after_the_answer_is_not_stuck() -> None:
    hall = Hall()
    hall.receive(segment("one ", 1, 2))
    assert hall.answers == [("one ", True)]
    hall.receive(segment("two", 2, 2))
    assert hall.answers == [("one ", True)]
    await asyncio.sleep(0.2)
    assert hall.answers == [("one ", True), ("two", True)]
    assert hall.sink.texts == ["one two"]


@in_fake_time
async def test_what_the_sink_cannot_take_is_sent_back_and_whole_again_when_it_is_repeated() -> None:
    hall = Hall()
    hall.sink.failing = True
    hall.receive(segment("one ", 1, 2), segment("two", 2, 2))
    await asyncio.sleep(6)
    assert hall.answers == [("one ", True), ("two", False)]
    assert hall.inbox.counters["inbound_sent_back"] == 1
    hall.sink.failing = False
    hall.receive(segment("two", 2, 2))
    await asyncio.sleep(1)
    assert (hall.sink.texts, hall.answers[-1]) == (["one two"], ("two", True))


@in_fake_time
async def test_what_lapses_goes_to_the_sink_by_itself() -> None:
    hall = Hall()
    hall.receive(segment("half", 1, 2))
    await asyncio.sleep(PATIENCE_S + 1)
    assert [(one.text, one.complete) for one in hall.sink.taken] == [("half", False)]
    assert hall.inbox.counters["inbound_incomplete"] == 1


@in_fake_time
async def test_what_is_not_whole_at_the_stop_goes_to_the_sink() -> None:
    hall = Hall()
    hall.receive(segment("half", 1, 2))
    hall.inbox.give_out()
    await asyncio.sleep(1)
    assert hall.sink.texts == ["half"]
    assert hall.inbox.idle


@in_fake_time
async def test_an_incomplete_message_that_the_sink_does_not_take_is_counted_as_lost() -> None:
    hall = Hall()
    hall.sink.failing = True
    hall.receive(segment("half", 1, 2))
    hall.inbox.give_out()
    await asyncio.sleep(6)
    assert hall.inbox.counters["inbound_lost"] == 1
    assert hall.inbox.idle


@in_fake_time
async def test_without_a_sink_a_message_is_a_line_without_its_text_and_number() -> None:
    bench = Bench()
    answers: list[bool] = []
    bench.pipeline.inbound(100, [Inbound(segment("a secret"), answers.append)])
    await bench.settle()
    assert answers == [True]
    assert bench.pipeline.counters["inbound_taken"] == 1
    line = repr(bench.lines)
    assert "inbound_message" in line
    assert "secret" not in line
    assert PHONE.digits not in line


async def test_the_log_says_what_came_over_which_link() -> None:
    log, lines = a_log()
    message = Joiner().add(segment("hello"), 7, 0.0)
    assert message is not None
    await LogSink(log).take([message.message])
    assert "998*******67" in repr(lines)
    assert "hello" not in repr(message.message)


@pytest.mark.parametrize(("number", "shown"), [("998901234567", "998*******67"), ("7777", "****"), ("", "")])
def test_a_number_is_shown_only_in_part(number: str, shown: str) -> None:
    assert masked(number) == shown
