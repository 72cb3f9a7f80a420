"""CheckTextLen: what a text becomes on the wire, by the very function that sends it (spec §2.4). Pure."""

from __future__ import annotations

from collections.abc import Sequence

from smsproxy.pipeline.ports import TextMeasure
from smsproxy.text.errors import TextError, TooManySegmentsError
from smsproxy.text.segmentation import TextOptions, segment


def measure(text: str, options: Sequence[TextOptions]) -> TextMeasure:
    """The measure under each set of options, and of those the one that needs most parts."""
    return max((_measure(text, one) for one in options), key=lambda found: (bool(found.error), found.parts))


def _measure(text: str, options: TextOptions) -> TextMeasure:
    try:
        found = segment(text, options)
    except TooManySegmentsError as error:
        return TextMeasure(str(error.alphabet), error.symbols, error.parts, error.units, f"text: {error}")
    except TextError as error:
        return TextMeasure("", len(text), 0, 0, f"text: {error}")
    return TextMeasure(str(found.alphabet), found.symbols, found.parts, found.units)
