"""Campaigns over one stream: order, window, and what happens when the stream breaks."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from client_kit import QUICK, a_client, an_sms, answers_of, campaign
from fake_daemon import BOUND_S, CutConnectionError, FakeDaemon, accepted, refused
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from smsproxy.aio.wait import settled
from smsproxy.client import (
    MessageError,
    ProtocolError,
    RefusedError,
    Sms,
    SmsClient,
    UnauthenticatedError,
    UnreachableError,
)
from smsproxy.rpc.gen.sms.v1 import SmsRequest, SmsResponse


async def take_all(pairs: AsyncIterator[object], got: list[object]) -> None:
    """Into a list of the test's: what came before an error counts."""
    async for pair in pairs:
        got += [pair]


async def take_all_within(pairs: AsyncIterator[object], limit_s: float) -> None:
    async with asyncio.timeout(limit_s):
        await take_all(pairs, [])


async def test_every_message_comes_with_its_answer_in_order(daemon: FakeDaemon) -> None:
    async with a_client(daemon) as client:
        pairs = await answers_of(client, campaign(300))
    assert [sms for sms, _ in pairs] == list(campaign(300))
    assert all(answer.message_id == f"id-of-{sms.transaction_id}" for sms, answer in pairs)
    assert len(daemon.streams) == 1


async def test_an_empty_campaign_ends_at_once(daemon: FakeDaemon) -> None:
    async with a_client(daemon) as client:
        assert await answers_of(client, []) == []


async def test_an_asynchronous_source_is_taken_as_it_comes(daemon: FakeDaemon) -> None:
    async def source() -> AsyncIterator[Sms]:
        for number in range(5):
            await daemon.wait_received(number)  # each only after the one before has arrived
            yield an_sms(number)

    async with a_client(daemon) as client:
        pairs = await answers_of(client, source())
    assert len(pairs) == 5


async def test_not_more_than_the_window_is_open_when_the_daemon_is_silent(daemon: FakeDaemon) -> None:
    daemon.answering = lambda _: None
    taken: list[Sms] = []

    def source() -> AsyncIterator[Sms]:
        for sms in campaign(1000):
            taken.append(sms)
            yield sms

    async with a_client(daemon) as client:
        sending = asyncio.create_task(answers_of(client, source(), window=7))
        await daemon.wait_received(7)
        await client.check_esme(100)  # a round trip later nothing more has come
        assert len(daemon.received) == 7
        assert len(taken) == 8  # one waits at the door
        sending.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sending


async def test_a_slow_consumer_slows_the_source(daemon: FakeDaemon) -> None:
    taken: list[Sms] = []

    def source() -> AsyncIterator[Sms]:
        for sms in campaign(1000):
            taken.append(sms)
            yield sms

    async with a_client(daemon) as client, contextlib.aclosing(client.send_many(source(), 10)) as answers:
        async for _ in answers:
            await daemon.wait_received(10)
            await client.check_esme(100)
            assert len(taken) <= 12
            break


async def test_a_stream_that_breaks_is_opened_again_and_loses_and_doubles_nothing(daemon: FakeDaemon) -> None:
    cuts = {20, 21, 60}
    calls = itertools.count(1)

    def answering(request: SmsRequest) -> SmsResponse | None:
        if next(calls) in cuts:
            raise CutConnectionError
        return accepted(request)

    daemon.answering = answering
    async with a_client(daemon) as client:
        pairs = await answers_of(client, campaign(100), window=10)
        assert client.reconnects == 3
        assert client.rewritten == len(daemon.received) - 100 > 0
    assert [sms.transaction_id for sms, _ in pairs] == [f"t{number}" for number in range(100)]
    assert [answer.transaction_id for _, answer in pairs] == [f"t{number}" for number in range(100)]
    assert {request.transaction_id for request in daemon.received} == {f"t{n}" for n in range(100)}


async def test_unanswered_messages_are_repeated_with_the_id_the_client_made(daemon: FakeDaemon) -> None:
    calls = itertools.count(1)
    daemon.answering = lambda request: None if next(calls) <= 3 else accepted(request)
    async with a_client(daemon) as client:
        source = [an_sms(number, transaction_id="") for number in range(3)]
        sending = asyncio.create_task(answers_of(client, source))
        await daemon.wait_received(3)
        daemon.cut()
        pairs = await sending
    ids = [request.transaction_id for request in daemon.received]
    assert ids[:3] == ids[3:] == [answer.transaction_id for _, answer in pairs]
    assert len(set(ids)) == 3


async def test_a_daemon_that_drains_is_waited_for(daemon: FakeDaemon) -> None:
    def answering(request: SmsRequest) -> SmsResponse:
        if len(daemon.streams) == 1 and len(daemon.received) > 5:
            raise GRPCError(Status.UNAVAILABLE, "draining: requests without an answer were not sent")
        return accepted(request)

    daemon.answering = answering
    async with a_client(daemon) as client:
        assert len(await answers_of(client, campaign(40), window=10)) == 40
    assert len(daemon.streams) == 2
    assert daemon.streams[1][0].transaction_id == "t5"


async def test_a_daemon_that_restarts_is_waited_for(daemon: FakeDaemon) -> None:
    daemon.answering = lambda request: None
    async with a_client(daemon) as client:
        sending = asyncio.create_task(answers_of(client, campaign(5)))
        await daemon.wait_received(5)
        port = daemon.port
        await daemon.aclose()
        again = FakeDaemon()
        await again.start(port)
        try:
            assert len(await sending) == 5
        finally:
            await again.aclose()
    assert len(again.received) == 5


