"""The GSM 7-bit alphabet against the standard, against smpplib where that is right, and against itself."""

from __future__ import annotations

from itertools import pairwise

import pytest
import smpplib.gsm
from hypothesis import given
from hypothesis import strategies as st

from smsproxy.text.errors import TextError
from smsproxy.text.gsm7 import BASIC, EXTENSION, GSM7, septet_ends

BASIC_CHARS = BASIC.replace("\x1b", "")
EXTENSION_CHARS = "".join(EXTENSION.values())
# smpplib has a filler where § belongs (0x5F), sends a raw ESC, and knows no form feed.
SMPPLIB_WRONG = "§`\x1b\f"


def test_each_basic_character_is_one_septet_at_its_place():
    for code, char in enumerate(BASIC):
        if code != 0x1B:
            assert GSM7.encode(char) == bytes((code,))


def test_each_extension_character_is_an_escape_pair():
    for code, char in EXTENSION.items():
        assert GSM7.encode(char) == bytes((0x1B, code))


@pytest.mark.parametrize(
    ("char", "octets"),
    [
        ("@", b"\x00"),
        ("$", b"\x02"),
        ("\n", b"\x0a"),
        ("_", b"\x11"),
        ("Δ", b"\x10"),
        ("¤", b"\x24"),
        ("¡", b"\x40"),
        ("§", b"\x5f"),
        ("¿", b"\x60"),
        ("à", b"\x7f"),
        ("\f", b"\x1b\x0a"),
        ("^", b"\x1b\x14"),
        ("|", b"\x1b\x40"),
        ("€", b"\x1b\x65"),
    ],
)
def test_known_characters_have_the_octets_of_the_standard(char, octets):
    assert GSM7.encode(char) == octets
    assert GSM7.encode("é" + char) == b"\x05" + octets


@pytest.mark.parametrize("char", ["`", "\x1b", "\x00", "\t", "\x7f", "ç", "á", "ё", "\ufffe", "\ud83d", "😀"])
def test_a_character_outside_makes_the_whole_text_no_gsm7(char):
    assert GSM7.encode(char) is None
    assert GSM7.encode("hello " + char) is None
    assert GSM7.encode("hellö " + char) is None
    assert GSM7.encode("[€] " + char) is None


def test_every_code_point_of_the_bmp_is_inside_exactly_when_it_is_in_a_table():
    inside = {chr(code) for code in range(0x10000) if GSM7.encode(chr(code)) is not None}
    assert inside == set(BASIC_CHARS + EXTENSION_CHARS)


@given(st.text(alphabet=BASIC_CHARS + EXTENSION_CHARS, max_size=200))
def test_what_is_encoded_decodes_to_the_same_text(text):
    octets = GSM7.encode(text)
    assert octets is not None
    assert GSM7.decode(octets) == text


@given(st.text(max_size=60))
def test_any_text_is_gsm7_exactly_when_each_character_is(text):
    octets = GSM7.encode(text)
    assert (octets is not None) == (set(text) <= set(BASIC_CHARS + EXTENSION_CHARS))


@given(st.text(alphabet=sorted(set(BASIC_CHARS + EXTENSION_CHARS) - set(SMPPLIB_WRONG)), max_size=60))
def test_octets_equal_those_of_smpplib_where_it_is_right(text):
    assert GSM7.encode(text) == smpplib.gsm.gsm_encode(text)


def test_smpplib_is_still_wrong_where_we_differ():
    assert smpplib.gsm.gsm_encode("`") == b"\x5f"
    assert smpplib.gsm.gsm_encode("\x1b") == b"\x1b"
    for char in "§\f":
        with pytest.raises(UnicodeError):
            smpplib.gsm.gsm_encode(char)


def test_an_escape_without_an_extension_character_shows_the_basic_one():
    assert GSM7.decode(b"a\x1bAb") == "aAb"


def test_two_escapes_and_a_last_escape_show_a_space():
    assert GSM7.decode(b"a\x1b\x1bb") == "a b"
    assert GSM7.decode(b"a\x1b") == "a "


@given(st.binary(max_size=40))
def test_any_octets_are_decoded_or_refused_by_name(octets):
    if octets.isascii():
        assert len(GSM7.decode(octets)) <= len(octets)
    else:
        with pytest.raises(TextError, match="above 0x7F"):
            GSM7.decode(octets)


@given(st.text(alphabet="ab€[", max_size=120), st.integers(2, 40))
def test_pieces_are_the_fewest_and_tear_no_pair(text, limit):
    octets = GSM7.encode(text)
    ends = septet_ends(octets, limit)
    pieces = [octets[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    assert b"".join(pieces) == octets
    assert "".join(GSM7.decode(piece) for piece in pieces) == text
    for piece, following in pairwise(pieces):
        assert len(piece) <= limit
        next_cost = 2 if following[0] == 0x1B else 1
        assert len(piece) + next_cost > limit, "a piece could have held one character more"
