"""Numbers added with `smsproxy blacklist` while the daemon runs."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from tests.flow.kit import ROOT, SMSPROXY, Client, Config, Daemon, Smsc, running, sms
from tests.redis_kit import RedisServer

NUMBER = "998901234567"


def blacklist(command: str, config: Path) -> int:
    arguments = [*SMSPROXY, "blacklist", command, NUMBER, "--config", str(config)]
    return subprocess.run(arguments, cwd=ROOT, capture_output=True, check=False, timeout=30).returncode


def wait_status(client: Client, status: str, timeout_s: float) -> float:
    """Send until one ends so; how long it took."""
    began = time.monotonic()
    while True:
        found = client.send(sms(daddr=NUMBER, strategy="blacklist")).status
        passed_s = time.monotonic() - began
        if found == status:
            return passed_s
        assert passed_s < timeout_s, found


@pytest.mark.long
def test_a_number_added_at_run_time_is_refused_within_a_second_and_after_a_restart(tmp_path: Path) -> None:
    with running(Smsc(tmp_path, {})) as smsc:
        config = Config(tmp_path, smsc.port).write()
        with running(Daemon(config)) as daemon, Client(daemon.target) as client:
            daemon.wait_bound()
            assert client.send(sms(daddr=NUMBER, strategy="blacklist")).status == "submitted"
            assert blacklist("add", config) == 0
            wait_status(client, "blacklist", timeout_s=5.0)
            assert client.send(sms(daddr=NUMBER, strategy="cp2")).status == "submitted"
        with running(Daemon(config)) as daemon, Client(daemon.target) as client:
            daemon.wait_bound()
            assert client.send(sms(daddr=NUMBER, strategy="blacklist")).status == "blacklist"
            assert blacklist("remove", config) == 0
            wait_status(client, "submitted", timeout_s=5.0)


@pytest.mark.long
def test_a_number_added_once_is_refused_by_every_instance_that_shares_the_redis(
    tmp_path: Path, redis: RedisServer
) -> None:
    shared = {"policy": {"engine": "redis", "url": redis.url}}
    with running(Smsc(tmp_path, {})) as smsc:
        one, two = (Config(tmp_path / name, smsc.port, shared).write() for name in ("one", "two"))
        with running(Daemon(one)) as first, running(Daemon(two)) as second:
            assert blacklist("add", one) == 0
            for daemon in (first, second):
                daemon.wait_bound()
                with Client(daemon.target) as client:
                    wait_status(client, "blacklist", timeout_s=5.0)
            assert blacklist("check", two) == 0
            assert blacklist("remove", two) == 0
            with Client(first.target) as client:
                wait_status(client, "submitted", timeout_s=5.0)
