"""The national tables against Annex A of TS 23.038, written out once more in its layout."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsproxy.text.gsm7 import EXTENSION
from smsproxy.text.national_shift import LANGUAGES

LOCKING = {
    # Columns of sixteen, codes 0x00 to 0x7F.
    "turkish": (
        "@£$¥€éùıòÇ\nĞğ\rÅå",
        "Δ_ΦΓΛΩΠΨΣΘΞ\x1bŞşßÉ",
        " !\"#¤%&'()*+,-./",
        "0123456789:;<=>?",
        "İABCDEFGHIJKLMNO",
        "PQRSTUVWXYZÄÖÑÜ§",
        "çabcdefghijklmno",
        "pqrstuvwxyzäöñüà",
    ),
    "portuguese": (
        "@£$¥êéúíóç\nÔô\rÁá",
        "Δ_ªÇÀ∞^\\€Ó|\x1bÂâÊÉ",
        " !\"#º%&'()*+,-./",
        "0123456789:;<=>?",
        "ÍABCDEFGHIJKLMNO",
        "PQRSTUVWXYZÃÕÚÜ§",
        "~abcdefghijklmno",
        "pqrstuvwxyzãõ`üà",
    ),
}
# What Annex A.2 shows beside the default extension table, row (low nibble) by row.
SINGLE = {
    "turkish": {"Ğ": 0x47, "İ": 0x49, "Ş": 0x53, "ç": 0x63, "ğ": 0x67, "ı": 0x69, "ş": 0x73},
    "spanish": {
        "Á": 0x41, "á": 0x61, "Ú": 0x55, "ú": 0x75, "ç": 0x09, "Í": 0x49, "í": 0x69, "Ó": 0x4F, "ó": 0x6F,
    },
    "portuguese": {
        "À": 0x41, "Â": 0x61, "Φ": 0x12, "Γ": 0x13, "ê": 0x05, "Ω": 0x15, "Ú": 0x55, "ú": 0x75, "Π": 0x16,
        "Ψ": 0x17, "Σ": 0x18, "ç": 0x09, "Θ": 0x19, "Í": 0x49, "í": 0x69, "Ô": 0x0B, "Ã": 0x5B, "ã": 0x7B,
        "ô": 0x0C, "Õ": 0x5C, "õ": 0x7C, "Á": 0x0E, "á": 0x0F, "Ê": 0x1F, "Ó": 0x4F, "ó": 0x6F, "â": 0x7F,
    },
}  # fmt: skip
CODES = {"turkish": 1, "spanish": 2, "portuguese": 3}
ALL_TABLES = [(name, tables) for name, offered in LANGUAGES.items() for tables in offered]


@pytest.mark.parametrize("language", LOCKING)
def test_the_locking_table_is_the_one_of_the_standard(language):
    assert LANGUAGES[language][1].alphabet.basic == "".join(LOCKING[language])


@pytest.mark.parametrize("language", SINGLE)
def test_the_single_shift_table_is_the_one_of_the_standard(language):
    expected = dict(EXTENSION) | {code: char for char, code in SINGLE[language].items()}
    for tables in LANGUAGES[language]:
        assert dict(tables.alphabet.extension) == expected


def test_spanish_has_no_locking_table():
    assert len(LANGUAGES["spanish"]) == 1


@pytest.mark.parametrize("language", CODES)
def test_elements_name_the_tables_in_force(language):
    code = CODES[language]
    single, *locking = LANGUAGES[language]
    assert single.elements == bytes((0x24, 1, code))
    for tables in locking:
        assert tables.elements == bytes((0x24, 1, code, 0x25, 1, code))


def test_shifted_letters_cost_two_septets_and_locked_ones_one():
    single, locking = (tables.alphabet for tables in LANGUAGES["turkish"])
    assert single.encode("ğşı") == b"\x1bg\x1bs\x1bi"
    assert locking.encode("ğşı") == b"\x0c\x1d\x07"
    single, locking = (tables.alphabet for tables in LANGUAGES["portuguese"])
    assert single.encode("ãâ") == b"\x1b\x7b\x1b\x7f"
    assert locking.encode("ã€`") == b"\x7b\x18\x7d"
    assert LANGUAGES["spanish"][0].alphabet.encode("á€") == b"\x1ba\x1be"


def test_a_locking_table_takes_away_what_it_replaces():
    assert LANGUAGES["turkish"][1].alphabet.encode("è") is None
    assert LANGUAGES["portuguese"][1].alphabet.encode("ö") is None
    assert LANGUAGES["portuguese"][0].alphabet.encode("ö") == b"\x7c"


@pytest.mark.parametrize(("language", "tables"), ALL_TABLES)
@given(data=st.data())
def test_each_alphabet_reads_back_what_it_wrote(language, tables, data):
    alphabet = tables.alphabet
    chars = set(alphabet.basic) - {"\x1b"} | set(alphabet.extension.values())
    text = data.draw(st.text(alphabet=sorted(chars), max_size=40))
    octets = alphabet.encode(text)
    assert octets is not None, language
    assert alphabet.decode(octets) == text
