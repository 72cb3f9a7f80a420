"""systemd's notify socket: told where it is there, never a reason to stop or to wait."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from smsproxy.lifecycle import notify, watchdog_interval_s


def test_systemd_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(path)
        notify("READY=1")
        assert systemd.recv(100) == b"READY=1"


@pytest.mark.parametrize("address", ["", "/nowhere/notify", "@nobody-listens-there"])
def test_a_socket_that_is_not_there_stops_nothing(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    notify("WATCHDOG=1")


def test_a_full_socket_makes_nobody_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(path)
        for _ in range(2000):  # far more than a socket's queue holds
            notify("WATCHDOG=1")


@pytest.mark.parametrize(
    ("usec", "seconds"), [("", 5.0), ("0", 5.0), ("junk", 5.0), ("10000000", 5.0), ("2000000", 1.0)]
)
def test_the_beat_is_twice_as_fast_as_systemd_asks(
    monkeypatch: pytest.MonkeyPatch, usec: str, seconds: float
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", usec)
    assert watchdog_interval_s() == seconds
