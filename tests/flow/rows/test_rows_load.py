"""Rows 5, 6 and 7 of the reliability matrix, shortened: slow down, a full window, a deaf link in a pool."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import grpc
import pytest
from rows_kit import SOAK, Campaign, check_ledger, most_outstanding

from smsproxy.simulator import ledger
from smsproxy.smpp.constants import ESME_RMSGQFUL, ESME_ROK, ESME_RTHROTTLED
from tests.flow.kit import Client, Config, Daemon, M, Smsc, running, sms

MAX_TRIES = 3


@pytest.mark.long
def test_row_5_a_full_queue_pauses_the_link_and_nothing_is_tried_more_than_thrice(tmp_path: Path) -> None:
    campaign = Campaign.of(200)
    script = {"queue_full_for_s": 1.5, "answer_delay_s": 0.002}
    with running(Smsc(tmp_path / "smsc", script)) as smsc:
        config = Config(tmp_path, smsc.port, {"links.100": {"window": 10}}).write()
        with running(Daemon(config)) as daemon, Client(daemon.target) as client:
            daemon.wait_bound()
            campaign.send(client)
        entries = smsc.entries()
    tries_are_few_and_end_with_an_ok(entries)
    assert {entry.answer for entry in ledger.submits(entries)} == {ESME_ROK, ESME_RMSGQFUL}
    assert campaign.ends == {"submitted": 200}
    check_ledger(campaign, entries)


@pytest.mark.long
def test_row_5_a_throttling_smsc_gets_what_it_takes_and_the_stream_is_slowed(tmp_path: Path) -> None:
    campaign = Campaign.of(3000 if SOAK else 600)
    script = {"throttle_per_s": 50.0, "answer_delay_s": 0.005}
    with running(Smsc(tmp_path / "smsc", script)) as smsc:
        config = Config(tmp_path, smsc.port, {"links.100": {"window": 10, "rate_per_s": 200}}).write()
        with running(Daemon(config)) as daemon, Client(daemon.target) as client:
            daemon.wait_bound()
            campaign.send(client, timeout_s=300)
        entries = smsc.entries()
    tries_are_few_and_end_with_an_ok(entries)
    assert set(campaign.ends) <= {"submitted", "rate_limited"}
    assert ESME_RTHROTTLED in {entry.answer for entry in ledger.submits(entries)}
    check_ledger(campaign, entries)


def tries_are_few_and_end_with_an_ok(entries: list[ledger.Entry]) -> None:
    """No text was submitted more than three times, nor again after an ok."""
    answers: dict[str | None, list[int | None]] = {}
    for entry in ledger.submits(entries):
        answers.setdefault(entry.text, []).append(entry.answer)
    assert max(map(len, answers.values())) <= MAX_TRIES
    assert all(ESME_ROK not in tries[:-1] for tries in answers.values())


@pytest.mark.long
def test_row_6_a_full_window_and_a_full_waiting_list_refuse_the_rest_at_once(tmp_path: Path) -> None:
    campaign = Campaign.of(40)
    with running(Smsc(tmp_path / "smsc", {"answer_delay_s": 0.8})) as smsc:
        tables = {"links.100": {"window": 10, "max_waiting": 20}, "limits": {"max_wait_ms": 60_000}}
        config = Config(tmp_path, smsc.port, tables).write()
        with running(Daemon(config)) as daemon, Client(daemon.target) as client:
            daemon.wait_bound()
            calls = {key: in_background(client, key, text) for key, text in campaign.texts.items()}
            campaign.said = {key: outcome(key, call) for key, call in calls.items()}
        entries = smsc.entries()
    assert campaign.ends == {"submitted": 30, "rate_limited": 10}
    assert most_outstanding(entries) == 10
    check_ledger(campaign, entries)


def outcome(key: str, call: Any) -> Any:
    """The answer of a unary call; of a refused one, the status word of its code (spec §2.1)."""
    if call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return M["SmsResponse"](transaction_id=key, status="rate_limited")
    return call.result()


def in_background(client: Client, key: str, text: str) -> Any:
    """A unary call that is not waited for."""
    call = client.channel.unary_unary(
        "/sms.v1.SmsService/SendMessage",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=M["SmsResponse"].FromString,
    )
    return call.future(sms(transaction_id=key, message=text), metadata=client.metadata, timeout=30)


@pytest.mark.long
def test_row_7_a_deaf_link_is_noticed_and_the_pool_goes_on_without_it(tmp_path: Path) -> None:
    campaign = Campaign.of(600)
    with (
        running(Smsc(tmp_path / "deaf", {"answer_delay_s": 0.01})) as deaf,
        running(Smsc(tmp_path / "good", {"answer_delay_s": 0.01})) as good,
    ):
        link = {"window": 10, "rate_per_s": 0, "reconnect_max_s": 0.2, "bind_timeout_s": 1}
        timers = {"enquire_link_s": 0.3, "response_timeout_s": 0.5}
        other = {"host": "127.0.0.1", "port": good.port, "system_id": "other", "password": "x"}
        tables = {
            "links.100": {**link, **timers},
            "links.101": {**other, **link},
            "pools.1000": {"members": [{"link": 100}, {"link": 101}]},
        }
        config = Config(tmp_path, deaf.port, tables).write()
        with running(Daemon(config)) as daemon, Client(daemon.target) as client:
            daemon.wait_bound(100)
            daemon.wait_bound(101)
            for number, _ in enumerate(campaign.answers(client, esme=1000)):
                if number == 100:
                    os.kill(deaf.process.pid, signal.SIGSTOP)  # TCP stays open, nobody reads
                    stopped_at = time.monotonic()
            try:
                daemon.wait_line('"link_down"', timeout_s=0.3 + 0.5 + 1)
                assert time.monotonic() - stopped_at < 5
                question = M["CheckESMERequest"](esme=100)
                assert not client.unary("CheckESME", question, "CheckESMEResponse").persist
            finally:
                os.kill(deaf.process.pid, signal.SIGCONT)
            daemon.wait_count('"event": "link_bound"', 3)
        entries = [*deaf.entries(), *good.entries()]
    assert set(campaign.ends) <= {"submitted", "unknown"}
    assert campaign.ends["unknown"] <= 10
    by_link = Counter(answer.esme for answer in campaign.said.values() if answer.status == "unknown")
    assert set(by_link) <= {100}
    check_ledger(campaign, entries)
