"""Receipts over real sockets: before, after and beside their answers, and answered only once stored."""

from __future__ import annotations

from links_flow_kit import LiveLink, ended, until
from raw_smsc import RawSession, RawSmsc

from smsproxy.domain.outcome import Accepted
from smsproxy.domain.record import SegmentState

RX_T_APPN = 0x64
RX_P_APPN = 0x65


async def bound(smsc: RawSmsc, live: LiveLink) -> RawSession:
    session = await smsc.next_bound()
    await live.bound()
    return session


async def test_a_receipt_is_answered_ok_only_once_it_is_stored(smsc: RawSmsc) -> None:
    async with LiveLink(smsc.port) as live:
        session = await bound(smsc, live)
        session.deliver("77", number=901)
        await until(lambda: live.desk.deliveries)
        (delivery,) = live.desk.deliveries
        (receipt,) = delivery.receipts
        assert (receipt.receipt_key, receipt.state) == ("77", SegmentState.DELIVERED)
        assert receipt.account == f"esme@127.0.0.1:{smsc.port}"
        session.send("enquire_link", 5)
        await session.next("enquire_link_resp")  # everything before this was answered by now
        delivery.answer(True)
        answer = await session.next("deliver_sm_resp")
        assert (answer.number, answer.status) == (901, 0)


async def test_a_receipt_that_was_not_stored_is_to_be_sent_again(smsc: RawSmsc) -> None:
    async with LiveLink(smsc.port) as live:
        session = await bound(smsc, live)
        session.deliver("77")
        await until(lambda: live.desk.deliveries)
        live.desk.deliveries[0].answer(False)
        assert (await session.next("deliver_sm_resp")).status == RX_T_APPN


async def test_a_receipt_may_come_before_the_answer_to_its_segment(smsc: RawSmsc) -> None:
    async with LiveLink(smsc.port) as live:
        session = await bound(smsc, live)
        message = live.offer()
        seen = await session.next("submit_sm")
        session.deliver("77")
        await until(lambda: live.desk.deliveries)
        session.answer_submit(seen, "77")
        await ended(message)
        assert message.outcomes == {1: Accepted("77")}


async def test_a_receipt_may_come_on_another_session(smsc: RawSmsc) -> None:
    async with LiveLink(smsc.port, sessions=2) as live:
        one, other = await smsc.next_bound(), await smsc.next_bound()
        await until(lambda: live.link.counters.binds == 2)
        message = live.offer()
        await until(lambda: one.outstanding + other.outstanding)
        sender, receiver = (one, other) if one.outstanding else (other, one)
        sender.answer_submit(await sender.next("submit_sm"), "77")
        await ended(message)
        receiver.deliver("77", number=33)
        await until(lambda: live.desk.deliveries)
        live.desk.deliveries[0].answer(True)
        assert (await receiver.next("deliver_sm_resp")).number == 33


async def test_a_receipt_whose_session_is_gone_is_answered_to_nobody(smsc: RawSmsc) -> None:
    async with LiveLink(smsc.port) as live:
        session = await bound(smsc, live)
        session.deliver("77")
        await until(lambda: live.desk.deliveries)
        session.cut()
        await live.waits.begun()
        live.desk.deliveries[0].answer(True)
        live.waits.end()
        again = await smsc.next_bound()
        again.deliver("77")  # so it comes again
        await until(lambda: len(live.desk.deliveries) == 2)
        assert again.names("deliver_sm_resp") == []


async def test_receipts_come_while_the_link_unbinds(smsc: RawSmsc) -> None:
    smsc.answers_unbind = False
    async with LiveLink(smsc.port) as live:
        session = await bound(smsc, live)
        for connection in live.runner._connections:
            connection.unbind()
        unbind = await session.next("unbind")
        session.deliver("77")
        await until(lambda: live.desk.deliveries)
        live.desk.deliveries[0].answer(True)
        assert (await session.next("deliver_sm_resp")).status == 0
        session.answer(unbind)
        await until(lambda: "link_down" in live.log.events)


async def test_a_message_from_a_handset_is_answered_once_it_is_taken(smsc: RawSmsc) -> None:
    async with LiveLink(smsc.port) as live:
        session = await bound(smsc, live)
        body = b"\0\x01\x01998901234567\0\x01\x01100\0" + bytes(3) + b"\0\0" + bytes(4) + b"\x02hi"
        session.send("deliver_sm", 7, body)
        await until(lambda: live.desk.inbounds)
        assert "deliver_sm_resp" not in session.names()
        live.desk.inbounds[0].answer(True)
        answer = await session.next("deliver_sm_resp")
        assert (answer.number, answer.status) == (7, 0)
        assert live.link.counters.inbound == 1


async def test_a_receipt_that_names_nothing_is_refused_for_good_and_the_session_lives(smsc: RawSmsc) -> None:
    async with LiveLink(smsc.port) as live:
        session = await bound(smsc, live)
        body = b"\0\x01\x01998901234567\0\x01\x01100\0" + bytes((4, 0, 0)) + b"\0\0" + bytes(4) + b"\x02hi"
        session.send("deliver_sm", 7, body)
        assert (await session.next("deliver_sm_resp")).status == RX_P_APPN
        session.send("deliver_sm", 8, b"\x01\x02")  # no PDU at all
        assert (await session.next("deliver_sm_resp")).status != 0
        assert live.link.bound
