"""PROXY protocol v2: what a balancer's header says, and that any other octets are refused in one way."""

from __future__ import annotations

import socket
import struct
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from smsproxy.rpc.proxy import MAX_REST_BYTES, SIGNATURE, ProxyError, TrustedProxies, rest_bytes, source

LOCAL, PROXY = 0x20, 0x21
TCP4, TCP6, UNIX, UNSPECIFIED = 0x11, 0x21, 0x31, 0x00


def header(addresses: bytes = b"", *, command: int = PROXY, family: int = TCP4, length: int = -1) -> bytes:
    size = len(addresses) if length < 0 else length
    return struct.pack("!12sBBH", SIGNATURE, command, family, size) + addresses


def v4(address: str) -> bytes:
    return socket.inet_aton(address) + socket.inet_aton("10.0.0.1") + struct.pack("!HH", 50_000, 44044)


def v6(address: str) -> bytes:
    one, two = (socket.inet_pton(socket.AF_INET6, text) for text in (address, "::1"))
    return one + two + struct.pack("!HH", 50_000, 44044)


def read(octets: bytes) -> str | None:
    """The source of a whole header. Raises ProxyError, also for one that is cut or has something after it."""
    if len(octets) < 16 or len(octets) != 16 + rest_bytes(octets[:16]):
        raise ProxyError("not a whole header")
    return source(octets[:16], octets[16:])


@pytest.mark.parametrize(
    ("octets", "found"),
    [
        (header(v4("192.0.2.7")), "192.0.2.7"),
        (header(v6("2001:db8::7"), family=TCP6), "2001:db8::7"),
        (header(v6("::ffff:192.0.2.7"), family=TCP6), "192.0.2.7"),
        (header(v4("192.0.2.7") + b"\x04\x00\x03abc"), "192.0.2.7"),  # TLVs are skipped
        (header(v4("192.0.2.7") + bytes(MAX_REST_BYTES - 12)), "192.0.2.7"),
        (header(bytes(216), family=UNIX), None),
        (header(family=UNSPECIFIED), None),
        (header(b"what it likes", family=UNSPECIFIED), None),
        (header(command=LOCAL), None),
        (header(v4("192.0.2.7"), command=LOCAL), None),  # its addresses say nothing
        (header(command=LOCAL, family=0xFF), None),
    ],
)
def test_the_source_of_a_header(octets: bytes, found: str | None) -> None:
    assert read(octets) == found


@pytest.mark.parametrize(
    "prefix",
    [
        b"PROXY TCP4 1.2.3",  # version 1
        b"PRI * HTTP/2.0\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03abcde",  # TLS
        header(command=0x11)[:16],
        header(command=0x22)[:16],
        header(length=11)[:16],
        header(family=TCP6, length=35)[:16],
        header(family=UNIX, length=215)[:16],
        header(family=0x12, length=12)[:16],  # UDP does not come over TCP
        header(family=0x41, length=12)[:16],
        header(length=MAX_REST_BYTES + 1)[:16],
        header(command=LOCAL, length=0xFFFF)[:16],
    ],
)
def test_what_is_no_header_is_refused_at_its_first_sixteen_octets(prefix: bytes) -> None:
    with pytest.raises(ProxyError):
        rest_bytes(prefix)


@given(st.binary(max_size=400) | st.binary(max_size=300).map(lambda tail: SIGNATURE + tail))
@example(header(v4("192.0.2.7")))
def test_any_octets_are_an_address_or_the_one_error(octets: bytes) -> None:
    try:
        found = read(octets)
    except ProxyError:
        return
    assert found is None or socket.getaddrinfo(found, 0, flags=socket.AI_NUMERICHOST)


@given(st.ip_addresses())
def test_every_address_comes_through(address: IPv4Address | IPv6Address) -> None:
    text = str(address)
    octets = header(v6(text), family=TCP6) if address.version == 6 else header(v4(text))
    assert read(octets) == str(getattr(address, "ipv4_mapped", None) or address)


@pytest.mark.parametrize(
    ("names", "address", "trusted"),
    [
        (["192.0.2.0/28"], "192.0.2.15", True),
        (["192.0.2.0/28"], "192.0.2.16", False),
        (["192.0.2.0/28"], "::ffff:192.0.2.15", True),
        (["127.0.0.1", "2001:db8::/32"], "2001:db8::1", True),
        (["fe80::/10"], "fe80::1%eth0", True),
        (["127.0.0.1"], "::1", False),
        (["127.0.0.1"], "", False),
        (["127.0.0.1"], "not an address", False),
        (["unix"], "", True),
        (["unix"], "127.0.0.1", False),
        ([], "127.0.0.1", False),
    ],
)
def test_who_is_a_trusted_proxy(names: list[str], address: str, trusted: bool) -> None:
    proxies = TrustedProxies(names)
    assert bool(proxies) == bool(names)
    assert proxies.trust(address) is trusted


def test_its_networks_are_shown_joined() -> None:
    assert (
        repr(TrustedProxies(["unix", "10.0.0.0/25", "10.0.0.128/25"])) == "<TrustedProxies unix 10.0.0.0/24>"
    )
    assert repr(TrustedProxies([])) == "<TrustedProxies none>"
