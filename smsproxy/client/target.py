"""Where the daemon is: ``host:port``, ``[v6]:port`` or ``unix:/path``, as in its own `listen`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """Either `host` and `port`, or `path`."""

    host: str = ""
    port: int = 0
    path: str = ""


def parse_target(text: str) -> Target:
    """Raises ValueError with what is wrong."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path.startswith("/"):
            raise ValueError(f"{text!r}: unix: needs an absolute path")
        return Target(path=path)
    host, _, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"{text!r}: an IPv6 address goes in brackets, [::1]:44044")
    if not host or not (port.isascii() and port.isdigit() and 0 < int(port) <= 0xFFFF):
        raise ValueError(f"{text!r} is not host:port, [v6]:port or unix:/path")
    return Target(host, int(port))
