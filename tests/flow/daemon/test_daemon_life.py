"""What operators do to a running daemon: ask its HTTP listener, reload it, stop it."""

from __future__ import annotations

import http.client
import json
import queue
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.flow.kit import ROOT, SMSPROXY, Client, Config, Daemon, Smsc, running, sms, token

PATHS = ("/healthz", "/readyz", "/metrics")
NEW_SECRET = "the-secret-of-an-app-that-came-later"


def _get(unix_path: str, path: str) -> str:
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.sock.connect(unix_path)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


@pytest.fixture
def smsc(tmp_path: Path) -> Iterator[Smsc]:
    with running(
        Smsc(tmp_path / "smsc", {"rules": [{"do": "silent", "destination_prefix": "99891111"}]})
    ) as smsc:
        yield smsc


def test_the_http_listener_tells_health_readiness_and_counts(tmp_path: Path, smsc: Smsc) -> None:
    config = Config(tmp_path, smsc.port, {"http": {"listen": f"unix:{tmp_path}/http.sock"}}).write()
    with running(Daemon(config)) as daemon, Client(daemon.target) as client:
        daemon.wait_bound()
        answer = client.send()
        client.wait_status(answer.message_id, "DELIVERED")
        health, ready, metrics = (_get(f"{tmp_path}/http.sock", path) for path in PATHS)
    assert json.loads(health)["status"] == "ok"
    assert json.loads(ready)["links"] == {"100": "bound"}
    assert 'smsproxy_messages_total{status="submitted"} 1.0' in metrics
    assert "smsproxy_receipts_stored_total 1.0" in metrics
    assert 'smsproxy_link_bound{link="100"} 1.0' in metrics


def test_sighup_brings_an_app_and_keeps_the_sessions_of_unchanged_links(tmp_path: Path, smsc: Smsc) -> None:
    config = Config(tmp_path, smsc.port)
    with running(Daemon(config.write())) as daemon:
        daemon.wait_bound()
        later = Client(daemon.target, app_id=7, bearer=token(7, secret=NEW_SECRET))
        with later, pytest.raises(grpc.RpcError) as caught:
            later.send(sms(app_id=7))
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        config.tables["apps.7"] = {"secret": NEW_SECRET}
        config.write()
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_line('"event": "reloaded"')
        with Client(daemon.target, app_id=7, bearer=token(7, secret=NEW_SECRET)) as later:
            assert later.send(sms(app_id=7)).status == "submitted"
        assert daemon.count_lines('"event": "link_bound"') == 1


def test_an_app_that_is_revoked_is_told_in_band_on_its_open_stream(tmp_path: Path, smsc: Smsc) -> None:
    config = Config(tmp_path, smsc.port, {"apps.7": {"secret": NEW_SECRET}})
    with running(Daemon(config.write())) as daemon:
        daemon.wait_bound()
        with Client(daemon.target, app_id=7, bearer=token(7, secret=NEW_SECRET)) as client:
            requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
            stream = client.stream(iter(requests.get, None))
            requests.put(sms(app_id=7, transaction_id="before"))
            assert next(stream).status == "submitted"
            del config.tables["apps.7"]
            config.write()
            daemon.process.send_signal(signal.SIGHUP)
            daemon.wait_line('"event": "reloaded"')
            requests.put(sms(app_id=7, transaction_id="after"))
            answer = next(stream)
            assert (answer.status, answer.transaction_id) == ("unauthenticated", "after")
            requests.put(None)
            assert list(stream) == []


def test_a_blacklist_file_that_changes_is_read_again_and_only_then(tmp_path: Path, smsc: Smsc) -> None:
    listed = tmp_path / "blacklist.csv"
    listed.write_text("998900000000\n")
    config = Config(tmp_path, smsc.port, {"policy.blacklist": {"files": ["blacklist.csv"]}}).write()
    with running(Daemon(config)) as daemon, Client(daemon.target) as client:
        daemon.wait_bound()
        assert client.send(sms(strategy="blacklist")).status == "submitted"
        listed.write_text("998900000000\n998901234567\n")
        daemon.wait_count('"event": "blacklist_loaded"', 2)
        assert client.send(sms(strategy="blacklist")).status == "blacklist"
        assert daemon.count_lines('"event": "blacklist_loaded"') == 2


@pytest.mark.long
def test_a_blacklist_file_that_goes_stays_in_force_until_there_is_a_new_one(
    tmp_path: Path, smsc: Smsc
) -> None:
    listed = tmp_path / "blacklist.csv"
    listed.write_text("998901234567\n")
    config = Config(tmp_path, smsc.port, {"policy.blacklist": {"files": ["blacklist.csv"]}}).write()
    with running(Daemon(config)) as daemon, Client(daemon.target) as client:
        daemon.wait_bound()
        listed.unlink()
        assert str(listed) in daemon.wait_line('"event": "blacklist_kept"')
        assert client.send(sms(strategy="blacklist")).status == "blacklist"
        listed.write_text("998900000000\n")
        daemon.wait_count('"event": "blacklist_loaded"', 2)
        assert client.send(sms(strategy="blacklist")).status == "submitted"


