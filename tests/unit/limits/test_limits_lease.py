"""The lease arithmetic against a slow exact model of what it may give out, and its edges by hand."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from smsproxy.limits.base import NS_PER_MS, NS_PER_S
from smsproxy.limits.lease import LAPSE_NS, LEASE_MS, LINK_PACE_NS, LOW, PACE_NS, TAKEN, Lease

RATE = 200
BURST = 50
MS = NS_PER_MS


class ExactBucket:
    """The shared bucket in fractions: what the server does, told another way."""

    def __init__(self, rate: int, burst: int) -> None:
        self.rate, self.burst = rate, burst
        self.level = Fraction(burst)
        self.at_ns = 0
        self.granted = 0

    def take(self, now_ns: int, wanted: int) -> tuple[int, int]:
        """(granted, ns until one more can be had)"""
        self.level = min(
            Fraction(self.burst), self.level + Fraction((now_ns - self.at_ns) * self.rate, NS_PER_S)
        )
        self.at_ns = now_ns
        granted = min(wanted, int(self.level))
        self.level -= granted
        self.granted += granted
        if granted == wanted:
            return granted, 0
        return granted, -int(-(1 - self.level) * NS_PER_S // self.rate)


class Instance:
    """One instance that wants tokens at given instants, asking whenever its lease says so."""

    def __init__(self, bucket: ExactBucket, pace_ns: int = PACE_NS) -> None:
        self.lease = Lease(bucket.rate, bucket.burst, pace_ns)
        self.bucket = bucket
        self.spent: list[int] = []

    def want(self, now_ns: int) -> None:
        taken = self.lease.take(now_ns)
        if not taken:
            if self.lease.empty_for(now_ns):
                return
            self._fill(now_ns, 1)
            if not self.lease.take(now_ns):
                return
        elif taken == LOW:
            self._fill(now_ns, 0)
        self.spent.append(now_ns)

    def _fill(self, now_ns: int, waiting: int) -> None:
        self.lease.filled(now_ns, *self.bucket.take(now_ns, self.lease.wanted(now_ns, waiting)))


@given(
    rate=st.integers(1, 5000),
    burst=st.integers(1, 5000),
    wants=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 400 * MS)), max_size=300),
)
def test_instances_together_never_spend_more_than_the_rate_allows_and_their_leases_hold(
    rate: int, burst: int, wants: list[tuple[int, int]]
) -> None:
    bucket = ExactBucket(rate, burst)
    instances = [Instance(bucket) for _ in range(4)]
    now_ns = 1
    for number, pause_ns in wants:
        now_ns += pause_ns
        instances[number].want(now_ns)
    spent = sorted(at for one in instances for at in one.spent)
    assert len(spent) <= bucket.granted
    leases = 4 * min(rate * LEASE_MS // 1000, burst)
    for first, start_ns in enumerate(spent):  # in any window: burst, rate, and what leases had in stock
        for last in range(first, len(spent)):
            allowed = burst + leases + 1 + Fraction((spent[last] - start_ns) * rate, NS_PER_S)
            assert last - first + 1 <= allowed


@given(
    rate=st.integers(1, 2000),
    burst=st.integers(1, 2000),
    step_us=st.integers(100, 20_000),
    pace_ns=st.sampled_from((PACE_NS, LINK_PACE_NS)),
)
def test_one_busy_instance_gets_all_of_the_rate(rate: int, burst: int, step_us: int, pace_ns: int) -> None:
    bucket = ExactBucket(rate, burst)
    instance = Instance(bucket, pace_ns)
    steps = 400
    for number in range(steps):
        instance.want(number * step_us * 1000 + 1)
    exact = ExactBucket(rate, burst)
    possible = sum(exact.take(number * step_us * 1000 + 1, 1)[0] for number in range(steps))
    stock = min(rate * LEASE_MS // 1000, burst)
    asked_late = rate * 3 * pace_ns // NS_PER_S  # every `pace_ns` at most
    late = asked_late + rate * step_us // 1_000_000 + burst // 2 + 2
    assert possible - stock - late <= len(instance.spent) <= possible + stock


def test_a_fresh_lease_has_nothing_and_asks_for_who_waits_and_a_stock_of_fifty_ms() -> None:
    lease = Lease(RATE, BURST)
    assert not lease.take(1)
    assert lease.empty_for(1) == 0
    assert lease.wanted(1, waiting=7) == 7 + RATE * LEASE_MS // 1000


def test_a_slow_limit_has_no_stock_and_a_small_burst_bounds_it() -> None:
    assert Lease(10, 10).wanted(1, waiting=1) == 1
    assert Lease(1000, 3).wanted(1, waiting=0) == 3


def test_a_lease_that_nobody_used_for_a_second_is_worth_nothing() -> None:
    lease = Lease(RATE, BURST)
    lease.filled(0, 10, 0)
    assert lease.has(LAPSE_NS - 1)
    assert not lease.has(LAPSE_NS)
    assert not lease.take(LAPSE_NS)
    assert lease.wanted(LAPSE_NS, waiting=0) == 10


def test_using_it_keeps_it() -> None:
    lease = Lease(RATE, BURST)
    lease.filled(0, 10, 0)
    for number in range(1, 10):
        assert lease.take(number * LAPSE_NS * 9 // 10)
    assert repr(lease) == "<Lease 1 of 200/s burst=50>"


def test_it_asks_again_before_it_is_used_up() -> None:
    lease = Lease(RATE, BURST)
    lease.filled(0, 10, 0)
    assert [lease.take(1) for _ in range(10)] == [TAKEN] * 5 + [LOW] * 5


def test_an_empty_bucket_is_left_alone_until_it_can_have_something() -> None:
    lease = Lease(RATE, BURST)
    lease.filled(0, 0, 30 * MS)
    assert lease.empty_for(0) == 30 * MS
    assert lease.empty_for(30 * MS) == 0
    lease.filled(0, 2, 30 * MS)
    assert [lease.take(29 * MS), lease.take(30 * MS)] == [TAKEN, LOW]


def test_an_empty_bucket_is_asked_at_most_every_ten_ms_unless_its_burst_is_small() -> None:
    lease = Lease(RATE, BURST)
    lease.filled(0, 0, 1)
    assert lease.empty_for(0) == 10 * MS
    small = Lease(1000, 4)
    small.filled(0, 0, 1)
    assert small.empty_for(0) == 1 * MS
    alone = Lease(1000, 1)
    alone.filled(0, 0, 1)
    assert alone.empty_for(0) == 1, "its next token is there when it is there"


def test_a_link_s_empty_bucket_is_asked_half_a_lease_later_unless_its_burst_is_small() -> None:
    lease = Lease(RATE, BURST, LINK_PACE_NS)
    lease.filled(0, 3, 1)
    assert lease.empty_for(0) == LEASE_MS * MS // 2
    assert lease.empty_for(0, hurried=True) == 10 * MS
    fitting = Lease(1000, 50, LINK_PACE_NS)
    fitting.filled(0, 0, 1)
    assert fitting.empty_for(0) == LEASE_MS * MS // 2
    small = Lease(1000, 16, LINK_PACE_NS)
    small.filled(0, 0, 1)
    assert small.empty_for(0) == 5 * MS


def test_a_token_given_back_can_be_taken_again() -> None:
    lease = Lease(10, 10)
    lease.filled(0, 1, 0)
    assert lease.take(1)
    lease.give_back()
    assert lease.take(2)
    assert not lease.take(3)
