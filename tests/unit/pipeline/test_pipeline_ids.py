"""Ids made many at a time are what they would be one by one."""

from __future__ import annotations

import uuid

from hypothesis import given
from hypothesis import strategies as st

from smsproxy.domain.ids import RANDOM_BYTES, id_text, random_tails, time_head, time_ordered_id
from smsproxy.pipeline.ids import MessageIds


@given(st.integers(0, 2**48 - 1), st.lists(st.binary(min_size=10, max_size=10), max_size=5))
def test_heads_and_tails_are_the_ids_of_their_time_and_octets(unix_ms: int, entropy: list[bytes]) -> None:
    head, head_text = time_head(unix_ms)
    ids = [(head + tail, head_text + text) for tail, text in random_tails(b"".join(entropy))]
    assert [one for one, _ in ids] == [time_ordered_id(unix_ms, octets) for octets in entropy]
    assert [text for _, text in ids] == [id_text(one) for one, _ in ids]


def test_ids_carry_their_millisecond_and_never_repeat() -> None:
    ids = MessageIds()
    times = [1_700_000_000 + number / 2000 for number in range(2000)]
    drawn = [ids.draw(now) for now in times]
    assert len({one for one, _ in drawn}) == len(drawn)
    for now, (one, text) in zip(times, drawn, strict=True):
        found = uuid.UUID(text)
        assert found.bytes == one
        assert (found.int >> 80, found.version, found.variant) == (int(now * 1000), 7, uuid.RFC_4122)


def test_randomness_is_asked_for_many_ids_at_once() -> None:
    asked: list[int] = []

    def randomly(count: int) -> bytes:
        asked.append(count)
        return bytes(count)

    ids = MessageIds(randomly)
    for _ in range(600):
        ids.draw(1.0)
    assert asked == [512 * RANDOM_BYTES] * 2
