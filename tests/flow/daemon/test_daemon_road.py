"""The whole road through real processes: grpcio ─> daemon ─> SMSC simulator and back."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from smsproxy.simulator import ledger
from tests.flow.kit import Client, Config, Daemon, M, Smsc, running, sms
from tests.flow.ledger import DriverLog, Request, check_ledger, read_store


@pytest.fixture
def smsc(tmp_path: Path) -> Iterator[Smsc]:
    with running(Smsc(tmp_path, {})) as smsc:
        yield smsc


def test_a_message_goes_out_and_its_receipt_settles_it(tmp_path: Path, smsc: Smsc) -> None:
    with running(Daemon(Config(tmp_path, smsc.port).write())) as daemon, Client(daemon.target) as client:
        daemon.wait_bound()
        answer = client.send(sms(task_id=7, transaction_id="order-1", esme=1000))
        assert (answer.status, answer.esme, answer.task_id) == ("submitted", 100, 7)
        assert len(answer.sms_ids) == 1
        info = client.wait_status(answer.message_id, "DELIVERED")
        assert (info.mode, dict(info.parts), info.delivered_count) == ("single", {"1": "DELIVERED"}, 1)
        assert (info.transaction_id, info.task_id) == ("order-1", 7)
        assert client.info(answer.message_id, esme=1000).status == "DELIVERED"
        assert client.info("0" * 36).error == "message not found"


def test_a_long_message_is_the_parts_that_checktextlen_said(tmp_path: Path, smsc: Smsc) -> None:
    text = "Ўзбекча матн 🙂 " * 20
    with running(Daemon(Config(tmp_path, smsc.port).write())) as daemon, Client(daemon.target) as client:
        daemon.wait_bound()
        question = M["CheckTextLenRequest"](text=text, esme=100)
        said = client.unary("CheckTextLen", question, "CheckTextLenResponse")
        answer = client.send(sms(message=text))
        assert (said.encode, said.parts) == ("UCS2", len(answer.sms_ids))
        info = client.wait_status(answer.message_id, "DELIVERED")
        assert info.mode == "multipart"
        assert info.delivered_count == said.parts
    entries = smsc.entries()
    assert len(ledger.submits(entries)) == said.parts
    assert [found.text for found in ledger.texts(entries)] == [text]


def test_checkesme_tells_whether_the_link_can_submit(tmp_path: Path, smsc: Smsc) -> None:
    with running(Daemon(Config(tmp_path, smsc.port).write())) as daemon, Client(daemon.target) as client:
        daemon.wait_bound()
        for esme in (100, 1000):
            assert client.unary("CheckESME", M["CheckESMERequest"](esme=esme), "CheckESMEResponse").persist


def test_a_stream_is_answered_in_order_and_each_is_sent_once(tmp_path: Path, smsc: Smsc) -> None:
    log = DriverLog()
    wanted = [log.add(f"t{number}", f"message number {number}") for number in range(2000)]
    config = Config(tmp_path, smsc.port).write()
    with running(Daemon(config)) as daemon, Client(daemon.target) as client:
        daemon.wait_bound()
        answers = list(client.stream(asked(log, wanted)))
        assert [answer.transaction_id for answer in answers] == [f"t{number}" for number in range(2000)]
        assert {answer.status for answer in answers} == {"submitted"}
        client.wait_status(answers[-1].message_id, "DELIVERED")
    for answer in answers:
        log.answered(answer)
    counts = check_ledger(log, smsc.entries(), read_store(config))
    assert (counts.pdus, counts.receipts_ok) == (2000, 2000)


def asked(log: DriverLog, requests: Iterable[Request]) -> Iterator[Any]:
    """What to send, noted as it is taken."""
    for request in requests:
        log.asked(request.transaction_id)
        yield sms(message=request.text, transaction_id=request.transaction_id)


def test_a_request_sent_again_is_not_submitted_again(tmp_path: Path, smsc: Smsc) -> None:
    config = Config(tmp_path, smsc.port).write()
    with running(Daemon(config)) as daemon, Client(daemon.target) as client:
        daemon.wait_bound()
        first = client.send(sms(transaction_id="once", strategy="cp1"))
        again = client.send(sms(transaction_id="once", strategy="cp1"))
        assert (again.status, again.repeated, again.message_id) == ("submitted", True, first.message_id)
        assert list(again.sms_ids) == list(first.sms_ids)
    with running(Daemon(config)) as daemon, Client(daemon.target) as client:
        after_restart = client.send(sms(transaction_id="once", strategy="cp1"))
        assert (after_restart.status, after_restart.repeated) == ("submitted", True)
    assert smsc.texts() == ["Hello"]


def test_a_killed_daemon_sends_nothing_twice(tmp_path: Path, smsc: Smsc) -> None:
    config = Config(tmp_path, smsc.port, {"store": {"url": "sqlite:./store.db"}}).write()
    accepted: dict[str, str] = {}
    log = DriverLog()
    wanted = [log.add(f"k{number}", f"kill {number}") for number in range(3000)]
    daemon = Daemon(config)
    with Client(daemon.target) as client:
        daemon.wait_bound()
        for answer in client.stream(asked(log, wanted)):
            log.answered(answer)
            accepted[answer.transaction_id] = answer.message_id
            if len(accepted) == 500:
                daemon.stop(signal.SIGKILL)
                break
    log.break_open(request.transaction_id for request in wanted)
    with running(Daemon(config)) as daemon, Client(daemon.target) as client:
        daemon.wait_bound()
        for message_id in list(accepted.values())[::50]:
            assert client.info(message_id).status in ("submitted", "DELIVERED")
        answers = list(client.stream(asked(log, wanted)))
        for answer in answers:
            log.answered(answer)
        assert {answer.status for answer in answers} <= {"submitted", "unknown"}
        assert sum(answer.status == "unknown" for answer in answers) <= 50  # the window
        assert all(answer.repeated for answer in answers if answer.status == "unknown")
    check_ledger(log, smsc.entries(), read_store(config))


def test_sigterm_answers_what_was_read_unbinds_and_exits_cleanly(tmp_path: Path, smsc: Smsc) -> None:
    daemon = Daemon(Config(tmp_path, smsc.port).write())
    with Client(daemon.target) as client:
        daemon.wait_bound()
        assert client.send().status == "submitted"
        assert daemon.stop() == 0
    assert daemon.count_lines('"clean": true') == 1
    assert [entry.command for entry in smsc.entries() if entry.direction == "in"][-1] == "unbind"
