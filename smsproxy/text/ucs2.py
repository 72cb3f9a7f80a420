"""UCS2 as phones read it: UTF-16BE, cut where it hurts least (spec §2.4). Called by `segmentation`.

A surrogate pair is never cut. Beyond that, what a reader sees as one character (a letter with its combining
marks, an emoji sequence, a flag) is kept whole where that costs no extra segment; a simple reading of Unicode
UAX #29.
"""

from __future__ import annotations

import unicodedata

from smsproxy.text.errors import TextError

_ZWJ = "\u200d"
_REGIONAL_INDICATORS = "".join(map(chr, range(0x1F1E6, 0x1F200)))


def encode(text: str) -> bytes:
    """UTF-16BE octets. Raises TextError for half a surrogate pair, which no phone could show."""
    try:
        return text.encode("utf-16-be")
    except UnicodeEncodeError as error:
        lone = ord(text[error.start])
        raise TextError(f"lone surrogate U+{lone:04X} at character {error.start + 1}") from None


def pair_ends(octets: bytes, limit: int, start: int = 0) -> list[int]:
    """Octet ends of the fewest pieces from `start` of at most `limit` units, no surrogate pair torn."""
    ends: list[int] = []
    while start < len(octets):
        start = _pair_end(octets, start, limit)
        ends.append(start)
    return ends


def character_ends(octets: bytes, limit: int) -> list[int]:
    """As many pieces as `pair_ends`, each cut moved back to a visible character's end if slack allows."""
    left = len(pair_ends(octets, limit))
    ends: list[int] = []
    start = 0
    while start < len(octets):
        left -= 1
        hard = _pair_end(octets, start, limit)
        soft = _character_end(octets, start, hard)
        fits = start < soft < hard and len(pair_ends(octets, limit, soft)) <= left
        start = soft if fits else hard
        ends.append(start)
    return ends


def _pair_end(octets: bytes, start: int, limit: int) -> int:
    """The end of the longest piece from `start` of at most `limit` units that does not tear a pair."""
    end = start + 2 * limit
    if end >= len(octets):
        return len(octets)
    return end - 2 if 0xDC <= octets[end] <= 0xDF else end


def _character_end(octets: bytes, start: int, end: int) -> int:
    """The last place in start..end where a visible character begins, `start` when there is none."""
    if end == len(octets):
        return end
    head = octets[start:end].decode("utf-16-be")
    following = octets[end : end + 4].decode("utf-16-be", "ignore")[:1]
    while head and _belongs(head, following):
        following = head[-1]
        head = head[:-1]
        end -= 4 if following > "\uffff" else 2
    return end


def _belongs(head: str, char: str) -> bool:
    """True when `char` goes on with the visible character that ends `head` (UAX #29 GB3, GB9, GB11-13)."""
    if head[-1] == _ZWJ or char == _ZWJ or unicodedata.category(char) in {"Mn", "Mc", "Me"}:
        return True
    if "\U0001f3fb" <= char <= "\U0001f3ff" or "\U000e0020" <= char <= "\U000e007f":
        return True  # skin tones; tags, which spell the flags of regions
    if char in _REGIONAL_INDICATORS:
        run = len(head) - len(head.rstrip(_REGIONAL_INDICATORS))
        return run % 2 == 1  # a flag is two of them, counted from the first of the run
    return head[-1] == "\r" and char == "\n"
