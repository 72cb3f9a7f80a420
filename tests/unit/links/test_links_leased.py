"""A link whose tokens come from elsewhere: it asks for what it could send, waits, and goes on when woken."""

from __future__ import annotations

from links_kit import Bench

from smsproxy.links.base import Offer
from smsproxy.links.pool import LinkPool, Member


class Purse:
    """links.base.Shaper with tokens that are put in by hand."""

    def __init__(self) -> None:
        self.tokens = 0
        self.asked = 0

    def take(self, now_ns: int, n: int = 1) -> int:
        self.asked += 1
        if self.tokens < n:
            return 5_000_000
        self.tokens -= n
        return 0

    def wait(self, now_ns: int, n: int = 1) -> int:
        return 0 if self.tokens >= n else 5_000_000


def test_messages_wait_in_their_turns_until_the_link_is_woken_with_tokens() -> None:
    purse = Purse()
    bench = Bench(shaper=purse)
    messages = [bench.offer() for _ in range(3)]
    assert bench.offered is Offer.WAITING
    assert bench.session.written == []
    purse.tokens = 2
    bench.link.pump()
    assert bench.session.written == [("m1", 1), ("m2", 1)]
    purse.tokens = 1
    bench.loop.advance(0.005)  # nobody woke it: its own timer looks again
    assert bench.session.written[-1] == ("m3", 1)
    for message in messages:
        bench.answer(message)
    bench.assert_at_rest()


def test_who_joins_a_crowd_that_waits_for_tokens_asks_for_none_and_arms_no_timer() -> None:
    purse = Purse()
    bench = Bench(shaper=purse, window=100)
    messages = [bench.offer() for _ in range(50)]
    assert purse.asked <= 2
    assert len(bench.loop.timers) == 1
    purse.tokens = 50
    bench.loop.advance(0.005)
    assert [name for name, _ in bench.session.written] == [message.name for message in messages]
    bench.answer_all()
    bench.assert_at_rest()


def test_it_wants_tokens_for_as_many_as_wait_and_have_a_place() -> None:
    purse = Purse()
    bench = Bench(shaper=purse, window=4)
    assert bench.link.tokens_wanted == 0
    messages = [bench.offer() for _ in range(6)]
    assert bench.link.tokens_wanted == 4
    purse.tokens = 3
    bench.link.pump()
    assert bench.link.tokens_wanted == 1
    purse.tokens = 1
    bench.link.pump()
    assert bench.link.tokens_wanted == 0
    for message in messages:
        purse.tokens = 1
        bench.answer(message)
    bench.loop.advance(0.005)
    bench.assert_at_rest()


def test_a_pool_picks_the_member_that_has_tokens() -> None:
    empty, full = Purse(), Purse()
    benches = [Bench(shaper=empty), Bench(shaper=full)]
    pool = LinkPool(1000, [Member(benches[0].link, 9), Member(benches[1].link, 1)])
    full.tokens = 1
    assert pool.pick() is benches[1].link
    empty.tokens = 1
    assert pool.pick() is benches[0].link
