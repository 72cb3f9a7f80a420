"""The protocol around a session, with a loop turned by hand: octets and time in, octets out, and the end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from links_kit import PHONE, SOURCE, HandLoop

from smsproxy.links.transport import CLOSE_S, TICK_S, SmppConnection
from smsproxy.smpp.codec import decode, encode
from smsproxy.smpp.events import Bound, Closed, Delivered, Event, SubmitAnswered, SubmitLost, SubmitTimedOut
from smsproxy.smpp.framing import Framer
from smsproxy.smpp.options import SessionOptions
from smsproxy.smpp.pdu import (
    BindKind,
    BindResp,
    DeliverSm,
    DeliverSmResp,
    EnquireLink,
    EnquireLinkResp,
    SubmitSmResp,
    Unbind,
    UnbindResp,
)
from smsproxy.smpp.session import EsmeSession
from smsproxy.smpp.submit import submit_sm_body, submit_sm_options, submit_sm_prefix

BODY = submit_sm_body(submit_sm_prefix("", SOURCE), PHONE, submit_sm_options(), b"hello")


class Pipe:
    """A transport that keeps what is written; a stuck one never gets rid of it."""

    def __init__(self, loop: HandLoop) -> None:
        self._loop = loop
        self.connection: SmppConnection
        self.writes: list[bytes] = []
        self.stuck = False
        self.reading = True
        self.high = 0
        self.closing = False
        self.gone = False

    def write(self, data: bytes) -> None:
        assert not self.closing
        self.writes.append(data)

    def set_write_buffer_limits(self, high: int) -> None:
        self.high = high

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True
        if not self.stuck:
            self._go()

    def abort(self) -> None:
        self.closing = True
        self._go()

    def _go(self) -> None:
        if not self.gone:
            self.gone = True
            self._loop.call_soon(lambda: self.connection.connection_lost(None))

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class Wire:
    """A connection on a pipe, and what it told."""

    def __init__(
        self, kind: BindKind = BindKind.TRANSCEIVER, *, bound: bool = True, window: int = 10
    ) -> None:
        self.loop = HandLoop()
        self.events: list[Event] = []
        options = SessionOptions(
            "esme", "secret", kind, window=window, enquire_link_s=30, response_timeout_s=10, bind_timeout_s=5
        )
        loop: Any = self.loop
        self.connection = SmppConnection(
            EsmeSession(options),
            lambda _connection, events: self.events.extend(events),
            loop,
            submits=kind is not BindKind.RECEIVER,
            window=window,
        )
        self.pipe = Pipe(self.loop)
        self.pipe.connection = self.connection
        self.connection.begin()
        transport: Any = self.pipe
        self.connection.connection_made(transport)
        if bound:
            self.feed(encode(BindResp(kind, "smsc"), 1))
            assert self.events == [Bound("smsc", None)]
            self.events.clear()
            self.pipe.writes.clear()

    def feed(self, data: bytes) -> None:
        self.connection.data_received(data)
        self.loop.turn()

    def submit(self, *owners: object) -> None:
        for owner in owners:
            assert self.connection.reserve()
            self.connection.submit(BODY, owner)

    @property
    def sent(self) -> list[str]:
        """The PDUs written, by their names."""
        frames = Framer().feed(b"".join(self.pipe.writes))
        return [type(decode(frame)[1]).__name__ for frame in frames]


def test_the_bind_goes_out_with_the_connection() -> None:
    wire = Wire(bound=False)
    assert wire.sent == ["Bind"]
    assert not wire.connection.bound
    assert wire.connection.free_slots == 0


def test_a_bind_that_cannot_be_written_says_so_before_the_connect() -> None:
    loop: Any = HandLoop()
    connection = SmppConnection(EsmeSession(SessionOptions("s" * 16)), lambda *_: None, loop)
    with pytest.raises(ValueError, match="system_id has 16 octets"):
        connection.begin()


def test_a_bound_transceiver_can_submit_and_a_receiver_cannot() -> None:
    assert Wire().connection.can_submit
    receiver = Wire(BindKind.RECEIVER).connection
    assert receiver.bound
    assert not receiver.can_submit
    assert receiver.free_slots == 0


def test_all_of_a_loop_turn_goes_in_one_write() -> None:
    wire = Wire()
    wire.submit("a", "b", "c")
    assert wire.pipe.writes == []
    wire.loop.turn()
    assert len(wire.pipe.writes) == 1
    assert wire.sent == ["SubmitSm"] * 3
    assert wire.connection.in_flight == 3
    assert "window=3/10" in repr(wire.connection)


def test_answers_are_told_as_they_come() -> None:
    wire = Wire()
    wire.submit("a")
    wire.feed(encode(SubmitSmResp("77"), 2))
    assert wire.events == [SubmitAnswered("a", 0, "77")]


def test_a_reserved_place_can_be_given_back() -> None:
    wire = Wire(window=1)
    assert wire.connection.reserve()
    assert wire.connection.free_slots == 0
    wire.connection.unreserve()
    assert wire.connection.free_slots == 1


def test_a_receipt_is_answered_when_its_answer_is_given() -> None:
    wire = Wire()
    wire.feed(encode(DeliverSm("", PHONE, SOURCE, 4, short_message=b"id:1 stat:DELIVRD"), 9))
    (event,) = wire.events
    assert isinstance(event, Delivered)
    assert wire.sent == []
    wire.connection.answer(event, 0)
    wire.loop.turn()
    assert wire.sent == ["DeliverSmResp"]
    assert decode(wire.pipe.writes[0])[1] == DeliverSmResp("")


def test_the_peer_s_enquire_link_is_answered_in_the_same_turn() -> None:
    wire = Wire()
    wire.feed(encode(EnquireLink(), 5))
    assert wire.sent == ["EnquireLinkResp"]


def test_a_silent_link_is_asked_and_then_given_up_in_time() -> None:
    wire = Wire()
    wire.loop.advance(30 + TICK_S)
    assert wire.sent == ["EnquireLink"]
    wire.loop.advance(10 + TICK_S)
    assert wire.events == [Closed("enquire_link not answered")]
    assert wire.connection.ended.is_set()
    assert wire.connection.close_reason == "enquire_link not answered"
    assert wire.loop.timers == []


def test_a_link_that_answers_lives_on() -> None:
    wire = Wire()
    for _ in range(10):
        wire.loop.advance(30 + TICK_S)
        number = decode(wire.pipe.writes[-1])[0].sequence_number
        wire.feed(encode(EnquireLinkResp(), number))
    assert wire.events == []
    assert wire.connection.bound


def test_a_submit_that_nobody_answers_is_told_within_a_tick() -> None:
    wire = Wire()
    wire.submit("a")
    wire.loop.advance(9.99)
    assert wire.events == []
    wire.loop.advance(0.01 + TICK_S)
    assert wire.events == [SubmitTimedOut("a")]


def test_what_came_while_the_process_was_held_up_is_read_before_time_is_judged() -> None:
    wire = Wire()
    wire.submit("a")
    wire.loop.turn()
    timers = list(wire.loop._timers)
    wire.loop.now += 60  # stopped for a minute; the answer waits in the socket
    timers[0][2].callback()
    assert wire.events == []
    wire.feed(encode(SubmitSmResp("77"), 2))
    wire.loop.advance(TICK_S)
    assert wire.events == [SubmitAnswered("a", 0, "77")]


def test_a_process_that_is_always_late_still_looks_at_the_time() -> None:
    wire = Wire()
    wire.submit("a")
    wire.loop.turn()
    for _ in range(4):
        wire.loop.now += 20
        wire.loop.advance(0)
    assert SubmitTimedOut("a") in wire.events


def test_a_bind_without_an_answer_ends_in_time() -> None:
    wire = Wire(bound=False)
    wire.loop.advance(5 + TICK_S)
    assert wire.events == [Closed("bind not answered")]
    assert wire.connection.ended.is_set()


def test_an_unbind_from_the_smsc_is_answered_before_the_close() -> None:
    wire = Wire()
    wire.feed(encode(Unbind(), 5))
    assert wire.sent == ["UnbindResp"]
    assert wire.connection.ended.is_set()
    assert wire.connection.close_reason == "unbound by the SMSC"


def test_our_unbind_ends_with_its_answer() -> None:
    wire = Wire()
    wire.connection.unbind()
    wire.loop.turn()
    assert wire.sent == ["Unbind"]
    assert not wire.connection.can_submit
    wire.feed(encode(UnbindResp(), 2))
    assert wire.connection.ended.is_set()


def test_unbinding_what_is_not_bound_cuts_it() -> None:
    wire = Wire(bound=False)
    wire.connection.unbind()
    wire.loop.turn()
    assert wire.connection.ended.is_set()
    loop: Any = wire.loop
    SmppConnection(EsmeSession(SessionOptions("e")), lambda *_: None, loop).unbind()  # nothing to cut


def test_a_lost_connection_tells_what_was_in_flight_then_ends() -> None:
    wire = Wire()
    wire.submit("a", "b")
    wire.connection.connection_lost(OSError("reset"))
    assert wire.events == [SubmitLost("a"), SubmitLost("b"), Closed("connection lost")]
    assert wire.connection.ended.is_set()
    assert wire.connection.close_reason == "connection lost: reset"
    assert wire.loop.timers == []


def test_the_end_of_the_smsc_s_octets_is_the_end_even_with_octets_of_ours_unsent() -> None:
    wire = Wire()
    wire.submit("a")
    wire.pipe.stuck = True
    wire.connection.eof_received()
    wire.loop.turn()
    assert wire.events == [SubmitLost("a"), Closed("connection lost")]
    assert wire.connection.ended.is_set()
    assert wire.connection.close_reason == "connection closed by the SMSC"


def test_a_peer_that_reads_nothing_is_cut_after_the_close() -> None:
    """close() waits for the octets to leave, and a deaf peer never takes them."""
    wire = Wire()
    wire.pipe.stuck = True
    wire.loop.advance(40 + 2 * TICK_S)
    assert wire.events == [Closed("enquire_link not answered")]
    assert not wire.connection.ended.is_set()
    wire.loop.advance(CLOSE_S)
    assert wire.connection.ended.is_set()


def test_a_peer_that_does_not_read_is_not_read_from() -> None:
    wire = Wire(window=1000)
    assert wire.pipe.high > 1000 * len(BODY)
    wire.connection.pause_writing()
    assert not wire.pipe.reading
    wire.connection.resume_writing()
    assert wire.pipe.reading
    wire.pipe.close()
    wire.pipe.reading = True
    wire.connection.pause_writing()
    wire.connection.resume_writing()
    assert wire.pipe.reading


def test_answers_after_the_end_go_nowhere() -> None:
    wire = Wire()
    wire.feed(encode(DeliverSm("", PHONE, SOURCE, 4, short_message=b"id:1 stat:DELIVRD"), 9))
    wire.pipe.close()
    wire.loop.turn()
    event = wire.events[0]
    assert isinstance(event, Delivered)
    wire.connection.answer(event, 0)
    wire.loop.turn()
    assert wire.sent == []


def test_garbage_closes_with_a_clear_reason() -> None:
    wire = Wire()
    wire.submit("a")
    wire.feed(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    assert isinstance(wire.events[0], SubmitLost)
    assert wire.connection.close_reason.startswith("framing lost: ")
    assert wire.connection.ended.is_set()


async def test_aclose_returns_when_everybody_has_been_told() -> None:
    wire = Wire()
    wire.submit("a")
    closing = asyncio.ensure_future(wire.connection.aclose())
    for _ in range(3):
        await asyncio.sleep(0)
    assert not closing.done()
    wire.loop.turn()
    await closing
    assert wire.events == [SubmitLost("a"), Closed("connection lost")]
    assert wire.connection.close_reason == "connection cut"
