"""Pools: shares by weight among the free ones; else the one that is free soonest."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from links_kit import Bench

from smsproxy.links.link import Link
from smsproxy.links.pool import Directory, LinkPool, Member


def a_pool(*members: tuple[Bench, int]) -> LinkPool:
    return LinkPool(1000, [Member(bench.link, weight) for bench, weight in members])


def picks(pool: LinkPool, count: int) -> list[Link | None]:
    return [pool.pick() for _ in range(count)]


def test_weights_three_and_one_are_spread_smoothly() -> None:
    a, b = Bench(), Bench()
    assert picks(a_pool((a, 3), (b, 1)), 8) == [a.link, a.link, b.link, a.link] * 2


@given(st.lists(st.integers(1, 20), min_size=1, max_size=5))
def test_every_round_gives_each_member_exactly_its_weight(weights: list[int]) -> None:
    benches = [Bench() for _ in weights]
    pool = a_pool(*zip(benches, weights, strict=True))
    for _ in range(2):
        counted = Counter(id(link) for link in picks(pool, sum(weights)))
        assert [counted[id(bench.link)] for bench in benches] == weights


def test_a_message_asks_one_member_of_many_while_they_are_free(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = a_pool(*((Bench(), 1) for _ in range(200)))
    asked: list[Link] = []
    free_now = Link.free_now
    monkeypatch.setattr(Link, "free_now", lambda link: asked.append(link) or free_now(link))
    assert picks(pool, 400) == [member.link for member in pool.members] * 2
    assert len(asked) == 400


def test_a_member_that_is_free_again_gets_its_share_though_all_were_busy() -> None:
    a, b = Bench(window=1), Bench(window=1)
    pool = a_pool((a, 3), (b, 1))
    first, second = a.offer(), b.offer()
    assert None not in picks(pool, 5)
    a.answer(first)
    assert picks(pool, 2) == [a.link] * 2
    b.answer(second)
    assert Counter(link is a.link for link in picks(pool, 8)) == {True: 6, False: 2}


def test_unbound_members_are_left_out() -> None:
    a, b = Bench(), Bench()
    a.cut()
    pool = a_pool((a, 9), (b, 1))
    assert picks(pool, 3) == [b.link] * 3
    b.cut()
    assert pool.pick() is None


def test_members_without_a_slot_are_left_out_while_others_have_one() -> None:
    full, free = Bench(window=1), Bench(window=100)
    full.offer()
    assert picks(a_pool((full, 9), (free, 1)), 5) == [free.link] * 5


def test_members_without_a_token_are_left_out_until_they_have_one() -> None:
    slow, fast = Bench(rate_per_s=1, burst=1), Bench()
    slow.offer()
    pool = a_pool((slow, 1), (fast, 1))
    assert picks(pool, 3) == [fast.link] * 3
    slow.loop.advance(1)
    assert slow.link in picks(pool, 2)


def test_a_member_that_was_left_out_does_not_catch_up() -> None:
    a, b = Bench(window=1), Bench(window=100)
    first = a.offer()
    pool = a_pool((a, 1), (b, 1))
    picks(pool, 10)
    a.answer(first)
    assert Counter(link is a.link for link in picks(pool, 4)) == {True: 2, False: 2}


def test_a_paused_member_is_left_out() -> None:
    paused, other = Bench(), Bench()
    paused.throttle(paused.offer())
    assert picks(a_pool((paused, 9), (other, 1)), 3) == [other.link] * 3


def test_when_none_is_free_the_one_with_the_soonest_token_is_picked() -> None:
    slow, fast = Bench(rate_per_s=1, burst=1), Bench(rate_per_s=100, burst=1)
    for bench in (slow, fast):
        bench.offer()
    assert a_pool((slow, 9), (fast, 1)).pick() is fast.link


def test_when_none_is_free_a_pause_counts() -> None:
    paused, busy = Bench(), Bench(rate_per_s=2, burst=1)
    paused.throttle(paused.offer())
    busy.offer()
    assert a_pool((paused, 9), (busy, 1)).pick() is busy.link


def test_when_only_windows_are_full_the_shortest_line_is_picked() -> None:
    crowded, short = Bench(window=2), Bench(window=2)
    for _ in range(5):
        crowded.offer()
    for _ in range(3):
        short.offer()
    assert a_pool((crowded, 9), (short, 1)).pick() is short.link


def test_the_directory_knows_links_and_pools_by_one_space_of_ids() -> None:
    a, b = Bench(), Bench()
    directory = Directory()
    directory.replace({100: a.link, 101: b.link}, {1000: a_pool((a, 1), (b, 1))})
    assert all(directory.knows(route_id) for route_id in (100, 101, 1000))
    assert not directory.knows(102)
    assert directory.link(100) is a.link
    assert directory.link(1000) is None
    assert directory.members(1000) == [a.link, b.link]
    assert directory.members(101) == [b.link]
    assert directory.members(5) == []
    assert directory.pick(101) is b.link
    assert directory.pick(1000) in (a.link, b.link)
    assert directory.pick(5) is None
    b.cut()
    assert directory.pick(101) is None
    assert repr(directory) == "<Directory links=2 bound=1 pools=1>"


def test_a_route_tells_every_text_setting_it_may_meet_once() -> None:
    a, b, c = Bench(), Bench(), Bench(long_messages="sar")
    directory = Directory()
    directory.replace(
        {100: a.link, 101: b.link, 102: c.link}, {1000: a_pool((a, 1), (b, 1)), 1001: a_pool((a, 1), (c, 1))}
    )
    options = a.link.text_options
    assert directory.text_options(1000) == [options]
    assert directory.text_options(1001) == [options, replace(options, long_messages="sar")]
    assert directory.text_options(7) == []
