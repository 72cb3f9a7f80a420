"""Rows 8 and 9 of the reliability matrix, shortened: links that cannot bind, and an SMSC that is hostile."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
from pathlib import Path
from typing import Any

import pytest
from held_load import HeldLoad, percentile
from held_pool import RATE, SLACK, HeldPool
from hostile_smsc import HostileSmsc
from rows_kit import SOAK, check_ledger
from rows_log import events, most_lines_a_second

from smsproxy.smpp import constants as c
from smsproxy.smpp.codec import encode
from smsproxy.smpp.pdu import DeliverSm, EnquireLink
from tests.flow.kit import Daemon, Smsc, running

FAILED = ("link_connect_failed", "link_bind_refused", "link_bind_failed")
HOSTILE_S = 30 if SOAK else 4
LYING_LENGTHS = (0, 15, 65_537, 2**31, 2**32 - 1)
ALIVE = encode(EnquireLink(), 99)


def a_link(port: int, **values: Any) -> dict[str, Any]:
    where = {"host": "127.0.0.1", "port": port, "system_id": "hostile", "password": "x"}
    return {**where, "reconnect_max_s": 0.2, **values}


@pytest.mark.long
def test_row_8_links_that_cannot_bind_leave_the_good_ones_alone_and_come_back(tmp_path: Path) -> None:
    of_each, max_s, faults_s = (17, 15, 90) if SOAK else (4, 3, 12)
    count = of_each * 3
    with contextlib.ExitStack() as stack:
        refusing = stack.enter_context(running(Smsc(tmp_path / "no", {"bind_status": "ESME_RINVPASWD"})))
        silent = stack.enter_context(running(Smsc(tmp_path / "silent", {"bind_silent": True})))
        ports = [a_closed_port(), refusing.port, silent.port]
        bad = {
            f"links.{200 + number}": a_link(
                ports[number % 3], system_id=f"bad{number}", bind_timeout_s=1, reconnect_max_s=max_s
            )
            for number in range(count)
        }
        held = stack.enter_context(HeldPool(tmp_path, {}, links=2, tables=bad))
        with held.load(faults_s) as during:
            pass
        refusing.stop()
        silent.stop()
        tried = tries(held.daemon, {200 + number for number in range(0, count, 3)})
        bound_at_most_s = (2 * max_s if SOAK else max_s) * SLACK
        for number, port in enumerate(ports):
            stack.enter_context(running(Smsc(tmp_path / f"back-{number}", {}, port=port)))
        held.daemon.wait_count('"event": "link_bound"', 2 + count, timeout_s=bound_at_most_s)
        with HeldLoad(held.daemon.target, RATE, faults_s / 4, name="base") as base:
            pass
        failed = held.counted("link_connects_failed_total")
        assert failed == held.daemon.count_lines('"link_connect_failed"'), "one line a try"
        assert most_lines_a_second(held.daemon) <= 2
        asked = [one for one in refusing.entries() if one.command == "bind_transceiver"]
        entries = held.entries()
    refused = lines_of(held.daemon, "link_bind_refused")
    assert 0 <= len(asked) - len(refused) <= of_each, "one line a try; the last ones may have been cut short"
    assert {line["reason"].split()[0] for line in refused} == {"ESME_RINVPASWD"}
    for delays in tried.values():
        grow_to_the_limit(delays, max_s)
    lines = events(held.daemon, *FAILED)
    # The lines tell of the failures, some of which lie closer together than the tries did.
    assert most_within(5.0, [line["at"] for line in lines]) <= 5 * (5 + 1) + 3
    assert during.campaign.ends == {"submitted": len(during.campaign.texts)}
    assert percentile(during.waits(), 0.99) <= 2 * SLACK * percentile(base.waits(), 0.99)
    during.campaign.texts |= base.campaign.texts
    during.campaign.said |= base.campaign.said
    during.campaign.numbers |= base.campaign.numbers
    check_ledger(during.campaign, entries, held.config)


def tries(daemon: Daemon, link_ids: set[int]) -> dict[int, list[float]]:
    """The delays that these links told after connects that failed, by link."""
    found: dict[int, list[float]] = {}
    for line in lines_of(daemon, "link_connect_failed"):
        if line["link_id"] in link_ids:
            found.setdefault(line["link_id"], []).append(line["retry_in_s"])
    return found


def grow_to_the_limit(delays: list[float], max_s: float) -> None:
    """1, 2, 4 ... seconds to the limit, each shortened by up to a quarter (and rounded for the log)."""
    assert len(delays) >= 3
    for number, delay_s in enumerate(delays):
        full_s = min(2.0**number, max_s)
        assert 0.75 * full_s - 0.05 <= delay_s <= full_s + 0.05


def most_within(period_s: float, times: list[float]) -> int:
    """The most of these moments in any such period."""
    return max(sum(begin <= one < begin + period_s for one in times) for begin in times)


def a_closed_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def lines_of(daemon: Daemon, event: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in daemon.lines if f'"{event}"' in line]


@pytest.mark.long
def test_row_9_a_length_that_lies_ends_the_session_and_no_other(tmp_path: Path) -> None:
    octets = [struct.pack(">LLLL", length, c.DELIVER_SM, 0, 1) for length in LYING_LENGTHS]
    hostile, daemon = beside_a_good_link(tmp_path, [*octets, b"GET / HTTP/1.1\r\n\r\n"])
    assert hostile.hung_up == [True] * 6
    reasons = [line["reason"] for line in lines_of(daemon, "link_down")][:6]
    assert reasons[:5] == [f"framing lost: command_length {length}" for length in LYING_LENGTHS]
    assert "looks like HTTP" in reasons[5]
    assert max(hostile.seconds) <= 0.1 * SLACK


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
    """Say the octets to link 200 while a pool holds load, whose ledger is checked."""
    with HostileSmsc(octets, dribble=dribble) as hostile:
        with (
            HeldPool(folder, {}, tables={"links.200": a_link(hostile.port)}) as held,
            held.load(HOSTILE_S) as load,
        ):
            assert hostile.done.wait(60)
            held.daemon.wait_count('"link_down"', len(octets))
        assert load.campaign.ends == {"submitted": len(load.campaign.texts)}
        check_ledger(load.campaign, held.entries(), held.config)
    return hostile, held.daemon
