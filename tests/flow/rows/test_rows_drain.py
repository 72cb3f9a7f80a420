"""Row 26 of the reliability matrix: rolling restarts behind a balancer lose no call, of either library."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import grpc
import pytest
from callers import Messages, call_soon
from rolling import RollingCallers
from rows_kit import SOAK

from tests.flow.kit import Client, Config, Daemon, Smsc, running
from tests.flow.ledger import DriverLog, check_ledger, read_store
from tests.flow.tcp_proxy import TcpProxy

DRAINS = 50 if SOAK else 6
EXIT_S = 15.0
SECOND_SIGTERM_S = 1.0
SCRIPT = {"answer_delay_s": 0.02, "answer_jitter_s": 0.01, "receipt_delay_s": 0.1, "receipt_jitter_s": 0.4}


def an_instance(folder: Path, smsc: Smsc) -> Path:
    """An instance with a store of its own, and links 100 and 101 in pool 1000."""
    shared = {"host": "127.0.0.1", "port": smsc.port, "password": "x", "window": 50, "rate_per_s": 0}
    tables = {
        "links.100": {**shared, "system_id": f"{folder.name}0"},
        "links.101": {**shared, "system_id": f"{folder.name}1"},
        "pools.1000": {"members": [{"link": 100}, {"link": 101}]},
    }
    return Config(folder, smsc.port, tables).write()


def started(config: Path) -> Daemon:
    daemon = Daemon(config)
    daemon.wait_bound(100)
    daemon.wait_bound(101)
    return daemon


@pytest.mark.long
def test_row_26_rolling_restarts_lose_no_call_of_either_client_library(tmp_path: Path) -> None:
    log = DriverLog()
    slowest = 0.0
    with running(Smsc(tmp_path / "smsc", SCRIPT)) as smsc:
        configs = [an_instance(tmp_path / name, smsc) for name in ("a", "b")]
        daemons = [started(config) for config in configs]
        try:
            with (
                TcpProxy(*(daemon.port for daemon in daemons)) as balancer,
                RollingCallers(balancer.target, Messages(log), unary=5, streams=2, each_s=0.01) as callers,
            ):
                for number in range(DRAINS):
                    index = number % 2
                    began = time.monotonic()
                    assert daemons[index].stop(signal.SIGTERM, EXIT_S) == 0
                    slowest = max(slowest, time.monotonic() - began)
                    assert daemons[index].count_lines('"clean": true') == 1
                    daemons[index] = started(configs[index])
                    balancer.targets[index] = daemons[index].port
        finally:
            codes = [daemon.stop() for daemon in daemons]
        entries = smsc.entries()
        records = [record for config in configs for record in read_store(config)]
    counts = check_ledger(log, entries, records)
    print(f"\n{DRAINS} drains, the slowest {slowest:.2f} s\n{counts}\n  {dict(callers.notes)}")
    assert codes == [0, 0]
    assert counts.ends["submitted"] == counts.messages
    assert set(counts.ends) <= {"submitted", "unavailable"}
    assert (counts.broken, counts.repeated, counts.in_doubt) == (0, 0, 0)
    assert sum(entry.command == "unbind" for entry in entries if entry.direction == "in") == 2 * (DRAINS + 2)


@pytest.mark.long
def test_row_26_a_second_sigterm_ends_at_once_and_the_ledger_stays_exact(tmp_path: Path) -> None:
    log = DriverLog()
    messages = Messages(log)
    (key,) = messages.new(1)
    with running(Smsc(tmp_path / "smsc", {"answer_delay_s": 30.0})) as smsc:
        config = an_instance(tmp_path / "a", smsc)
        daemon = started(config)
        with Client(daemon.target) as client:
            log.asked(key)
            call = call_soon(client, messages.request(key))
            daemon_has_it(config)
            daemon.process.send_signal(signal.SIGTERM)
            daemon.wait_line('"event": "draining"')
            began = time.monotonic()
            assert daemon.stop(signal.SIGTERM, 5) == 1
            assert time.monotonic() - began < SECOND_SIGTERM_S * (1 if SOAK else 5)
            with pytest.raises(grpc.RpcError):
                call.result()
            log.broke(key)
        with running(started(config)) as daemon, Client(daemon.target) as client:
            log.asked(key)
            log.answered(client.send(messages.request(key)))
        counts = check_ledger(log, smsc.entries(), read_store(config))
    assert (counts.ends, counts.repeated) == ({"unknown": 1}, 1)


def daemon_has_it(config: Path) -> None:
    """Until the store has the intent of the one message."""
    deadline = time.monotonic() + 10
    while not read_store(config):
        assert time.monotonic() < deadline
        time.sleep(0.01)
