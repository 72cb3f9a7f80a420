"""The HTTP door over real sockets, asked with nothing but asyncio streams."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from smsproxy.http import HttpServer
from smsproxy.obs.metrics import Metric


@dataclass
class FakeState:
    ready: bool = True
    reason: str = "starting"
    bound: dict[int, bool] = field(default_factory=lambda: {100: True, 101: False})
    shared: dict[str, bool] = field(default_factory=dict)
    messages: int = 0

    def services(self) -> Mapping[str, bool]:
        return self.shared

    def links(self) -> Mapping[int, bool]:
        return self.bound

    def collect(self) -> list[Metric]:
        return [
            Metric("smsproxy_messages_total", "m.", "counter", [((("status", "submitted"),), self.messages)])
        ]


@dataclass
class Page:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> object:
        return json.loads(self.body)


@asynccontextmanager
async def serving(state: FakeState, listen: str = "127.0.0.1:0") -> AsyncIterator[HttpServer]:
    server = HttpServer(listen, state)
    await server.start()
    try:
        yield server
    finally:
        await server.aclose()


async def exchange(octets: bytes, port: int = 0, path: str = "") -> bytes:
    opened = asyncio.open_unix_connection(path) if path else asyncio.open_connection("127.0.0.1", port)
    reader, writer = await opened
    writer.write(octets)
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def get(page: str, port: int = 0, path: str = "", method: str = "GET") -> Page:
    request = f"{method} {page} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    head, _, body = (await exchange(request.encode(), port, path)).partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return Page(int(first.split()[1]), headers, body)


async def test_healthz_is_ok_while_the_loop_lives_ready_or_not() -> None:
    async with serving(FakeState(ready=False)) as server:
        page = await get("/healthz", server.port)
    assert (page.status, page.json) == (200, {"status": "ok"})


async def test_readyz_tells_every_link() -> None:
    async with serving(FakeState()) as server:
        page = await get("/readyz", server.port)
    assert page.status == 200
    assert page.json == {"status": "ready", "links": {"100": "bound", "101": "unbound"}}
    assert page.headers["cache-control"] == "no-store"
    assert "server" not in page.headers


async def test_readyz_tells_a_service_that_is_away_and_stays_ready() -> None:
    for up, word in ((True, "up"), (False, "away")):
        async with serving(FakeState(bound={}, shared={"redis": up})) as server:
            page = await get("/readyz", server.port)
        assert page.status == 200
        assert page.json == {"status": "ready", "links": {}, "services": {"redis": word}}


@pytest.mark.parametrize("reason", ["starting", "draining"])
async def test_readyz_is_503_with_the_reason_before_and_after(reason: str) -> None:
    async with serving(FakeState(ready=False, reason=reason)) as server:
        page = await get("/readyz", server.port)
    assert page.status == 503
    assert page.json == {"status": reason, "links": {"100": "bound", "101": "unbound"}}


async def test_metrics_are_read_when_they_are_asked_for() -> None:
    state = FakeState()
    async with serving(state) as server:
        state.messages = 5
        page = await get("/metrics", server.port)
        state.messages = 6
        again = await get("/metrics", server.port)
    assert page.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert b'smsproxy_messages_total{status="submitted"} 5.0' in page.body
    assert b'smsproxy_messages_total{status="submitted"} 6.0' in again.body


@pytest.mark.parametrize(("page", "method", "status"), [("/", "GET", 404), ("/metrics", "POST", 405)])
async def test_other_pages_and_methods_are_refused(page: str, method: str, status: int) -> None:
    async with serving(FakeState()) as server:
        assert (await get(page, server.port, method=method)).status == status


async def test_head_is_answered_without_a_body() -> None:
    async with serving(FakeState()) as server:
        page = await get("/healthz", server.port, method="HEAD")
    assert (page.status, page.body) == (200, b"")


async def test_octets_that_are_no_http_are_answered_400_and_the_door_stays_open() -> None:
    async with serving(FakeState()) as server:
        assert b" 400 " in (await exchange(b"\x16\x03\x01\x00\x00\r\n\r\n", server.port)).split(b"\r\n")[0]
        assert (await get("/healthz", server.port)).status == 200


async def test_a_listener_that_is_off_does_nothing() -> None:
    server = HttpServer("", FakeState())
    await server.start()
    assert server.port == 0
    assert repr(server) == "<HttpServer '' off port=0>"
    await server.aclose()


async def test_a_taken_port_is_an_error_with_the_address_in_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        server = HttpServer(listen, FakeState())
        with pytest.raises(OSError, match=f"cannot listen on {listen}: Address already in use"):
            await server.start()
        await server.aclose()


async def test_an_address_of_another_host_is_an_error_with_the_address_in_it() -> None:
    with pytest.raises(OSError, match=r"cannot listen on 192\.0\.2\.1:80"):
        await HttpServer("192.0.2.1:80", FakeState()).start()


async def test_after_aclose_nobody_listens_and_a_second_one_is_nothing() -> None:
    server = HttpServer("127.0.0.1:0", FakeState())
    await server.start()
    assert repr(server) == f"<HttpServer '127.0.0.1:0' listening port={server.port}>"
    await server.aclose()
    await server.aclose()
    assert "closed" in repr(server)
    with pytest.raises(ConnectionRefusedError):
        await get("/healthz", server.port)


async def test_a_connection_that_stays_open_does_not_hold_up_the_end() -> None:
    server = HttpServer("127.0.0.1:0", FakeState())
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
    await reader.readuntil(b"ok")
    async with asyncio.timeout(2):
        await server.aclose()
    writer.close()
    await writer.wait_closed()


async def test_signals_stay_with_the_daemon() -> None:
    got: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: got.append(number))
    try:
        async with serving(FakeState()) as server:
            os.kill(os.getpid(), signal.SIGTERM)
            assert got == [signal.SIGTERM]
            assert (await get("/healthz", server.port)).status == 200
    finally:
        signal.signal(signal.SIGTERM, before)
    assert got == [signal.SIGTERM]


async def test_a_unix_socket_serves_and_is_removed_at_the_end(tmp_path: Path) -> None:
    path = str(tmp_path / "http.sock")
    async with serving(FakeState(), f"unix:{path}") as server:
        assert (await get("/healthz", path=path)).status == 200
        assert server.port == 0
    with pytest.raises(FileNotFoundError):
        await get("/healthz", path=path)


async def test_a_unix_socket_of_a_dead_process_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "http.sock")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    async with serving(FakeState(), f"unix:{path}"):
        assert (await get("/healthz", path=path)).status == 200


async def test_a_unix_socket_in_use_and_a_file_in_the_way_are_left_alone(tmp_path: Path) -> None:
    live, plain = tmp_path / "live.sock", tmp_path / "plain"
    plain.write_text("mine")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(live))
        listener.listen()
        for path in (live, plain):
            with pytest.raises(OSError, match=f"cannot listen on unix:{path}"):
                await HttpServer(f"unix:{path}", FakeState()).start()
    assert plain.read_text() == "mine"
    assert live.exists()


async def test_a_listener_on_v6_is_served(tmp_path: Path) -> None:
    try:
        server = HttpServer("[::1]:0", FakeState())
        await server.start()
    except OSError:
        pytest.skip("this host has no IPv6 loopback")
    reader, writer = await asyncio.open_connection("::1", server.port)
    writer.write(b"GET /healthz HTTP/1.0\r\n\r\n")
    assert b"200" in await reader.readline()
    writer.close()
    await server.aclose()
