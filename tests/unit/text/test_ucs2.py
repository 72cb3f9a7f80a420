"""UTF-16BE pieces: pairs never torn, visible characters kept whole where it is free."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsproxy.text import ucs2
from smsproxy.text.errors import TextError

FAMILY = "👨‍👩‍👧‍👦"  # four people joined by three ZWJ: 11 units
FLAG_UZ = "🇺🇿"
FLAG_SCOTLAND = "🏴" + "".join(chr(0xE0000 + ord(c)) for c in "gbsct") + "\U000e007f"
THUMB = "👍🏽"
HEART = "❤️"
KEYCAP = "1️⃣"

wild_text = st.lists(
    st.sampled_from(
        ["a", "ё", "e\u0301", "\u0301", "😀", FAMILY, FLAG_UZ, THUMB, HEART, KEYCAP, "\r\n", "\u200d"]
    )
).map("".join)


def pieces(text: str, ends: list[int]) -> list[str]:
    octets = ucs2.encode(text)
    return [octets[start:end].decode("utf-16-be") for start, end in zip([0, *ends], ends, strict=False)]


def cut(text: str, limit: int) -> list[str]:
    return pieces(text, ucs2.character_ends(ucs2.encode(text), limit))


@pytest.mark.parametrize(
    ("text", "said"), [("\ud83d", "U+D83D at character 1"), ("ab\udc00", "U+DC00 at character 3")]
)
def test_half_a_surrogate_pair_is_refused_with_its_place(text, said):
    with pytest.raises(TextError, match=f"lone surrogate {said.replace('+', '[+]')}"):
        ucs2.encode(text)


def test_octets_are_big_endian():
    assert ucs2.encode("ё😀") == b"\x04\x51\xd8\x3d\xde\x00"


def test_a_pair_at_the_limit_moves_whole_to_the_next_piece():
    assert cut("ёёё😀ё", 4) == ["ёёё", "😀ё"]


@pytest.mark.parametrize(
    "whole", ["e\u0301", "e\u0323\u0301", FAMILY, FLAG_UZ, FLAG_SCOTLAND, THUMB, HEART, KEYCAP, "\r\n", "कि"]
)
def test_a_visible_character_is_kept_whole_where_it_is_free(whole):
    units = len(ucs2.encode(whole)) // 2
    for before in range(20 - units + 1, 20):
        text = "ж" * before + whole
        assert cut(text, 20) == ["ж" * before, whole]


def test_a_visible_character_is_cut_where_keeping_it_would_cost_a_segment():
    text = "ж" * 19 + "e\u0301" + "ж" * 19
    assert cut(text, 20) == ["ж" * 19 + "e", "\u0301" + "ж" * 19]


def test_slack_is_spent_on_the_first_cuts_and_not_overdrawn():
    text = ("ж" * 4 + "e\u0301") * 3  # 18 units in pieces of 5: four at least, two units to spare
    assert cut(text, 5) == ["жжжж", "e\u0301жжж", "жe\u0301жж", "жжe\u0301"]


def test_a_row_of_flags_is_cut_between_flags():
    assert cut("ж" + FLAG_UZ * 4, 8) == ["ж" + FLAG_UZ, FLAG_UZ * 2, FLAG_UZ]


def test_a_visible_character_longer_than_a_piece_is_cut_anyway():
    text = "e" + "\u0301" * 30
    assert cut(text, 10) == ["e" + "\u0301" * 9, "\u0301" * 10, "\u0301" * 10, "\u0301"]


@given(wild_text, st.integers(2, 30))
def test_character_ends_cost_no_piece_and_lose_no_unit(text, limit):
    octets = ucs2.encode(text)
    hard, soft = ucs2.pair_ends(octets, limit), ucs2.character_ends(octets, limit)
    assert len(soft) == len(hard)
    for ends in (hard, soft):
        parts = pieces(text, ends)  # decoding is strict: a torn pair fails here
        assert "".join(parts) == text
        assert all(0 < len(ucs2.encode(part)) <= 2 * limit for part in parts)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=80), st.integers(2, 30))
def test_any_text_is_cut_into_the_fewest_pieces(text, limit):
    ends = ucs2.pair_ends(ucs2.encode(text), limit)
    parts = pieces(text, ends)
    assert "".join(parts) == text
    for part, following in pairwise(parts):
        assert len(ucs2.encode(part + following[0])) > 2 * limit
