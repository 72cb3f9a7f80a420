"""Octets to try: valid PDUs of every kind and the golden receipts, mutated; and plain noise.

A seed gives the same inputs every time. `corpus` is also what a coverage-guided fuzzer starts from.
"""

from __future__ import annotations

import random
import struct
import tomllib
from collections.abc import Iterator
from pathlib import Path

from smsproxy.domain.address import Address
from smsproxy.smpp import constants as c
from smsproxy.smpp import pdu as p
from smsproxy.smpp.codec import encode

_GOLDEN = Path(__file__).parents[1] / "golden" / "receipts" / "receipts.toml"
_PHONE, _SENDER = Address(1, 1, "998901234567"), Address(5, 0, "MYBRAND")
_EDGES = (0, 1, 0x0F, 0x7F, 0x80, 0xFE, 0xFF)
_NUMBERS = (0, 1, 2, 3, 15, 16, 17, 0xFF, 0xFFFF, 0x10000, 0x10001, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_COMMANDS = (
    *p.BindKind, 0xB, 0x3, 0x4, 0x5, 0x6, 0x7, 0x15, 0x21, 0x102, 0x103, 0x99,
    0x80000000, 0x80000001, 0x80000004, 0x80000005, 0x80000009, 0x80000015, 0x80000103,
)  # fmt: skip
_WORDS = (
    b"id:",
    b"stat:",
    b"DELIVRD",
    b" sub:001 dlvrd:001",
    b"text:",
    b"\x00\x1e\x00\x02",
    b"\x04\x24\xff\xff",
)
_NOISE_SHARE = 0.05
_MAX_MUTATIONS = 6
_MAX_OCTETS = 2048


def corpus() -> list[bytes]:
    """One valid PDU of every kind, and every golden receipt as deliver_sm."""
    tlvs = {c.TLV_RECEIPTED_MESSAGE_ID: b"id-1\0", c.TLV_MESSAGE_STATE: b"\x02", 0x1400: b"vendor"}
    plain: list[p.Pdu] = [
        p.Bind(p.BindKind.TRANSCEIVER, "esme", "secret"),
        p.BindResp(p.BindKind.TRANSCEIVER, "smsc", {0x0210: b"\x34"}),
        p.Outbind("smsc", "secret"),
        p.Unbind(), p.UnbindResp(), p.EnquireLink(), p.EnquireLinkResp(), p.GenericNack(),
        p.SubmitSm("", _SENDER, _PHONE, 0x40, short_message=b"\5\0\3\x34\2\1hello", tlvs=tlvs),
        p.SubmitSm("", _SENDER, _PHONE, validity_period="000001000000000R", short_message=b"hello"),
        p.SubmitSmResp("id-1"), p.SubmitSmResp("id-2", {0x001D: b"why"}),
        p.DeliverSm("", _PHONE, _SENDER, 0, short_message=b"hello"),
        p.DeliverSm("", _PHONE, _SENDER, 4, tlvs=tlvs),
        p.DeliverSmResp(), p.DataSmResp("id"),
        p.DataSm("", _PHONE, _SENDER, 4, tlvs=tlvs),
        p.QuerySm("id-1", _SENDER), p.QuerySmResp("id-1", "", 2, 0),
        p.AlertNotification(_SENDER, _PHONE), p.UnknownPdu(0x99, b"?"),
    ]  # fmt: skip
    texts = [one["text"].encode("latin-1") for one in _golden() if "text" in one]
    receipts = [p.DeliverSm("", _PHONE, _SENDER, 4, short_message=text[:254]) for text in texts]
    return [encode(pdu, number % 5 + 1) for number, pdu in enumerate([*plain, *receipts])]


def _golden() -> list[dict[str, str]]:
    found: list[dict[str, str]] = tomllib.loads(_GOLDEN.read_text())["receipt"]
    return found


def inputs(count: int, seed: int) -> Iterator[bytes]:
    """`count` inputs; the same for the same seed."""
    rng = random.Random(seed)
    seeds = corpus()
    for _ in range(count):
        if rng.random() < _NOISE_SHARE:
            yield rng.randbytes(rng.randrange(200))
        else:
            yield _mutated(rng, seeds)


def _mutated(rng: random.Random, seeds: list[bytes]) -> bytes:
    """One to three PDUs, glued, each with some mutations; usually with a command_length that is true."""
    glued = b""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        octets = bytearray(rng.choice(seeds))
        for _ in range(rng.randrange(_MAX_MUTATIONS + 1)):
            _mutate(rng, octets, seeds)
        if rng.random() < 0.8 and len(octets) >= 4:
            struct.pack_into(">L", octets, 0, len(octets))
        glued += octets
    return glued[:_MAX_OCTETS]


def _mutate(rng: random.Random, octets: bytearray, seeds: list[bytes]) -> None:
    """One change in place, of a kind that parsers trip over."""
    at = rng.randrange(len(octets) + 1)
    kind = rng.randrange(9)
    if kind == 0 and at < len(octets):
        octets[at] ^= 1 << rng.randrange(8)
    elif kind == 1 and at < len(octets):
        octets[at] = rng.choice(_EDGES)
    elif kind == 2:
        del octets[at : at + rng.randrange(1, 9)]
    elif kind == 3:
        octets[at:at] = rng.randbytes(rng.randrange(1, 9))
    elif kind == 4:
        octets[at:at] = rng.choice(_WORDS)
    elif kind == 5:
        other = rng.choice(seeds)
        octets[at:] = other[rng.randrange(len(other)) :]
    elif kind == 6:
        del octets[at:]
    elif kind == 7 and len(octets) >= 16:
        struct.pack_into(">L", octets, rng.choice((0, 8, 12)), rng.choice(_NUMBERS))
    elif kind == 8 and len(octets) >= 16:
        struct.pack_into(">L", octets, 4, rng.choice(_COMMANDS))
