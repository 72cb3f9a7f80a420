"""Header blocks of requests, decoded by hpack, with the fences that h2 lacks (RFC 7541, RFC 9113 §4.3).

Every connection has one decoder, `flow.GuardedH2` puts it in h2's place. What the headers say is judged in
`headers`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from hpack import Decoder, HeaderTuple, HPACKError, OversizedHeaderListError

KNOWN_BLOCKS = 16
"""Header blocks remembered by a connection: those of a method each, of at most 64 headers."""
_ONLY_INDEXES = re.compile(rb"[\x81-\xfe]{1,64}")
"""Every octet a whole index, below those that take more octets than one."""


class CompressionError(ProtocolError):
    """A header block that cannot be decoded (RFC 9113 §4.3); h2 alone would call it a PROTOCOL_ERROR."""

    error_code = ErrorCodes.COMPRESSION_ERROR


class GuardedDecoder(Decoder):
    """HPACK without content-length. gRPC has no use for it; h2 ends the whole connection over a wrong one.

    A block of table indexes alone (RFC 7541 §6.1), which is what a client sends for its second unary call and
    on, leaves the table as it is: it is remembered until a block comes that may change the table.
    """

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[bytes, list[HeaderTuple]] = {}

    def decode(self, data: bytes, raw: bool = False) -> Iterable[HeaderTuple]:
        """Raises CompressionError, and what h2 itself tells from it: OversizedHeaderListError."""
        known = self._known.get(data)
        if known is not None:
            return known.copy()
        if _ONLY_INDEXES.fullmatch(data) is None:
            self._known.clear()
        try:
            headers = [header for header in super().decode(data, raw) if header[0] != b"content-length"]
        except OversizedHeaderListError:
            raise
        except (HPACKError, IndexError) as error:
            raise CompressionError(f"bad header block: {error}") from error
        if raw and len(self._known) < KNOWN_BLOCKS and _ONLY_INDEXES.fullmatch(data) is not None:
            self._known[bytes(data)] = headers.copy()
        return headers
