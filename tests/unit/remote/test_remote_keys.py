"""Tags: few, the same everywhere, and batches that stay together."""

from __future__ import annotations

from smsproxy.remote.keys import TAGS, by_tag, tag, tagged


def test_a_key_carries_the_tag_of_its_name_in_braces() -> None:
    assert tagged("limit", "app:1") == f"smsproxy:{{{tag('app:1')}}}:limit:app:1"


def test_names_spread_over_all_tags_and_every_group_has_one() -> None:
    names = [str(number) for number in range(1000)]
    groups = by_tag(names)
    assert len(groups) == TAGS
    assert sorted(position for group in groups for position in group) == list(range(1000))
    assert all(len({tag(names[position]) for position in group}) == 1 for group in groups)
