"""Rows 5, 6 and 7 of the reliability matrix, shortened: slow down, a full window, a deaf link in a pool."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from held_load import HeldLoad, call_soon, percentile, said_of
from held_pool import LINKS, RATE, SLACK, HeldPool
from rows_kit import SOAK, Campaign, check_ledger, most_outstanding

from smsproxy.simulator import ledger
from smsproxy.simulator.entry import Entry
from smsproxy.smpp.constants import ESME_RMSGQFUL, ESME_ROK, ESME_RTHROTTLED
from tests.flow.kit import Client, Config, Daemon, M, Smsc, running, sms, token

MAX_TRIES = 3
OFFERED_PER_S = 200
MAX_WAIT_S = 1.0
"""limits.max_wait_ms of the settings: a unary call may wait so long for a place."""
SECRET_OF = "the secret of application {}, long enough for HS256"


@pytest.mark.long
def test_row_5_a_full_queue_pauses_the_link_and_nothing_is_tried_more_than_thrice(tmp_path: Path) -> None:
    campaign = Campaign.of(200)
    full = {"do": "error", "status": "ESME_RMSGQFUL", "at_most": 10}  # the whole first window
    script = {"rules": [full], "answer_delay_s": 0.002}
    with running(Smsc(tmp_path / "smsc", script)) as smsc:
        config = Config(tmp_path, smsc.port, {"links.100": {"window": 10}}).write()
        with running(Daemon(config)) as daemon, Client(daemon.target) as client:
            daemon.wait_bound()
            campaign.send(client)
        entries = smsc.entries()
    tries_are_few_and_end_with_an_ok(entries)
    assert {entry.answer for entry in ledger.submits(entries)} == {ESME_ROK, ESME_RMSGQFUL}
    assert campaign.ends == {"submitted": 200}
    check_ledger(campaign, entries, config)


@pytest.mark.long
def test_row_5_a_throttling_smsc_gets_what_it_takes_and_the_excess_is_refused_at_once(tmp_path: Path) -> None:
    settle_s, full_at_s, full_s, duration_s = (10, 40, 10, 55) if SOAK else (10, 16, 2, 19)
    script = {
        "throttle_per_s": 50.0, "answer_delay_s": 0.005,
        "queue_full_after_s": float(full_at_s), "queue_full_for_s": float(full_s),
    }  # fmt: skip
    with HeldPool(tmp_path, script, links=1, window=10, rate_per_s=200, max_waiting=100) as held:
        load = HeldLoad(
            held.daemon.target, OFFERED_PER_S, duration_s, esme=100, wait_s=600,
            text=lambda number: f"throttled message {number}",
        )  # fmt: skip
        with load:
            pass
        entries = held.entries()
    tries_are_few_and_end_with_an_ok(entries)
    submits = ledger.submits(entries)
    began = min(entry.at for entry in entries)  # the SMSC's time begins a little before its first PDU
    settled = [entry for entry in submits if began + settle_s <= entry.at <= began + full_at_s - 1]
    taken = [entry for entry in settled if entry.answer == ESME_ROK]
    rate = len(taken) / (full_at_s - 1 - settle_s)
    assert abs(rate - 50) <= 0.1 * SLACK * 50
    assert len(settled) - len(taken) <= 0.05 * SLACK * len(settled)
    assert {ESME_RTHROTTLED, ESME_RMSGQFUL, ESME_ROK} == {entry.answer for entry in submits}
    assert set(load.campaign.ends) <= {"submitted", "rate_limited"}
    refused = [trip for trip in load.trips.values() if trip.answer.status == "rate_limited"]
    assert all(trip.answer.retry_after_ms > 0 for trip in refused)
    at_once = sorted(trip.waited_s for trip in refused if trip.unary and trip.waited_s < MAX_WAIT_S)
    assert percentile(at_once, 0.99) <= 0.05 * SLACK
    check_ledger(load.campaign, entries, held.config)


def tries_are_few_and_end_with_an_ok(entries: list[Entry]) -> None:
    """No segment was submitted more than three times, nor again after an ok."""
    answers: dict[tuple[object, ...], list[int | None]] = {}
    for entry in ledger.submits(entries):
        answers.setdefault((entry.destination, entry.segment_no, entry.text), []).append(entry.answer)
    assert max(map(len, answers.values())) <= MAX_TRIES
    assert all(ESME_ROK not in tries[:-1] for tries in answers.values())


@pytest.mark.long
def test_row_6_a_full_window_and_a_full_waiting_list_refuse_the_rest_at_once(tmp_path: Path) -> None:
    apps = range(1, 11)
    tables: dict[str, Any] = {f"apps.{app_id}": {"secret": SECRET_OF.format(app_id)} for app_id in apps}
    tables["limits"] = {"max_wait_ms": 60_000}
    window = {"window": 10, "max_waiting": 100, "enquire_link_s": 300, "response_timeout_s": 60}
    with (
        HeldPool(tmp_path, {"answer_delay_s": 2.0}, links=1, tables=tables, **window) as held,
        contextlib.ExitStack() as stack,
    ):
        smsc = held.smscs[0]
        callers = {app_id: stack.enter_context(caller(held.daemon, app_id)) for app_id in apps}
        campaign, calls = Campaign({}), {}

        def call(app_id: int, name: str) -> Any:
            key = f"{name}-of-{app_id}"
            campaign.texts[key] = f"message {key}"
            request = sms(app_id=app_id, transaction_id=key, message=campaign.texts[key])
            calls[key] = call_soon(callers[app_id], request, timeout_s=120)
            return calls[key]

        os.kill(smsc.process.pid, signal.SIGSTOP)  # nothing is answered while the callers line up
        try:
            for app_id in apps:
                call(app_id, "first")
            held.wait_counted("link_window_in_use", 10)
            for app_id in apps:
                for number in range(10):
                    call(app_id, f"waiter-{number}")
            held.wait_counted("link_waiting", 100)
            for number in range(10):
                refused_within(call(1, f"excess-{number}"), 0.05 * SLACK)
            calls.pop("waiter-5-of-3").cancel()
            del campaign.texts["waiter-5-of-3"]
            held.wait_counted("link_waiting", 99)
            call(4, "late-waiter")
            held.wait_counted("link_waiting", 100)
        finally:
            os.kill(smsc.process.pid, signal.SIGCONT)
        campaign.said = {key: said_of(key, call) for key, call in calls.items()}
        entries = held.entries()
    assert campaign.ends == {"submitted": 110, "rate_limited": 10}
    assert most_outstanding(entries) == 10
    served = [(entry.text or "").rpartition("-of-") for entry in ledger.submits(entries)][10:]
    turns = [int(app_id) for _, _, app_id in served]
    for begin in range(0, 90, 10):
        assert sorted(turns[begin : begin + 10]) == list(apps), "not round-robin"
    for app_id in apps:
        own = [text for text, _, whose in served if int(whose) == app_id and "late" not in text]
        assert own == sorted(own), "not first-come"
    check_ledger(campaign, entries, held.config)


def caller(daemon: Daemon, app_id: int) -> Client:
    """An application of its own, with a connection of its own."""
    return Client(daemon.target, app_id=app_id, bearer=token(app_id, secret=SECRET_OF.format(app_id)))


def refused_within(call: Any, limit_s: float) -> None:
    began = time.monotonic()
    error = call.exception()
    waited_s = time.monotonic() - began
    assert error is not None
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert int(dict(error.trailing_metadata())["retry-after-ms"]) > 0
    assert waited_s <= limit_s


@pytest.mark.long
def test_row_7_a_deaf_link_is_noticed_and_the_pool_goes_on_without_it(tmp_path: Path) -> None:
    enquire_s, timeout_s = (5.0, 5.0) if SOAK else (1.0, 1.0)
    before_s, deaf_s, duration_s = (20, 25, 60) if SOAK else (4, 8, 15)
    timers = {"enquire_link_s": enquire_s, "response_timeout_s": timeout_s, "bind_timeout_s": 2}
    with HeldPool(tmp_path, {"enquire_link_s": 0.2}, **timers, reconnect_max_s=1) as held:
        deaf = held.smscs[0].process.pid
        with held.load(duration_s) as load:
            wait_until(lambda: len(load.campaign.said) > RATE * before_s)
            os.kill(deaf, signal.SIGSTOP)  # TCP stays open, nobody reads
            stopped_at = time.monotonic()
            try:
                held.daemon.wait_line('"link_down"', timeout_s=enquire_s + timeout_s + 1 * SLACK)
                noticed_s = time.monotonic() - stopped_at
                question = M["CheckESMERequest"](esme=100)
                assert not held.client.unary("CheckESME", question, "CheckESMEResponse").persist
                wait_until(lambda: time.monotonic() - stopped_at > deaf_s)
            finally:
                os.kill(deaf, signal.SIGCONT)
            held.daemon.wait_count('"event": "link_bound"', LINKS + 1)
        entries = held.entries()
    assert noticed_s <= enquire_s + timeout_s + 1 * SLACK
    assert set(load.campaign.ends) <= {"submitted", "unknown", "rate_limited"}
    doubtful = [answer for answer in load.campaign.said.values() if answer.status == "unknown"]
    assert {answer.esme for answer in doubtful} == {100}
    assert len(doubtful) <= 50
    avoided = stopped_at + noticed_s + 1, stopped_at + deaf_s
    rest = [trip for trip in load.trips.values() if avoided[0] <= trip.sent_at <= avoided[1]]
    assert len(rest) >= 0.95 * RATE * (avoided[1] - avoided[0]), "the load was not held"
    assert {(trip.answer.status, trip.answer.esme == 100) for trip in rest} == {("submitted", False)}
    refused = [trip for trip in load.trips.values() if trip.answer.status == "rate_limited"]
    assert all(trip.unary and stopped_at - MAX_WAIT_S <= trip.sent_at <= avoided[0] for trip in refused)
    base = load.waits(lambda trip: trip.sent_at < stopped_at - 1)
    others = load.waits(lambda trip: trip.sent_at >= stopped_at and trip.answer.esme != 100)
    assert percentile(others, 0.99) <= 2 * SLACK * percentile(base, 0.99)
    healthy = [entry for entry in entries if entry.system_id == "row"]
    assert percentile(enquiries_answered(healthy), 0.99) <= 0.1 * SLACK
    check_ledger(load.campaign, entries, held.config)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def enquiries_answered(entries: list[Entry]) -> list[float]:
    """Seconds from each enquire_link of an SMSC to our answer, shortest first."""
    asked: dict[tuple[int, int], float] = {}
    found = []
    for entry in entries:
        key = (entry.session, entry.sequence_number)
        if (entry.direction, entry.command) == ("out", "enquire_link"):
            asked[key] = entry.at
        elif (entry.direction, entry.command) == ("in", "enquire_link_resp"):
            found.append(entry.at - asked.pop(key))
    return sorted(found)
