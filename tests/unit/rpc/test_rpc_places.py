"""Connections are bounded in all and per address, and a place comes back whoever had it."""

from __future__ import annotations

from smsproxy.rpc.options import RpcCounters, RpcOptions
from smsproxy.rpc.places import Places


def places(**options: int) -> tuple[Places, RpcCounters]:
    counters = RpcCounters()
    return Places(RpcOptions(**options), counters), counters


def test_one_too_many_of_an_address_is_refused_and_another_is_not() -> None:
    found, counters = places(max_connections=4, max_connections_per_address=2)
    assert [found.take(address) for address in "aaab"] == [True, True, False, True]
    assert (counters.connections, counters.connections_refused_total, counters.connections_total) == (3, 1, 3)
    found.give_back("a")
    assert found.take("a")


def test_a_unix_socket_knows_the_total_bound_alone() -> None:
    found, _ = places(max_connections=3, max_connections_per_address=1)
    assert [found.take("") for _ in range(4)] == [True, True, True, False]
    assert repr(found) == "3/3"


def test_who_comes_through_a_balancer_counts_under_its_own_address() -> None:
    found, counters = places(max_connections=9, max_connections_per_address=1)
    assert [found.take("") for _ in range(3)] == [True] * 3
    assert found.rename("", "a")
    assert not found.rename("", "a")
    assert found.rename("", "b")
    assert (found.taken, counters.connections_refused_total) == (3, 1)
    found.give_back("a")
    assert found.rename("", "a")


def test_a_closed_listener_takes_nobody() -> None:
    found, counters = places()
    found.closed = True
    assert not found.take("a")
    assert counters.connections_refused_total == 1
