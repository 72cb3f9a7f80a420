"""The daemon on a real Aerospike cluster: SIGKILL under load, and the cluster's clear lines at the start.

Needs ``AEROSPIKE_HOSTS=host:3000`` (and ``AEROSPIKE_NAMESPACE``, default `proxy`); its messages have ids of
their own and go with their retention.
"""

from __future__ import annotations

import os
import signal
import uuid
from collections import Counter
from pathlib import Path

import grpc
import pytest

from tests.flow.kit import Client, Config, Daemon, Smsc, running, sms

HOSTS = os.environ.get("AEROSPIKE_HOSTS", "")
URL = f"aerospike://{HOSTS}/{os.environ.get('AEROSPIKE_NAMESPACE', 'proxy')}"
ROUNDS = 50 if os.environ.get("SMSPROXY_SOAK") else 4
MESSAGES = 1000

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        not HOSTS, reason="AEROSPIKE_HOSTS=host:3000 names no Aerospike cluster to test against"
    ),
]


def test_over_many_kills_nothing_is_sent_twice_and_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    script = {"answer_delay_s": 0.005, "answer_jitter_s": 0.005, "receipt_delay_s": 0.05}
    sent: dict[str, str] = {}
    said: dict[str, str] = {}
    life = uuid.uuid4().hex[:12]
    with running(Smsc(tmp_path / "smsc", script)) as smsc:
        store = {"url": URL, "retention_s": 600, "receipt_timeout_s": 600}
        config = Config(tmp_path, smsc.port, {"store": store, "server": {"instance": life}}).write()
        for number in range(ROUNDS):
            keys = [f"{life}-{number}-{row}" for row in range(MESSAGES)]
            sent |= {key: f"text {key}" for key in keys}
            stream_until_killed(Daemon(config), sent, said, after=200 + 97 * number % 700)
        with running(Daemon(config)) as daemon, Client(daemon.target) as client:
            daemon.wait_bound()
            left = [key for key in sent if said.get(key) != "submitted"]
            answers = client.stream([sms(transaction_id=key, message=sent[key]) for key in left], timeout=600)
            said |= {answer.transaction_id: answer.status for answer in answers}
        seen = Counter(smsc.texts())
    assert set(said) == set(sent)
    assert not {text: count for text, count in seen.items() if count > 1}
    assert not [key for key, status in said.items() if status == "submitted" and not seen[sent[key]]]
    assert set(said.values()) <= {"submitted", "unknown"}
    print(f"{ROUNDS} kills, {len(sent)} messages, {Counter(said.values())}")


def stream_until_killed(daemon: Daemon, sent: dict[str, str], said: dict[str, str], *, after: int) -> None:
    """Send all that has no answer yet; kill the daemon once `after` answers came."""
    with Client(daemon.target) as client:
        daemon.wait_bound()
        todo = [sms(transaction_id=key, message=text) for key, text in sent.items() if key not in said]
        answers = client.stream(todo, timeout=600)
        try:
            for count, answer in enumerate(answers, 1):
                said[answer.transaction_id] = answer.status
                if count == after:
                    daemon.stop(signal.SIGKILL)
        except grpc.RpcError:
            pass  # the connection broke: what has no answer is asked again in the next life
    daemon.stop(signal.SIGKILL)
    assert not daemon.count_lines("Traceback"), daemon.lines
