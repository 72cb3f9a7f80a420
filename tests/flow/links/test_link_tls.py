"""A TLS link against a local certificate authority: it binds, and it refuses whom it cannot trust."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from links_flow_kit import LiveLink, ended
from raw_smsc import RawSmsc

from tests.unit.links.tls_files import CertificateAuthority


def server_context(authority: CertificateAuthority, name: str, *, client_ca: bool = False) -> ssl.SSLContext:
    cert, key = authority.issue(name)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    if client_ca:
        context.load_verify_locations(authority.file)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@pytest.fixture
def authority(tmp_path: Path) -> CertificateAuthority:
    return CertificateAuthority(tmp_path)


async def test_a_message_goes_over_tls(authority: CertificateAuthority) -> None:
    smsc = RawSmsc()
    smsc.tls = server_context(authority, "localhost")
    smsc.submit_status = lambda _: 0
    async with smsc, LiveLink(smsc.port, tls=True, tls_ca_file=str(authority.file)) as live:
        session = await smsc.next_bound()
        await live.bound()
        message = live.offer(parts=3)
        await ended(message)
        assert message.ends == ["Accepted"] * 3
    assert session.names()[-1] == "unbind"


async def test_the_name_in_the_certificate_may_be_set(authority: CertificateAuthority) -> None:
    smsc = RawSmsc()
    smsc.tls = server_context(authority, "smsc.example")
    settings = {"tls": True, "tls_ca_file": str(authority.file), "tls_server_name": "smsc.example"}
    async with smsc, LiveLink(smsc.port, **settings) as live:
        await live.bound()


async def test_a_certificate_of_another_name_is_not_trusted(authority: CertificateAuthority) -> None:
    smsc = RawSmsc()
    smsc.tls = server_context(authority, "smsc.example")
    async with smsc, LiveLink(smsc.port, tls=True, tls_ca_file=str(authority.file)) as live:
        await live.waits.begun()
        assert live.log.events == ["link_connect_failed"]
        assert "certificate" in live.log.fields("link_connect_failed")["reason"]
        assert smsc.bound.empty()


async def test_a_certificate_of_an_unknown_authority_is_not_trusted(authority: CertificateAuthority) -> None:
    smsc = RawSmsc()
    smsc.tls = server_context(authority, "localhost")
    async with smsc, LiveLink(smsc.port, tls=True) as live:
        await live.waits.begun()
        assert "certificate verify failed" in live.log.fields("link_connect_failed")["reason"]


async def test_our_own_certificate_is_shown_where_it_is_asked_for(authority: CertificateAuthority) -> None:
    smsc = RawSmsc()
    smsc.tls = server_context(authority, "localhost", client_ca=True)
    cert, key = authority.issue("esme")
    files = {"tls_ca_file": str(authority.file), "tls_cert_file": str(cert), "tls_key_file": str(key)}
    async with smsc, LiveLink(smsc.port, tls=True, **files) as live:
        await live.bound()


async def test_a_missing_file_is_one_clear_line_and_the_link_tries_again(
    authority: CertificateAuthority, tmp_path: Path
) -> None:
    smsc = RawSmsc()
    smsc.tls = server_context(authority, "localhost")
    late = tmp_path / "late.pem"
    async with smsc, LiveLink(smsc.port, tls=True, tls_ca_file=str(late)) as live:
        await live.waits.begun()
        reason = live.log.fields("link_connect_failed")["reason"]
        assert reason == f"tls_ca_file {late}: No such file or directory"
        late.write_bytes(authority.file.read_bytes())
        live.waits.end()
        await live.bound()
