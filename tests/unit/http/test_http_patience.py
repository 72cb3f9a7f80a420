"""What strangers can hold of the HTTP door: a few connections for a few seconds."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from test_http_server import FakeState, get

from smsproxy.http import HttpServer, patience

HEAD = b"GET /healthz HTTP/1.1\r\nhost: x\r\n"
ENDLESS = b"POST /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n"


@pytest.fixture
async def port(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    monkeypatch.setattr(patience, "HEAD_S", 0.05)
    server = HttpServer("127.0.0.1:0", FakeState())
    await server.start()
    yield server.port
    await server.aclose()


async def closed(reader: asyncio.StreamReader) -> None:
    """Wait until the server has closed; what it said before does not matter."""
    with contextlib.suppress(ConnectionError):  # closed over what it had not read
        async with asyncio.timeout(5):
            await reader.read()


@pytest.mark.parametrize(
    ("first", "then"), [(b"", b""), (HEAD, b""), (HEAD, b"x: y\r\n"), (ENDLESS, b"x")],
    ids=["silent", "half a head", "a head without an end", "a body that nobody reads"],
)  # fmt: skip
async def test_a_connection_that_brings_no_request_is_closed(port: int, first: bytes, then: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(first)

    async def dribble() -> None:
        while True:
            writer.write(then)
            await asyncio.sleep(0.005)

    sending = asyncio.create_task(dribble())
    await closed(reader)
    sending.cancel()
    writer.transport.abort()
    await asyncio.wait([sending])
    assert (await get("/healthz", port)).status == 200


async def test_every_answer_gives_a_connection_its_time_anew() -> None:
    server = HttpServer("127.0.0.1:0", FakeState())
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    ends = []
    for _ in range(3):
        writer.write(HEAD + b"\r\n")
        await reader.readuntil(b"ok")
        assert server._server is not None
        (connection,) = server._server.server_state.connections
        assert isinstance(connection, patience.PatientProtocol)
        assert connection._timer is not None
        ends.append(connection._timer.when())
    assert ends[0] < ends[1] < ends[2]
    writer.transport.abort()
    await server.aclose()


async def test_one_address_has_a_bounded_number_of_connections_and_gets_them_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(patience, "MAX_PER_ADDRESS", 2)
    server = HttpServer("127.0.0.1:0", FakeState())
    await server.start()
    opened = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(2)]
    for reader, writer in opened:
        writer.write(HEAD + b"\r\n")
        await reader.readuntil(b"ok")
    crowded, writer = await asyncio.open_connection("127.0.0.1", server.port)
    await closed(crowded)
    writer.transport.abort()
    reader, writer = opened.pop()
    writer.write(HEAD + b"connection: close\r\n\r\n")
    await closed(reader)
    writer.transport.abort()
    assert (await get("/healthz", server.port)).status == 200
    _, writer = opened.pop()
    writer.transport.abort()
    await server.aclose()


async def test_requests_that_are_none_leave_no_log_line(port: int, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"\x16\x03\x01\x00\x00\r\n\r\n")
        assert b" 400 " in await reader.readline()
        await closed(reader)
        writer.transport.abort()
    assert caplog.records == []
