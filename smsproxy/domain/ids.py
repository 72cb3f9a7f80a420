"""Message ids: sixteen bytes, shown as UUID text.

A message without a transaction_id gets a UUIDv7 (RFC 9562 §5.7): time-ordered, so the store's index grows at
its right edge. One with a transaction_id gets an id derived from what makes a repeat a repeat (spec §2.3).
"""

from __future__ import annotations

import hashlib
import uuid

_DERIVED_VERSION = 0x80  # UUIDv8, "custom" (RFC 9562 §5.8)

RANDOM_BYTES = 10
"""Of a UUIDv7, after six bytes of time; 74 of their bits are random."""
_TO_VERSION_7 = bytes(octet & 0x0F | 0x70 for octet in range(256))
_TO_VARIANT = bytes(octet & 0x3F | 0x80 for octet in range(256))


def derived_id(app_id: int, transaction_id: str, daddr: str, text: str) -> bytes:
    """The same request gives the same sixteen bytes, on every instance and after every restart."""
    # NUL is refused in every field (spec §2.5), so it separates them without doubt.
    key = f"{app_id}\0{transaction_id}\0{daddr}\0{text}".encode()
    raw = bytearray(hashlib.blake2b(key, digest_size=16, person=b"smsproxy-msgid-1").digest())
    raw[6] = (raw[6] & 0x0F) | _DERIVED_VERSION
    raw[8] = (raw[8] & 0x3F) | 0x80
    return bytes(raw)


def time_ordered_id(unix_ms: int, random_bytes: bytes) -> bytes:
    """A UUIDv7 from a clock reading and ten random bytes."""
    ((tail, _),) = random_tails(random_bytes[:RANDOM_BYTES])
    return time_head(unix_ms)[0] + tail


def time_head(unix_ms: int) -> tuple[bytes, str]:
    """What all UUIDv7 of a millisecond begin with, and the text of it."""
    head = unix_ms.to_bytes(6, "big")
    return head, f"{head[:4].hex()}-{head[4:].hex()}"


def random_tails(random_bytes: bytes) -> list[tuple[bytes, str]]:
    """The rest of a UUIDv7, and the text of it, for each ten of `random_bytes`."""
    raw = bytearray(random_bytes)
    raw[0::RANDOM_BYTES] = raw[0::RANDOM_BYTES].translate(_TO_VERSION_7)
    raw[2::RANDOM_BYTES] = raw[2::RANDOM_BYTES].translate(_TO_VARIANT)
    octets, h = bytes(raw), raw.hex()
    return [
        (
            octets[at : at + RANDOM_BYTES],
            f"-{h[2 * at : 2 * at + 4]}-{h[2 * at + 4 : 2 * at + 8]}-{h[2 * at + 8 : 2 * at + 20]}",
        )
        for at in range(0, len(octets), RANDOM_BYTES)
    ]


def id_text(message_id: bytes) -> str:
    """``01890a5d-ac96-774b-bcce-b302099a8057`` for sixteen bytes (``str(UUID)`` costs thrice)."""
    h = message_id.hex()
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"


def parse_id(text: str) -> bytes | None:
    """The sixteen bytes of a text as `id_text` writes it, in either case; None for any other text."""
    try:
        found = uuid.UUID(text).bytes
    except ValueError:
        return None
    return found if id_text(found) == text.lower() else None  # UUID() also takes braces, urn: and underscores
