"""A Bloom filter over message ids: "surely not in this part", or "look". Pure.

Derived ids are hashes, so four pieces of an id are its four bit numbers. With a full part there are 8.4 bits
an id, and two in a hundred looks are for nothing. Used by the SQLite store for its parts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

_BITS = 24
_MASK = (1 << _BITS) - 1
OCTETS = 1 << (_BITS - 3)
"""2 MiB."""


def _places(message_id: bytes) -> tuple[int, int, int, int]:
    """Four bit numbers out of sixteen octets, those of version and variant left out."""
    number = int.from_bytes(message_id, "big")
    return number >> 104, number >> 80 & _MASK, number >> 32 & _MASK, number & _MASK


def add(bits: bytearray, message_ids: Iterable[bytes]) -> None:
    """From here on `holders` names this filter for each of them."""
    for one in message_ids:
        a, b, c, d = _places(one)
        bits[a >> 3] |= 1 << (a & 7)
        bits[b >> 3] |= 1 << (b & 7)
        bits[c >> 3] |= 1 << (c & 7)
        bits[d >> 3] |= 1 << (d & 7)


def holders(filters: Mapping[int, bytearray], message_id: bytes) -> list[int]:
    """The keys of the filters that may have it: all that have, and a few that have not."""
    a, b, c, d = _places(message_id)
    return [
        key
        for key, bits in filters.items()
        if bits[a >> 3] >> (a & 7) & 1
        and bits[b >> 3] >> (b & 7) & 1
        and bits[c >> 3] >> (c & 7) & 1
        and bits[d >> 3] >> (d & 7) & 1
    ]
