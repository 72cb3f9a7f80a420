"""The port of the simulator."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Iterator

import pytest

from smsproxy.simulator import listener as listener_module
from smsproxy.simulator.listener import Listener


@pytest.fixture
def accepted() -> Iterator[list[socket.socket]]:
    sockets: list[socket.socket] = []
    yield sockets
    for one in sockets:
        one.close()


async def connects(port: int, host: str = "127.0.0.1") -> bool:
    try:
        _, writer = await asyncio.open_connection(host, port)
    except ConnectionRefusedError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


async def test_a_refusing_port_stays_ours_and_opens_again(accepted: list[socket.socket]) -> None:
    listener = Listener(accepted.append)
    port = listener.open("127.0.0.1", 0, refuse=True)
    assert repr(listener) == f"<Listener 127.0.0.1:{port} refusing>"
    assert not await connects(port)
    listener.listen()
    listener.listen()
    assert repr(listener) == f"<Listener 127.0.0.1:{port} listening>"
    assert await connects(port)
    listener.refuse()
    listener.refuse()
    assert not await connects(port)
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", port))
    listener.close()
    listener.close()
    listener.listen()
    assert not await connects(port)


async def test_it_listens_on_ipv6(accepted: list[socket.socket]) -> None:
    listener = Listener(accepted.append)
    assert await connects(listener.open("::1", 0), "::1")
    listener.close()


async def test_without_descriptors_it_rests_and_looks_again(
    accepted: list[socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener_module, "_PAUSE_S", 0.001)
    got = asyncio.Event()

    def take(one: socket.socket) -> None:
        accepted.append(one)
        got.set()

    listener = Listener(take)
    port = listener.open("127.0.0.1", 0)
    accept = socket.socket.accept
    failures = iter([OSError(errno.EMFILE, "Too many open files")])

    def scarce(self: socket.socket) -> object:
        for failure in failures:
            raise failure
        return accept(self)

    monkeypatch.setattr(socket.socket, "accept", scarce)
    assert await connects(port)
    async with asyncio.timeout(5):
        await got.wait()
    assert listener.accept_errors == 1
    listener.close()
