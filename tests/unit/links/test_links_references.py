"""Concatenation references: per destination, never the same twice running, bounded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from smsproxy.links.references import REFERENCES_MAX, References


def a_counter(randomly: float = 0.0) -> References:
    return References(lambda: randomly)


def test_references_count_per_destination() -> None:
    references = a_counter()
    assert [references.draw(digits) for digits in ("1", "2", "1", "1", "2")] == [1, 1, 2, 3, 2]


def test_the_first_reference_to_a_phone_is_random() -> None:
    """Two instances or a restart do not all begin with the same one."""
    assert a_counter(0.5).draw("1") == 32768
    assert {References().draw("1") for _ in range(20)} != {1}


@given(st.floats(0, 1, exclude_max=True))
def test_references_are_one_to_65535_and_round_again(randomly: float) -> None:
    references = a_counter(randomly)
    first = references.draw("1")
    second = references.draw("1")
    assert 1 <= first <= 65535
    assert second == (first + 1 if first < 65535 else 1)


def test_the_destination_unused_longest_is_forgotten() -> None:
    references = a_counter()
    for _ in range(3):
        references.draw("often")
    for number in range(REFERENCES_MAX - 1):
        references.draw(f"{number}")
    assert references.draw("often") == 4
    references.draw("one more")
    assert references.draw("often") == 5
    assert references.draw("0") == 1
    assert repr(references) == f"<References destinations={REFERENCES_MAX}>"
