"""Behind a balancer: its PROXY header says who calls, and nobody else's does."""

from __future__ import annotations

import asyncio
import socket
import struct
from pathlib import Path
from typing import Any

import pytest
from grpc_edge_kit import RawClient, dial, framed_request
from test_edge_tls import ended, listening, send_one, trusting, until

from smsproxy.rpc.proxy import SIGNATURE
from smsproxy.rpc.server import RpcServer
from tests.unit.links.tls_files import CertificateAuthority

SEND = "/sms.v1.SmsService/SendMessage"
LOCAL = SIGNATURE + struct.pack("!BBH", 0x20, 0, 0)


def header(address: str, tlvs: bytes = b"") -> bytes:
    addresses = socket.inet_aton(address) + socket.inet_aton("127.0.0.1") + struct.pack("!HH", 50_000, 44044)
    return SIGNATURE + struct.pack("!BBH", 0x21, 0x11, len(addresses + tlvs)) + addresses + tlvs


@pytest.fixture
async def behind(start: Any) -> RpcServer:
    server: RpcServer = await start(trusted_proxies=("127.0.0.0/8",), max_connections_per_address=2)
    return server


def addresses(server: RpcServer) -> list[str]:
    return sorted(connection.address for connection in server._server._protocols)


async def test_the_header_says_who_calls(behind: RpcServer) -> None:
    for address in ("192.0.2.7", "192.0.2.8"):
        assert await send_one(await RawClient.connect(behind.port, before=header(address))) == 0
    assert await send_one(await RawClient.connect(behind.port, before=header("192.0.2.9", b"\4\0\2xx"))) == 0
    assert addresses(behind) == ["192.0.2.7", "192.0.2.8", "192.0.2.9"]


async def test_the_balancers_own_connections_have_its_own_address(behind: RpcServer) -> None:
    assert await send_one(await RawClient.connect(behind.port, before=LOCAL)) == 0
    assert addresses(behind) == ["127.0.0.1"]


async def test_a_header_in_pieces_is_read_and_what_follows_it_is_http2(behind: RpcServer) -> None:
    reader, writer = await dial(behind.port)
    octets = header("192.0.2.7", b"\4\0\2xx")
    for at in range(len(octets)):
        writer.write(octets[at : at + 1])
        await asyncio.sleep(0)
    client = RawClient(reader, writer)
    client.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
    assert await send_one(client) == 0


async def test_one_address_has_its_places_however_many_balancers_there_are(behind: RpcServer) -> None:
    clients = [await RawClient.connect(behind.port, before=header("192.0.2.7")) for _ in range(2)]
    for client in clients:
        assert await send_one(client) == 0
    third = await RawClient.connect(behind.port, before=header("192.0.2.7"))
    await third.until(lambda: third.closed)
    assert behind.counters.connections_refused_total == 1
    for number in range(20):  # the balancer's own address is no bound for those it brings
        assert await send_one(await RawClient.connect(behind.port, before=header(f"192.0.3.{number}"))) == 0
    await clients[0].aclose()
    await until(lambda: behind.counters.connections == 21)
    assert await send_one(await RawClient.connect(behind.port, before=header("192.0.2.7"))) == 0


@pytest.mark.parametrize(
    "octets",
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
        b"PROXY TCP4 192.0.2.7 192.0.2.8 1 2\r\n",
        SIGNATURE + b"\x21\x11\xff\xff",
        SIGNATURE + b"\x31\x11\x00\x0c" + bytes(12),
    ],
)
async def test_a_trusted_proxy_without_its_header_is_closed(behind: RpcServer, octets: bytes) -> None:
    reader, writer = await dial(behind.port, before=octets)
    await ended(reader, writer)
    assert behind.counters.connections_ended_by == {"proxy": 1}
    assert behind.counters.connections == 0


@pytest.mark.parametrize("octets", [b"", SIGNATURE[:5], header("192.0.2.7")[:20]])
async def test_a_slow_or_cut_header_ends_after_first_byte_s(start: Any, octets: bytes) -> None:
    server: RpcServer = await start(trusted_proxies=("127.0.0.1",), first_byte_s=0.2)
    await ended(*await dial(server.port, before=octets))
    assert server.counters.connections_ended_by == {"silent": 1}
    assert server.counters.connections == 0
    _, writer = await dial(server.port, before=octets)
    await until(lambda: server.counters.connections == 1)
    writer.close()
    await until(lambda: not server.counters.connections)
    assert server.counters.connections_ended_by == {"silent": 1}


@pytest.mark.parametrize("trusted", [(), ("192.0.2.0/24",)])
async def test_a_header_of_somebody_else_is_garbage(start: Any, trusted: tuple[str, ...]) -> None:
    server: RpcServer = await start(trusted_proxies=trusted)
    client = await RawClient.connect(server.port, before=header("192.0.2.7"))
    await client.until(lambda: client.closed)
    assert server.counters.protocol_errors_total == 1


async def test_who_is_no_proxy_calls_as_ever(start: Any) -> None:
    server: RpcServer = await start(trusted_proxies=("192.0.2.0/24",))
    assert await send_one(await RawClient.connect(server.port)) == 0
    assert addresses(server) == ["127.0.0.1"]


async def test_the_header_comes_before_tls(start: Any, tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    server: RpcServer = await start(tls=listening(authority), trusted_proxies=("127.0.0.1",))
    client = await RawClient.connect(server.port, tls=trusting(authority), before=header("192.0.2.7"))
    assert await send_one(client) == 0
    assert addresses(server) == ["192.0.2.7"]


async def test_a_unix_socket_is_a_balancers_when_the_list_says_so(start: Any, tmp_path: Path) -> None:
    path = f"{tmp_path}/grpc.sock"
    server: RpcServer = await start(f"unix:{path}", trusted_proxies=("unix",), max_connections_per_address=1)
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(header("192.0.2.7") + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
    client = RawClient(reader, writer)
    stream_id = client.open(SEND)
    client.data(stream_id, framed_request(), end=True)
    assert (await client.end_of(stream_id)).grpc_status == 0
    assert addresses(server) == ["192.0.2.7"]
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(header("192.0.2.7"))
    await ended(reader, writer)
    assert server.counters.connections_refused_total == 1
