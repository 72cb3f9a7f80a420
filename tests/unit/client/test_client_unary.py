"""Calls of one message, against a daemon on a real socket."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from client_kit import QUICK, a_client, an_sms
from fake_daemon import CutConnectionError, FakeDaemon, accepted, refused
from grpclib.const import Cardinality, Status
from grpclib.events import SendTrailingMetadata, listen
from grpclib.exceptions import GRPCError
from grpclib.server import Server

from smsproxy.aio.wait import settled
from smsproxy.client import (
    EsmeState,
    MessageInfo,
    NotFoundError,
    ProtocolError,
    SmsAnswer,
    SmsClient,
    TextLength,
    TimedOutError,
    UnauthenticatedError,
    UnreachableError,
)
from smsproxy.client.retired import takes_no_calls
from smsproxy.rpc.gen.sms.v1 import SmsRequest, SmsResponse, SmsStatusResponse


def then(
    *answerings: Callable[[SmsRequest], SmsResponse | None],
) -> Callable[[SmsRequest], SmsResponse | None]:
    """The first for the first request, and so on; the last for all after it."""
    left = list(answerings)
    return lambda request: (left.pop(0) if len(left) > 1 else left[0])(request)


def cut(request: SmsRequest) -> None:
    raise CutConnectionError


async def test_an_accepted_message_comes_back_with_its_ids(daemon: FakeDaemon) -> None:
    async with a_client(daemon) as client:
        answer = await client.send(an_sms(task_id=5))
    assert answer == SmsAnswer("submitted", True, "", 100, "t0", "id-of-t0", ("7",), 5)
    assert daemon.received[0].app_id == 1


async def test_a_refusal_in_the_response_is_an_answer(daemon: FakeDaemon) -> None:
    daemon.answering = lambda request: refused(request, "daily_cp", "one a day")
    async with a_client(daemon) as client:
        answer = await client.send(an_sms())
    assert (answer.success, answer.status, answer.error) == (False, "daily_cp", "one a day")


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (Status.INVALID_ARGUMENT, "invalid"),
        (Status.PERMISSION_DENIED, "forbidden"),
        (Status.NOT_FOUND, "no_route"),
        (Status.UNAVAILABLE, "unavailable"),
        (Status.DEADLINE_EXCEEDED, "expired"),
        (Status.INTERNAL, "internal"),
    ],
)
async def test_a_refusal_by_status_is_the_same_answer_as_on_a_stream(
    daemon: FakeDaemon, status: Status, word: str
) -> None:
    daemon.metadata_error = GRPCError(status, "because")
    async with a_client(daemon) as client:
        answer = await client.send(an_sms())
    assert answer == SmsAnswer(word, False, "because", 100, "t0")


async def test_a_rate_limit_tells_how_long_to_wait(daemon: FakeDaemon) -> None:
    async def add_trailer(event: SendTrailingMetadata) -> None:
        event.metadata["retry-after-ms"] = "250"

    assert daemon._server is not None
    listen(daemon._server, SendTrailingMetadata, add_trailer)
    daemon.metadata_error = GRPCError(Status.RESOURCE_EXHAUSTED, "too fast")
    async with a_client(daemon) as client:
        answer = await client.send(an_sms())
    assert (answer.status, answer.retry_after_ms) == ("rate_limited", 250)


async def test_a_token_that_is_not_accepted_is_an_error(daemon: FakeDaemon) -> None:
    daemon.metadata_error = GRPCError(Status.UNAUTHENTICATED, "authentication failed")
    async with a_client(daemon) as client:
        with pytest.raises(UnauthenticatedError, match="authentication failed"):
            await client.send(an_sms())


async def test_a_call_that_breaks_is_repeated_with_the_same_transaction_id(daemon: FakeDaemon) -> None:
    daemon.answering = then(cut, cut, accepted)
    async with a_client(daemon) as client:
        answer = await client.send(an_sms(transaction_id=""))
    assert answer.success
    assert len(daemon.received) == 3
    assert len({request.transaction_id for request in daemon.received}) == 1
    assert answer.transaction_id == daemon.received[0].transaction_id != ""


async def test_a_call_that_always_breaks_ends_after_the_attempts(daemon: FakeDaemon) -> None:
    daemon.answering = cut
    async with a_client(daemon, replace(QUICK, attempts=2)) as client:
        with pytest.raises(UnreachableError, match="the connection broke"):
            await client.send(an_sms())
    assert len(daemon.received) == 2


async def test_nobody_listening_is_told_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with SmsClient(f"127.0.0.1:{port}", lambda: "t", 1) as client:
        with pytest.raises(UnreachableError, match=f"127.0.0.1:{port}: connection refused"):
            await client.send(an_sms())


async def test_a_daemon_that_drains_gets_no_new_call_and_finishes_those_under_way(daemon: FakeDaemon) -> None:
    daemon.answering = then(lambda _: None, accepted)
    async with a_client(daemon) as client:
        under_way = asyncio.create_task(client.send(an_sms(0)))
        await daemon.wait_received(1)
        daemon.take_no_calls()
        channel = client._connection._channel
        assert channel is not None
        assert await settled(lambda: takes_no_calls(channel), timeout_s=5)
        assert [(await client.send(an_sms(number))).success for number in (1, 2)] == [True, True]
        assert daemon.connections == 2
        assert not under_way.done()
        assert len(client._connection._retired) == 1
        daemon.cut()
        assert (await under_way).success


async def test_no_answer_in_time_is_an_error_and_the_next_call_works(daemon: FakeDaemon) -> None:
    daemon.answering = then(lambda _: None, accepted)
    async with a_client(daemon, replace(QUICK, timeout_s=0.05)) as client:
        with pytest.raises(TimedOutError):
            await client.send(an_sms())
        client._connection.options = QUICK
        assert (await client.send(an_sms(1))).success


async def test_a_broken_call_leaves_no_mark_of_cancellation_on_its_caller(daemon: FakeDaemon) -> None:
    daemon.answering = cut
    async with a_client(daemon, replace(QUICK, attempts=1)) as client:
        with pytest.raises(UnreachableError):
            await client.send(an_sms())
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_closed_client_makes_no_calls(daemon: FakeDaemon) -> None:
    async with a_client(daemon) as client:
        await client.send(an_sms())
    with pytest.raises(UnreachableError, match="closed"):
        await client.send(an_sms())
    assert repr(client) == f"<SmsClient 127.0.0.1:{daemon.port} app=1 reconnects=0>"


async def test_an_answer_without_a_message_is_not_of_this_protocol(daemon: FakeDaemon) -> None:
    async def say_nothing(stream: Any) -> None:
        await stream.recv_message()
        await stream.send_initial_metadata()
        await stream.send_trailing_metadata(status=Status.OK)

    assert daemon._server is not None
    path = "/sms.v1.SmsService/SendMessage"
    daemon._server._mapping[path] = daemon._server._mapping[path]._replace(
        func=say_nothing, cardinality=Cardinality.STREAM_STREAM
    )
    async with a_client(daemon) as client:
        with pytest.raises(ProtocolError, match="an answer without a message"):
            await client.send(an_sms())


async def test_a_daemon_on_a_unix_socket_is_reached(tmp_path: Path) -> None:
    path = str(tmp_path / "grpc.sock")
    server = Server([FakeDaemon()])
    await server.start(path=path)
    async with SmsClient(f"unix:{path}", lambda: "t", 1, options=QUICK) as client:
        assert (await client.send(an_sms())).success
    server.close()
    await server.wait_closed()


async def test_a_program_that_does_not_speak_grpc_is_named_so() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, SmsClient(f"127.0.0.1:{port}", lambda: "t", 1, options=QUICK) as client:
        with pytest.raises(UnreachableError, match="the connection broke"):
            await client.send(an_sms())


async def test_the_state_of_a_message_comes_with_its_parts_in_order(daemon: FakeDaemon) -> None:
    daemon.infos = [
        SmsStatusResponse(
            message_id="m", status="submitted", mode="multipart", delivered_count=1, transaction_id="t",
            parts={"10": "submitted", "2": "DELIVERED", "1": "UNDELIVERABLE"},
            reasons={"1": "UNDELIV err:045"}, sent_at=1, updated_at=2, task_id=3,
        )
    ]  # fmt: skip
    async with a_client(daemon) as client:
        info = await client.info("m", 100)
    assert list(info.parts) == ["1", "2", "10"]
    assert info == MessageInfo(
        "m",
        "submitted",
        "multipart",
        {"1": "UNDELIVERABLE", "2": "DELIVERED", "10": "submitted"},
        1,
        1,
        2,
        "t",
        3,
        {"1": "UNDELIV err:045"},
    )


async def test_a_message_that_is_not_known_is_not_found(daemon: FakeDaemon) -> None:
    daemon.infos = [SmsStatusResponse(error="message not found")]
    async with a_client(daemon) as client:
        with pytest.raises(NotFoundError, match="message not found"):
            await client.info("m", 100)


async def test_links_and_texts_can_be_asked_about(daemon: FakeDaemon) -> None:
    async with a_client(daemon) as client:
        assert await client.check_esme(100) == EsmeState(True, "SMSC-1")
        assert await client.check_esme(101) == EsmeState(False, "SMSC-1")
        assert await client.check_text("Hello", 100) == TextLength("GSM7", 5, 1, 5)
        with pytest.raises(NotFoundError, match="no link or pool 9"):
            await client.check_esme(9)
