"""Where something listens or is found: ``host:port``, ``[v6]:port`` or ``unix:/path``. One way to write it.

The settings read listeners with it, both doors open what it names, the client dials it. No I/O, no look-up.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

UNIX_PATH_OCTETS = 107
"""sun_path of unix(7) less its terminating zero."""
_PORT_MAX = 65_535
_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Either `host` and `port`, or `unix_path`."""

    host: str = ""
    port: int = 0
    unix_path: str = ""

    @property
    def loopback(self) -> bool:
        """Whether only this host can reach it."""
        if self.unix_path or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse_endpoint(text: str) -> Endpoint:
    """Port 0 lets the system choose. Raises ValueError with the rule that `text` breaks."""
    if text.startswith("unix:"):
        return _parse_unix(text.removeprefix("unix:"))
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError("an IPv6 address goes in brackets: [::1]:44044")
    if not colon or not host or not is_host(host):
        raise ValueError("must be host:port, [v6]:port or unix:/path")
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= _PORT_MAX):
        raise ValueError("its port must be 0 to 65535 (0: any free one)")
    return Endpoint(host, int(port))


def parse_target(text: str) -> Endpoint:
    """An endpoint to dial, which has a port. Raises ValueError that names `text`."""
    try:
        target = parse_endpoint(text)
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}") from None
    if not target.unix_path and not target.port:
        raise ValueError(f"{text!r}: nobody can be reached on port 0")
    return target


def _parse_unix(path: str) -> Endpoint:
    if not path.startswith("/") or "\0" in path:
        raise ValueError("unix: needs an absolute path, unix:/run/smsproxy/grpc.sock")
    if len(path.encode()) > UNIX_PATH_OCTETS:
        raise ValueError(f"a socket's path has at most {UNIX_PATH_OCTETS} octets")
    return Endpoint(unix_path=path)


def is_host(text: str) -> bool:
    """A host name, an IPv4 or an IPv6 address (without brackets)."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return len(text) <= 253 and _HOST_NAME.fullmatch(text) is not None
    return True