async def test_a_silent_stream_is_opened_again(daemon: FakeDaemon) -> None:
    daemon.answering = lambda request: accepted(request) if len(daemon.streams) > 1 else None
    async with a_client(daemon, replace(QUICK, silence_s=0.1)) as client:
        assert len(await answers_of(client, campaign(5))) == 5
    assert len(daemon.streams) >= 2


async def test_an_idle_source_is_no_reason_to_give_up(daemon: FakeDaemon) -> None:
    async def source() -> AsyncIterator[Sms]:
        yield an_sms(0)
        assert await settled(lambda: len(daemon.streams) >= 2, timeout_s=BOUND_S)
        yield an_sms(1)

    options = replace(QUICK, silence_s=0.4, give_up_s=0.2)
    async with a_client(daemon, options) as client:
        assert len(await answers_of(client, source())) == 2


async def test_without_an_answer_for_so_long_it_gives_up(daemon: FakeDaemon) -> None:
    def answering(request: SmsRequest) -> SmsResponse:
        raise CutConnectionError

    daemon.answering = answering
    async with a_client(daemon, replace(QUICK, give_up_s=0.3)) as client:
        with pytest.raises(UnreachableError):
            await answers_of(client, campaign(5))
    assert len(daemon.streams) > 1


async def test_nobody_listening_at_the_start_is_told_at_once(daemon: FakeDaemon) -> None:
    port = daemon.port
    await daemon.aclose()
    async with SmsClient(f"127.0.0.1:{port}", lambda: "t", 1) as client:
        with pytest.raises(UnreachableError, match="connection refused"):
            await answers_of(client, campaign(5))


async def test_a_token_that_runs_out_under_way_is_replaced(daemon: FakeDaemon) -> None:
    def answering(request: SmsRequest) -> SmsResponse:
        if len(daemon.streams) == 1 and len(daemon.received) > 3:
            return refused(request, "unauthenticated", "authentication failed")
        return accepted(request)

    daemon.answering = answering
    async with a_client(daemon) as client:
        pairs = await answers_of(client, campaign(10))
    assert [answer.status for _, answer in pairs] == ["submitted"] * 10
    assert len(daemon.streams) == 2


async def test_an_app_that_is_revoked_under_way_is_an_error_after_the_answers_before_it(
    daemon: FakeDaemon,
) -> None:
    daemon.answering = lambda request: (
        accepted(request) if len(daemon.received) <= 3 else refused(request, "unauthenticated")
    )
    got: list[object] = []
    async with a_client(daemon) as client:
        with pytest.raises(UnauthenticatedError):
            await take_all(client.send_many(campaign(10)), got)
    assert len(got) == 3


async def test_a_stream_refused_for_its_token_is_not_tried_again(daemon: FakeDaemon) -> None:
    daemon.metadata_error = GRPCError(Status.UNAUTHENTICATED, "authentication failed")
    async with a_client(daemon) as client:
        with pytest.raises(UnauthenticatedError):
            await answers_of(client, campaign(3))
    assert daemon.streams == []


async def test_a_message_the_daemon_cannot_take_ends_the_campaign_after_the_answers_before_it(
    daemon: FakeDaemon,
) -> None:
    def answering(request: SmsRequest) -> SmsResponse:
        if request.transaction_id == "t4":
            raise GRPCError(Status.RESOURCE_EXHAUSTED, "message of 99999 octets")
        return accepted(request)

    daemon.answering = answering
    got: list[object] = []
    async with a_client(daemon) as client:
        with pytest.raises(RefusedError, match="99999 octets"):
            await take_all(client.send_many(campaign(10)), got)
    assert len(got) == 4


async def test_answers_out_of_order_are_refused(daemon: FakeDaemon) -> None:
    daemon.answering = lambda request: accepted(SmsRequest(transaction_id="other"))
    async with a_client(daemon) as client:
        with pytest.raises(ProtocolError, match="order of the requests"):
            await answers_of(client, campaign(3))


async def test_an_error_of_the_source_comes_after_the_answers_of_what_it_gave(daemon: FakeDaemon) -> None:
    async def source() -> AsyncIterator[Sms]:
        yield an_sms(0)
        raise LookupError("the database is gone")

    got: list[object] = []
    async with a_client(daemon) as client:
        with pytest.raises(LookupError, match="database"):
            await take_all(client.send_many(source()), got)
    assert len(got) == 1


async def test_a_message_no_field_can_hold_is_an_error_of_the_source(daemon: FakeDaemon) -> None:
    async with a_client(daemon) as client:
        with pytest.raises(MessageError):
            await answers_of(client, [an_sms(0), an_sms(1, message="\ud800")])
    assert len(daemon.received) == 1


async def test_a_consumer_that_leaves_early_leaves_nothing_running(daemon: FakeDaemon) -> None:
    before = asyncio.all_tasks()
    async with a_client(daemon) as client:
        async with contextlib.aclosing(client.send_many(campaign(1000), 10)) as answers:
            async for _ in answers:
                break
        left = {task for task in asyncio.all_tasks() - before if "Sending" in repr(task)}
    assert not left


async def test_a_stream_that_breaks_does_not_confuse_the_timeout_around_it(daemon: FakeDaemon) -> None:
    daemon.answering = lambda request: None
    async with a_client(daemon) as client:
        cutting = asyncio.create_task(daemon.wait_received(2))
        cutting.add_done_callback(lambda _: daemon.cut())
        with pytest.raises(TimeoutError):
            await take_all_within(client.send_many(campaign(2)), 0.3)
    assert len(daemon.streams) >= 2
