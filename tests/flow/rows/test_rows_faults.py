"""Rows 8 and 9 of the reliability matrix, shortened: links that cannot bind, and an SMSC that is hostile."""

from __future__ import annotations

import json
import socket
import struct
from pathlib import Path
from typing import Any

import pytest
from hostile_smsc import HostileSmsc
from rows_kit import Campaign, check_ledger

from smsproxy.smpp import constants as c
from smsproxy.smpp.codec import encode
from smsproxy.smpp.pdu import DeliverSm, EnquireLink
from tests.flow.kit import Client, Config, Daemon, Smsc, running, sms

LYING_LENGTHS = (0, 15, 65_537, 2**31, 2**32 - 1)
ALIVE = encode(EnquireLink(), 99)


def a_link(port: int, **values: Any) -> dict[str, Any]:
    where = {"host": "127.0.0.1", "port": port, "system_id": "row", "password": "x"}
    return {**where, "reconnect_max_s": 0.2, **values}


@pytest.mark.long
def test_row_8_links_that_cannot_bind_say_so_once_a_try_and_leave_the_good_one_alone(tmp_path: Path) -> None:
    campaign = Campaign.of(500)
    closed = a_closed_port()
    with (
        running(Smsc(tmp_path / "good", {})) as good,
        running(Smsc(tmp_path / "refusing", {"bind_status": "ESME_RBINDFAIL"})) as refusing,
        running(Smsc(tmp_path / "silent", {"bind_silent": True})) as silent,
    ):
        tables = {
            "links.101": a_link(closed),
            "links.102": a_link(refusing.port),
            "links.103": a_link(silent.port, bind_timeout_s=0.2),
        }
        config = Config(tmp_path, good.port, tables).write()
        with running(Daemon(config)) as daemon, Client(daemon.target) as client:
            daemon.wait_bound()
            assert campaign.send(client) == {"submitted": 500}
            daemon.wait_count('"link_connect_failed"', 2)
            daemon.wait_line('"link_bind_refused"')
            daemon.wait_line('"link_bind_failed"')
            with running(Smsc(tmp_path / "late", {}, port=closed)):
                daemon.wait_bound(101)
                assert client.send(sms(esme=101)).status == "submitted"
        tries = [entry for entry in refusing.entries() if entry.command == "bind_transceiver"]
        entries = good.entries()
    refused = lines_of(daemon, "link_bind_refused")
    assert {(line["link_id"], line["reason"].split()[0]) for line in refused} == {(102, "ESME_RBINDFAIL")}
    assert 0 <= len(tries) - len(refused) <= 1, "one line a try; the last one may have been cut short"
    assert {line["link_id"] for line in lines_of(daemon, "link_bind_failed")} == {103}
    check_ledger(campaign, entries)


def a_closed_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def lines_of(daemon: Daemon, event: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in daemon.lines if f'"{event}"' in line]


def test_row_9_a_length_that_lies_ends_the_session_and_no_other(tmp_path: Path) -> None:
    octets = [struct.pack(">LLLL", length, c.DELIVER_SM, 0, 1) for length in LYING_LENGTHS]
    hostile, daemon = beside_a_good_link(tmp_path, [*octets, b"GET / HTTP/1.1\r\n\r\n"])
    assert hostile.hung_up == [True] * 6
    reasons = [line["reason"] for line in lines_of(daemon, "link_down")][:6]
    assert reasons[:5] == [f"framing lost: command_length {length}" for length in LYING_LENGTHS]
    assert "looks like HTTP" in reasons[5]


@pytest.mark.long
def test_row_9_a_bad_pdu_is_answered_and_the_session_lives(tmp_path: Path) -> None:
    good = encode(DeliverSm(short_message=b"hi"), 7)
    no_end = struct.pack(">LLLL", 16 + 5, c.DELIVER_SM, 0, 7) + b"\0\1\1ab"
    past_end = struct.pack(">L", len(good) + 6) + good[4:] + b"\x14\x00\x00\x09xy"
    lying_text = good[:-3] + bytes((200,)) + good[-2:]
    octets = [
        no_end + ALIVE,
        past_end + ALIVE,
        lying_text + ALIVE,
        b"\0\0\0\x10\0\0\0\x99" + bytes(8) + ALIVE,
    ]
    for dribble in (False, True):
        folder = tmp_path / str(dribble)
        hostile, _ = beside_a_good_link(folder, octets, dribble=dribble)
        assert hostile.hung_up == [False] * 4
        statuses = [heard[0][0] for heard in hostile.heard]
        assert statuses == [c.ESME_RINVCMDLEN, c.ESME_ROK, c.ESME_RINVMSGLEN, c.ESME_RINVCMDID]


def beside_a_good_link(
    folder: Path, octets: list[bytes], *, dribble: bool = False
) -> tuple[HostileSmsc, Daemon]:
    """Say the octets to link 101 while link 100 carries a campaign, whose ledger is checked."""
    campaign = Campaign.of(300)
    with running(Smsc(folder / "good", {})) as good, HostileSmsc(octets, dribble=dribble) as hostile:
        config = Config(folder, good.port, {"links.101": a_link(hostile.port)}).write()
        with running(Daemon(config)) as daemon, Client(daemon.target) as client:
            daemon.wait_bound()
            assert campaign.send(client) == {"submitted": 300}
            assert hostile.done.wait(20)
            daemon.wait_count('"link_down"', len(octets))
        check_ledger(campaign, good.entries())
    return hostile, daemon
