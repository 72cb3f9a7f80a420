"""Stopping (spec §9): what was read is answered, what was not is told so, no answer is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc_edge_kit import BOUND_S, METADATA, FakeGateway, RawClient, framed_request, responses_in
from grpclib.client import Channel
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from grpclib.health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from smsproxy.aio.wait import settled
from smsproxy.rpc import farewell
from smsproxy.rpc.gen.sms.v1 import SmsRequest, SmsServiceStub
from smsproxy.rpc.server import RpcServer

DRAINING = "draining: requests without an answer were not sent"
STREAM = "/sms.v1.SmsService/SendMessageStream"


@pytest.fixture
async def theirs(server: RpcServer) -> AsyncIterator[SmsServiceStub]:
    """A grpclib caller: the other client library that must survive a drain."""
    channel = Channel("127.0.0.1", server.port)
    yield SmsServiceStub(channel, metadata=dict(METADATA))
    channel.close()


def drain(server: RpcServer, timeout_s: float = BOUND_S) -> asyncio.Task[bool]:
    return asyncio.create_task(server.drain(timeout_s))


def our_request(number: int) -> SmsRequest:
    return SmsRequest(task_id=number, app_id=1, esme=100, saddr="B", daddr="998901234567", message="hi")


async def test_calls_in_flight_of_both_client_libraries_are_answered(
    client: Any, api: Any, theirs: SmsServiceStub, gateway: FakeGateway, server: RpcServer
) -> None:
    gateway.respond = None
    calls = [asyncio.create_task(theirs.send_message(our_request(number))) for number in range(5)]
    foreign = [client.SendMessage(api.request(task_id=number)) for number in range(5, 10)]
    tickets = await gateway.submitted(10)
    port = server.port
    drained = drain(server)
    await asyncio.sleep(0)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    for ticket in tickets:
        await asyncio.sleep(0.001)
        ticket.end()
    assert [answer.task_id for answer in await asyncio.gather(*calls)] == list(range(5))
    assert [answer.task_id for answer in await asyncio.gather(*foreign)] == list(range(5, 10))
    assert await drained
    assert server.counters.connections == 0


async def test_a_grpcio_stream_gets_every_answer_then_unavailable(
    client: Any, api: Any, gateway: FakeGateway, server: RpcServer
) -> None:
    gateway.respond = None
    stream = client.SendMessageStream()
    for number in range(20):
        await stream.write(api.request(task_id=number))
    tickets = await gateway.submitted(20)
    drained = drain(server)
    await asyncio.sleep(0)
    for ticket in reversed(tickets):
        ticket.end()
    assert [(await stream.read()).task_id for _ in range(20)] == list(range(20))
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await stream.read()
    assert (error.value.code(), error.value.details()) == (grpc.StatusCode.UNAVAILABLE, DRAINING)
    assert await drained


async def test_a_grpclib_stream_gets_every_answer_then_unavailable(
    theirs: SmsServiceStub, gateway: FakeGateway, server: RpcServer
) -> None:
    gateway.respond = None
    going = asyncio.Event()

    async def requests() -> AsyncIterator[SmsRequest]:
        for number in range(20):
            yield our_request(number)
        await going.wait()

    got: list[int] = []

    async def read() -> None:
        async for answer in theirs.send_message_stream(requests()):
            got.append(answer.task_id)  # noqa: PERF401 - what came before the error counts

    reading = asyncio.create_task(read())
    tickets = await gateway.submitted(20)
    drained = drain(server)
    await asyncio.sleep(0)
    for ticket in tickets:
        ticket.end()
    with pytest.raises(GRPCError) as error:
        await reading
    assert got == list(range(20))
    assert (error.value.status, error.value.message) == (Status.UNAVAILABLE, DRAINING)
    going.set()
    assert await drained


async def test_what_was_not_read_is_not_sent(start: Any, gateway: FakeGateway) -> None:
    server: RpcServer = await start(stream_window=3)
    gateway.respond = None
    client = await RawClient.connect(server.port)
    stream_id = client.open(STREAM)
    for number in range(10):
        client.data(stream_id, framed_request(task_id=number))
    tickets = await gateway.submitted(3)
    drained = drain(server)
    await client.ping()
    for ticket in list(tickets):
        ticket.end()
    stream = await client.end_of(stream_id)
    assert [each.task_id for each in responses_in(bytes(stream.data))] == [0, 1, 2]
    assert stream.grpc_status == 14
    assert len(gateway.tickets) == 3
    assert await drained
    await client.until(lambda: client.closed)
    assert client.goaway == 0


async def test_new_streams_are_refused_once_the_limit_is_acknowledged(
    raw: RawClient, gateway: FakeGateway, server: RpcServer
) -> None:
    gateway.respond = None
    await raw.ping()
    raw.ack_settings = False
    first = raw.open()
    raw.data(first, framed_request(), end=True)
    await gateway.submitted(1)
    drained = drain(server)
    await raw.until(lambda: raw.settings.get(3) == 0)
    on_its_way = raw.open()
    raw.data(on_its_way, framed_request(), end=True)
    await gateway.submitted(2)  # sent before it could know: served
    raw.write(b"\0\0\0\x04\x01\0\0\0\0")
    late = raw.open()
    assert (await raw.end_of(late)).reset == 7
    for ticket in gateway.tickets:
        ticket.end()
    for stream_id in (first, on_its_way):
        assert (await raw.end_of(stream_id)).grpc_status == 0
    assert await drained


async def test_a_stream_opened_while_draining_is_told_so(
    raw: RawClient, gateway: FakeGateway, server: RpcServer
) -> None:
    await raw.ping()
    raw.ack_settings = False
    drained = drain(server)
    await raw.until(lambda: raw.settings.get(3) == 0)
    stream_id = raw.open(STREAM)
    raw.data(stream_id, framed_request())
    stream = await raw.end_of(stream_id)
    assert (stream.grpc_status, stream.trailers["grpc-message"]) == (14, DRAINING)
    assert gateway.tickets == []
    raw.write(b"\0\0\0\x04\x01\0\0\0\0")
    assert await drained


async def test_a_peer_that_never_acknowledges_is_not_waited_for(
    raw: RawClient, server: RpcServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(farewell, "PATIENCE_S", 0.02)
    await raw.ping()
    raw.ack_settings = raw.ack_pings = False
    assert await server.drain(BOUND_S)
    await raw.until(lambda: raw.closed)
    assert raw.goaway == 0


async def test_idle_servers_drain_at_once_and_take_no_new_connection(start: Any) -> None:
    server: RpcServer = await start()
    assert await server.drain(0)
    assert repr(server) == "<RpcServer <GuardedServer draining connections=0/512>>"


async def test_a_call_that_never_brings_its_message_does_not_hold_the_drain(
    raw: RawClient, gateway: FakeGateway, server: RpcServer
) -> None:
    unary, watch = raw.open(), raw.open("/grpc.health.v1.Health/Watch")
    assert await settled(lambda: server.counters.calls_total == 2, timeout_s=BOUND_S)
    drained = drain(server)
    for stream_id in (unary, watch):
        await raw.until(lambda stream_id=stream_id: raw.streams[stream_id].ended)
        trailers = raw.streams[stream_id].trailers
        assert (trailers["grpc-status"], trailers["grpc-message"]) == ("14", DRAINING)
    assert await drained
    assert not gateway.tickets


async def test_a_drain_that_takes_too_long_says_so_and_close_cuts(
    raw: RawClient, gateway: FakeGateway, server: RpcServer
) -> None:
    gateway.respond = None
    stream_id = raw.open()
    raw.data(stream_id, framed_request(), end=True)
    (ticket,) = await gateway.submitted(1)
    assert not await server.drain(0.05)
    await server.close()
    assert ticket.cancelled
    await raw.until(lambda: raw.closed)
    assert server.counters.connections == 0


async def test_close_cuts_a_peer_that_does_not_read(start: Any, gateway: FakeGateway) -> None:
    from grpc_edge_kit import answer_to

    from smsproxy.domain.outcome import Status as AnswerStatus

    server: RpcServer = await start()
    gateway.respond = lambda message: answer_to(message, AnswerStatus.REJECTED, error="e" * 500_000)
    client = await RawClient.connect(server.port, {4: 2**30})
    client.grow(2**30)
    await client.ping()
    client._writer.transport.pause_reading()
    stream_id = client.open(STREAM)
    for _ in range(60):
        client.data(stream_id, framed_request())
    await gateway.submitted(60)
    await server.close()
    assert server.counters.connections == 0
    client._writer.transport.resume_reading()


async def test_watchers_hear_not_serving_before_they_are_let_go(
    channel: grpc.aio.Channel, server: RpcServer
) -> None:
    watch = channel.unary_stream(
        "/grpc.health.v1.Health/Watch",
        request_serializer=HealthCheckRequest.SerializeToString,
        response_deserializer=HealthCheckResponse.FromString,
    )(HealthCheckRequest())
    assert (await watch.read()).status == HealthCheckResponse.SERVING
    drained = drain(server)
    assert (await watch.read()).status == HealthCheckResponse.NOT_SERVING
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await watch.read()
    assert error.value.code() is grpc.StatusCode.UNAVAILABLE
    assert await drained


async def test_an_open_reflection_stream_does_not_hold_the_drain(
    channel: grpc.aio.Channel, server: RpcServer
) -> None:
    stream = channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")()
    await stream.write(b"\x3a\x00")
    assert await stream.read()
    assert await server.drain(BOUND_S)
    assert await stream.read() is grpc.aio.EOF
