"""gzip, the one compression that every gRPC library can be told to use: inflated with a bound, never beyond.

A few octets can announce gigabytes, so what comes out is counted while it comes out. Used by `buffer`.
"""

from __future__ import annotations

import zlib

GZIP = "gzip"
ACCEPTED = "identity,gzip"
"""For grpc-accept-encoding."""
_GZIP_WINDOW = 16 + zlib.MAX_WBITS


class Compressed(bytes):
    """A message as it came, still to be inflated."""

    __slots__ = ()


class InflatedTooLargeError(ValueError):
    """More comes out than a message may have."""


def inflate(data: bytes, max_bytes: int) -> bytes | None:
    """What `data` holds; None when it is no gzip. Raises InflatedTooLargeError past `max_bytes`."""
    machine = zlib.decompressobj(wbits=_GZIP_WINDOW)
    try:
        inflated = machine.decompress(data, max_bytes + 1)
    except zlib.error:
        return None
    if len(inflated) > max_bytes:
        raise InflatedTooLargeError
    return inflated if machine.eof and not machine.unused_data else None
