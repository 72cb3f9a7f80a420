"""TLS on the gRPC port: who gets in, who is turned away in the handshake, and what a reload changes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_edge_kit import BOUND_S, METADATA, FakeGateway, RawClient, dial, framed_request

from smsproxy.aio.server_tls import H2, TlsFiles, server_context
from smsproxy.aio.wait import settled
from smsproxy.domain.caller import Caller
from smsproxy.rpc.server import RpcServer
from tests.unit.links.tls_files import CertificateAuthority

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SEND = "/sms.v1.SmsService/SendMessage"


@pytest.fixture
def authority(tmp_path: Path) -> CertificateAuthority:
    return CertificateAuthority(tmp_path)


def listening(authority: CertificateAuthority, **more: Any) -> ssl.SSLContext:
    cert, key = authority.issue("localhost")
    return server_context(TlsFiles(str(cert), str(key), **more), H2)


def trusting(
    authority: CertificateAuthority, *, shows: str = "", protocols: tuple[str, ...] = ("h2",)
) -> ssl.SSLContext:
    """A caller's context; it shows a certificate of the name `shows`."""
    context = ssl.create_default_context(cafile=authority.file)
    if protocols:
        context.set_alpn_protocols(list(protocols))
    if shows:
        context.load_cert_chain(*authority.issue(shows))
    return context


async def until(true: Callable[[], object]) -> None:
    """Wait for what no frame announces."""
    assert await settled(lambda: bool(true()), timeout_s=BOUND_S)


