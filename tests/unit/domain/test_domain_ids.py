"""Message ids: the same request has the same id for ever, every other request another one."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsproxy.domain.ids import derived_id, id_text, parse_id, time_ordered_id

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=20)
REQUEST = st.tuples(st.integers(1, 2**63 - 1), TEXT, TEXT, TEXT)
SIXTEEN = st.binary(min_size=16, max_size=16)


def test_a_derived_id_never_changes() -> None:
    """Records of earlier versions are found by it: a change here sends messages twice."""
    found = derived_id(1, "t-1", "998901234567", "Hello")
    assert id_text(found) == "9dcb159d-5e5e-87c0-b051-e3790c34d053"
    assert uuid.UUID(bytes=found).variant == uuid.RFC_4122
    assert found[6] >> 4 == 8


@given(one=REQUEST, other=REQUEST)
def test_derived_ids_are_equal_exactly_for_equal_requests(
    one: tuple[int, str, str, str], other: tuple[int, str, str, str]
) -> None:
    assert derived_id(*one) == derived_id(*one)
    assert (derived_id(*one) == derived_id(*other)) is (one == other)


def test_what_moves_from_one_field_to_the_next_is_another_request() -> None:
    assert derived_id(1, "ab", "c", "d") != derived_id(1, "a", "bc", "d")


@given(unix_ms=st.integers(0, 2**48 - 1), entropy=st.binary(min_size=10, max_size=10))
def test_a_time_ordered_id_is_a_uuid7_that_carries_its_time(unix_ms: int, entropy: bytes) -> None:
    found = uuid.UUID(bytes=time_ordered_id(unix_ms, entropy))
    assert (found.int >> 80, found.bytes[6] >> 4, found.variant) == (unix_ms, 7, uuid.RFC_4122)


@given(
    earlier=st.integers(0, 2**48 - 2),
    one=st.binary(min_size=10, max_size=10),
    other=st.binary(min_size=10, max_size=10),
)
def test_time_ordered_ids_sort_by_time(earlier: int, one: bytes, other: bytes) -> None:
    assert time_ordered_id(earlier, one) < time_ordered_id(earlier + 1, other)


@given(one=st.binary(min_size=10, max_size=10), other=st.binary(min_size=10, max_size=10))
def test_74_random_bits_are_kept(one: bytes, other: bytes) -> None:
    mask = (1 << 76) - 1 & ~(0b11 << 62)
    same = int.from_bytes(one, "big") & mask == int.from_bytes(other, "big") & mask
    assert (time_ordered_id(1, one) == time_ordered_id(1, other)) is same


@given(message_id=SIXTEEN)
def test_an_id_and_its_text_are_the_same_thing(message_id: bytes) -> None:
    text = id_text(message_id)
    assert text == str(uuid.UUID(bytes=message_id))
    assert parse_id(text) == parse_id(text.upper()) == message_id


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "01890a5dac96774bbcceb302099a8057",
        "{01890a5d-ac96-774b-bcce-b302099a805}",
        "urn:uuid:01890a5d-ac96-774b-bcce-b302099a8057",
        "01890a5da-c96-774b-bcce-b302099a8057",
        "01890a5d-ac96-774b-bcce-b302099a805g",
        "0189_a5d-ac96-774b-bcce-b302099a8057",
        "٠1890a5d-ac96-774b-bcce-b302099a8057",
        "01890a5d-ac96-774b-bcce-b302099a8057\n",
    ],
)
def test_only_the_plain_text_of_an_id_is_one(text: str) -> None:
    assert parse_id(text) is None


@given(text=st.text(max_size=40) | st.text("0123456789abcdefABCDEF-_{}", min_size=30, max_size=40))
def test_any_text_is_an_id_or_none(text: str) -> None:
    found = parse_id(text)
    assert found is None or id_text(found) == text.lower()
