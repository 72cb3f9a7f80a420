"""Why a text cannot be sent. Always the caller's fault, nothing was sent; the pipeline answers `invalid`.

TextError
└── TooManySegmentsError   the text is fine but too long; carries its measures for CheckTextLen
"""

from __future__ import annotations

from smsproxy.domain.errors import ProductError


class TextError(ProductError):
    """The text (or, when reading, the octets) cannot be encoded; the message says where and why."""


class TooManySegmentsError(TextError):
    """The text needs more segments than allowed. Counts are as in `SegmentedText`."""

    def __init__(self, *, alphabet: str, symbols: int, units: int, parts: int, max_segments: int) -> None:
        super().__init__(f"the text needs {parts} segments, at most {max_segments} are allowed")
        self.alphabet = alphabet
        self.symbols = symbols
        self.units = units
        self.parts = parts
        self.max_segments = max_segments