async def ended(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The server closes without a word."""
    try:
        async with asyncio.timeout(BOUND_S):
            assert await reader.read() == b""
    except ConnectionError:
        pass
    finally:
        writer.transport.abort()


async def send_one(client: RawClient) -> int:
    stream_id = client.open(SEND)
    client.data(stream_id, framed_request(), end=True)
    return (await client.end_of(stream_id)).grpc_status


async def turned_away(server: RpcServer, tls: ssl.SSLContext) -> None:
    """The connection ends, in the handshake or after it, without an octet of HTTP/2."""
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        reader, writer = await dial(server.port, tls=tls)
        await ended(reader, writer)
    await until(lambda: not server.counters.connections)


# -- who gets in ---------------------------------------------------------------------------------------------


async def test_calls_go_over_tls_with_the_version_and_the_protocol_of_today(
    start: Any, authority: CertificateAuthority
) -> None:
    server: RpcServer = await start(tls=listening(authority))
    client = await RawClient.connect(server.port, tls=trusting(authority))
    assert await send_one(client) == 0
    assert server.counters.connections == 1
    found = client._writer.get_extra_info("ssl_object")
    assert (found.version(), found.selected_alpn_protocol()) == ("TLSv1.3", "h2")


async def test_tls_1_2_is_enough(start: Any, authority: CertificateAuthority) -> None:
    server: RpcServer = await start(tls=listening(authority))
    tls = trusting(authority)
    tls.maximum_version = ssl.TLSVersion.TLSv1_2
    assert await send_one(await RawClient.connect(server.port, tls=tls)) == 0


async def test_grpcio_calls_over_tls(start: Any, api: Any, authority: CertificateAuthority) -> None:
    server: RpcServer = await start(tls=listening(authority))
    credentials = grpc.ssl_channel_credentials(authority.file.read_bytes())
    async with grpc.aio.secure_channel(f"localhost:{server.port}", credentials) as channel:
        stub = api.stubs.SmsServiceStub(channel)
        answer = await stub.SendMessage(api.request(), metadata=METADATA, timeout=BOUND_S)
        assert answer.status == "submitted"
        stream = stub.SendMessageStream(iter([api.request()] * 300), metadata=METADATA, timeout=BOUND_S)
        assert [answer.status async for answer in stream] == ["submitted"] * 300


async def test_a_unix_socket_may_have_tls_too(
    start: Any, api: Any, authority: CertificateAuthority, tmp_path: Path
) -> None:
    await start(f"unix:{tmp_path}/grpc.sock", tls=listening(authority))
    credentials = grpc.ssl_channel_credentials(authority.file.read_bytes())
    named = [("grpc.ssl_target_name_override", "localhost")]
    async with grpc.aio.secure_channel(f"unix:{tmp_path}/grpc.sock", credentials, options=named) as channel:
        call = api.stubs.SmsServiceStub(channel).SendMessage(
            api.request(), metadata=METADATA, timeout=BOUND_S
        )
        assert (await call).status == "submitted"


# -- who does not --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocols", [(), ("http/1.1",), ("h3", "grpc-exp")])
async def test_a_client_that_does_not_speak_h2_is_closed_after_the_handshake(
    start: Any, authority: CertificateAuthority, protocols: tuple[str, ...]
) -> None:
    server: RpcServer = await start(tls=listening(authority))
    await turned_away(server, trusting(authority, protocols=protocols))
    assert server.counters.connections_ended_by == {"alpn": 1}


async def test_tls_1_1_is_refused(start: Any, authority: CertificateAuthority) -> None:
    server: RpcServer = await start(tls=listening(authority))
    tls = trusting(authority)
    tls.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        tls.minimum_version = ssl.TLSVersion.TLSv1_1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        tls.maximum_version = ssl.TLSVersion.TLSv1_1
    await turned_away(server, tls)
    assert server.counters.connections_ended_by == {"tls": 1}


async def test_ciphers_without_forward_secrecy_are_refused(
    start: Any, authority: CertificateAuthority
) -> None:
    server: RpcServer = await start(tls=listening(authority))
    tls = trusting(authority)
    tls.maximum_version = ssl.TLSVersion.TLSv1_2
    tls.set_ciphers("AES128-GCM-SHA256:ECDHE-ECDSA-AES128-SHA")
    await turned_away(server, tls)
    assert server.counters.connections_ended_by == {"tls": 1}


@pytest.mark.parametrize("octets", [PREFACE + bytes(9), b"GET / HTTP/1.1\r\n\r\n"])
async def test_plaintext_on_a_tls_port_is_closed(
    start: Any, authority: CertificateAuthority, octets: bytes
) -> None:
    server: RpcServer = await start(tls=listening(authority))
    reader, writer = await dial(server.port)
    writer.write(octets)
    async with asyncio.timeout(BOUND_S):
        assert b"HTTP" not in await reader.read()
    writer.close()
    await until(lambda: not server.counters.connections)
    assert server.counters.connections_ended_by == {"tls": 1}


async def test_tls_on_a_plaintext_port_is_closed(server: RpcServer, authority: CertificateAuthority) -> None:
    await turned_away(server, trusting(authority))
    assert server.counters.protocol_errors_total == 1


async def test_a_peer_that_leaves_in_the_handshake_leaves_nothing_behind(
    start: Any, authority: CertificateAuthority
) -> None:
    server: RpcServer = await start(tls=listening(authority))
    for octets in (b"", b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"):
        _, writer = await dial(server.port)
        writer.write(octets)
        await until(lambda: server.counters.connections == 1)
        writer.transport.abort()
        await until(lambda: not server.counters.connections)
    assert set(server.counters.connections_ended_by) <= {"tls"}


# -- slow and many -------------------------------------------------------------------------------------------


async def test_a_handshake_that_does_not_go_on_ends_after_first_byte_s(
    start: Any, authority: CertificateAuthority
) -> None:
    server: RpcServer = await start(tls=listening(authority), first_byte_s=0.2)
    slow = [await dial(server.port) for _ in range(3)]
    slow[1][1].write(b"\x16\x03\x01")
    for reader, writer in slow:
        await ended(reader, writer)
    assert server.counters.connections_ended_by == {"silent": 3}
    assert server.counters.connections == 0


async def test_the_preface_has_first_byte_s_of_its_own(start: Any, authority: CertificateAuthority) -> None:
    server: RpcServer = await start(tls=listening(authority), first_byte_s=0.2)
    _, writer = await dial(server.port, tls=trusting(authority))
    writer.write(PREFACE[:10])
    await until(lambda: server.counters.connections_total and not server.counters.connections)
    writer.transport.abort()
    assert server.counters.connections_ended_by == {"silent": 1}


async def test_handshakes_count_against_the_places_of_their_address(
    start: Any, authority: CertificateAuthority
) -> None:
    server: RpcServer = await start(tls=listening(authority), max_connections_per_address=4, first_byte_s=0.3)
    slow = [await dial(server.port) for _ in range(4)]
    await until(lambda: server.counters.connections == 4)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await dial(server.port, tls=trusting(authority))
    assert server.counters.connections_refused_total == 1
    for reader, writer in slow:
        await ended(reader, writer)
    assert await send_one(await RawClient.connect(server.port, tls=trusting(authority))) == 0


async def test_a_peer_that_never_confirms_the_end_of_tls_does_not_keep_its_place(
    start: Any, authority: CertificateAuthority
) -> None:
    server: RpcServer = await start(tls=listening(authority), idle_s=0.1)
    inbound, outbound = ssl.MemoryBIO(), ssl.MemoryBIO()
    peer = trusting(authority).wrap_bio(inbound, outbound, server_hostname="localhost")
    reader, writer = await dial(server.port)
    while True:
        try:
            peer.do_handshake()
            break
        except ssl.SSLWantReadError:
            writer.write(outbound.read())
            inbound.write(await reader.read(65_536))
    peer.write(PREFACE + b"\0\0\0\4\0\0\0\0\0")
    writer.write(outbound.read())
    await until(lambda: server.counters.connections_ended_by == {"idle": 1})
    await until(lambda: not server.counters.connections)  # close_notify is not answered: a second at most
    writer.transport.abort()


async def test_a_drain_does_not_wait_for_handshakes(start: Any, authority: CertificateAuthority) -> None:
    server: RpcServer = await start(tls=listening(authority))
    reader, writer = await dial(server.port)
    await until(lambda: server.counters.connections == 1)
    assert await server.drain(5)
    await ended(reader, writer)
    assert server.counters.connections == 0


# -- client certificates -------------------------------------------------------------------------------------


@pytest.fixture
def strict(gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> FakeGateway:
    """A core whose one app needs a client certificate."""
    known = gateway.authenticate_again

    def authenticate_again(authorization: str | None, app_id: str | None) -> Caller:
        caller = known(authorization, app_id)
        return Caller(caller.app_id, caller.expires_at, caller.scopes, client_cert_required=True)

    monkeypatch.setattr(gateway, "authenticate_again", authenticate_again)
    return gateway


async def test_with_a_required_certificate_nobody_gets_in_without_one(
    start: Any, authority: CertificateAuthority
) -> None:
    tls = listening(authority, client_ca=str(authority.file), client_required=True)
    server: RpcServer = await start(tls=tls)
    await turned_away(server, trusting(authority))
    assert server.counters.connections_ended_by == {"tls": 1}
    assert await send_one(await RawClient.connect(server.port, tls=trusting(authority, shows="caller"))) == 0


async def test_a_certificate_of_another_authority_is_not_let_in_even_where_none_is_needed(
    start: Any, authority: CertificateAuthority, tmp_path: Path
) -> None:
    server: RpcServer = await start(tls=listening(authority, client_ca=str(authority.file)))
    (tmp_path / "other").mkdir()
    tls = trusting(authority)
    tls.load_cert_chain(*CertificateAuthority(tmp_path / "other").issue("caller"))
    await turned_away(server, tls)
    assert server.counters.connections_ended_by == {"tls": 1}


async def test_an_app_that_needs_a_certificate_is_nobody_without_one(
    start: Any, authority: CertificateAuthority, strict: FakeGateway
) -> None:
    server: RpcServer = await start(tls=listening(authority, client_ca=str(authority.file)))
    bare = await RawClient.connect(server.port, tls=trusting(authority))
    stream_id = bare.open(SEND)
    bare.data(stream_id, framed_request(), end=True)
    refused = (await bare.end_of(stream_id)).trailers
    wrong = bare.open(SEND, headers=[], more=without_token())
    assert refused["grpc-status"] == "16"
    assert refused["grpc-message"] == (await bare.end_of(wrong)).trailers["grpc-message"]
    assert server.counters.client_certs_missing_total == 1
    assert strict.tickets == []
    shown = await RawClient.connect(server.port, tls=trusting(authority, shows="caller"))
    assert await send_one(shown) == 0


def without_token() -> list[tuple[str | bytes, str | bytes]]:
    return [
        (":method", "POST"), (":scheme", "https"), (":path", SEND), (":authority", "localhost"),
        ("te", "trailers"), ("content-type", "application/grpc"), ("app_id", "1"),
    ]  # fmt: skip


async def test_grpcio_shows_its_certificate(
    start: Any, api: Any, authority: CertificateAuthority, strict: FakeGateway
) -> None:
    tls = listening(authority, client_ca=str(authority.file), client_required=True)
    server: RpcServer = await start(tls=tls)
    cert, key = authority.issue("caller")
    credentials = grpc.ssl_channel_credentials(
        authority.file.read_bytes(), key.read_bytes(), cert.read_bytes()
    )
    async with grpc.aio.secure_channel(f"localhost:{server.port}", credentials) as channel:
        call = api.stubs.SmsServiceStub(channel).SendMessage(
            api.request(), metadata=METADATA, timeout=BOUND_S
        )
        assert (await call).status == "submitted"


async def test_an_app_that_needs_a_certificate_is_nobody_on_a_plaintext_port(
    server: RpcServer, strict: FakeGateway
) -> None:
    assert await send_one(await RawClient.connect(server.port)) == 16


# -- reload --------------------------------------------------------------------------------------------------


async def test_a_renewed_certificate_is_shown_from_the_next_handshake_and_nothing_open_is_dropped(
    start: Any, authority: CertificateAuthority, tmp_path: Path
) -> None:
    server: RpcServer = await start(tls=listening(authority))
    (tmp_path / "next").mkdir()
    later = CertificateAuthority(tmp_path / "next")
    before = await RawClient.connect(server.port, tls=trusting(authority))
    assert await send_one(before) == 0
    server.renew_tls(listening(later))
    assert await send_one(before) == 0
    with pytest.raises(ssl.SSLCertVerificationError):
        await dial(server.port, tls=trusting(authority))
    assert await send_one(await RawClient.connect(server.port, tls=trusting(later))) == 0


async def test_a_plaintext_listener_does_not_turn_into_a_tls_one(
    server: RpcServer, authority: CertificateAuthority
) -> None:
    server.renew_tls(listening(authority))
    assert await send_one(await RawClient.connect(server.port)) == 0


@pytest.mark.parametrize("junk", [b"", bytes(100), b"\x16\x03\x01\xff\xff" + bytes(200), b"\x80" * 50])
async def test_junk_in_the_handshake_never_reaches_the_event_loop(
    start: Any, authority: CertificateAuthority, junk: bytes
) -> None:
    said: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: said.append(context))
    server: RpcServer = await start(tls=listening(authority), first_byte_s=0.2)
    with socket.create_connection(("127.0.0.1", server.port)) as peer:
        peer.sendall(junk)
        await until(lambda: server.counters.connections_total == 1 and not server.counters.connections)
    assert said == []
    assert server.counters.internal_errors_total == 0
