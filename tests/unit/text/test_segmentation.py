"""Segments as they go on the wire: limits, headers, the choice of alphabet, and the way back to the text."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sms_on_air import hear_all

from smsproxy.domain.errors import ProductError
from smsproxy.text.gsm7 import BASIC, EXTENSION, GSM7
from smsproxy.text.segmentation import (
    Alphabet,
    SegmentedText,
    TextError,
    TextOptions,
    TooManySegmentsError,
    segment,
)
from smsproxy.text.transliterate import to_gsm7

MODES = ["udh8", "udh16", "sar", "payload"]
ALL_LANGUAGES = ("turkish", "spanish", "portuguese")

gsm_chars = BASIC.replace("\x1b", "") + "".join(EXTENSION.values())
texts = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=400),
    # Left alone, hypothesis draws short texts: the least lengths make most of these several segments.
    st.text(alphabet=gsm_chars, min_size=140, max_size=600),
    st.text(alphabet="a€", min_size=140, max_size=400),
    st.text(alphabet="aö`ÿ", min_size=130, max_size=400),
    st.text(alphabet="abğşıİç€", min_size=70, max_size=400),
    st.text(alphabet="abáíóúãõâº∞[", min_size=70, max_size=400),
    st.lists(st.sampled_from(["ж", "😀", "👨‍👩‍👧‍👦", "e\u0301", "🇺🇿", "❤️"]), min_size=25, max_size=150).map(
        "".join
    ),
    # Lengths at the borders, where a random text seldom is.
    st.builds(
        lambda base, count, last: base * count + last,
        st.sampled_from(["a", "ж", "ÿ", "ş", "ã"]),
        st.sampled_from(
            [66, 67, 69, 70, 133, 134, 139, 140, 152, 153, 154, 155, 159, 160, 304, 305, 306, 307]
        ),
        st.sampled_from(["", "a", "€", "ж", "😀", "ş", "a€", "€a"]),
    ),
)
options = st.builds(
    TextOptions,
    max_segments=st.just(255),
    long_messages=st.sampled_from(MODES),
    gsm7=st.booleans(),
    latin1=st.booleans(),
    national_shift=st.sampled_from([(), *((name,) for name in ALL_LANGUAGES), ALL_LANGUAGES]),
)


def concat_element(sent: SegmentedText, total: int, number: int, reference: int) -> dict[int, bytes]:
    if sent.concatenation == "udh8":
        return {0x00: bytes((reference & 0xFF, total, number))}
    if sent.concatenation == "udh16":
        return {0x08: reference.to_bytes(2, "big") + bytes((total, number))}
    return {}


@settings(max_examples=300, deadline=None)  # the one property everything else leans on
@given(texts, options, st.integers(0, 0xFFFF))
@example("a" * 159 + "€", TextOptions(), 0)
@example("ж" * 69 + "😀", TextOptions(), 255)
def test_segments_join_to_the_text_and_fit_the_air(text, chosen, reference):
    sent = segment(text, chosen)
    heard = hear_all(sent, reference)
    assert "".join(part.text for part in heard) == text
    assert sent.symbols == len(text)
    octets = sum(len(part.body) for part in heard)
    assert sent.units == (octets // 2 if sent.alphabet is Alphabet.UCS2 else octets)
    for number, part in enumerate(heard, start=1):
        assert sent.concatenation == "payload" or part.air_octets <= 140
        concat = {iei: value for iei, value in part.elements.items() if iei not in (0x24, 0x25)}
        assert concat == concat_element(sent, sent.parts, number, reference)
    assert (sent.concatenation == "") == (sent.parts <= 1 and sent.concatenation != "payload")


@given(texts, options)
def test_all_modes_and_the_measures_of_a_refusal_agree(text, chosen):
    sent = segment(text, chosen)
    if sent.parts < 2:
        return
    strict = TextOptions(
        max_segments=1,
        long_messages=chosen.long_messages,
        gsm7=chosen.gsm7,
        latin1=chosen.latin1,
        national_shift=chosen.national_shift,
    )
    with pytest.raises(TooManySegmentsError) as refusal:
        segment(text, strict)
    error = refusal.value
    assert (error.alphabet, error.symbols, error.units, error.parts) == (
        sent.alphabet,
        sent.symbols,
        sent.units,
        sent.parts,
    )


@given(st.text(max_size=200))
def test_any_text_is_segmented_or_refused_by_name(text):
    chosen = TextOptions(max_segments=2, transliterate=True, national_shift=ALL_LANGUAGES)
    with contextlib.suppress(TextError):  # anything else fails the test
        assert segment(text, chosen).parts <= 2


def test_a_refusal_is_one_of_our_own_errors():
    assert issubclass(TooManySegmentsError, TextError)
    assert issubclass(TextError, ProductError)


# --- limits -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "char", "extra", "single", "multi"),
    [
        ("udh8", "a", {}, 160, 153),
        ("udh16", "a", {}, 160, 152),
        ("sar", "a", {}, 160, 153),
        ("udh8", "ж", {}, 70, 67),
        ("udh16", "ж", {}, 70, 66),
        ("sar", "ж", {}, 70, 67),
        ("udh8", "ÿ", {"latin1": True}, 140, 134),
        ("udh16", "ÿ", {"latin1": True}, 140, 133),
        ("sar", "ÿ", {"latin1": True}, 140, 134),
    ],
)
def test_the_limits_are_those_of_the_air(mode, char, extra, single, multi):
    chosen = TextOptions(long_messages=mode, **extra)

    def lengths(count: int) -> list[int]:
        return [len(part.text) for part in hear_all(segment(char * count, chosen))]

    assert lengths(1) == [1]
    assert lengths(single) == [single]
    assert lengths(single + 1) == [multi, single + 1 - multi]
    assert lengths(2 * multi) == [multi, multi]
    assert lengths(2 * multi + 1) == [multi, multi, 1]


@pytest.mark.parametrize(("count", "parts"), [(160, 1), (161, 2), (306, 2), (307, 3), (1530, 10)])
def test_gsm7_edges(count, parts):
    assert segment("x" * count).parts == parts


@pytest.mark.parametrize(("count", "parts"), [(70, 1), (71, 2), (134, 2), (135, 3), (670, 10)])
def test_ucs2_edges(count, parts):
    assert segment("ё" * count).parts == parts


def test_159_and_a_euro_are_two_parts():
    sent = segment("a" * 159 + "€")
    assert (sent.parts, sent.units, sent.symbols) == (2, 161, 160)
    assert sent.alphabet is Alphabet.GSM7


def test_158_and_a_euro_are_one_part():
    sent = segment("a" * 158 + "€")
    assert (sent.parts, sent.units) == (1, 160)
    assert sent.bodies[0].endswith(b"a\x1be")


def test_a_euro_at_the_border_moves_whole_to_the_next_segment():
    sent = segment("a" * 152 + "€" + "b" * 20)
    assert [len(body) for body in sent.bodies] == [152, 22]
    assert sent.bodies[1].startswith(b"\x1beb")


def test_a_euro_that_just_fits_stays():
    sent = segment("a" * 151 + "€" + "b" * 20)
    assert [len(body) for body in sent.bodies] == [153, 20]


def test_escapes_at_every_border_can_cost_a_segment():
    # 2 * 153 septets by count, but each border finds an escape: 152 + 152 + 2.
    assert segment("€" * 153).parts == 3
    assert segment("€" * 152).parts == 2


def test_an_emoji_at_the_border_moves_whole_to_the_next_segment():
    sent = segment("ж" * 66 + "😀" + "ж" * 10)
    assert [len(body) for body in sent.bodies] == [132, 24]
    assert sent.bodies[1].startswith("😀".encode("utf-16-be"))


def test_an_emoji_sequence_is_kept_whole_where_it_is_free():
    family = "👨‍👩‍👧‍👦"
    sent = segment("ж" * 60 + family + "ж" * 40)
    assert [part.text for part in hear_all(sent)] == ["ж" * 60, family + "ж" * 40]


def test_an_empty_text_is_gsm7_without_segments():
    for mode in MODES:
        sent = segment("", TextOptions(long_messages=mode, national_shift=ALL_LANGUAGES))
        assert sent == SegmentedText(Alphabet.GSM7, 0, 0, 0, ())
        assert (sent.parts, sent.udhi) == (0, False)


# --- headers ----------------------------------------------------------------------------------------------


def test_the_8_bit_header_octet_by_octet():
    sent = segment("a" * 161)
    assert sent.udhi
    assert sent.concatenation == "udh8"
    assert sent.user_data(0, 0xAB)[:7] == bytes.fromhex("05 00 03 AB 02 01 61")
    assert sent.user_data(1, 0xAB) == bytes.fromhex("05 00 03 AB 02 02") + b"a" * 8


def test_the_16_bit_header_octet_by_octet():
    sent = segment("ж" * 71, TextOptions(long_messages="udh16"))
    assert sent.udhi
    assert sent.user_data(1, 0xABCD) == bytes.fromhex("06 08 04 AB CD 02 02") + "жжжжж".encode("utf-16-be")


def test_a_reference_beyond_the_field_wraps():
    assert segment("a" * 161).user_data(0, 0x1_0001)[3] == 1
    sent = segment("a" * 161, TextOptions(long_messages="udh16"))
    assert sent.user_data(0, 0x1_0002)[3:5] == b"\x00\x02"


@pytest.mark.parametrize("mode", MODES)
def test_a_single_segment_has_no_header(mode):
    sent = segment("hello", TextOptions(long_messages=mode))
    assert (sent.parts, sent.udhi, sent.concatenation) == (1, False, "")
    assert sent.user_data(0, 7) == b"hello"


def test_sar_segments_are_bare_and_leave_room_for_the_header_of_the_smsc():
    sent = segment("a" * 161, TextOptions(long_messages="sar"))
    assert (sent.parts, sent.udhi, sent.concatenation) == (2, False, "sar")
    assert sent.user_data(0, 7) == b"a" * 153
    assert sent.user_data(1, 7) == b"a" * 8


def test_payload_is_one_pdu_with_everything():
    sent = segment("a" * 1530, TextOptions(long_messages="payload"))
    assert (sent.parts, sent.udhi, sent.concatenation) == (1, False, "payload")
    assert sent.user_data(0, 7) == b"a" * 1530


def test_payload_counts_the_segments_the_smsc_will_make():
    with pytest.raises(TooManySegmentsError) as refusal:
        segment("a" * 1531, TextOptions(long_messages="payload"))
    assert refusal.value.parts == 11


# --- alphabets --------------------------------------------------------------------------------------------


def test_data_codings_come_from_the_options():
    chosen = TextOptions(gsm7_data_coding=1, ucs2_data_coding=24, latin1=True, latin1_data_coding=4)
    assert segment("a", chosen).data_coding == 1
    assert segment("a" * 200, chosen).data_coding == 1
    assert segment("ж", chosen).data_coding == 24
    assert segment("ÿ", chosen).data_coding == 4


def test_a_link_without_gsm7_never_sends_it():
    plain = TextOptions(gsm7=False, national_shift=ALL_LANGUAGES, transliterate=True)
    assert [segment(text, plain).alphabet for text in ("hello", "şeker", "č")] == [Alphabet.UCS2] * 3
    latin1 = TextOptions(gsm7=False, latin1=True, latin1_data_coding=0)
    sent = segment("hello é", latin1)
    assert (sent.alphabet, sent.data_coding, sent.units) == (Alphabet.LATIN1, 0, 7)
    assert segment("5 €", latin1).alphabet is Alphabet.UCS2
    empty = segment("", latin1)
    assert (empty.alphabet, empty.parts) == (Alphabet.GSM7, 0)


def test_latin1_only_where_the_link_allows_it():
    assert segment("dia é ç").alphabet is Alphabet.UCS2
    sent = segment("dia é ç", TextOptions(latin1=True))
    assert (sent.alphabet, sent.data_coding, sent.units, sent.bodies) == (
        Alphabet.LATIN1,
        3,
        7,
        (b"dia \xe9 \xe7",),
    )
    assert segment("dia é", TextOptions(latin1=True)).alphabet is Alphabet.GSM7
    assert segment("diaż", TextOptions(latin1=True)).alphabet is Alphabet.UCS2


@pytest.mark.parametrize(
    ("language", "text", "user_data"),
    [
        ("turkish", "ağşı", "03 24 01 01 61 1B 67 1B 73 1B 69"),
        ("spanish", "má", "03 24 01 02 6D 1B 61"),
        ("portuguese", "não", "03 24 01 03 6E 1B 7B 6F"),
        ("portuguese", "1º", "06 24 01 03 25 01 03 31 24"),
    ],
)
def test_a_national_text_says_its_tables_even_in_a_single_segment(language, text, user_data):
    assert segment(text).alphabet is Alphabet.UCS2
    sent = segment(text, TextOptions(national_shift=(language,)))
    assert (sent.alphabet, sent.parts, sent.udhi, sent.concatenation) == (Alphabet.GSM7, 1, True, "")
    assert sent.user_data(0, 9) == bytes.fromhex(user_data)


def test_a_national_header_joins_the_concatenation_header():
    turkish = TextOptions(national_shift=("turkish",))
    sent = segment("ş" + "a" * 154, turkish)
    assert sent.parts == 2
    assert sent.user_data(1, 0x7F) == bytes.fromhex("08 00 03 7F 02 02 24 01 01") + b"a" * 7
    both = segment("ş" * 200, TextOptions(national_shift=("turkish",), long_messages="udh16"))
    assert both.user_data(0, 0x0102)[:14] == bytes.fromhex("0C 08 04 01 02 02 01 24 01 01 25 01 01 1D")


@pytest.mark.parametrize("mode", ["sar", "payload"])
def test_a_national_header_stands_alone_without_concatenation_header(mode):
    sent = segment("ş" + "a" * 154, TextOptions(national_shift=("turkish",), long_messages=mode))
    assert sent.udhi
    assert sent.user_data(0, 7)[:6] == bytes.fromhex("03 24 01 01 1B 73")


@pytest.mark.parametrize(
    ("text", "parts", "elements"),
    [
        ("ş" + "a" * 153, 1, 3),  # 155 septets beside a header of 4 octets
        ("ş" + "a" * 154, 2, 3),  # locking would need two as well: 152 beside 7 octets
        ("ş" * 77, 1, 3),  # 154 septets shifted, 77 locked: no gain, the shorter header
        ("ş" * 78, 1, 6),  # 156 septets shifted are two segments, 78 locked are one
        ("ş" * 152, 1, 6),
        ("ş" * 153, 2, 6),
        ("a" * 160, 1, 0),
    ],
)
def test_the_locking_table_is_taken_only_where_it_saves_a_segment(text, parts, elements):
    sent = segment(text, TextOptions(national_shift=("turkish",)))
    assert (sent.parts, len(sent.shift_elements)) == (parts, elements)


def test_languages_are_tried_in_the_order_given():
    first = segment("ç", TextOptions(national_shift=("spanish", "turkish")))
    second = segment("ç", TextOptions(national_shift=("turkish", "spanish")))
    assert first.shift_elements == bytes.fromhex("24 01 02")
    assert second.shift_elements == bytes.fromhex("24 01 01")
    assert segment("çş", TextOptions(national_shift=("spanish", "turkish"))).shift_elements == b"\x24\x01\x01"


def test_plain_gsm7_never_pays_for_a_national_header():
    sent = segment("äöñ [€]", TextOptions(national_shift=ALL_LANGUAGES, latin1=True, transliterate=True))
    assert (sent.alphabet, sent.udhi) == (Alphabet.GSM7, False)


def test_transliteration_is_off_unless_asked_for():
    assert segment("Привет").alphabet is Alphabet.UCS2
    sent = segment("Привет", TextOptions(transliterate=True))
    assert (sent.alphabet, sent.bodies, sent.symbols, sent.units) == (Alphabet.GSM7, (b"Privet",), 6, 6)


def test_symbols_are_those_of_the_text_as_given():
    sent = segment("щ" * 50, TextOptions(transliterate=True))
    assert (sent.symbols, sent.units, sent.parts) == (50, 200, 2)


def test_a_text_that_transliterates_in_part_goes_as_it_is():
    sent = segment("Привет 😀", TextOptions(transliterate=True))
    assert sent.alphabet is Alphabet.UCS2
    assert hear_all(sent)[0].text == "Привет 😀"


def test_what_keeps_every_character_comes_before_transliteration():
    everything = TextOptions(national_shift=("portuguese",), latin1=True, transliterate=True)
    assert segment("não", everything).shift_elements
    assert segment("naïve ÿ", everything).alphabet is Alphabet.LATIN1
    assert segment("Привет", everything).bodies == (b"Privet",)


@given(st.text(alphabet="абвшщюяЎқ — “”ñ€", max_size=300))
def test_a_transliterated_text_reads_as_the_transliteration(text):
    sent = segment(text, TextOptions(transliterate=True, max_segments=255))
    assert sent.alphabet is Alphabet.GSM7
    expected = text if GSM7.encode(text) is not None else to_gsm7(text)
    assert "".join(part.text for part in hear_all(sent)) == expected


# --- refusals ---------------------------------------------------------------------------------------------


def test_too_many_segments_carry_the_measures():
    with pytest.raises(TooManySegmentsError, match="needs 11 segments, at most 10 are allowed") as refusal:
        segment("a" * 1529 + "€")
    error = refusal.value
    assert (error.alphabet, error.symbols, error.units, error.parts) == ("GSM7", 1530, 1531, 11)
    assert error.max_segments == 10


def test_half_a_surrogate_pair_is_a_text_error_in_every_mode():
    for chosen in (TextOptions(), TextOptions(latin1=True, transliterate=True, national_shift=ALL_LANGUAGES)):
        with pytest.raises(TextError, match="lone surrogate"):
            segment("a\ud83db", chosen)


def test_a_text_of_marks_without_end_is_refused_before_any_fine_cutting():
    with pytest.raises(TooManySegmentsError) as refusal:
        segment("e" + "\u0301" * 32_000)
    assert refusal.value.parts == 478


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"max_segments": 0}, "1 to 255"),
        ({"max_segments": 256}, "1 to 255"),
        ({"long_messages": "udh32"}, "udh8, udh16, sar, payload"),
        ({"national_shift": ("klingon",)}, "not klingon"),
    ],
)
def test_options_no_link_may_have_are_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        TextOptions(**wrong)
