"""Messages over a link on real sockets: windows, answers in any order, silence, cuts, throttling, parts."""

from __future__ import annotations

import asyncio
import random

import pytest
from links_flow_kit import LiveLink, ended, until
from raw_smsc import RawSession, RawSmsc, Seen

from smsproxy.domain.outcome import Accepted, InDoubt, NotSent, Refused
from smsproxy.links import throttle
from smsproxy.links.base import Offer
from tests.unit.links.links_kit import Message

RINVDSTADR, RTHROTTLED, RMSGQFUL = 0x0B, 0x58, 0x14
OTP = (2, "unary")


async def bound(smsc: RawSmsc, live: LiveLink) -> RawSession:
    session = await smsc.next_bound()
    await live.bound()
    return session


async def test_a_submit_sm_reads_as_it_was_meant(smsc: RawSmsc) -> None:
    async with LiveLink(smsc.port) as live:
        session = await bound(smsc, live)
        message = live.offer()
        seen = await session.next("submit_sm")
        fields = seen.fields
        assert (fields.source_addr, fields.destination_addr) == (b"MYBRAND", b"998901234567")
        assert (fields.registered_delivery, fields.short_message) == (1, b"x" * 160)
        session.answer_submit(seen, "77")
        await ended(message)
        assert message.outcomes == {1: Accepted("77")}


async def test_the_smsc_never_sees_more_than_the_window(smsc: RawSmsc) -> None:
    async with LiveLink(smsc.port, window=7) as live:
        session = await bound(smsc, live)
        messages = [live.offer(name=f"{number}") for number in range(100)]
        for _ in range(100):
            seen = await session.next("submit_sm")
            session.answer_submit(seen)
        await ended(*messages)
        assert session.most_outstanding == 7


async def test_answers_out_of_order_find_their_segments(smsc: RawSmsc) -> None:
    async with LiveLink(smsc.port, window=50) as live:
        session = await bound(smsc, live)
        messages = [live.offer(name=f"{number}") for number in range(50)]
        submits = await session.take("submit_sm", 50)
        order = list(enumerate(submits))
        random.Random(7).shuffle(order)
        for position, seen in order:
            session.answer_submit(seen, f"id-{position}")
        await ended(*messages)
        assert [message.outcomes[1] for message in messages] == [Accepted(f"id-{n}") for n in range(50)]


async def test_a_long_message_is_pipelined_and_its_ids_are_in_order(smsc: RawSmsc) -> None:
    async with LiveLink(smsc.port) as live:
        session = await bound(smsc, live)
        message = live.offer(parts=5)
        submits = await session.take("submit_sm", 5)
        headers = [seen.fields.short_message[:6] for seen in submits]
        assert [header[4:] for header in headers] == [bytes((5, number)) for number in range(1, 6)]
        assert len({header[3] for header in headers}) == 1
        for seen in reversed(submits):
            session.answer_submit(seen, f"id-{seen.number}")
        await ended(message)
        ids = [message.outcomes[number] for number in range(1, 6)]
        assert ids == [Accepted(f"id-{seen.number}") for seen in submits]


async def test_once_a_refusal_is_known_no_further_segment_goes_out(smsc: RawSmsc) -> None:
    async with LiveLink(smsc.port, window=2) as live:
        session = await bound(smsc, live)
        message = live.offer(parts=5)
        first, second = await session.take("submit_sm", 2)
        session.answer_submit(first, status=RINVDSTADR)
        await until(lambda: message.stopped)
        session.answer_submit(second, "2")
        await ended(message)
        assert message.ends == ["Refused", "Accepted", "NotSent", "NotSent", "NotSent"]
        other = live.offer()
        session.answer_submit(await session.next("submit_sm"))
        await ended(other)
        assert len(session.names("submit_sm")) == 3


async def test_silence_is_in_doubt_and_a_late_answer_settles_it(smsc: RawSmsc) -> None:
    async with LiveLink(smsc.port, response_timeout_s=0.1) as live:
        session = await bound(smsc, live)
        message = live.offer()
        seen = await session.next("submit_sm")
        await ended(message)
        assert message.outcomes == {1: InDoubt("no answer from the SMSC in time")}
        session.answer_submit(seen, "late-1")
        await until(lambda: live.desk.late)
        assert live.desk.late == [(message, 1, Accepted("late-1"))]
        assert len(session.names("submit_sm")) == 1


