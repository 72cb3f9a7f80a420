"""SendMessageStream: order, windows, back-pressure and every way a stream can end (spec §2.2)."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import grpc
import pytest
from grpc_edge_kit import (
    BOUND_S,
    METADATA,
    FakeGateway,
    RawClient,
    answer_to,
    framed_request,
    responses_in,
)
from structlog.testing import capture_logs

from smsproxy.domain.outcome import Answer, Status
from smsproxy.pipeline.ports import Lane
from smsproxy.rpc.server import RpcServer

STREAM = "/sms.v1.SmsService/SendMessageStream"
COMPLETION = (*METADATA, ("x-response-order", "completion"))
WINDOW_UPDATES_NEVER = {4: 0}
"""SETTINGS_INITIAL_WINDOW_SIZE 0: the server may not send a byte of DATA."""


def task_ids(octets: bytes | bytearray) -> list[int]:
    return [response.task_id for response in responses_in(bytes(octets))]


def statuses(octets: bytes | bytearray) -> list[str]:
    return [response.status for response in responses_in(bytes(octets))]


async def raw_stream(server: RpcServer, settings: dict[int, int] | None = None) -> tuple[RawClient, int]:
    client = await RawClient.connect(server.port, settings)
    return client, client.open(STREAM)


async def test_answers_come_in_request_order_though_they_end_at_random(
    client: Any, api: Any, gateway: FakeGateway
) -> None:
    gateway.respond = None
    stream = client.SendMessageStream()
    for number in range(200):
        await stream.write(api.request(task_id=number, transaction_id=f"t{number}"))
    await stream.done_writing()
    tickets = list(await gateway.submitted(200))
    assert {ticket.lane for ticket in tickets} == {Lane.STREAM}
    random.Random(5).shuffle(tickets)
    for ticket in tickets:
        ticket.end()
        if ticket.tag % 50 == 0:
            await asyncio.sleep(0)
    answers = [answer async for answer in stream]
    assert [answer.task_id for answer in answers] == list(range(200))
    assert [answer.transaction_id for answer in answers] == [f"t{number}" for number in range(200)]
    assert await stream.code() is grpc.StatusCode.OK


async def test_completion_order_gives_answers_as_they_end(
    client: Any, api: Any, gateway: FakeGateway
) -> None:
    gateway.respond = None
    stream = client.SendMessageStream(metadata=COMPLETION)
    for number in range(3):
        await stream.write(api.request(task_id=number))
    tickets = await gateway.submitted(3)
    for number in (2, 0, 1):
        tickets[number].end()
        assert (await stream.read()).task_id == number
    await stream.done_writing()
    assert await stream.read() is grpc.aio.EOF
    assert await stream.code() is grpc.StatusCode.OK


async def test_an_unknown_response_order_is_refused(client: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await client.SendMessageStream(metadata=(*METADATA, ("x-response-order", "fifo"))).read()
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("status", Status)
async def test_every_end_is_told_in_band(client: Any, api: Any, gateway: FakeGateway, status: Status) -> None:
    gateway.respond = lambda message: answer_to(message, status, error="why", retry_after_ms=5)
    stream = client.SendMessageStream()
    for _ in range(2):
        await stream.write(api.request())
        answer = await stream.read()
        assert (answer.status, answer.success, answer.error) == (
            status.value,
            status is Status.SUBMITTED,
            "why",
        )
        assert answer.retry_after_ms == 5
    await stream.done_writing()
    assert await stream.read() is grpc.aio.EOF
    assert await stream.code() is grpc.StatusCode.OK


async def test_a_malformed_message_is_answered_in_its_place(raw: RawClient, server: RpcServer) -> None:
    stream_id = raw.open(STREAM)
    bad = b"\0\0\0\0\x04\x0a\x05ab"
    raw.data(stream_id, framed_request(task_id=1) + bad + framed_request(task_id=3), end=True)
    stream = await raw.end_of(stream_id)
    assert statuses(stream.data) == ["submitted", "invalid", "submitted"]
    assert responses_in(bytes(stream.data))[1].error == "malformed protobuf"
    assert task_ids(stream.data) == [1, 0, 3]
    assert stream.grpc_status == 0
    assert server.counters.messages_malformed_total == 1


async def test_an_empty_message_reaches_the_core_and_an_empty_stream_ends_well(
    raw: RawClient, gateway: FakeGateway
) -> None:
    first = raw.open(STREAM)
    raw.data(first, b"\0\0\0\0\0", end=True)
    assert (await raw.end_of(first)).grpc_status == 0
    assert gateway.tickets[0].message.app_id == 0
    second = raw.open(STREAM, end=True)
    assert (await raw.end_of(second)).grpc_status == 0


async def test_a_core_that_fails_on_one_message_does_not_end_the_stream(
    client: Any, api: Any, gateway: FakeGateway
) -> None:
    gateway.submit_error = RuntimeError("the secret is 42")
    stream = client.SendMessageStream()
    with capture_logs() as logs:
        await stream.write(api.request())
        answer = await stream.read()
    assert (answer.status, answer.error) == ("internal", f"internal error {logs[0]['error_id']}")
    gateway.submit_error = None
    await stream.write(api.request())
    assert (await stream.read()).success


async def test_an_answer_that_cannot_be_encoded_is_still_an_answer(
    client: Any, api: Any, gateway: FakeGateway
) -> None:
    gateway.respond = lambda message: Answer(Status.REJECTED, error="\ud800", message_id="id")
    stream = client.SendMessageStream()
    with capture_logs() as logs:
        await stream.write(api.request())
        answer = await stream.read()
    assert (answer.status, answer.message_id) == ("rejected", "id")
    assert answer.error == f"internal error {logs[0]['error_id']}"


@pytest.mark.parametrize(
    ("bad", "code"),
    [(b"\0\0\1\0\1", 8), (b"\0\xff\xff\xff\xff", 8), (b"\1\0\0\0\1x", 12), (b"\2\0\0\0\1x", 3)],
    ids=["64 KiB + 1", "4 GiB", "compressed", "bad flag"],
)
async def test_a_frame_that_cannot_be_read_ends_the_stream_after_the_answers_before_it(
    raw: RawClient, gateway: FakeGateway, bad: bytes, code: int
) -> None:
    gateway.respond = None
    stream_id = raw.open(STREAM)
    raw.data(stream_id, framed_request(task_id=1) + framed_request(task_id=2) + bad)
    tickets = await gateway.submitted(2)
    await raw.ping()
    assert not raw.streams[stream_id].ended
    for ticket in reversed(tickets):
        ticket.end()
    stream = await raw.end_of(stream_id)
    assert task_ids(stream.data) == [1, 2]
    assert stream.grpc_status == code
    if code == 12:
        assert stream.trailers["grpc-accept-encoding"] == "identity,gzip"
    await raw.until(lambda: stream.reset is not None)
    assert stream.reset == 0  # NO_ERROR: stop sending, the answer is complete


async def test_a_message_cut_by_half_close_is_invalid_after_the_answers_before_it(raw: RawClient) -> None:
    stream_id = raw.open(STREAM)
    raw.data(stream_id, framed_request(task_id=1) + framed_request()[:-1], end=True)
    stream = await raw.end_of(stream_id)
    assert task_ids(stream.data) == [1]
    assert stream.grpc_status == 3


async def test_half_close_waits_for_every_answer(client: Any, api: Any, gateway: FakeGateway) -> None:
    gateway.respond = None
    stream = client.SendMessageStream()
    for number in range(100):
        await stream.write(api.request(task_id=number))
    await stream.done_writing()
    tickets = await gateway.submitted(100)
    tickets[0].end()
    assert (await stream.read()).task_id == 0
    for ticket in tickets[1:]:
        ticket.end()
    assert [(await stream.read()).task_id for _ in range(99)] == list(range(1, 100))
    assert await stream.read() is grpc.aio.EOF
    assert await stream.code() is grpc.StatusCode.OK


async def test_at_most_a_window_of_messages_is_open(start: Any, gateway: FakeGateway) -> None:
    server: RpcServer = await start(stream_window=10)
    gateway.respond = None
    client, stream_id = await raw_stream(server)
    for number in range(50):
        client.data(stream_id, framed_request(task_id=number))
    await gateway.submitted(10)
    await client.ping()
    assert len(gateway.tickets) == 10
    for done in range(1, 6):
        gateway.tickets[done - 1].end()
        await gateway.submitted(10 + done)
        await client.ping()
        assert len(gateway.tickets) == 10 + done
    assert server.counters.window_full_total > 0


async def test_ended_answers_behind_a_silent_one_do_not_hold_the_window(
    start: Any, gateway: FakeGateway
) -> None:
    server: RpcServer = await start(stream_window=5, stream_reorder_max=20)
    gateway.respond = lambda message: None if message.task_id == 0 else answer_to(message)
    client, stream_id = await raw_stream(server)
    for number in range(60):
        client.data(stream_id, framed_request(task_id=number))
    await gateway.submitted(20)
    await client.ping()
    # The silent first one and nineteen that wait behind it: the bound, and not one more.
    assert len(gateway.tickets) == 20
    assert server.counters.reorder_full_total > 0
    assert client.streams[stream_id].data == b""
    gateway.tickets[0].end()
    await client.until(lambda: len(task_ids(client.streams[stream_id].data)) == 60)
    assert task_ids(client.streams[stream_id].data) == list(range(60))


async def test_a_window_that_is_full_slows_the_sender_through_flow_control(
    start: Any, gateway: FakeGateway
) -> None:
    server: RpcServer = await start(stream_window=4)
    gateway.respond = None
    client, stream_id = await raw_stream(server)
    await client.until(lambda: client.settings)
    granted = client.settings[4]
    assert granted == 256 * 1024
    message = framed_request(message="x" * 1000)
    for _ in range(granted // len(message)):
        client.data(stream_id, message)
    await gateway.submitted(4)
    await client.ping()
    assert stream_id not in client.window_updates  # nothing was taken, nothing is given back
    gateway.respond = answer_to
    for ticket in list(gateway.tickets):
        ticket.end()
    await client.until(lambda: client.window_updates.get(stream_id, 0) >= granted // 2)


async def test_a_slowed_stream_does_not_stop_a_call_on_the_same_connection(
    start: Any, gateway: FakeGateway
) -> None:
    server: RpcServer = await start(stream_window=1)
    gateway.respond = lambda message: None if message.task_id == 7 else answer_to(message)
    client = await RawClient.connect(server.port)
    message = framed_request(message="x" * 1000, task_id=7)
    # Eight campaigns fill their windows: twice what the connection's own window holds.
    for _ in range(8):
        stream_id = client.open(STREAM)
        for _ in range(256 * 1024 // len(message)):
            await client.data_within(stream_id, message)
    otp = client.open()
    client.data(otp, framed_request(), end=True)
    assert (await client.end_of(otp)).grpc_status == 0


async def test_a_client_that_never_reads_stops_us_from_reading(start: Any, gateway: FakeGateway) -> None:
    server: RpcServer = await start(stream_window=50)
    client, stream_id = await raw_stream(server, WINDOW_UPDATES_NEVER)
    for number in range(500):
        client.data(stream_id, framed_request(task_id=number))
    await gateway.submitted(50)
    for _ in range(3):
        await client.ping()
    assert len(gateway.tickets) <= 100
    assert client.streams[stream_id].data == b""
    # It reads again, seven bytes at first: a frame may cut an answer anywhere.
    client.grow(7, stream_id)
    await client.until(lambda: len(client.streams[stream_id].data) == 7)
    client.grow(1_000_000, stream_id)
    await client.until(lambda: len(client.streams[stream_id].data) % 5 == 0 and len(gateway.tickets) == 500)
    client.data(stream_id, b"", end=True)
    stream = await client.end_of(stream_id)
    assert task_ids(stream.data) == list(range(500))


async def test_answers_that_are_ready_together_share_a_frame(start: Any, gateway: FakeGateway) -> None:
    server: RpcServer = await start()
    gateway.respond = None
    client, stream_id = await raw_stream(server)
    client.data(stream_id, framed_request() * 250)
    for ticket in await gateway.submitted(250):
        ticket.end()
    await client.until(lambda: len(task_ids(client.streams[stream_id].data)) == 250)
    assert len(client.streams[stream_id].frames) == 3  # at most 100 answers each


async def test_a_client_that_is_gone_withdraws_what_has_not_begun(
    client: Any, api: Any, gateway: FakeGateway, server: RpcServer
) -> None:
    gateway.respond = None
    stream = client.SendMessageStream()
    for number in range(3):
        await stream.write(api.request(task_id=number))
    tickets = await gateway.submitted(3)
    tickets[0].begun = True
    stream.cancel()
    for ticket in tickets:
        await asyncio.wait_for(ticket.left.wait(), BOUND_S)
    tickets[0].end()  # the core finishes it and finds nobody
    assert server.counters.answers_dropped_total == 1


async def test_a_reset_and_a_lost_connection_withdraw_too(start: Any, gateway: FakeGateway) -> None:
    server: RpcServer = await start()
    gateway.respond = None
    client = await RawClient.connect(server.port)
    for stream_id in (client.open(STREAM), client.open(STREAM)):
        client.data(stream_id, framed_request())
    first, second = await gateway.submitted(2)
    client.reset(1)
    await asyncio.wait_for(first.left.wait(), BOUND_S)
    assert not second.cancelled
    await client.aclose()
    await asyncio.wait_for(second.left.wait(), BOUND_S)


async def test_the_deadline_of_a_stream_ends_it(client: Any, api: Any, gateway: FakeGateway) -> None:
    gateway.respond = lambda message: None if message.task_id else answer_to(message)
    stream = client.SendMessageStream(timeout=1.5)
    await stream.write(api.request())
    await stream.write(api.request(task_id=1))
    assert (await stream.read()).success
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await stream.read()
    assert error.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await asyncio.wait_for(gateway.tickets[1].left.wait(), BOUND_S)
    assert gateway.tickets[0].deadline is not None


async def test_the_server_itself_ends_a_stream_at_its_deadline(raw: RawClient, gateway: FakeGateway) -> None:
    gateway.respond = lambda message: None if message.task_id else answer_to(message)
    stream_id = raw.open(STREAM, more=[("grpc-timeout", "50m")])
    raw.data(stream_id, framed_request() + framed_request(task_id=1))
    stream = await raw.end_of(stream_id)
    assert task_ids(stream.data) == [0]
    assert (stream.grpc_status, stream.reason) == (4, "EXPIRED")
    assert gateway.tickets[1].cancelled


async def test_a_stream_whose_deadline_passes_during_a_submission_is_in_doubt(
    raw: RawClient, gateway: FakeGateway
) -> None:
    gateway.respond = None
    stream_id = raw.open(STREAM, more=[("grpc-timeout", "100m")])
    raw.data(stream_id, framed_request() + framed_request(task_id=1))
    tickets = await gateway.submitted(2)
    tickets[1].begun = True
    stream = await raw.end_of(stream_id)
    assert (stream.grpc_status, stream.reason) == (4, "IN_DOUBT")
    assert [ticket.cancelled for ticket in tickets] == [True, True]


async def test_a_long_stream_is_answered_one_by_one(start: Any, gateway: FakeGateway) -> None:
    server: RpcServer = await start()
    client, stream_id = await raw_stream(server, {4: 2**30})
    client.grow(2**30)
    total = 20_000
    for _ in range(total):
        await client.data_within(stream_id, framed_request())
    client.data(stream_id, b"", end=True)
    stream = await client.end_of(stream_id)
    assert statuses(stream.data) == ["submitted"] * total
    assert stream.grpc_status == 0
