"""Whole ESMEs of other people against the simulator: smpplib's blocking client and smpp34 (Rust); and TLS."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from pathlib import Path

import pytest
import smpp34
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from simulator_kit import HANDSET, WAIT_S, ForeignEsme, simulator
from smpplib import client as smpplib_client
from smpplib import gsm

from smsproxy.simulator.smsc import Smsc


def drive_smpplib(port: int, text: str) -> tuple[list[bytes], list[bytes]]:
    """Blocking: bind, send a text in as many parts as it takes, take the receipts, unbind."""
    answered: list[bytes] = []
    receipted: list[bytes] = []
    client = smpplib_client.Client("127.0.0.1", port, timeout=WAIT_S, allow_unknown_opt_params=True)
    client.set_message_sent_handler(lambda pdu: answered.append(pdu.message_id))
    client.set_message_received_handler(lambda pdu: receipted.append(pdu.receipted_message_id) or 0)
    client.connect()
    try:
        client.bind_transceiver(system_id="smpplib", password="secret")
        parts, coding, esm_class = gsm.make_parts(text)
        for part in parts:
            client.send_message(
                source_addr_ton=5,
                source_addr="MYBRAND",
                destination_addr=HANDSET,
                short_message=part,
                data_coding=coding,
                esm_class=esm_class,
                registered_delivery=True,
            )
        while len(receipted) < len(parts):
            client.read_once()
        client.unbind()
    finally:
        client.disconnect()
    return answered, receipted


@pytest.mark.parametrize("text", ["Hello", "Привет, " * 30, "x{}" * 100])
async def test_smpplib_sends_texts_and_gets_a_receipt_for_each_part(text: str) -> None:
    async with simulator() as smsc:
        answered, receipted = await asyncio.to_thread(drive_smpplib, smsc.port, text)
        assert answered == receipted
        (joined,) = smsc.truth.texts(HANDSET)
        assert joined.text == text
        assert joined.smsc_ids == [smsc_id.decode() for smsc_id in answered]
        await smsc.wait_for(lambda seen: seen.sessions == 0)
        assert (smsc.counters.unbinds, smsc.counters.bad_pdus, smsc.counters.unexpected) == (1, 0, 0)


async def test_smpp34_sends_many_at_once_and_gets_receipts() -> None:
    async with simulator(answer_delay_s=0.005) as smsc:
        client = smpp34.Client("127.0.0.1", smsc.port, "smpp34", "secret")
        async with asyncio.timeout(WAIT_S):
            session = await client.connect()
            answers = await asyncio.gather(
                *(session.submit_sm(HANDSET, b"%d" % number, registered_delivery=1) for number in range(20))
            )
            receipts = [await session.next() for _ in range(20)]
            await session.unbind()
        assert all(answer.is_success for answer in answers)
        told = {
            next(tlv.as_string() for tlv in receipt.tlvs if tlv.tag == smpp34.TLV_RECEIPTED_MESSAGE_ID)
            for receipt in receipts
        }
        assert told == {answer.message_id for answer in answers}
        assert smsc.truth.duplicates() == []
        await client.stop()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for localhost with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "smsc.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


async def test_it_speaks_tls_and_a_plain_connection_to_it_is_refused(certificate: Path) -> None:
    server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_tls.load_cert_chain(certificate)
    lines: list[str] = []
    smsc = Smsc(say=lines.append)
    port = await smsc.start(tls=server_tls)
    client_tls = ssl.create_default_context(cafile=str(certificate))
    esme = ForeignEsme(
        *await asyncio.open_connection("127.0.0.1", port, ssl=client_tls, server_hostname="localhost")
    )
    await esme.bind()
    esme.submit()
    await esme.expect_all("submit_sm_resp", "deliver_sm")
    plain = await ForeignEsme.connect(port)
    plain.send("bind_transceiver", system_id="plain", password="x")
    with pytest.raises(ConnectionError):
        await plain.read()
    await smsc.wait_for(lambda seen: seen.connections_refused == 1)
    assert any(line.startswith("no connection: ") for line in lines)
    assert smsc.counters.connections == 1
    while ForeignEsme.all:
        await ForeignEsme.all.pop().close()
    await smsc.aclose()