async def test_a_cut_is_in_doubt_for_what_was_written_and_not_sent_for_the_rest(smsc: RawSmsc) -> None:
    async with LiveLink(smsc.port, window=4) as live:
        session = await bound(smsc, live)
        written = [live.offer() for _ in range(2)]
        await session.take("submit_sm", 2)
        live.desk.store_at_once = False
        granted = [live.offer() for _ in range(2)]
        waiting = [live.offer() for _ in range(3)]
        session.cut()
        await live.waits.begun()
        live.desk.store()
        assert [message.outcomes for message in written] == [
            {1: InDoubt("connection lost before the answer")}
        ] * 2
        assert [message.outcomes for message in granted] == [{1: NotSent("link lost before the write")}] * 2
        assert all(message.abandoned and not message.outcomes for message in waiting)
        assert live.link.offer(Message("x", 1, OTP)) is Offer.UNBOUND
        live.waits.end()
        again = await smsc.next_bound()
        await live.bound()
        assert again.names("submit_sm") == []  # nothing is ever sent again by itself


async def test_answers_that_came_before_the_cut_count(smsc: RawSmsc) -> None:
    async with LiveLink(smsc.port) as live:
        session = await bound(smsc, live)
        messages = [live.offer() for _ in range(2)]
        first, _ = await session.take("submit_sm", 2)
        session.answer_submit(first, "1")
        session.hang_up()
        await ended(*messages)
        assert [message.ends for message in messages] == [["Accepted"], ["InDoubt"]]


async def test_a_generic_nack_refuses_its_own_segment_only(smsc: RawSmsc) -> None:
    async with LiveLink(smsc.port) as live:
        session = await bound(smsc, live)
        nacked, other = live.offer(), live.offer()
        first, second = await session.take("submit_sm", 2)
        session.send("generic_nack", 0, status=3)
        session.send("generic_nack", first.number, status=3)
        session.answer_submit(second, "2")
        await ended(nacked, other)
        outcome = nacked.outcomes[1]
        assert isinstance(outcome, Refused)
        assert outcome.command_status == 3
        assert other.ends == ["Accepted"]
        assert live.link.counters.unexpected == 1


async def test_answers_that_fit_nothing_change_nothing(smsc: RawSmsc) -> None:
    async with LiveLink(smsc.port) as live:
        session = await bound(smsc, live)
        message = live.offer()
        seen = await session.next("submit_sm")
        session.send("submit_sm_resp", seen.number + 1, b"stray\0")
        session.send("enquire_link_resp", seen.number)
        session.send("deliver_sm_resp", seen.number, b"\0")
        session.answer_submit(seen, "mine")
        session.send("submit_sm_resp", seen.number, b"twice\0")
        await until(lambda: live.link.counters.unexpected == 4)
        assert message.outcomes == {1: Accepted("mine")}
        assert live.log.events == ["link_bound"]


async def test_error_answers_with_and_without_a_body_end_the_segment(smsc: RawSmsc) -> None:
    async with LiveLink(smsc.port) as live:
        session = await bound(smsc, live)
        messages = [live.offer() for _ in range(3)]
        bare, empty, with_id = await session.take("submit_sm", 3)
        session.answer(bare, b"", RINVDSTADR)
        session.answer(empty, b"\0", RINVDSTADR)
        session.answer(with_id, b"id\0", RINVDSTADR)
        await ended(*messages)
        assert [message.ends for message in messages] == [["Refused"]] * 3


async def test_an_otp_goes_before_the_campaign_that_waits(smsc: RawSmsc) -> None:
    async with LiveLink(smsc.port, window=1) as live:
        session = await bound(smsc, live)
        campaign = [live.offer(name=f"c{number}") for number in range(20)]
        otp = live.offer(name="otp", key=OTP)
        for _ in range(3):
            session.answer_submit(await session.next("submit_sm"))
        await ended(otp)
        assert not campaign[-1].ended
        smsc.submit_status = lambda _: 0
        session.answer_submit(await session.next("submit_sm"))
        await ended(*campaign)


async def test_several_sessions_share_the_load(smsc: RawSmsc) -> None:
    async with LiveLink(smsc.port, sessions=3, window=10) as live:
        sessions = [await smsc.next_bound() for _ in range(3)]
        await until(lambda: live.link.counters.binds == 3)
        messages = [live.offer() for _ in range(30)]
        await until(lambda: sum(session.outstanding for session in sessions) == 30)
        assert [session.outstanding for session in sessions] == [10, 10, 10]
        for session in sessions:
            for seen in await session.take("submit_sm", 10):
                session.answer_submit(seen, f"{id(session)}-{seen.number}")
        await ended(*messages)


