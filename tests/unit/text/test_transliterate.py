"""Other scripts in GSM7 letters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsproxy.text.gsm7 import GSM7
from smsproxy.text.transliterate import to_gsm7


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("Привет, мир!", "Privet, mir!"),
        ("Съешь ещё этих мягких французских булок", "Sesh eshchyo etikh myagkikh frantsuzskikh bulok"),
        ("Жёлтый щит", "Zhyoltyy shchit"),
        ("ЩИТ, МОЩЬ, ПЛАЩ", "SHCHIT, MOSHCH, PLASHCH"),
        ("Ваш код: Я1", "Vash kod: Ya1"),
        ("Ўзбекистон, Қўқон, Ғалаба, Ҳаво", "O'zbekiston, Qo'qon, G'alaba, Havo"),
        ("яхши жўралар, санъат", "yaxshi jo'ralar, san'at"),
        ("Oʻzbekiston sanʼat", "O'zbekiston san'at"),
        ("Україна, ґанок, Є", "Ukrayina, ganok, Ye"),
        ("Љубав Ђорђе", "Ljubav Djordje"),
        (
            "“Quote” ‘single’ «guillemets» — dash – … `tick`",
            "\"Quote\" 'single' \"guillemets\" - dash - ... 'tick'",
        ),
        ("1\u00a0000\u202f€\tnow", "1 000 € now"),
        ("soft\u00adhyphen\u200b\ufeff", "softhyphen"),
        ("one\u2028two", "one\ntwo"),
        ("çáêîõ ÇÁ šžłđ", "caeio ÇA szld"),
        ("Straße Æble", "Straße Æble"),
        ("œuvre Œuvre ŒUVRE", "oeuvre Oeuvre OEUVRE"),
        ("İstanbul'da ışık ğ", "Istanbul'da isik g"),
        ("e\u0301a\u0301", "éa"),
        ("ﬁ ½ ① Ａ ™ № ²", "fi 1/2 1 A TM No 2"),
        ("Καλημέρα ΆΩ", "KAΛHMEPA AΩ"),
        ("5 µg × 2", "5 ug x 2"),
        ("plain [€] GSM §", "plain [€] GSM §"),
    ],
)
def test_letters_become_the_nearest_gsm7_ones(text, written):
    assert GSM7.encode(written) is not None
    assert to_gsm7(text) == written


@pytest.mark.parametrize("text", ["Hello 😀", "你好", "Привет ♥", "\x1b", "a\x00", "ℵ", "Ϙ", "ד"])
def test_a_character_without_a_counterpart_keeps_the_whole_text(text):
    assert to_gsm7(text) is None


@pytest.mark.parametrize("text", ["", "\u200b", "ь", "\u0301"])
def test_nothing_left_is_no_transliteration(text):
    assert to_gsm7(text) is None


@given(st.text(max_size=40))
def test_any_text_gives_gsm7_or_nothing(text):
    written = to_gsm7(text)
    assert written is None or (written and GSM7.encode(written) is not None)


@given(st.text(alphabet="АБВГДЕЁЖЗИЙКЛМНОПРСТУФХЦЧШЩЫЭЮЯЎҚҒҲ", min_size=2, max_size=40))
def test_a_word_in_capitals_stays_in_capitals(word):
    assert to_gsm7(word).isupper()
    assert to_gsm7(word.lower()) == to_gsm7(word).lower()
