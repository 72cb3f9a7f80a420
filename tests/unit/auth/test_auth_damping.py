"""Budgets by key: what is taken, what is waited, what is forgotten; and whose budget an address shares."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsproxy.auth.damping import Budgets, network_of

NOW = 5000.0


def test_a_burst_at_once_then_one_per_interval() -> None:
    budgets: Budgets[str] = Budgets(rate_per_s=2, burst=3)
    assert [budgets.take("a", NOW) for _ in range(4)] == [0, 0, 0, 0.5]
    assert budgets.take("b", NOW) == 0
    assert budgets.take("a", NOW + 0.5) == 0
    assert budgets.take("a", NOW + 0.5) == 0.5
    assert [budgets.take("a", NOW + 100) for _ in range(4)] == [0, 0, 0, 0.5]


def test_a_key_in_debt_is_served_in_turn_and_its_debt_is_bounded() -> None:
    budgets: Budgets[str] = Budgets(rate_per_s=2, burst=1)
    assert [budgets.take("a", NOW, patience_s=1.0) for _ in range(5)] == [0, 0.5, 1.0, 1.5, 1.5]
    assert budgets.take("a", NOW + 1.0, patience_s=1.0) == 0.5


def test_what_is_given_back_can_be_taken_again_and_never_makes_more_than_the_burst() -> None:
    budgets: Budgets[str] = Budgets(rate_per_s=1, burst=2)
    for _ in range(10):
        assert budgets.take("a", NOW) == 0
        budgets.give_back("a")
    budgets.give_back("a")
    budgets.give_back("never seen")
    assert [budgets.take("a", NOW) for _ in range(3)] == [0, 0, 1.0]


def test_the_longest_unused_key_is_forgotten_first() -> None:
    budgets: Budgets[int] = Budgets(rate_per_s=1, burst=1, max_keys=3)
    for key in (1, 2, 3, 1, 4):
        budgets.take(key, NOW)
    assert repr(budgets) == "<Budgets keys=3/3 evicted=1>"
    assert budgets.take(1, NOW) == 1.0
    assert budgets.take(2, NOW) == 0


@given(st.lists(st.floats(0, 100), min_size=1, max_size=50), st.integers(1, 5), st.sampled_from([0.5, 1, 7]))
def test_never_more_than_the_rate_and_the_burst(instants: list[float], burst: int, rate: float) -> None:
    budgets: Budgets[str] = Budgets(rate, burst)
    taken = [now for now in sorted(instants) if budgets.take("a", now) == 0]
    for first in taken:
        for last in (one for one in taken if one >= first):
            inside = sum(first <= now <= last for now in taken)
            assert inside <= burst + rate * (last - first) + 1e-6


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("", ""),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::1", "::/64"),
        ("not:an:address", "not:an:address"),
    ],
)
def test_hosts_of_one_ipv6_network_share_a_budget(address: str, network: str) -> None:
    assert network_of(address) == network
