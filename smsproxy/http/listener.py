"""The listening socket of the HTTP door, opened by us so that a taken address is an OSError with its name.

uvicorn on its own would log and exit the process. Who calls: `server`.
"""

from __future__ import annotations

import socket

from smsproxy.aio.unix_socket import bind_unix
from smsproxy.domain.endpoint import Endpoint, parse_endpoint

BACKLOG = 128
"""Scrapers and health checks come a few at a time; this is the kernel's usual figure."""


def open_listener(listen: str) -> socket.socket:
    """A bound socket for ``host:port``, ``[v6]:port`` or ``unix:/path``.

    Raises OSError whose text names the address, ValueError when `listen` is not one.
    """
    endpoint = parse_endpoint(listen)
    try:
        return bind_unix(endpoint.unix_path) if endpoint.unix_path else _tcp(endpoint)
    except OSError as error:
        raise OSError(error.errno, f"cannot listen on {listen}: {error.strerror or error}") from error


def _tcp(endpoint: Endpoint) -> socket.socket:
    found = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, where = found[0]
    return socket.create_server(where[:2], family=family, backlog=BACKLOG)
