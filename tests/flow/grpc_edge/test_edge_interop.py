"""The gRPC interop cases that apply to this service, under their own names, with grpcio.

They are written for a test service; here SendMessage stands for its unary call, SendMessageStream for the
full-duplex one and the health service's Watch for streaming from the server.
"""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from grpc_edge_kit import METADATA, FakeGateway, answer_to
from grpclib.health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from smsproxy.domain.errors import RefusedError
from smsproxy.domain.outcome import Status
from smsproxy.rpc.server import RpcServer

Code = grpc.StatusCode
SPECIAL = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"
"""The text of the case special_status_message."""


def health(channel: grpc.aio.Channel, rpc: str) -> Any:
    kind = channel.unary_unary if rpc == "Check" else channel.unary_stream
    return kind(
        f"/grpc.health.v1.Health/{rpc}",
        request_serializer=HealthCheckRequest.SerializeToString,
        response_deserializer=HealthCheckResponse.FromString,
    )


async def refusal(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def test_empty_unary(channel: grpc.aio.Channel) -> None:
    assert HealthCheckRequest().SerializeToString() == b""
    told = await health(channel, "Check")(HealthCheckRequest(), timeout=10)
    assert told.status == HealthCheckResponse.SERVING


async def test_large_unary(client: Any, api: Any, gateway: FakeGateway) -> None:
    request = api.request()
    request.message = "x" * (65_536 - request.ByteSize())
    while request.ByteSize() > 65_536:
        request.message = request.message[:-1]
    assert request.ByteSize() == 65_536  # the largest there is
    assert (await client.SendMessage(request)).success
    assert gateway.tickets[0].message.text == request.message


async def test_client_compressed_unary(client: Any, api: Any, gateway: FakeGateway) -> None:
    for compression in (grpc.Compression.Gzip, grpc.Compression.NoCompression):
        assert (await client.SendMessage(api.request(message="x" * 500), compression=compression)).success
    assert [ticket.message.text for ticket in gateway.tickets] == ["x" * 500] * 2


async def test_client_streaming(client: Any, api: Any) -> None:
    call = client.SendMessageStream(api.request(task_id=number) for number in range(4))
    assert [answer.task_id async for answer in call] == [0, 1, 2, 3]
    assert await call.code() is Code.OK


async def test_server_streaming(channel: grpc.aio.Channel, gateway: FakeGateway) -> None:
    gateway.bound[7] = False
    watch = health(channel, "Watch")(HealthCheckRequest(service="link.7"), timeout=10)
    for bound in (False, True, False, True):
        gateway.bound[7] = bound
        seen = (await watch.read()).status
        assert seen == (HealthCheckResponse.SERVING if bound else HealthCheckResponse.NOT_SERVING)
    watch.cancel()


async def test_ping_pong(client: Any, api: Any) -> None:
    call = client.SendMessageStream()
    for number, size in enumerate((1, 31, 415, 9000), 1):
        await call.write(api.request(task_id=number, message="x" * size))
        assert (await call.read()).task_id == number
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is Code.OK


async def test_empty_stream(client: Any) -> None:
    call = client.SendMessageStream()
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is Code.OK


async def test_cancel_after_begin(client: Any, gateway: FakeGateway, api: Any) -> None:
    call = client.SendMessageStream()
    await call.wait_for_connection()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call.read()
    assert await call.code() is Code.CANCELLED
    assert gateway.tickets == []
    assert (await client.SendMessage(api.request())).success


async def test_cancel_after_first_response(client: Any, api: Any) -> None:
    call = client.SendMessageStream()
    await call.write(api.request(task_id=1))
    assert (await call.read()).task_id == 1
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call.read()
    assert await call.code() is Code.CANCELLED
    assert (await client.SendMessage(api.request())).success


async def test_timeout_on_sleeping_server(client: Any, api: Any, gateway: FakeGateway) -> None:
    gateway.respond = None
    call = client.SendMessageStream(timeout=0.1)
    await call.write(api.request())
    error = await refusal(call.read())
    assert error.code() is Code.DEADLINE_EXCEEDED


async def test_status_code_and_message(client: Any, api: Any, gateway: FakeGateway) -> None:
    gateway.respond = lambda message: answer_to(message, Status.UNAVAILABLE, error="test status message")
    error = await refusal(client.SendMessage(api.request()))
    assert (error.code(), error.details()) == (Code.UNAVAILABLE, "test status message")


async def test_special_status_message(client: Any, api: Any, gateway: FakeGateway) -> None:
    gateway.submit_error = RefusedError(Status.UNAVAILABLE, SPECIAL)
    error = await refusal(client.SendMessage(api.request()))
    assert (error.code(), error.details()) == (Code.UNAVAILABLE, SPECIAL)


@pytest.mark.parametrize(
    "path",
    ["/sms.v1.SmsService/UnimplementedCall", "/sms.v1.UnimplementedService/UnimplementedCall"],
    ids=["unimplemented_method", "unimplemented_service"],
)
async def test_unimplemented(channel: grpc.aio.Channel, path: str) -> None:
    error = await refusal(channel.unary_unary(path)(b"", timeout=10))
    assert error.code() is Code.UNIMPLEMENTED


async def test_custom_metadata(client: Any, api: Any, server: RpcServer) -> None:
    """The case wants both echoed; here unknown metadata, binary too, is read past."""
    more = (
        ("x-grpc-test-echo-initial", "test_initial_metadata_value"),
        ("x-grpc-test-echo-trailing-bin", b"\xab\xab\xab"),
    )
    assert (await client.SendMessage(api.request(), metadata=(*METADATA, *more))).success
    call = client.SendMessageStream([api.request()], metadata=(*METADATA, *more))
    assert [answer.success async for answer in call] == [True]
    assert server.counters.calls_refused_total == 0