async def test_when_one_session_of_several_is_cut_the_link_goes_on(smsc: RawSmsc) -> None:
    async with LiveLink(smsc.port, sessions=2, window=5) as live:
        one, other = await smsc.next_bound(), await smsc.next_bound()
        await until(lambda: live.link.counters.binds == 2)
        messages = [live.offer() for _ in range(20)]
        await until(lambda: one.outstanding == 5 == other.outstanding)
        smsc.submit_status = lambda _: 0
        one.cut()
        for seen in await other.take("submit_sm", 5):
            other.answer_submit(seen)
        await ended(*messages)
        assert sorted(message.ends[0] for message in messages) == ["Accepted"] * 15 + ["InDoubt"] * 5
        assert live.link.bound


# --- throttling ------------------------------------------------------------------------------------------


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "FIRST_PAUSE_S", 0.05)


@pytest.mark.usefixtures("short_pauses")
@pytest.mark.parametrize("status", [RTHROTTLED, RMSGQFUL])
async def test_a_throttled_link_pauses_keeps_the_order_and_loses_nothing(smsc: RawSmsc, status: int) -> None:
    async with LiveLink(smsc.port, window=4) as live:
        session = await bound(smsc, live)
        messages = [live.offer(name=f"{number}") for number in range(12)]
        submits = await session.take("submit_sm", 4)
        paused_at = asyncio.get_running_loop().time()
        for seen in submits:
            session.answer_submit(seen, status=status)
        numbers: list[Seen] = []
        under_way = []
        while len(numbers) < 12:
            seen = await session.next("submit_sm")
            numbers.append(seen)
            under_way.append(session.outstanding)
            session.answer_submit(seen)
        await ended(*messages)
        assert numbers[0].at - paused_at >= 0.049
        assert under_way[0] == 1
        assert all(message.ends == ["Accepted"] for message in messages)
        assert live.link.counters.submits == 16
        assert [owner for owner, _ in live.desk.grants] == [message.name for message in messages]


@pytest.mark.usefixtures("short_pauses")
async def test_a_segment_is_sent_three_times_at_most_and_never_after_an_ok(smsc: RawSmsc) -> None:
    smsc.submit_status = lambda seen: RTHROTTLED if seen.fields.short_message[-1:] == b"x" else 0
    async with LiveLink(smsc.port) as live:
        session = await bound(smsc, live)
        message = live.offer()
        await ended(message)
        outcome = message.outcomes[1]
        assert isinstance(outcome, Refused)
        assert outcome.throttled
        assert len(session.names("submit_sm")) == 3


# --- under uvloop, as the daemon runs ----------------------------------------------------------------------


def test_the_same_holds_on_the_loop_of_the_daemon() -> None:
    from smsproxy.aio.loop import loop_factory

    async def talk() -> None:
        async with RawSmsc() as smsc:
            smsc.submit_status = lambda _: 0
            settings = {"window": 10, "enquire_link_s": 0.1, "response_timeout_s": 0.1}
            async with LiveLink(smsc.port, sessions=2, rate_per_s=2000, burst=10, **settings) as live:
                sessions = [await smsc.next_bound() for _ in range(2)]
                await until(lambda: live.link.counters.binds == 2)
                messages = [live.offer(parts=3, name=f"{number}") for number in range(50)]
                await ended(*messages)
                assert {end for message in messages for end in message.ends} == {"Accepted"}
                await until(lambda: sessions[0].names("enquire_link"))
                sessions[0].go_deaf()
                await live.waits.begun()
                sessions[1].cut()
                await live.waits.begun()
                assert not live.link.bound

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(talk())


async def test_a_link_that_is_told_it_is_not_bound_binds_again(smsc: RawSmsc) -> None:
    async with LiveLink(smsc.port) as live:
        first = await smsc.next_bound()
        await live.bound()
        refused, taken = live.offer(name="refused"), live.offer(name="taken")
        one, two = await first.take("submit_sm", 2)
        smsc.answers_unbind = False
        first.answer_submit(one, status=0x04)
        unbind = await first.next("unbind")
        assert not live.link.bound
        first.answer_submit(two)
        await ended(refused, taken)
        first.answer(unbind)
        assert await live.waits.begun() == 1
        smsc.answers_unbind = True
        live.waits.end()
        await smsc.next_bound()
        await live.bound()
        assert (refused.ends, taken.ends) == (["Refused"], ["Accepted"])
        assert live.log.events == ["link_bound", "link_down", "link_bound"]
        assert live.log.fields("link_down")["reason"] == "ESME_RINVBNDSTS 0x00000004"
