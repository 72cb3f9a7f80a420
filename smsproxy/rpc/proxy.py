"""PROXY protocol v2: a balancer's word on whose connection it passes on (`server.trusted_proxies`).

    signature (12) │ version, command (1) │ family, protocol (1) │ length (2) │ addresses │ TLVs

Pure: octets in, an address out. Any octets are an address, the word LOCAL, or a ProxyError. Only the source
address is used; ports and TLVs are skipped. Who calls: `gate`, and only for connections from those networks.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from struct import Struct

from smsproxy.domain.errors import ProductError

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
PREFIX_BYTES = 16
MAX_REST_BYTES = 4096
"""Addresses take 216 octets at most, TLVs of a balancer that ends TLS itself some hundreds."""
UNIX = "unix"

_prefix = Struct("!12sBBH").unpack
_LOCAL, _PROXY = 0x20, 0x21
_ADDRESS_BYTES = {0x00: 0, 0x11: 12, 0x21: 36, 0x31: 216}
"""Family and protocol -> the size of its addresses: unspecified, and TCP over IPv4, IPv6 and Unix."""

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class ProxyError(ProductError):
    """These octets are no PROXY header."""


def rest_bytes(prefix: bytes) -> int:
    """How many octets follow the first 16. Raises ProxyError."""
    signature, command, family, length = _prefix(prefix)
    if signature != SIGNATURE:
        raise ProxyError("no signature")
    if command not in (_LOCAL, _PROXY):
        raise ProxyError("not version 2, or an unknown command")
    if length > MAX_REST_BYTES:
        raise ProxyError(f"{length} octets of header")
    if command == _PROXY and length < _ADDRESS_BYTES.get(family, MAX_REST_BYTES + 1):
        raise ProxyError("an unknown family, or too short for its addresses")
    return int(length)


def source(prefix: bytes, rest: bytes) -> str | None:
    """The caller's address; None where the balancer speaks for itself (LOCAL) or does not know it."""
    _, command, family, _ = _prefix(prefix)
    if command == _LOCAL:
        return None
    if family == 0x11:
        return str(ipaddress.IPv4Address(rest[:4]))
    if family == 0x21:
        return plain(ipaddress.IPv6Address(rest[:16]))
    return None


def plain(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """One address, one text: an IPv4 one that came in IPv6's clothes is that IPv4 one."""
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


class TrustedProxies:
    """Who must begin with a PROXY header. False when nobody must."""

    def __init__(self, names: Iterable[str]) -> None:
        names = list(names)
        self._unix = UNIX in names
        networks = [ipaddress.ip_network(name) for name in names if name != UNIX]
        self._networks: list[_Network] = [
            *ipaddress.collapse_addresses([each for each in networks if each.version == 4]),
            *ipaddress.collapse_addresses([each for each in networks if each.version == 6]),
        ]

    def __bool__(self) -> bool:
        return self._unix or bool(self._networks)

    def __repr__(self) -> str:
        names = [UNIX] * self._unix + [str(network) for network in self._networks]
        return f"<TrustedProxies {' '.join(names) or 'none'}>"

    def trust(self, address: str) -> bool:
        """`address` is "" for a Unix socket."""
        if not address:
            return self._unix
        try:
            found = ipaddress.ip_address(plain(ipaddress.ip_address(address.partition("%")[0])))
        except ValueError:
            return False
        return any(found.version == network.version and found in network for network in self._networks)
