"""The field rules of spec §2.5."""

from __future__ import annotations

import re
import string
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pipeline_bench import a_message

from smsproxy.domain.address import Address
from smsproxy.pipeline import fields

PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))
TRICKY = st.text(st.sampled_from("+-0123456789 aZ~\x7f\0\n٣é²"), max_size=25)
OCTET = st.none() | st.integers(-1, 256)


@given(
    st.integers(-1, 1),
    TRICKY | st.just("BRAND"),
    TRICKY | st.just("998901234567"),
    TRICKY | st.text("x", min_size=60, max_size=70),
    TRICKY,
    st.sampled_from(["", "cp1", "c\0"]),
)
def test_the_usual_request_is_judged_in_one_look_as_rule_by_rule(
    app_id: int, saddr: str, daddr: str, transaction_id: str, text: str, strategy: str
) -> None:
    """What is given is what would be assumed, so the rules are the same, but the look is not enough."""
    values = {
        "app_id": app_id, "saddr": saddr, "daddr": daddr, "transaction_id": transaction_id, "text": text,
        "strategy": strategy,
    }  # fmt: skip
    usual, spelled_out = a_message(**values), a_message(**values, dton=1)
    assert fields.fault(usual) == fields.fault(spelled_out)
    assert replace(usual, dton=1) == spelled_out


@pytest.mark.parametrize(
    ("given_", "error"),
    [
        ({"app_id": 0}, "app_id: required, must be positive"),
        ({"app_id": -1}, "app_id: required, must be positive"),
        ({"route_id": 0}, "esme: required, must be positive"),
        ({"transaction_id": "x" * 65}, "transaction_id: must be 1 to 64 printable ASCII characters"),
        ({"transaction_id": "a\0b"}, "transaction_id: must be 1 to 64 printable ASCII characters"),
        ({"transaction_id": "é"}, "transaction_id: must be 1 to 64 printable ASCII characters"),
        ({"ston": 256}, "ston: must be 0 to 255"),
        ({"dnpi": -1}, "dnpi: must be 0 to 255"),
        ({"saddr": ""}, "saddr: required"),
        ({"saddr": "+"}, ""),
        ({"saddr": "x" * 12}, "saddr: must be 1 to 20 digits or 1 to 11 printable ASCII characters"),
        ({"saddr": "1" * 21}, "saddr: must be 1 to 20 digits or 1 to 11 printable ASCII characters"),
        ({"saddr": "br\0nd"}, "saddr: must be 1 to 20 digits or 1 to 11 printable ASCII characters"),
        ({"daddr": ""}, "daddr: required"),
        ({"daddr": "+"}, "daddr: must be 3 to 15 digits"),
        ({"daddr": "++998901234567"}, "daddr: must be 3 to 15 digits"),
        ({"daddr": "٣٣٣٣"}, "daddr: must be 3 to 15 digits"),
        ({"daddr": "1" * 16, "dton": 1}, "daddr: must be 3 to 15 digits"),
        ({"daddr": "1" * 21, "dton": 2}, "daddr: must be 1 to 20 digits"),
        ({"daddr": "12", "dton": 0}, ""),
        ({"text": ""}, "message: required"),
        ({"text": "a\0b"}, "message: must not contain NUL"),
        ({"strategy": "cp\0"}, "strategy: must not contain NUL"),
        ({}, ""),
    ],
)
def test_a_bad_field_is_named_with_the_rule_it_breaks(given_: dict[str, object], error: str) -> None:
    assert fields.fault(a_message(**given_)) == error


@given(daddr=TRICKY, dton=OCTET)
def test_a_daddr_is_3_to_15_digits_when_international_else_1_to_20(daddr: str, dton: int | None) -> None:
    message = a_message(daddr=daddr, dton=dton)
    pattern = r"\+?[0-9]{3,15}" if dton in (None, 1) else r"\+?[0-9]{1,20}"
    good = re.fullmatch(pattern, daddr) is not None and (dton is None or 0 <= dton <= 255)
    assert (fields.fault(message) == "") is good
    if good:
        assert message.daddr == daddr.removeprefix("+")


@given(saddr=TRICKY | st.text(PRINTABLE, max_size=12))
def test_a_saddr_is_a_number_or_a_name(saddr: str) -> None:
    message = a_message(saddr=saddr)
    number = re.fullmatch(r"\+?[0-9]{1,20}", saddr) is not None
    name = re.fullmatch(r"[\x20-\x7e]{1,11}", saddr) is not None
    assert (fields.fault(message) == "") is (number or name)
    if number:
        assert message.saddr == saddr.removeprefix("+")
    elif name:
        assert message.saddr == saddr


@given(transaction_id=st.text(max_size=70) | st.text(PRINTABLE, max_size=70))
def test_a_transaction_id_is_printable_ascii_up_to_64(transaction_id: str) -> None:
    good = len(transaction_id) <= 64 and set(transaction_id) <= set(PRINTABLE)
    assert (fields.fault(a_message(transaction_id=transaction_id)) == "") is good


@given(octets=st.fixed_dictionaries(dict.fromkeys(("ston", "snpi", "dton", "dnpi"), OCTET)))
def test_ton_and_npi_are_octets_and_given_values_are_kept(octets: dict[str, int | None]) -> None:
    message = a_message(**octets)
    good = all(value is None or 0 <= value <= 255 for value in octets.values())
    assert (fields.fault(message) == "") is good
    source, destination = fields.source(message), fields.destination(message)
    if octets["ston"] is octets["snpi"] is None:
        assert source == Address(5, 0, "BRAND")
    else:
        assert source == Address(octets["ston"] or 0, octets["snpi"] or 0, "BRAND")
    expected = tuple(1 if octets[name] is None else octets[name] for name in ("dton", "dnpi"))
    assert (destination.ton, destination.npi) == expected


@given(text=st.text(max_size=20))
def test_a_text_is_anything_but_empty_or_with_a_nul(text: str) -> None:
    assert (fields.fault(a_message(text)) == "") is (bool(text) and "\0" not in text)


@given(saddr=st.text(string.digits, min_size=1, max_size=20))
def test_a_numeric_saddr_goes_as_unknown_unless_told_otherwise(saddr: str) -> None:
    assert fields.source(a_message(saddr=saddr)) == Address(0, 0, saddr)
    assert fields.source(a_message(saddr=saddr, ston=1, snpi=1)) == Address(1, 1, saddr)
