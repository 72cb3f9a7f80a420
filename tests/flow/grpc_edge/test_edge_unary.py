"""SendMessage and the rare methods through a real gRPC client: every row of spec §2.1's table."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_edge_kit import BOUND_S, METADATA, TOKEN, FakeGateway, RawClient, answer_to, framed_request
from structlog.testing import capture_logs

from smsproxy.domain.errors import StoreUnavailableError
from smsproxy.domain.message import Message
from smsproxy.domain.outcome import Status
from smsproxy.domain.record import MessageRecord, SegmentRecord, SegmentState
from smsproxy.pipeline.ports import Lane
from smsproxy.rpc.server import RpcServer

Code = grpc.StatusCode


async def refused(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    return error.value


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (Status.INVALID, Code.INVALID_ARGUMENT),
        (Status.UNAUTHENTICATED, Code.UNAUTHENTICATED),
        (Status.FORBIDDEN, Code.PERMISSION_DENIED),
        (Status.NO_ROUTE, Code.NOT_FOUND),
        (Status.RATE_LIMITED, Code.RESOURCE_EXHAUSTED),
        (Status.UNAVAILABLE, Code.UNAVAILABLE),
        (Status.EXPIRED, Code.DEADLINE_EXCEEDED),
        (Status.INTERNAL, Code.INTERNAL),
    ],
)
async def test_refusals_are_grpc_statuses(
    client: Any, api: Any, gateway: FakeGateway, status: Status, code: Code
) -> None:
    gateway.respond = lambda message: answer_to(message, status, error=f"because {status}")
    error = await refused(client.SendMessage(api.request()))
    assert (error.code(), error.details()) == (code, f"because {status}")


@pytest.mark.parametrize(
    "status",
    [
        Status.SUBMITTED,
        Status.DAILY_CP,
        Status.WEEKLY_CP,
        Status.DUPLICATE,
        Status.BLACKLIST,
        Status.REJECTED,
        Status.UNKNOWN,
    ],
)
async def test_ends_are_told_in_the_response(
    client: Any, api: Any, gateway: FakeGateway, status: Status
) -> None:
    gateway.respond = lambda message: answer_to(
        message, status, error="why", smsc_ids=("a", "b"), message_id="id"
    )
    response = await client.SendMessage(api.request(transaction_id="t", task_id=9))
    assert response.success == (status is Status.SUBMITTED)
    assert (response.status, response.error, list(response.sms_ids)) == (status.value, "why", ["a", "b"])
    assert (response.transaction_id, response.task_id, response.esme, response.message_id) == (
        "t",
        9,
        100,
        "id",
    )


async def test_a_rate_limit_tells_the_wait(client: Any, api: Any, gateway: FakeGateway) -> None:
    gateway.respond = lambda message: answer_to(message, Status.RATE_LIMITED, retry_after_ms=75)
    error = await refused(client.SendMessage(api.request()))
    assert dict(error.trailing_metadata())["retry-after-ms"] == "75"


async def test_the_core_gets_the_message_its_lane_and_its_deadline(
    client: Any, api: Any, gateway: FakeGateway
) -> None:
    await client.SendMessage(api.request(message="héllo 🙂", ston=0), timeout=5)
    ticket = gateway.tickets[0]
    assert ticket.lane is Lane.UNARY
    assert (ticket.message.text, ticket.message.ston, ticket.message.snpi) == ("héllo 🙂", 0, None)
    assert ticket.deadline is not None
    left = ticket.deadline - asyncio.get_running_loop().time()
    assert 0 < left < 5.5  # grpcio rounds the timeout it sends up a little


@pytest.mark.parametrize(
    "metadata",
    [
        (),
        (("authorization", TOKEN),),
        (("app_id", "1"),),
        (("authorization", "Bearer bad"), ("app_id", "1")),
        (*METADATA, ("app_id", "1")),
        (*METADATA, ("authorization", TOKEN)),
    ],
    ids=["none", "no app_id", "no token", "bad token", "two app_ids", "two tokens"],
)
async def test_every_method_needs_one_token_and_one_app_id_and_says_one_text(
    client: Any, api: Any, gateway: FakeGateway, metadata: tuple[tuple[str, str], ...]
) -> None:
    calls = [
        client.SendMessage(api.request(), metadata=metadata),
        client.CheckESME(api.pb.CheckESMERequest(esme=100), metadata=metadata),
        client.CheckTextLen(api.pb.CheckTextLenRequest(text="x"), metadata=metadata),
        client.SmsInfo(api.pb.SmsStatusRequest(esme=100), metadata=metadata),
        client.SendMessageStream(metadata=metadata).read(),
    ]
    for call in calls:
        error = await refused(call)
        assert (error.code(), error.details()) == (Code.UNAUTHENTICATED, "authentication failed")
    assert gateway.tickets == []


async def test_authentication_is_told_where_a_call_comes_from(
    client: Any, api: Any, gateway: FakeGateway, start: Any, tmp_path: Path
) -> None:
    await client.CheckTextLen(api.pb.CheckTextLenRequest(text="x"))
    assert gateway.addresses == ["127.0.0.1"]
    await start(f"unix:{tmp_path}/edge.sock")
    async with grpc.aio.insecure_channel(f"unix:{tmp_path}/edge.sock") as channel:
        question = api.pb.CheckTextLenRequest(text="x")
        await api.stubs.SmsServiceStub(channel).CheckTextLen(question, metadata=METADATA, timeout=10)
    assert gateway.addresses == ["127.0.0.1", ""]


async def test_scopes_open_sending_and_reading_apart(client: Any, api: Any, gateway: FakeGateway) -> None:
    gateway.scopes = frozenset({"read"})
    assert (await refused(client.SendMessage(api.request()))).code() is Code.PERMISSION_DENIED
    stream = client.SendMessageStream(iter([api.request()]))
    assert (await refused(stream.read())).code() is Code.PERMISSION_DENIED
    assert (await client.SmsInfo(api.pb.SmsStatusRequest(esme=1))).error == "message not found"

    gateway.scopes = frozenset({"send"})
    assert (await client.SendMessage(api.request())).success
    error = await refused(client.SmsInfo(api.pb.SmsStatusRequest(esme=1)))
    assert (error.code(), error.details()) == (Code.PERMISSION_DENIED, "the app has no scope read")


async def test_a_passed_deadline_withdraws_the_message(client: Any, api: Any, gateway: FakeGateway) -> None:
    gateway.respond = None
    error = await refused(client.SendMessage(api.request(), timeout=0.1))
    assert error.code() is Code.DEADLINE_EXCEEDED
    # The client's clock may be a little ahead of the server's.
    await asyncio.wait_for(gateway.tickets[0].left.wait(), BOUND_S)


async def test_the_default_deadline_holds_for_calls_without_one(
    start: Any, api: Any, gateway: FakeGateway
) -> None:
    server: RpcServer = await start(default_deadline_s=0.05)
    gateway.respond = None
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub = api.stubs.SmsServiceStub(channel)
        error = await refused(stub.SendMessage(api.request(), metadata=METADATA))
    assert (error.code(), error.details()) == (Code.DEADLINE_EXCEEDED, "deadline exceeded")
    assert gateway.tickets[0].cancelled


async def test_a_submission_that_has_begun_is_not_cut_off_by_our_own_default_deadline(
    start: Any, api: Any, gateway: FakeGateway
) -> None:
    server: RpcServer = await start(default_deadline_s=0.05)
    gateway.respond = None
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub = api.stubs.SmsServiceStub(channel)
        call = stub.SendMessage(api.request(), metadata=METADATA)
        waiting = asyncio.ensure_future(call)
        (ticket,) = await gateway.submitted(1)
        ticket.begun = True
        await asyncio.wait_for(ticket.left.wait(), BOUND_S)  # the deadline has passed
        ticket.end(Status.UNKNOWN)
        answer = await waiting
    assert answer.status == "unknown"


async def test_a_deadline_that_passes_during_the_submission_does_not_promise_that_nothing_was_sent(
    raw: RawClient, gateway: FakeGateway
) -> None:
    gateway.respond = None
    withdrawn, begun = [raw.open(more=[("grpc-timeout", "100m")]) for _ in range(2)]
    for stream_id in (withdrawn, begun):
        raw.data(stream_id, framed_request(task_id=stream_id), end=True)
    tickets = {ticket.message.task_id: ticket for ticket in await gateway.submitted(2)}
    tickets[begun].begun = True
    ends = [await raw.end_of(stream_id) for stream_id in (withdrawn, begun)]
    assert [end.grpc_status for end in ends] == [4, 4]
    assert [end.reason for end in ends] == ["EXPIRED", "IN_DOUBT"]
    tickets[begun].end()
    await raw.ping()
    assert not raw.closed


async def test_an_end_that_comes_with_the_deadline_is_told(raw: RawClient, gateway: FakeGateway) -> None:
    """The core's own timer fires in the loop turn in which the call's does."""
    loop = asyncio.get_running_loop()
    gateway.respond = None
    stream_id = raw.open(more=[("grpc-timeout", "100m")])
    raw.data(stream_id, framed_request(), end=True)
    (ticket,) = await gateway.submitted(1)
    ticket.begun = True
    assert ticket.deadline is not None
    loop.call_at(ticket.deadline - 1e-9, ticket.end, Status.EXPIRED)
    end = await raw.end_of(stream_id)
    assert (end.grpc_status, end.reason) == (4, "EXPIRED")


async def test_an_answer_after_the_deadline_is_dropped_and_counted(
    start: Any, api: Any, gateway: FakeGateway
) -> None:
    server: RpcServer = await start(default_deadline_s=0.05)
    gateway.respond = None
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub = api.stubs.SmsServiceStub(channel)
        await refused(stub.SendMessage(api.request(), metadata=METADATA))
    gateway.tickets[0].begun = True
    gateway.tickets[0].end()
    assert server.counters.answers_dropped_total == 1


async def test_a_caller_who_leaves_withdraws_the_message(client: Any, api: Any, gateway: FakeGateway) -> None:
    gateway.respond = None
    call = client.SendMessage(api.request())
    (ticket,) = await gateway.submitted(1)
    call.cancel()
    await asyncio.wait_for(ticket.left.wait(), BOUND_S)


async def test_an_internal_error_gives_the_caller_an_id_and_the_log_the_rest(
    client: Any, api: Any, gateway: FakeGateway, server: RpcServer
) -> None:
    gateway.submit_error = RuntimeError("the secret is 42")
    with capture_logs() as logs:
        error = await refused(client.SendMessage(api.request()))
    assert error.code() is Code.INTERNAL
    assert error.details() == f"internal error {logs[0]['error_id']}"
    assert server.counters.internal_errors_total == 1


async def test_malformed_protobuf_is_invalid_argument_on_every_method(
    channel: grpc.aio.Channel, gateway: FakeGateway
) -> None:
    for name in ("SendMessage", "CheckESME", "CheckTextLen", "SmsInfo"):
        method = channel.unary_unary(f"/sms.v1.SmsService/{name}")
        error = await refused(method(b"\x0a\x05ab", metadata=METADATA, timeout=10))
        assert (error.code(), error.details()) == (Code.INVALID_ARGUMENT, "malformed protobuf")
    assert gateway.tickets == []


async def test_an_oversized_message_is_refused_and_the_connection_lives(
    client: Any, api: Any, gateway: FakeGateway, server: RpcServer
) -> None:
    error = await refused(client.SendMessage(api.request(message="x" * 70_000)))
    assert error.code() is Code.RESOURCE_EXHAUSTED
    assert error.details() == "message is larger than 65536 bytes"
    assert (await client.SendMessage(api.request(message="x" * 60_000))).success
    assert server.counters.messages_oversized_total == 1
    assert server.counters.connections_total == 1


async def test_gzip_is_one_option_of_the_client_away(start: Any, api: Any, gateway: FakeGateway) -> None:
    server: RpcServer = await start()
    async with grpc.aio.insecure_channel(
        f"127.0.0.1:{server.port}", compression=grpc.Compression.Gzip
    ) as channel:
        stub = api.stubs.SmsServiceStub(channel)
        assert (await stub.SendMessage(api.request(message="x" * 500), metadata=METADATA, timeout=10)).success
        measure = api.pb.CheckTextLenRequest(text="x" * 500)
        assert (await stub.CheckTextLen(measure, metadata=METADATA, timeout=10)).symbols == 500
        bomb = api.request(message="x" * 70_000)
        error = await refused(stub.SendMessage(bomb, metadata=METADATA, timeout=10))
    assert error.code() is Code.RESOURCE_EXHAUSTED
    assert [ticket.message.text for ticket in gateway.tickets] == ["x" * 500]


async def test_another_compression_is_refused_by_name(start: Any, api: Any) -> None:
    server: RpcServer = await start()
    async with grpc.aio.insecure_channel(
        f"127.0.0.1:{server.port}", compression=grpc.Compression.Deflate
    ) as channel:
        stub = api.stubs.SmsServiceStub(channel)
        error = await refused(stub.SendMessage(api.request(message="x" * 500), metadata=METADATA, timeout=10))
    assert error.code() is Code.UNIMPLEMENTED
    assert "gzip" in error.details()


async def test_an_unknown_method_is_unimplemented(channel: grpc.aio.Channel) -> None:
    for path in ("/sms.v1.SmsService/Nope", "/nope", "/sms.v2.SmsService/SendMessage"):
        error = await refused(channel.unary_unary(path)(b"", metadata=METADATA, timeout=10))
        assert error.code() is Code.UNIMPLEMENTED


async def test_check_esme_tells_the_link(client: Any, api: Any) -> None:
    up = await client.CheckESME(api.pb.CheckESMERequest(esme=100))
    assert (up.persist, up.system_id) == (True, "SMSC1")
    assert not (await client.CheckESME(api.pb.CheckESMERequest(esme=101))).persist
    unknown = await refused(client.CheckESME(api.pb.CheckESMERequest(esme=5)))
    assert (unknown.code(), unknown.details()) == (Code.NOT_FOUND, "no link or pool 5")
    assert (
        await refused(client.CheckESME(api.pb.CheckESMERequest(esme=403)))
    ).code() is Code.PERMISSION_DENIED


async def test_check_text_len_tells_the_measure(client: Any, api: Any) -> None:
    short = await client.CheckTextLen(api.pb.CheckTextLenRequest(text="hello"))
    assert (short.error, short.encode, short.symbols, short.parts, short.units) == ("", "GSM7", 5, 1, 5)
    long = await client.CheckTextLen(api.pb.CheckTextLenRequest(text="hello " * 9, esme=100))
    assert (long.error, long.symbols) == ("too long", 54)
    assert (await refused(client.CheckTextLen(api.pb.CheckTextLenRequest(esme=9)))).code() is Code.NOT_FOUND


async def test_sms_info_tells_the_record(client: Any, api: Any, gateway: FakeGateway) -> None:
    segments = [
        SegmentRecord(SegmentState.DELIVERED, "1", "", 5.0),
        SegmentRecord(SegmentState.REJECTED, "", "R", 6.0),
    ]
    gateway.records["known"] = MessageRecord(bytes(16), 1, 100, "t", 7, 4.0, segments)
    told = await client.SmsInfo(api.pb.SmsStatusRequest(esme=100, message_id="known"))
    assert (told.mode, told.status, dict(told.parts)) == (
        "multipart",
        "REJECTED",
        {"1": "DELIVERED", "2": "REJECTED"},
    )
    assert dict(told.reasons) == {"2": "R"}
    for unknown in ("other", "", "not-a-uuid"):
        told = await client.SmsInfo(api.pb.SmsStatusRequest(esme=100, message_id=unknown))
        assert told == api.pb.SmsStatusResponse(error="message not found")


async def test_a_store_that_is_down_is_unavailable(
    client: Any, api: Any, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def down(*_: object) -> None:
        raise StoreUnavailableError("store is down")

    monkeypatch.setattr(gateway, "message_info", down)
    error = await refused(client.SmsInfo(api.pb.SmsStatusRequest(esme=100, message_id="x")))
    assert (error.code(), error.details()) == (Code.UNAVAILABLE, "the record store is not available")


async def test_many_calls_at_once_get_their_own_answers(client: Any, api: Any) -> None:
    def sends(message: Message) -> Any:
        return client.SendMessage(api.request(transaction_id=message))

    names = [f"t{n}" for n in range(90)]
    answers = await asyncio.gather(*(sends(name) for name in names))
    assert [answer.transaction_id for answer in answers] == names
