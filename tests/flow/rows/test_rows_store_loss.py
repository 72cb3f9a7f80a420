"""Rows 10 and 33 of the reliability matrix: the store is taken away under load, and comes back."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from pathlib import Path

import pytest
from callers import bound, every_receipt_is_stored, four_links
from held_load import HeldLoad, Trip, percentile
from rows_kit import SOAK, check_ledger, metrics

from smsproxy.smpp.constants import ESME_ROK
from tests.flow.kit import Daemon, Smsc, running

AWAY_S = 60.0 if SOAK else 8.0
SLACK = 1 if SOAK else 5
RATE_PER_S = 1000 if SOAK else 150
RECEIPTS_PER_S = 100
REFUSED_S = 0.1
BACK_S = 5.0
HELD_S = 5.0
GROWTH_MIB = 64
HL = {"answer_delay_s": 0.02, "answer_jitter_s": 0.01, "receipt_delay_s": 0.1, "receipt_jitter_s": 0.4}


class Outage:
    """Another process's lock on the store, from a moment on and for some time. Times are monotonic."""

    def __init__(self, config: Path, after_s: float, for_s: float) -> None:
        self._path = config.with_name("store.db")
        self._after_s, self._for_s = after_s, for_s
        self.began = self.ended = 0.0

    def __enter__(self) -> Outage:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(self._after_s + self._for_s + 30)

    def _run(self) -> None:
        time.sleep(self._after_s)
        with contextlib.closing(sqlite3.connect(self._path, timeout=30, isolation_level=None)) as file:
            file.execute("BEGIN IMMEDIATE")  # in a WAL: nobody else can write
            self.began = time.monotonic()
            time.sleep(self._for_s)
            file.execute("ROLLBACK")
            self.ended = time.monotonic()

    def covers(self, trip: Trip) -> bool:
        """Sent and answered while the store was away, once that was known."""
        return self.began + 1 < trip.sent_at and trip.ended_at < self.ended


@pytest.mark.long
def test_row_33_a_store_that_is_away_refuses_before_submission_and_returns(tmp_path: Path) -> None:
    with running(Smsc(tmp_path / "smsc", HL)) as smsc:
        config = four_links(tmp_path, smsc)
        with running(bound(Daemon(config))) as daemon:
            load = HeldLoad(daemon.target, RATE_PER_S, AWAY_S + 10 * (2 if SOAK else 1))
            before = rss_mib(daemon)
            with Outage(config, 3.0, AWAY_S) as outage, load:
                pass
            grown = rss_mib(daemon) - before
            every_receipt_is_stored(tmp_path / "http.sock", BACK_S * SLACK)
            counted = metrics(tmp_path / "http.sock")
            assert daemon.stop() == 0
        counts = check_ledger(load.campaign, smsc.entries(), config)
    refused = load.waits(lambda trip: trip.answer.status == "unavailable" and outage.covers(trip))
    assert len(refused) > 0.8 * RATE_PER_S * (AWAY_S - 2)
    assert percentile(refused, 0.99) <= REFUSED_S * SLACK
    late = [trip for trip in load.trips.values() if trip.sent_at > outage.ended + BACK_S]
    assert late
    assert {trip.answer.status for trip in late} == {"submitted"}
    assert set(counts.ends) <= {"submitted", "unavailable", "unknown"}
    assert counts.ends["unknown"] <= 4 * 50, "no more than was on its way: the windows"
    assert counted["smsproxy_results_lost_total"] == 0
    assert counts.in_doubt == 0
    assert grown <= GROWTH_MIB


@pytest.mark.long
def test_row_10_receipts_for_a_store_that_is_away_are_held_sent_back_and_none_is_lost(tmp_path: Path) -> None:
    """Submitted before the outage, receipts in the middle of it."""
    script = {**HL, "receipt_delay_s": 4.0, "receipt_jitter_s": AWAY_S, "receipt_retry_s": 1.0}
    with running(Smsc(tmp_path / "smsc", script)) as smsc:
        config = four_links(tmp_path, smsc)
        with running(bound(Daemon(config))) as daemon:
            load = HeldLoad(daemon.target, RECEIPTS_PER_S, AWAY_S / 2)
            with Outage(config, AWAY_S / 2 + 2, AWAY_S), load:
                pass
            every_receipt_is_stored(tmp_path / "http.sock", 60 * SLACK)
            assert metrics(tmp_path / "http.sock")["smsproxy_receipts_sent_back_total"] > 0
            assert daemon.stop() == 0
        entries = smsc.entries()
        counts = check_ledger(load.campaign, entries, config)
    assert counts.ends == {"submitted": int(RECEIPTS_PER_S * AWAY_S / 2)}
    assert counts.receipts_sent_back > 0
    assert counts.receipts_ok == counts.pdus
    sent: dict[tuple[str, int], float] = {}
    held = []
    for entry in entries:
        key = entry.system_id, entry.sequence_number
        if entry.command == "deliver_sm":
            sent[key] = entry.at
        elif entry.command == "deliver_sm_resp" and entry.command_status != ESME_ROK:
            held.append(entry.at - sent[key])
    assert max(held) <= HELD_S + 0.5 * SLACK


def rss_mib(daemon: Daemon) -> float:
    for line in Path(f"/proc/{daemon.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0
