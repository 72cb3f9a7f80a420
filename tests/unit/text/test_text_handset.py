"""Which alphabet a data_coding means at an SMSC, and the text of a handset's octets in it."""

from __future__ import annotations

from typing import Any

import pytest

from smsproxy.text.handset import Alphabets, decode
from smsproxy.text.segmentation import TextOptions

LATIN_1_ALONE = {"gsm7": False, "latin1": True, "latin1_data_coding": 0}
GSM7_UNDER_1 = {"gsm7_data_coding": 1, "latin1": True, "latin1_data_coding": 0}


def read(octets: bytes, data_coding: int, **options: Any) -> str | None:
    return decode(octets, Alphabets(TextOptions(**options)).of(data_coding) or "")


@pytest.mark.parametrize(
    ("data_coding", "octets", "text"),
    [
        (0, b"\x00 \x1b\x65", "@ €"),
        (0, b"caf\xe9", "café"),
        (0xF1, b"\x00", "@"),
        (0x11, b"\x00", "@"),
        (1, b"@", "@"),
        (3, b"caf\xe9", "café"),
        (8, "Ўз🙂".encode("utf-16-be"), "Ўз🙂"),
        (0x18, "Ўз".encode("utf-16-be"), "Ўз"),
        (8, b"\x04\x0e\x04", "Ў\ufffd"),
        (4, b"\x00\x01", None),
        (0xF5, b"\x00", None),
        (2, b"\x00", None),
    ],
)
def test_a_text_is_read_by_its_data_coding(data_coding: int, octets: bytes, text: str | None) -> None:
    assert read(octets, data_coding) == text


@pytest.mark.parametrize(
    ("options", "data_coding", "octets", "text"),
    [
        (LATIN_1_ALONE, 0, b"@ $", "@ $"),
        (LATIN_1_ALONE, 8, "Ўз".encode("utf-16-be"), "Ўз"),
        (LATIN_1_ALONE, 0xF1, b"\x00", "@"),
        (GSM7_UNDER_1, 1, b"\x00\x02", "@$"),
        (GSM7_UNDER_1, 0, b"@$", "@$"),
        ({"ucs2_data_coding": 24}, 24, "Ўз".encode("utf-16-be"), "Ўз"),
        ({"ucs2_data_coding": 24}, 8, "Ўз".encode("utf-16-be"), "Ўз"),
    ],
)
def test_a_number_means_what_the_link_says_it_means_to_its_smsc(
    options: dict[str, Any], data_coding: int, octets: bytes, text: str
) -> None:
    assert read(octets, data_coding, **options) == text
