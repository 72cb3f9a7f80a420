"""Other scripts in GSM7 letters: optional, per link, off by default (spec §2.4). Called by `segmentation`.

Lossy on purpose: one segment instead of two or three matters more to some senders than the exact letters.
Known letters and typographic signs have an entry here; accents that GSM7 lacks are dropped (Unicode NFKD).
The result is used only when all of it is GSM7, so an emoji keeps the whole text as it was.
"""

from __future__ import annotations

import unicodedata

from smsproxy.text.gsm7 import BASIC, ESC, EXTENSION

_IN_GSM7 = (frozenset(BASIC) | frozenset(EXTENSION.values())) - {chr(ESC)}


def _pairs(words: str) -> dict[str, str]:
    """A table from ``"а=a б=b"``; a letter with nothing after ``=`` is dropped."""
    return {entry[0]: entry[2:] for entry in words.split()}


# Lower case; capitals follow. Russian as on signs and maps (BGN/PCGN without its diacritics), Uzbek as in the
# Latin alphabet of 1995, then the letters of other Cyrillic languages that NFKD does not take apart.
_CYRILLIC = _pairs(
    "а=a б=b в=v г=g д=d е=e ё=yo ж=zh з=z и=i й=y к=k л=l м=m н=n о=o п=p р=r с=s т=t у=u ф=f х=kh ц=ts "
    "ч=ch ш=sh щ=shch ъ= ы=y ь= э=e ю=yu я=ya "
    "ў=o' қ=q ғ=g' ҳ=h "
    "ґ=g є=ye і=i ї=yi ә=a җ=j ң=ng ө=o ұ=u ү=u һ=h ҷ=j ђ=dj ј=j љ=lj њ=nj ћ=c џ=dz ѕ=dz"
)
# The same letters sound otherwise in Uzbek; a text with one of the letters only Uzbek (or a neighbour) has is
# taken to be Uzbek.
_UZBEK = _pairs("ж=j х=x ъ='")
_UZBEK_MARKS = frozenset("ўқғҳЎҚҒҲ")

# Greek is written in capitals; those without a septet of their own look like Latin ones.
_GREEK = _pairs("Α=A Β=B Ε=E Ζ=Z Η=H Ι=I Κ=K Μ=M Ν=N Ο=O Ρ=P Τ=T Υ=Y Χ=X")

_LATIN = _pairs("ı=i ł=l đ=d ħ=h ŧ=t ŋ=ng ð=d þ=th œ=oe ə=a ơ=o ư=u ẞ=SS ĸ=k")

_SIGNS = _pairs(
    "‘=' ’=' ‚=' ‛=' ′=' ʻ=' ʼ=' ʹ=' ˈ=' `=' ´=' “=\" ”=\" „=\" ‟=\" ″=\" «=\" »=\" ‹=< ›=> "
    "‐=- ‑=- ‒=- –=- —=- ―=- −=- •=* ·=. ×=x ÷=/ ⁄=/ ©=(c) ®=(r) µ=u"
)
# Blanks and line ends that NFKD leaves as they are, and marks that show nothing.
_BLANKS = {"\t": " ", "\u1680": " ", "\u2028": "\n", "\u2029": "\n"}
_INVISIBLE = dict.fromkeys("\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\ufe0e\ufe0f", "")

_LETTERS = _CYRILLIC | _LATIN
_UZBEK_LETTERS = _LETTERS | _UZBEK
_EXACT = _GREEK | _SIGNS | _BLANKS | _INVISIBLE


def to_gsm7(text: str) -> str | None:
    """`text` in GSM7 characters, or None when one has no counterpart or nothing is left."""
    text = unicodedata.normalize("NFC", text)  # so that an e and an accent meet as é, which GSM7 has
    letters = _LETTERS if _UZBEK_MARKS.isdisjoint(text) else _UZBEK_LETTERS
    written: list[str] = []
    for index, char in enumerate(text):
        latin = char if char in _IN_GSM7 else _rewrite(char, letters)
        if latin is None:
            return None
        if len(latin) > 1 and latin[0].isupper() and _in_capitals(text, index):
            latin = latin.upper()
        written.append(latin)
    return "".join(written) or None


def _rewrite(char: str, letters: dict[str, str]) -> str | None:
    """One character outside GSM7 in GSM7 ones (``Ш`` as ``Sh``), or None."""
    known = _EXACT.get(char)
    if known is None:
        known = letters.get(char)
    if known is None and (small := letters.get(char.lower())) is not None:
        known = small[:1].upper() + small[1:]
    return _fold(char, letters) if known is None else known


def _fold(char: str, letters: dict[str, str]) -> str | None:
    """A character by its Unicode decomposition: accents dropped, ligatures and full-width forms opened."""
    greek_small = "\u0370" <= char <= "\u03ff" and char.islower()
    decomposed = unicodedata.normalize("NFKD", char.upper() if greek_small else char)
    base = "".join(c for c in decomposed if not unicodedata.combining(c))
    if base == char:
        return None
    written: list[str] = []
    for part in base:
        latin = part if part in _IN_GSM7 else _rewrite(part, letters)
        if latin is None:
            return None
        written.append(latin)
    return "".join(written)


def _in_capitals(text: str, index: int) -> bool:
    """Whether the word around a capital is in capitals, so that Щ is SHCH and not Shch."""
    following = text[index + 1 : index + 2]
    if following.isalpha():
        return following.isupper()
    return text[max(index - 1, 0) : index].isupper()
