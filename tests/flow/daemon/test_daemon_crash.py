"""SIGKILL again and again under load: the ledger stays exact (reliability promises P1 to P4).

The driver's log, the SMSC's truth log and what the daemon says of each message are joined at the end.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path

import grpc
import pytest

from tests.flow.kit import Client, Config, Daemon, Smsc, running, sms

ROUNDS = 50 if os.environ.get("SMSPROXY_SOAK") else 5
MESSAGES = 3000
WINDOW = 50


@pytest.mark.long
def test_the_ledger_is_exact_over_many_kills(tmp_path: Path) -> None:
    script = {"answer_delay_s": 0.005, "answer_jitter_s": 0.005, "receipt_delay_s": 0.05}
    sent: dict[str, str] = {}
    said: dict[str, str] = {}
    with running(Smsc(tmp_path / "smsc", script)) as smsc:
        config = Config(tmp_path, smsc.port, {"links.100": {"window": WINDOW}}).write()
        for number in range(ROUNDS):
            sent |= {f"r{number}-{row}": f"round {number} row {row}" for row in range(MESSAGES)}
            stream_until_killed(Daemon(config), sent, said, after=200 + 97 * number % 1500)
        with running(Daemon(config)) as daemon, Client(daemon.target) as client:
            daemon.wait_bound()
            left = [key for key in sent if said.get(key) != "submitted"]
            answers = client.stream([sms(transaction_id=key, message=sent[key]) for key in left])
            said |= {answer.transaction_id: answer.status for answer in answers}
        seen = Counter(smsc.texts())
    assert set(said) == set(sent)
    doubles = {text: count for text, count in seen.items() if count > 1}
    assert not doubles
    lost = [key for key, status in said.items() if status == "submitted" and not seen[sent[key]]]
    assert not lost
    doubtful = Counter(said.values())["unknown"]
    assert set(said.values()) <= {"submitted", "unknown"}
    assert doubtful <= ROUNDS * WINDOW


def stream_until_killed(daemon: Daemon, sent: dict[str, str], said: dict[str, str], *, after: int) -> None:
    """Send all that has no answer yet; kill the daemon once `after` answers came."""
    with Client(daemon.target) as client:
        daemon.wait_bound()
        todo = [sms(transaction_id=key, message=text) for key, text in sent.items() if key not in said]
        answers = client.stream(todo)
        try:
            for count, answer in enumerate(answers, 1):
                said[answer.transaction_id] = answer.status
                if count == after:
                    daemon.stop(signal.SIGKILL)
        except grpc.RpcError:
            pass  # the connection broke: what has no answer is asked again in the next life
    daemon.stop(signal.SIGKILL)
    assert not daemon.count_lines("Traceback"), daemon.lines
