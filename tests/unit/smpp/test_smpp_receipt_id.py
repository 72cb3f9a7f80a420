"""Ids of responses and receipts meet under one key, or stay exactly as they came."""

from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsproxy.smpp.receipt_id import ReceiptIdRule, receipt_key

NUMERIC_RULES: list[ReceiptIdRule] = ["hex_response_decimal_receipt", "decimal_response_hex_receipt", "hex"]
SIDES: list[Literal["response", "receipt"]] = ["response", "receipt"]
NO_NUMBERS = ["", "SAR-1-2", "0xB8", "+12", " 12", "12 ", "1_2", "-5", "٣", "²", "x" * 64, "1" * 65, "f" * 65]
NO_NUMBERS += ["00000000-0000-0000-0000-000000000007", "0f8fad5bd9cb469fa16570867728950e"]
NUMBERS = st.integers(0, 2**80)


def met(response: str, receipt: str, rule: ReceiptIdRule) -> bool:
    return receipt_key(response, rule, "response") == receipt_key(receipt, rule, "receipt")


@given(NUMBERS)
def test_hex_response_meets_its_decimal_receipt(number: int) -> None:
    assert met(f"{number:x}", str(number), "hex_response_decimal_receipt")
    assert met(f"{number:X}", f"{number:010d}", "hex_response_decimal_receipt")
    assert met(f"{number:08X}", str(number), "hex_response_decimal_receipt")


@given(NUMBERS)
def test_decimal_response_meets_its_hex_receipt(number: int) -> None:
    assert met(str(number), f"{number:x}", "decimal_response_hex_receipt")
    assert met(f"{number:010d}", f"{number:08X}", "decimal_response_hex_receipt")


@given(NUMBERS)
def test_hex_on_both_sides_ignores_case_and_padding(number: int) -> None:
    assert met(f"{number:x}", f"{number:010X}", "hex")


@given(NUMBERS, NUMBERS)
def test_different_numbers_never_meet(one: int, other: int) -> None:
    assert met(f"{one:x}", str(other), "hex_response_decimal_receipt") == (one == other)


def test_lost_leading_zeros_of_a_hex_id_are_forgiven() -> None:
    assert met("00B8BE19", "B8BE19", "hex")
    assert not met("00B8BE19", "B8BE19", "raw")


def test_ids_above_2_to_the_63_keep_their_precision() -> None:
    assert met("822FC73B00000039", "9380935605053030457", "hex_response_decimal_receipt")
    assert not met("822FC73B00000039", "9380935605053030458", "hex_response_decimal_receipt")


def test_hex_letters_where_decimal_was_announced_are_read_as_hex() -> None:
    assert met("b8be19f0", "B8BE19F0", "hex_response_decimal_receipt")


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("rule", NUMERIC_RULES)
@pytest.mark.parametrize("smsc_id", NO_NUMBERS)
def test_what_is_no_number_stays_untouched(
    smsc_id: str, rule: ReceiptIdRule, side: Literal["response", "receipt"]
) -> None:
    assert receipt_key(smsc_id, rule, side) == smsc_id


@given(st.text(max_size=80), st.sampled_from(SIDES))
def test_raw_is_exactly_what_came(smsc_id: str, side: Literal["response", "receipt"]) -> None:
    assert receipt_key(smsc_id, "raw", side) == smsc_id


@given(st.text(max_size=80), st.sampled_from(NUMERIC_RULES), st.sampled_from(SIDES))
def test_any_text_has_a_key(smsc_id: str, rule: ReceiptIdRule, side: Literal["response", "receipt"]) -> None:
    assert isinstance(receipt_key(smsc_id, rule, side), str)
