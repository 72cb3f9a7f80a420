"""The file of a Unix socket: dead ones are replaced, others are left alone."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

import pytest

from smsproxy.aio.unix_socket import bind_unix, forget_unix


def test_the_socket_file_of_a_dead_process_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "x.sock")
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(path)
    dead.close()
    bind_unix(path).close()
    forget_unix(path)
    forget_unix(path)
    assert not Path(path).exists()


def test_the_socket_of_a_living_process_is_not_stolen(tmp_path: Path) -> None:
    path = str(tmp_path / "x.sock")
    with bind_unix(path) as alive:
        alive.listen()
        with pytest.raises(OSError, match="another process listens") as taken:
            bind_unix(path)
    assert taken.value.errno == errno.EADDRINUSE


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(OSError, match=r"[Aa]ddress already in use"):
        bind_unix(str(path))
    assert path.read_text() == "data"
