"""Optional parameters: read leniently, written exactly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsproxy.smpp.tlv import encode_tlvs, int_tlv, parse_tlvs, sar_tlvs, text_tlv

TLVS = st.dictionaries(st.integers(0, 0xFFFF), st.binary(max_size=20), max_size=6)


@given(TLVS, st.binary(max_size=9))
def test_what_is_written_is_read(tlvs: dict[int, bytes], before: bytes) -> None:
    assert parse_tlvs(before + encode_tlvs(tlvs), len(before)) == tlvs


@given(TLVS.filter(bool), st.data())
def test_a_cut_tlv_costs_only_itself(tlvs: dict[int, bytes], data: st.DataObject) -> None:
    octets = encode_tlvs(tlvs)
    last = list(tlvs)[-1]
    kept = data.draw(st.integers(1, 3 + len(tlvs[last])))
    cut = octets[: len(octets) - 4 - len(tlvs[last]) + kept]
    assert parse_tlvs(cut, 0) == {tag: value for tag, value in tlvs.items() if tag != last}


@given(st.binary(max_size=60), st.integers(0, 70))
def test_any_octets_are_some_tlvs(octets: bytes, start: int) -> None:
    assert sum(4 + len(value) for value in parse_tlvs(octets, start).values()) <= len(octets)


def test_of_a_repeated_tag_the_last_counts() -> None:
    assert parse_tlvs(encode_tlvs({5: b"a"}) + encode_tlvs({5: b"b"}), 0) == {5: b"b"}


@pytest.mark.parametrize(
    ("tlvs", "message"),
    [
        ({0x10000: b""}, "TLV tag 0x10000 does not fit"),
        ({-1: b""}, "does not fit two octets"),
        ({0x0424: bytes(65536)}, "TLV 0x0424 has 65536 octets"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(tlvs: dict[int, bytes], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encode_tlvs(tlvs)


def test_sar_tlvs_are_the_three_of_the_specification() -> None:
    assert parse_tlvs(sar_tlvs(0x1234, 3, 2), 0) == {0x020C: b"\x12\x34", 0x020E: b"\x03", 0x020F: b"\x02"}


@pytest.mark.parametrize("numbers", [(65536, 1, 1), (0, 256, 1), (0, 1, 256), (-1, 1, 1)])
def test_sar_numbers_out_of_range_are_refused(numbers: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="sar TLVs out of range"):
        sar_tlvs(*numbers)


def test_number_of_a_wrong_length_is_no_number() -> None:
    tlvs = {1: b"\x07", 2: b"\x00\x07", 3: b""}
    assert [int_tlv(tlvs, tag) for tag in (1, 2, 3, 4)] == [7, None, None, None]
    assert int_tlv(tlvs, 2, 2) == 7


def test_text_loses_no_character_without_its_nul() -> None:
    tlvs = {1: b"ABC123\0", 2: b"ABC123", 3: b"", 4: b"AB\0\0junk"}
    assert [text_tlv(tlvs, tag) for tag in (1, 2, 3, 4, 5)] == ["ABC123", "ABC123", "", "AB", ""]
