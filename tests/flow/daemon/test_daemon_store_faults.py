"""The store goes away under a running daemon and comes back (rows 10, 33 and 38, shortened).

What callers, SMSCs and operators see meanwhile: new messages are provably not sent, soon; receipts are held
and then sent back; what was acknowledged is there afterwards, and what hung is settled.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import resource
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import pytest

from smsproxy.simulator.entry import Entry
from smsproxy.smpp.constants import ESME_ROK, ESME_RX_T_APPN
from tests.flow.kit import SMSPROXY, Client, Config, Daemon, Process, Smsc, running, sms

SOAK = bool(os.environ.get("SMSPROXY_SOAK"))
LONG_S = 10.0 if SOAK else 7.0
REFUSED_S = 0.1 if SOAK else 0.5
"""The promise; in CI five times as long."""


@contextlib.contextmanager
def locked(store: Path, _daemon: Daemon) -> Iterator[str]:
    """A foreign process holds the write lock."""
    code = (
        "import sqlite3, sys\n"
        "file = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "file.execute('BEGIN IMMEDIATE')\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()\n"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code, str(store)], stdin=pipe, stdout=pipe) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        yield "database is locked"
        assert holder.stdin is not None
        holder.stdin.close()


@contextlib.contextmanager
def full(store: Path, daemon: Daemon) -> Iterator[str]:
    """No file of the daemon can grow: what a full disk does."""
    pid = daemon.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (Path(f"{store}-wal").stat().st_size, before[1]))
    yield "disk I/O error"
    resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


@contextlib.contextmanager
def moved(store: Path, _daemon: Daemon) -> Iterator[str]:
    """Somebody takes the file away, and puts it back."""
    store.rename(store.with_name("elsewhere"))
    yield "the file was removed or replaced under the daemon"
    store.with_name("elsewhere").rename(store)


Fault = Callable[[Path, Daemon], Any]


def get(folder: Path, page: str) -> str:
    connection = http.client.HTTPConnection("localhost", timeout=5)
    connection.sock = socket.socket(socket.AF_UNIX)
    with closing(connection):
        connection.sock.connect(str(folder / "http.sock"))
        connection.request("GET", page)
        return connection.getresponse().read().decode()


def wait_ready(folder: Path, status: str, timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while (found := json.loads(get(folder, "/readyz"))["status"]) != status:
        assert time.monotonic() < deadline, found


def wait_metric(folder: Path, line: str, timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while f"smsproxy_{line}\n" not in (found := get(folder, "/metrics")):
        assert time.monotonic() < deadline, found


def refusals(client: Client, count: int, name: str) -> list[float]:
    """Send `count` messages that must be refused as not sent; how long each took to say so."""
    took = []
    for number in range(count):
        began_at = time.monotonic()
        with pytest.raises(grpc.RpcError) as caught:
            client.send(sms(message=f"{name} {number}", transaction_id=f"{name}-{number}"))
        took.append(time.monotonic() - began_at)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert caught.value.details() == "the record store is not available"
    return took


@contextlib.contextmanager
def up(folder: Path, script: dict[str, Any]) -> Iterator[tuple[Smsc, Daemon, Client]]:
    with running(Smsc(folder / "smsc", script)) as smsc:
        config = Config(folder, smsc.port, {"http": {"listen": f"unix:{folder}/http.sock"}}).write()
        with running(Daemon(config)) as daemon, Client(daemon.target) as client:
            daemon.wait_bound()
            yield smsc, daemon, client


@pytest.mark.parametrize(
    "fault",
    [locked, pytest.param(full, marks=pytest.mark.long), pytest.param(moved, marks=pytest.mark.long)],
)
def test_while_the_store_is_away_new_messages_are_not_sent_and_soon_told(
    tmp_path: Path, fault: Fault
) -> None:
    with up(tmp_path, {"receipts": "never"}) as (smsc, daemon, client):
        before = client.send(sms(message="before", transaction_id="before"))
        with fault(tmp_path / "store.db", daemon) as words:
            took = refusals(client, 20, "away")
            wait_ready(tmp_path, f"store away: {words}")
            took += refusals(client, 20, "later")
        wait_ready(tmp_path, "ready")
        again = client.send(sms(message="away 0", transaction_id="away-0"))
        assert (again.status, again.repeated) == ("submitted", False)
        assert client.info(before.message_id).status == "submitted"
        assert sorted(smsc.texts()) == ["away 0", "before"]
    assert max(took) < REFUSED_S
    assert daemon.count_lines(f'store.db: {words}"') <= 4, "one line for each kind of call"
    assert daemon.count_lines('"event": "call_fails"') >= 1


@pytest.mark.long
def test_what_hangs_on_a_locked_store_is_held_sent_back_and_settled_when_it_returns(tmp_path: Path) -> None:
    script = {"answer_delay_s": 1.0, "receipt_delay_s": 0.2, "receipt_retry_s": 0.5}
    with up(tmp_path, script) as (smsc, daemon, client):
        under_way = client.stream([sms(message=f"m{number}") for number in range(40)])
        wait_metric(tmp_path, "intents_stored_total 40.0")
        with locked(tmp_path / "store.db", daemon):
            answers = list(under_way)
            assert {answer.status for answer in answers} == {"unknown"}
            time.sleep(LONG_S)  # the fault is its length: more than a receipt is held
            wait_metric(tmp_path, "store_away 1.0")
            took = refusals(client, 20, "away")
        wait_ready(tmp_path, "ready")
        for answer in answers:
            client.wait_status(answer.message_id, "DELIVERED")
        entries = smsc.entries()
    held = held_s(entries)
    sent_back = [wait_s for wait_s, status in held if status == ESME_RX_T_APPN]
    assert len(sent_back) >= 40
    assert max(sent_back) < 5.1
    assert sum(status == ESME_ROK for _, status in held) == 40
    assert max(took) < REFUSED_S


def held_s(entries: list[Entry]) -> list[tuple[float, int]]:
    """How long each receipt was held, and how it was answered."""
    asked = {
        (one.session, one.sequence_number): one.at
        for one in entries
        if (one.direction, one.command) == ("out", "deliver_sm")
    }
    return [
        (one.at - asked[one.session, one.sequence_number], one.command_status)
        for one in entries
        if (one.direction, one.command) == ("in", "deliver_sm_resp")
    ]


@pytest.mark.long
def test_a_second_daemon_and_a_corrupt_file_are_refused_at_the_start_in_one_line(tmp_path: Path) -> None:
    with up(tmp_path, {}) as (_, _, client):
        assert refused(tmp_path) == f"store: {tmp_path}/store.db: in use by another smsproxy process"
        assert client.send().status == "submitted"
    path = tmp_path / "store.db"
    good = path.read_bytes()
    path.write_bytes(good[:100] + b"\xff" * 4000 + good[4100:])
    assert refused(tmp_path) == f"store: {path}: database disk image is malformed"
    checked = subprocess.run(
        [*SMSPROXY, "store", "check", "--config", str(tmp_path / "smsproxy.toml")],
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert checked.returncode == 1
    assert checked.stderr.startswith(f"smsproxy: {path}: ")


def refused(folder: Path) -> str:
    """The one line of a daemon that does not start."""
    process = Process(["run", "--config", str(folder / "smsproxy.toml")])
    assert process.process.wait(timeout=20) == 2
    process.stop()
    (line,) = [line for line in process.lines if not line.startswith("{")]
    return line.removeprefix("smsproxy: ")


def test_an_export_beside_the_daemon_tells_what_it_has_stored(tmp_path: Path) -> None:
    with up(tmp_path, {}) as (_, _, client):
        said = [client.send(sms(message=f"m{number}")) for number in range(5)]
        for answer in said:
            client.wait_status(answer.message_id, "DELIVERED")
        done = subprocess.run(
            [*SMSPROXY, "store", "export", "--config", str(tmp_path / "smsproxy.toml")],
            capture_output=True, text=True, check=True, timeout=30,
        )  # fmt: skip
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["message_id"] for line in lines] == [answer.message_id for answer in said]
    assert {(line["status"], line["segments"][0]["smsc_id"]) for line in lines} == {
        ("DELIVERED", answer.sms_ids[0]) for answer in said
    }
    with closing(sqlite3.connect(tmp_path / "store.db")) as file:
        assert file.execute("SELECT count(*) FROM messages").fetchone() == (5,)
