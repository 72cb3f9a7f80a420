"""Health and reflection: open to everybody, true at every moment (spec §2.6)."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_edge_kit import FakeGateway, RawClient
from grpclib.health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpclib.reflection.v1.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING
REFLECTIONS = ["v1", "v1alpha"]


def health(channel: grpc.aio.Channel, rpc: str) -> Any:
    kind = channel.unary_unary if rpc == "Check" else channel.unary_stream
    return kind(
        f"/grpc.health.v1.Health/{rpc}",
        request_serializer=HealthCheckRequest.SerializeToString,
        response_deserializer=HealthCheckResponse.FromString,
    )


@pytest.mark.parametrize(
    ("service", "status"),
    [("", SERVING), ("sms.v1.SmsService", SERVING), ("link.100", SERVING), ("link.101", NOT_SERVING)],
)
async def test_check_tells_the_state(channel: grpc.aio.Channel, service: str, status: int) -> None:
    told = await health(channel, "Check")(HealthCheckRequest(service=service), timeout=10)
    assert told.status == status


@pytest.mark.parametrize(
    "service", ["link.5", "link.", "link.-1", "link.1x", "link.١", "link." + "9" * 5000, "other"]
)
async def test_check_of_an_unknown_service_is_not_found(channel: grpc.aio.Channel, service: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await health(channel, "Check")(HealthCheckRequest(service=service), timeout=10)
    assert error.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_gateway_that_is_not_ready_is_not_serving(
    channel: grpc.aio.Channel, gateway: FakeGateway
) -> None:
    gateway.ready = False
    for service in ("", "sms.v1.SmsService"):
        told = await health(channel, "Check")(HealthCheckRequest(service=service), timeout=10)
        assert told.status == NOT_SERVING


async def test_watch_tells_every_change(channel: grpc.aio.Channel, gateway: FakeGateway) -> None:
    watch = health(channel, "Watch")(HealthCheckRequest(service="link.7"), timeout=10)
    assert (await watch.read()).status == HealthCheckResponse.SERVICE_UNKNOWN
    gateway.bound[7] = True
    assert (await watch.read()).status == SERVING
    gateway.bound[7] = False
    assert (await watch.read()).status == NOT_SERVING
    watch.cancel()


async def test_a_watch_that_never_says_what_it_watches_is_ended(start: Any, gateway: FakeGateway) -> None:
    server = await start(message_s=0.05, max_health_watches=1)
    raw = await RawClient.connect(server.port)
    silent = raw.open("/grpc.health.v1.Health/Watch")
    await raw.until(lambda: raw.streams[silent].ended)
    trailers = raw.streams[silent].trailers
    assert trailers["grpc-status"] == "4"
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        watch = health(channel, "Watch")(HealthCheckRequest(), timeout=10)
        assert (await watch.read()).status == SERVING
        gateway.ready = False  # told at the next look, later than a first message may come
        assert (await watch.read()).status == NOT_SERVING
        watch.cancel()


async def test_watches_are_bounded(start: Any) -> None:
    server = await start(max_health_watches=1)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        first = health(channel, "Watch")(HealthCheckRequest(), timeout=10)
        await first.read()
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await health(channel, "Watch")(HealthCheckRequest(), timeout=10).read()
        assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        first.cancel()
    assert server.counters.watches_refused_total == 1


async def reflect(channel: grpc.aio.Channel, version: str, **asked: Any) -> ServerReflectionResponse:
    stream = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=ServerReflectionRequest.SerializeToString,
        response_deserializer=ServerReflectionResponse.FromString,
    )(timeout=10)
    await stream.write(ServerReflectionRequest(**asked))
    await stream.done_writing()
    answer: ServerReflectionResponse = await stream.read()
    assert await stream.read() is grpc.aio.EOF
    return answer


@pytest.mark.parametrize("version", REFLECTIONS)
async def test_reflection_lists_the_services(channel: grpc.aio.Channel, version: str) -> None:
    listed = await reflect(channel, version, list_services="")
    names = {service.name for service in listed.list_services_response.service}
    assert {"sms.v1.SmsService", "grpc.health.v1.Health"} <= names


@pytest.mark.parametrize("version", REFLECTIONS)
async def test_reflection_describes_the_five_methods(channel: grpc.aio.Channel, version: str) -> None:
    answer = await reflect(channel, version, file_containing_symbol="sms.v1.SmsService")
    file = FileDescriptorProto.FromString(answer.file_descriptor_response.file_descriptor_proto[0])
    methods = [method.name for method in file.service[0].method]
    assert methods == ["SendMessage", "SendMessageStream", "CheckESME", "CheckTextLen", "SmsInfo"]
    by_name = await reflect(channel, version, file_by_filename="sms/v1/sms.proto")
    assert by_name.file_descriptor_response == answer.file_descriptor_response


@pytest.mark.parametrize("version", REFLECTIONS)
async def test_reflection_describes_health_and_does_not_know_the_rest(
    channel: grpc.aio.Channel, version: str
) -> None:
    answer = await reflect(channel, version, file_containing_symbol="grpc.health.v1.Health")
    assert answer.file_descriptor_response.file_descriptor_proto
    unknown = await reflect(channel, version, file_containing_symbol="sms.v1.Nope")
    assert unknown.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
