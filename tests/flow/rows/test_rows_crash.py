"""Row 27 of the reliability matrix: SIGKILL again and again under load; a client that retries everything."""

from __future__ import annotations

import random
import signal
import threading
from collections import Counter
from pathlib import Path

import pytest
from callers import (
    LINKS,
    WINDOW,
    Messages,
    Streams,
    UnaryCallers,
    ask_until_each_has_an_end,
    bound,
    four_links,
)
from rows_kit import SOAK

from smsproxy.simulator import ledger as truth
from tests.flow.kit import Daemon, Smsc, running
from tests.flow.ledger import DriverLog, check_ledger, read_store
from tests.flow.tcp_proxy import TcpProxy

KILLS = 50 if SOAK else 5
RATE_PER_S = 1000


@pytest.mark.long
def test_row_27_the_ledger_is_exact_over_many_kills(tmp_path: Path) -> None:
    chance = random.Random(27)
    script = {
        "answer_delay_s": 0.02,
        "answer_jitter_s": 0.01,
        "receipt_delay_s": 0.1,
        "receipt_jitter_s": 0.4,
    }
    log = DriverLog()
    messages = Messages(log)
    with running(Smsc(tmp_path / "smsc", script)) as smsc:
        config = four_links(tmp_path, smsc)
        for _ in range(KILLS):
            killed_under_load(bound(Daemon(config)), messages, after_s=chance.uniform(0.3, 1.5))
        with running(bound(Daemon(config))) as daemon:
            left = [
                one for record in read_store(config) for one in record.segments if one.state == "submitting"
            ]
            assert not left, "an intent of a dead process that is not marked"
            ask_until_each_has_an_end(daemon.target, messages)
            assert daemon.stop() == 0
        counts = check_ledger(log, smsc.entries(), read_store(config))
    print(f"\n{KILLS} kills\n{counts}")
    assert set(counts.ends) <= {"submitted", "unknown"}
    assert counts.broken >= KILLS
    assert counts.in_doubt <= KILLS * WINDOW * LINKS


def killed_under_load(daemon: Daemon, messages: Messages, *, after_s: float) -> None:
    """One life: what earlier ones left without an end and new messages, until SIGKILL."""
    keys = messages.log.without_end() + messages.new(int(RATE_PER_S * (after_s + 1)))
    killer = threading.Timer(after_s, daemon.process.kill)
    with Streams(daemon.target, messages, keys, rate_per_s=RATE_PER_S) as streams:
        killer.start()
        streams.join()
    killer.join()
    assert daemon.stop(signal.SIGKILL) == -signal.SIGKILL
    assert not daemon.count_lines("Traceback"), daemon.lines
    assert streams.broke


@pytest.mark.long
def test_row_27_a_client_that_sends_everything_thrice_over_cuts_reaches_each_handset_once(
    tmp_path: Path,
) -> None:
    chance = random.Random(3)
    log = DriverLog()
    messages = Messages(log)
    keys = messages.new(6000 if SOAK else 600)
    script = {"answer_delay_s": 0.01, "answer_jitter_s": 0.01}
    with running(Smsc(tmp_path / "smsc", script)) as smsc:
        config = four_links(tmp_path, smsc)
        with running(bound(Daemon(config))) as daemon, TcpProxy(daemon.port) as proxy:
            for _ in range(3):
                with UnaryCallers(proxy.target, messages, keys, count=8) as callers:
                    while callers.busy:
                        callers.wait(chance.uniform(0.02, 0.15))
                        proxy.cut(0.5, chance)
            ask_until_each_has_an_end(daemon.target, messages)
            assert daemon.stop() == 0
        entries = smsc.entries()
        counts = check_ledger(log, entries, read_store(config))
    print(f"\n{proxy.cuts} cuts\n{counts}")
    shown = Counter((one.destination, one.text) for one in truth.texts(entries))
    assert shown == Counter((one.daddr, one.text) for one in log.requests.values())
    assert counts.broken > 0
    assert counts.repeated > len(keys) / 2
    assert set(counts.ends) == {"submitted"}
