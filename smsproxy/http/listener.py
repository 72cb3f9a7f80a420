"""The listening socket of the HTTP door, opened by us so that a taken address is an OSError with its name.

uvicorn on its own would log and exit the process. Who calls: `server`.
"""

from __future__ import annotations

import os
import socket
import stat

from smsproxy.settings.server import ListenAddress, parse_listen

BACKLOG = 128
"""Scrapers and health checks come a few at a time; this is the kernel's usual figure."""


def open_listener(listen: str) -> socket.socket:
    """A bound socket for ``host:port``, ``[v6]:port`` or ``unix:/path``.

    Raises OSError whose text names the address, ValueError when `listen` is not one.
    """
    address = parse_listen(listen)
    try:
        return _unix(address.unix_path) if address.unix_path else _tcp(address)
    except OSError as error:
        raise OSError(error.errno, f"cannot listen on {listen}: {error.strerror or error}") from error


def _tcp(address: ListenAddress) -> socket.socket:
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, where = found[0]
    return socket.create_server(where[:2], family=family, backlog=BACKLOG)


def _unix(path: str) -> socket.socket:
    """A file that a dead process left is replaced; one that somebody listens on is not."""
    _remove_dead(path)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        bound.bind(path)
    except OSError:
        bound.close()
        raise
    return bound


def _remove_dead(path: str) -> None:
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return  # not ours to remove: the bind will say that it is in the way
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
