"""Rows 1 and 11 of the reliability matrix: the exact ledger under held load; receipts before the answer."""

from __future__ import annotations

import contextlib
import json
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from callers import bound, every_receipt_is_stored, four_links
from held_load import HeldLoad, percentile
from rows_kit import SOAK, Campaign, check_ledger, metrics

from tests.flow.kit import Client, Daemon, Smsc, running

RATE_PER_S = 1000 if SOAK else 250
DURATION_S = 120 if SOAK else 8
SLACK = 1 if SOAK else 5
P99_S = 0.25
SETTLED_S = 5.0
HL = {"answer_delay_s": 0.02, "answer_jitter_s": 0.01, "receipt_delay_s": 0.1, "receipt_jitter_s": 0.4}
EARLY = {
    "answer_delay_s": 0.04, "answer_jitter_s": 0.02, "receipt_delay_s": 0.1,
    "early_receipt_share": 0.06, "early_receipt_s": 0.05,
    "receipt_states": ["DELIVRD", "UNDELIV", "EXPIRED", "REJECTD"],
}  # fmt: skip
"""Some of the early ones come right behind the submit, long before its answer and the result's record."""


@pytest.mark.long
def test_row_1_the_ledger_of_the_held_load_is_exact(tmp_path: Path) -> None:
    with running(Smsc(tmp_path / "smsc", HL)) as smsc:
        config = four_links(tmp_path, smsc)
        with running(bound(Daemon(config))) as daemon:
            load = HeldLoad(daemon.target, RATE_PER_S, DURATION_S)
            with Client(daemon.target) as client, sampled(client, load.campaign), load:
                pass
            every_receipt_is_stored(tmp_path / "http.sock", SETTLED_S * SLACK)
            errors = [line for line in daemon.lines if json.loads(line)["level"] in ("error", "critical")]
            assert not errors
            assert daemon.stop() == 0
        counts = check_ledger(load.campaign, smsc.entries(), config)
    assert counts.ends == {"submitted": RATE_PER_S * DURATION_S}
    assert counts.receipts_ok == counts.pdus
    assert counts.samples > 10 * DURATION_S
    assert percentile(load.waits(), 0.99) <= P99_S * SLACK


@pytest.mark.long
def test_row_11_receipts_that_come_before_the_answer_settle_every_message_rightly(tmp_path: Path) -> None:
    with running(Smsc(tmp_path / "smsc", EARLY)) as smsc:
        config = four_links(tmp_path, smsc)
        with running(bound(Daemon(config))) as daemon:
            with HeldLoad(daemon.target, RATE_PER_S, DURATION_S) as load:
                pass
            every_receipt_is_stored(tmp_path / "http.sock", SETTLED_S * SLACK)
            counted = metrics(tmp_path / "http.sock")
            assert daemon.stop() == 0
        counts = check_ledger(load.campaign, smsc.entries(), config)
    assert counts.ends == {"submitted": RATE_PER_S * DURATION_S}
    assert (counts.receipts_ok, counts.receipts_unmatched) == (counts.pdus, 0)
    assert 0.04 * counts.pdus <= counted["smsproxy_receipts_parked_total"] <= 10_000
    assert counted["smsproxy_receipts_parking_overflow_total"] == 0
    assert counted["smsproxy_receipts_lapsed_total"] == 0


@contextlib.contextmanager
def sampled(client: Client, campaign: Campaign) -> Iterator[None]:
    """Ask for the status of messages that were answered, again and again, beside the load."""
    over = threading.Event()
    thread = threading.Thread(target=_sample, args=(client, campaign, over))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(30)


def _sample(client: Client, campaign: Campaign, over: threading.Event) -> None:
    """Each chosen message is asked about some times, so that its states are seen one after the other."""
    chance = random.Random(1)
    while not over.wait(0.005):
        said = list(campaign.said.values())[-200:]
        if not said:
            continue
        answer = chance.choice(said)
        for _ in range(4):
            info = client.info(answer.message_id, 1000)
            campaign.samples.setdefault(answer.transaction_id, []).append(dict(info.parts))
            over.wait(0.05)