@pytest.mark.long
def test_while_a_blacklist_file_is_gone_the_others_are_followed(tmp_path: Path, smsc: Smsc) -> None:
    gone, other = tmp_path / "gone.csv", tmp_path / "other.csv"
    gone.write_text("998901234567\n")
    other.write_text("998900000001\n")
    config = Config(tmp_path, smsc.port, {"policy.blacklist": {"files": ["gone.csv", "other.csv"]}}).write()
    with running(Daemon(config)) as daemon, Client(daemon.target) as client:
        daemon.wait_bound()
        gone.unlink()
        daemon.wait_line('"event": "blacklist_kept"')
        other.write_text("998900000002\n")
        daemon.wait_count('"event": "blacklist_kept"', 2)
        sent = [client.send(sms(strategy="blacklist", daddr=f"99890{end}")) for end in ("0000002", "1234567")]
        assert [answer.status for answer in sent] == ["blacklist"] * 2
        assert client.send(sms(strategy="blacklist", daddr="998900000001")).status == "submitted"


def test_a_bad_file_at_sighup_changes_nothing_and_names_the_fault(tmp_path: Path, smsc: Smsc) -> None:
    config = Config(tmp_path, smsc.port)
    with running(Daemon(config.write())) as daemon, Client(daemon.target) as client:
        daemon.wait_bound()
        config.tables["links.100"] = {"window": 0}
        config.write()
        daemon.process.send_signal(signal.SIGHUP)
        line = daemon.wait_line('"event": "reload_refused"')
        assert "links.100.window" in line
        assert client.send().status == "submitted"


def test_sighup_rebinds_a_changed_link_and_drops_a_removed_one(tmp_path: Path, smsc: Smsc) -> None:
    config = Config(
        tmp_path, smsc.port, {"links.101": {"port": smsc.port, "system_id": "two", "password": "x"}}
    )
    with running(Daemon(config.write())) as daemon, Client(daemon.target) as client:
        daemon.wait_bound(100)
        daemon.wait_bound(101)
        del config.tables["links.101"]
        config.tables["links.100"] = {"window": 7}
        config.write()
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_line('"event": "reloaded"')
        with pytest.raises(grpc.RpcError) as caught:
            client.send(sms(esme=101))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        daemon.wait_count('"event": "link_bound"', 3)
        assert client.send().status == "submitted"


def test_a_second_sigterm_ends_a_drain_that_waits_for_a_silent_smsc(tmp_path: Path, smsc: Smsc) -> None:
    config = Config(tmp_path, smsc.port, {"links.100": {"response_timeout_s": 60}}).write()
    daemon = Daemon(config)
    with Client(daemon.target) as client:
        daemon.wait_bound()
        waiting = client.stream([sms(), sms(daddr="998911110001")])
        assert next(waiting).status == "submitted"
        daemon.process.send_signal(signal.SIGTERM)
        daemon.wait_line('"event": "draining"')
        started = time.monotonic()
        assert daemon.stop() == 1
        assert time.monotonic() - started < 5
        waiting.cancel()
    assert not daemon.count_lines("Traceback")


@pytest.mark.long
def test_a_drain_that_the_smsc_does_not_end_tells_callers_unknown_before_it_cuts_them(
    tmp_path: Path, smsc: Smsc
) -> None:
    tables = {"server": {"drain_s": 3}, "links.100": {"response_timeout_s": 60}}
    with (
        running(Daemon(Config(tmp_path, smsc.port, tables).write())) as daemon,
        Client(daemon.target) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        daemon.wait_bound()
        stream = client.stream([sms(), sms(daddr="998911110001")])
        assert next(stream).status == "submitted"
        unary = pool.submit(client.send, sms(daddr="998911110002"))
        smsc.wait_line("998911110002")
        daemon.process.send_signal(signal.SIGTERM)
        assert next(stream).status == "unknown"
        with pytest.raises(grpc.RpcError) as ended:
            next(stream)
        assert ended.value.details() == "draining: requests without an answer were not sent"
        assert unary.result().status == "unknown"
        assert daemon.process.wait(timeout=10) == 0


def test_the_python_examples_of_the_readme_run_as_they_stand(tmp_path: Path, smsc: Smsc) -> None:
    protoc = [sys.executable, "-m", "grpc_tools.protoc", "-Iprotos", f"--python_out={tmp_path}"]
    subprocess.run(
        [*protoc, f"--grpc_python_out={tmp_path}", "sms/v1/sms.proto", "policy/v1/policy.proto"],
        cwd=ROOT,
        check=True,
    )
    examples = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    config = Config(tmp_path, smsc.port).write()
    with running(Daemon(config)) as daemon:
        daemon.wait_bound()
        code = "\n".join(examples).replace("127.0.0.1:44044", daemon.target)
        code = code.replace(
            '[".venv/bin/smsproxy", "token"', repr([*SMSPROXY, "token", "--config", str(config)])[:-1]
        )
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": f"{tmp_path}:{ROOT}"},
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("submitted") == 4
    assert done.stdout.endswith("['ok', 'ok', 'invalid']\n")
