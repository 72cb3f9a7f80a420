"""The three queues of a send_many, without a wire."""

from __future__ import annotations

import pytest
from client_kit import an_sms
from hypothesis import given
from hypothesis import strategies as st

from smsproxy.client.errors import ProtocolError
from smsproxy.client.messages import SmsAnswer, wire_request
from smsproxy.client.window import Open, SendWindow


def opened(number: int) -> Open:
    sms = an_sms(number)
    return Open(sms, sms.transaction_id, wire_request(sms, 1, sms.transaction_id))


def answer(number: int) -> SmsAnswer:
    return SmsAnswer("submitted", True, transaction_id=f"t{number}")


def test_a_window_without_a_place_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one place"):
        SendWindow(0)


def test_a_message_keeps_its_place_until_its_answer_is_delivered() -> None:
    window = SendWindow(1)
    window.add(opened(0))
    assert not window.has_room
    window.next_to_write()
    assert not window.has_room
    window.answer(answer(0))
    assert not window.has_room
    assert repr(window) == "<SendWindow 1/1 unwritten=0 unanswered=0 answered=1>"
    assert window.deliver() == (an_sms(0), answer(0))
    assert window.has_room
    assert window.deliver() is None


def test_an_answer_for_another_message_is_not_taken() -> None:
    window = SendWindow(5)
    for number in range(2):
        window.add(opened(number))
        window.next_to_write()
    with pytest.raises(ProtocolError, match="order of the requests"):
        window.answer(answer(1))
    assert window.open == 2


def test_an_answer_before_its_request_was_written_is_not_taken() -> None:
    window = SendWindow(5)
    window.add(opened(0))
    with pytest.raises(ProtocolError, match="nothing was asked for"):
        window.answer(answer(0))


def test_an_answer_without_an_id_is_matched_by_its_place() -> None:
    window = SendWindow(5)
    window.add(opened(0))
    window.next_to_write()
    window.answer(SmsAnswer("internal"))
    assert window.deliver() == (an_sms(0), SmsAnswer("internal"))


@given(st.lists(st.sampled_from(["add", "write", "answer", "rewind", "deliver"]), max_size=60))
def test_whatever_happens_every_message_is_delivered_once_in_order_and_the_window_holds(
    steps: list[str],
) -> None:
    window = SendWindow(4)
    added = written = answered = 0
    delivered: list[str] = []
    for step in steps:
        if step == "add" and window.has_room:
            window.add(opened(added))
            added += 1
        elif step == "write":
            written += window.next_to_write() is not None
        elif step == "answer" and written > answered:
            window.answer(answer(answered))
            answered += 1
        elif step == "rewind":
            window.rewind()
            written = answered
        elif step == "deliver" and (pair := window.deliver()) is not None:
            delivered.append(pair[0].transaction_id)
        assert len(window) <= 4
    window.rewind()
    while window.next_to_write() is not None:
        window.answer(answer(answered))
        answered += 1
    while (pair := window.deliver()) is not None:
        delivered.append(pair[0].transaction_id)
    assert delivered == [f"t{number}" for number in range(added)]
