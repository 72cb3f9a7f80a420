"""The daemon against node-smpp as SMSC: plain and over TLS, short and long, to the receipts and unbind."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from node_smsc import MISSING, NodeSmsc

from tests.flow.kit import Client, Config, Daemon, running, sms
from tests.unit.links.tls_files import CertificateAuthority

pytestmark = [pytest.mark.peer, pytest.mark.skipif(bool(MISSING), reason=MISSING)]
LONG_TEXTS = {"GSM7": "Grüße [x] €5, 0123456789 " * 20, "UCS2": "Салом 🙂 дунё! " * 20}


@pytest.fixture
def authority(tmp_path: Path) -> CertificateAuthority:
    return CertificateAuthority(tmp_path)


@pytest.fixture
def smsc() -> Iterator[NodeSmsc]:
    with running(NodeSmsc()) as smsc:
        yield smsc


@pytest.fixture
def tls_smsc(authority: CertificateAuthority) -> Iterator[NodeSmsc]:
    with running(NodeSmsc(certificate=authority.issue("smsc.example"))) as smsc:
        yield smsc


def a_config(folder: Path, port: int, **link: Any) -> Path:
    return Config(folder / "daemon", port, {"links.100": link}).write()


def tls_settings(authority: CertificateAuthority, **values: Any) -> dict[str, Any]:
    return {
        "tls": True,
        "tls_ca_file": str(authority.file),
        "tls_server_name": "smsc.example",
        "reconnect_max_s": 60,
        **values,
    }


def a_campaign(smsc: NodeSmsc, config: Path) -> None:
    """One message alone, three hundred on a stream; each reads DELIVERED, each was seen once; then unbind."""
    wanted = {f"t{number}": f"message number {number}" for number in range(300)}
    with running(Daemon(config)) as daemon, Client(daemon.target) as client:
        daemon.wait_bound()
        alone = client.send(sms(message="alone"))
        answers = list(client.stream(sms(message=text, transaction_id=key) for key, text in wanted.items()))
        assert [answer.transaction_id for answer in answers] == list(wanted)
        assert {answer.status for answer in (alone, *answers)} == {"submitted"}
        ids = [smsc_id for answer in (alone, *answers) for smsc_id in answer.sms_ids]
        acknowledged = smsc.wait_events("deliver_sm_resp", len(ids))
        assert {answer["command_status"] for answer in acknowledged} == {0}
        for answer in (alone, *answers):
            assert client.wait_status(answer.message_id, "DELIVERED").delivered_count == 1
    submits = smsc.events("submit_sm")
    assert Counter(submit["text"] for submit in submits) == Counter([*wanted.values(), "alone"])
    assert sorted(submit["id"] for submit in submits) == sorted(ids)
    assert len(smsc.wait_events("unbound")) == len(smsc.events("bound"))
    assert not smsc.events("session_error")


@pytest.mark.parametrize("bind", ["transceiver", "transmitter_receiver"])
def test_a_campaign_is_delivered_to_the_last_and_the_link_unbinds(
    tmp_path: Path, smsc: NodeSmsc, bind: str
) -> None:
    a_campaign(smsc, a_config(tmp_path, smsc.port, bind=bind))
    kinds = {"bind_transceiver"} if bind == "transceiver" else {"bind_transmitter", "bind_receiver"}
    assert {bound["bind"] for bound in smsc.events("bound")} == kinds
    assert len(smsc.events("unbound")) == len(kinds)


def test_the_bind_says_who_we_are_and_an_enquire_link_is_answered(tmp_path: Path, smsc: NodeSmsc) -> None:
    with running(Daemon(a_config(tmp_path, smsc.port))) as daemon:
        daemon.wait_bound()
        smsc.wait_events("enquire_link_resp")
    (bound,) = smsc.events("bound")
    assert (bound["bind"], bound["system_id"], bound["password"]) == ("bind_transceiver", "flow", "secret")
    assert (bound["interface_version"], bound["tls"]) == (0x34, False)


def test_a_campaign_over_tls_is_delivered_to_the_last(
    tmp_path: Path, tls_smsc: NodeSmsc, authority: CertificateAuthority
) -> None:
    a_campaign(tls_smsc, a_config(tmp_path, tls_smsc.tls_port, **tls_settings(authority)))
    assert [bound["tls"] for bound in tls_smsc.events("bound")] == [True]


def test_receipts_in_tlvs_without_a_text_settle_the_message(tmp_path: Path) -> None:
    with running(NodeSmsc(receipts="tlv")) as smsc:
        config = a_config(tmp_path, smsc.port)
        with running(Daemon(config)) as daemon, Client(daemon.target) as client:
            daemon.wait_bound()
            for digits, status in (("998901234567", "DELIVERED"), ("998901234568", "UNDELIVERABLE")):
                client.wait_status(client.send(sms(daddr=digits)).message_id, status)
        assert len(smsc.wait_events("deliver_sm_resp", 2)) == 2


def test_a_part_that_was_not_delivered_or_not_taken_says_why(tmp_path: Path, smsc: NodeSmsc) -> None:
    with running(Daemon(a_config(tmp_path, smsc.port))) as daemon, Client(daemon.target) as client:
        daemon.wait_bound()
        found = client.wait_status(client.send(sms(daddr="998901234568")).message_id, "UNDELIVERABLE")
        assert dict(found.reasons) == {"1": "UNDELIV err:027"}
        refused = client.send(sms(daddr="998901234569"))
        assert (refused.status, refused.success) == ("rejected", False)
        assert "ESME_RINVDSTADR 0x0000000B" in refused.error


@pytest.mark.parametrize("long_messages", ["udh8", "udh16", "sar", "payload"])
def test_long_messages_are_read_as_they_were_meant(
    tmp_path: Path, smsc: NodeSmsc, long_messages: str
) -> None:
    config = a_config(tmp_path, smsc.port, long_messages=long_messages, service_type="VMA")
    with running(Daemon(config)) as daemon, Client(daemon.target) as client:
        daemon.wait_bound()
        for number, text in enumerate(LONG_TEXTS.values()):
            answer = client.send(sms(message=text, daddr=f"99890123456{number}"))
            assert answer.status == "submitted", answer
            client.wait_status(answer.message_id, "DELIVERED")
    submits = smsc.events("submit_sm")
    for number, (alphabet, text) in enumerate(LONG_TEXTS.items()):
        parts = [one for one in submits if one["destination"] == [1, 1, f"99890123456{number}"]]
        assert "".join(part["text"] for part in sorted(parts, key=segment_no)) == text
        assert {part["data_coding"] for part in parts} == {8 if alphabet == "UCS2" else 0}
        assert {(part["service_type"], part["registered_delivery"]) for part in parts} == {("VMA", 1)}
        assert {tuple(part["source"]) for part in parts} == {(5, 0, "MYBRAND")}
        assert joined_by(parts) == long_messages


def segment_no(part: dict[str, Any]) -> int:
    """Where a segment stands, by whatever joins it."""
    if part.get("udh"):
        return int(part["udh"][0][-2:], 16)
    return int(part["sar"][2]) if part.get("sar") else 1


def joined_by(parts: list[dict[str, Any]]) -> str:
    """The kind of concatenation, once its reference and its total are the same in all segments."""
    if len(parts) == 1 and parts[0]["payload"]:
        return "payload"
    if all(part.get("sar") for part in parts):
        assert len({tuple(part["sar"][:2]) for part in parts}) == 1
        assert {part["sar"][2] for part in parts} == set(range(1, len(parts) + 1))
        return "sar"
    heads = {part["udh"][0][:-2] for part in parts}
    assert len(heads) == 1
    assert {part["esm_class"] for part in parts} == {0x40}
    return {"0003": "udh8", "0804": "udh16"}[heads.pop()[:4]]


@pytest.mark.parametrize("wrong", ["authority", "name"])
def test_an_smsc_that_cannot_be_trusted_is_refused_in_one_clear_line(
    tmp_path: Path, tls_smsc: NodeSmsc, authority: CertificateAuthority, wrong: str
) -> None:
    settings = tls_settings(authority, tls_server_name="other.example")
    if wrong == "authority":
        (tmp_path / "elsewhere").mkdir()
        settings = tls_settings(CertificateAuthority(tmp_path / "elsewhere"))
    daemon = Daemon(a_config(tmp_path, tls_smsc.tls_port, **settings))
    try:
        line = json.loads(daemon.wait_line('"link_connect_failed"'))
        assert "certificate verify failed" in line["reason"]
        assert ("other.example" in line["reason"]) is (wrong == "name")
        assert tls_smsc.wait_events("tls_refused")
    finally:
        daemon.stop(signal.SIGTERM)
    assert not daemon.count_lines("Traceback")
    assert daemon.count_lines("certificate verify failed") == daemon.count_lines('"link_connect_failed"')
    assert not tls_smsc.events("bound")
