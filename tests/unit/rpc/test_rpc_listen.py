"""Listen addresses and the Unix socket's file."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

import pytest

from smsproxy.rpc.server import Listen, bind_unix, parse_listen


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("127.0.0.1:44044", Listen("127.0.0.1", 44044)),
        ("localhost:0", Listen("localhost", 0)),
        ("[::1]:44044", Listen("::1", 44044)),
        ("unix:/run/x.sock", Listen(path="/run/x.sock")),
    ],
)
def test_the_three_forms_are_read(text: str, where: Listen) -> None:
    assert parse_listen(text) == where


@pytest.mark.parametrize(
    "text", ["", "44044", ":44044", "host:", "host:x", "host:65536", "::1:44044", "unix:", "h:٣"]
)
def test_anything_else_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="listen"):
        parse_listen(text)


def test_the_socket_file_of_a_dead_process_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "x.sock")
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(path)
    dead.close()
    bind_unix(path).close()


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
